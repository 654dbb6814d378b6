"""1/KP, the Kaa Protocol: topics of device messages and of their answers.

    kp1/{application version}/{extension instance}/{endpoint token}/{resource path…}[/{request id}]

The token level is there for endpoint-aware extensions only. A last level that is an integer from 0 to 2147483647 is
the request id and no part of the resource path. A success is answered on the topic of the request plus `/status`, a
failure on `/error` with `{"statusCode": int, "reasonPhrase": string}`; a push has no request id.
"""

from dataclasses import dataclass

from pydantic_core import to_json

from kaa.core.errors import ProtocolError
from kaa.protocols.names import AppVersionName, EndpointToken, InstanceName

PREFIX = "kp1"
MAX_REQUEST_ID = 2**31 - 1


@dataclass(frozen=True, slots=True)
class Address:
    """What a topic says.

    `resource_path` begins with a slash. `token` is None for an endpoint-unaware extension.
    """

    app_version_name: AppVersionName
    extension: InstanceName
    token: EndpointToken | None
    resource_path: str
    request_id: int | None


def extension_of(topic: str) -> InstanceName:
    """Give the extension level of a topic; ProtocolError if it is no topic of 1/KP."""
    levels = topic.split("/", 3)
    if len(levels) < 4 or levels[0] != PREFIX or not all(levels[:3]):
        raise ProtocolError(
            f"not a 1/KP topic: {topic[:80]!r}; it must read kp1/<version>/<extension>/<token>/<path>", reason_code=0x90
        )
    return InstanceName(levels[2])


def parse(topic: str, *, is_endpoint_aware: bool = True) -> Address:
    """Take a topic apart; ProtocolError if it is no topic of 1/KP."""
    extension = extension_of(topic)
    _, version, _, *rest = topic.split("/")
    token = rest.pop(0) if is_endpoint_aware else None
    request_id = None
    if rest and is_request_id(rest[-1]):
        request_id = int(rest.pop())
    if token == "":
        raise ProtocolError(f"the endpoint token is missing: {topic[:80]!r}", reason_code=0x90)
    return Address(
        AppVersionName(version),
        extension,
        EndpointToken(token) if token is not None else None,
        "/" + "/".join(rest),
        request_id,
    )


def is_request_id(level: str) -> bool:
    """Whether the level is an integer that fits a request id."""
    return level.isascii() and level.isdecimal() and len(level) <= 10 and int(level) <= MAX_REQUEST_ID


def push_topic(
    version: AppVersionName, extension: InstanceName, token: EndpointToken | None, resource_path: str
) -> str:
    """Give the topic of a push: that of a request without its id, plus `/status`."""
    middle = f"/{token}" if token is not None else ""
    return f"{PREFIX}/{version}/{extension}{middle}{resource_path}/status"


def error_payload(status_code: int, reason_phrase: str) -> bytes:
    """Render the payload of an error answer."""
    return to_json({"statusCode": status_code, "reasonPhrase": reason_phrase})
