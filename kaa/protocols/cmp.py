"""7/CMP, configuration management: what devices ask of a configuration extension, and what they are told.

    /config/json[/{name}]     {"configId"?, "observe"?}                      the configuration, or its part of a push
    /applied/json[/{name}]    {"configId", "statusCode"?, "reasonPhrase"?}   an empty answer

Without a name it is the configuration named `default`. Members that are null count as absent: libraries send them.
"""

import re
from dataclasses import dataclass

import msgspec
from pydantic_core import to_json

from kaa.core.errors import InvalidInput, NotFound

CONFIG = "/config/json"
APPLIED = "/applied/json"
DEFAULT = "default"

_NAME = re.compile(r"[a-zA-Z0-9_-]{1,64}")
_RESERVED = frozenset({"status", "error"})
_LONGEST_PAYLOAD = 8 * 1024
_LONGEST_ID = 256
_LONGEST_PHRASE = 1024

_OK = b'"statusCode":200,"reasonPhrase":"OK"}'
UNCHANGED = b"{" + _OK
"""The answer to a request that names the current configuration."""

_check = msgspec.json.Decoder(msgspec.Raw).decode


@dataclass(frozen=True, slots=True)
class ConfigQuery:
    """What a device asks for, and the configuration that it says it has; `observe` is None where it says nothing."""

    name: str
    config_id: str | None
    observe: bool | None


@dataclass(frozen=True, slots=True)
class AppliedReport:
    """What became of a configuration on a device."""

    name: str
    config_id: str
    status_code: int
    reason_phrase: str | None

    @property
    def is_applied(self) -> bool:
        """Whether it has been applied; else it was rejected."""
        return 200 <= self.status_code < 300


class _ConfigBody(msgspec.Struct, forbid_unknown_fields=True, rename="camel"):
    config_id: str | None = None
    observe: bool | None = None


class _AppliedBody(msgspec.Struct, forbid_unknown_fields=True, rename="camel"):
    config_id: str
    status_code: int | float | None = None
    reason_phrase: str | None = None


_config_body = msgspec.json.Decoder(_ConfigBody).decode
_applied_body = msgspec.json.Decoder(_AppliedBody).decode


def check_name(name: str) -> str:
    """Give the name of a configuration back; InvalidInput if it cannot stand in a topic beside request ids."""
    if _NAME.fullmatch(name) is None:
        raise InvalidInput(f"name: {name[:80]!r} does not match ^{_NAME.pattern}$")
    if name.isdigit() or name in _RESERVED:
        raise InvalidInput(f"name: {name!r} cannot be told from a part of a topic; digits alone, status and error are")
    return name


def read(resource_path: str, payload: bytes) -> ConfigQuery | AppliedReport:
    """Understand what a device sent.

    Raises:
        InvalidInput: the payload is not what the resource takes.
        NotFound: there is no such resource.
    """
    resource, name = _resource(resource_path)
    if len(payload) > _LONGEST_PAYLOAD:
        raise InvalidInput(f"the payload has more than {_LONGEST_PAYLOAD} bytes")
    payload = payload.strip(b" \t\r\n")
    try:
        if resource == CONFIG:
            asked = _config_body(payload or b"{}")
            if asked.config_id is not None:
                _check_id(asked.config_id)
            return ConfigQuery(name, asked.config_id, asked.observe)
        told = _applied_body(payload)
    except msgspec.ValidationError as error:
        raise InvalidInput(f"the payload is not what {resource} takes: {_lower(str(error))}") from error
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise InvalidInput(f"the payload is not JSON: {_lower(str(error))}") from error
    _check_id(told.config_id)
    code = 200 if told.status_code is None else told.status_code
    if not 100 <= code <= 999 or code != int(code):
        raise InvalidInput("statusCode: must be a whole number from 100 to 999")
    if told.reason_phrase is not None and len(told.reason_phrase) > _LONGEST_PHRASE:
        raise InvalidInput(f"reasonPhrase: more than {_LONGEST_PHRASE} characters")
    return AppliedReport(name, told.config_id, int(code), told.reason_phrase)


def configuration(config_id: str, content: bytes) -> bytes:
    """Render an answer or a push; the content is JSON and stands in it as it is.

    Raises:
        InvalidInput: the content is not JSON.
    """
    try:
        _check(content)
        content.decode()
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise InvalidInput("the configuration is not JSON, and this extension delivers nothing else") from error
    return b'{"configId":' + to_json(config_id) + b',"config":' + content + b"," + _OK


def push_path(name: str) -> str:
    """Give the resource path of pushes of a configuration."""
    return CONFIG if name == DEFAULT else f"{CONFIG}/{name}"


def _resource(path: str) -> tuple[str, str]:
    for resource in (CONFIG, APPLIED):
        if path == resource:
            return resource, DEFAULT
        if path.startswith(f"{resource}/"):
            return resource, check_name(path[len(resource) + 1 :])
    raise NotFound(
        f"there is no resource {path[:80]!r}; there are {CONFIG}, {APPLIED} and, below each, configurations by name"
    )


def _check_id(config_id: str) -> None:
    if len(config_id) > _LONGEST_ID:
        raise InvalidInput(f"configId: more than {_LONGEST_ID} characters")


def _lower(sentence: str) -> str:
    return sentence[:1].lower() + sentence[1:]
