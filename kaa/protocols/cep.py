"""11/CEP, command execution: the resources of a command execution extension, and what is in their payloads.

    /command/{type}   an endpoint asks for its commands and says whether it wants those to come: `{"observe": bool}`.
                      The answer, and every push, is an array of `{"id": int, "payload"?: any}`
    /result/{type}    an endpoint says what has become of commands: an array of `{"id": int, "statusCode": int,
                      "reasonPhrase"?: string, "payload"?: any}`, or one such object

Payloads within are carried as they stand: each is the text of one JSON value, checked and never parsed. Members that
the protocol does not know are ignored, and so is what an absent member could have said: clients leave out what is
empty.
"""

import re
from collections.abc import Iterable
from typing import Annotated

import msgspec
from pydantic_core import to_json

from kaa.core.errors import InvalidInput

COMMAND = "/command/"
RESULT = "/result/"

COMMAND_TYPE = re.compile(r"[A-Za-z0-9_-]{1,64}")
MAX_COMMAND_ID = 2**31 - 1
TEXT = "text/plain"
"""The content type of payloads that are no JSON: they travel as a string."""

_INT = 2**31
_LONGEST_REASON = 1_024
_LONGEST_HEADER = 256


class CommandRequest(msgspec.Struct, frozen=True):
    """An endpoint asks for its commands; `observe` is None where it says nothing about those to come."""

    observe: bool | None = None


class CommandResult(msgspec.Struct, frozen=True, rename="camel"):
    """What has become of a command; `payload` is empty where there is none."""

    id: int
    status_code: Annotated[int, msgspec.Meta(ge=-_INT, lt=_INT)]
    reason_phrase: Annotated[str, msgspec.Meta(max_length=_LONGEST_REASON)] | None = None
    payload: msgspec.Raw = msgspec.Raw(b"")


_request = msgspec.json.Decoder(CommandRequest).decode
_results = msgspec.json.Decoder(list[CommandResult] | CommandResult).decode
_value = msgspec.json.Decoder(msgspec.Raw).decode


def parse_request(payload: bytes) -> CommandRequest:
    """Read the payload of `/command/{type}`, which may be empty; raises InvalidInput."""
    if not payload.strip():
        return CommandRequest()
    try:
        payload.decode()
        return _request(payload)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
        raise _not_json(error, 'like {"observe": true}') from error


def parse_results(payload: bytes) -> list[CommandResult]:
    """Read the payload of `/result/{type}`; raises InvalidInput."""
    try:
        payload.decode()
        found = _results(payload)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
        raise _not_json(error, 'like [{"id": 1, "statusCode": 200}]') from error
    return found if isinstance(found, list) else [found]


def render_commands(commands: Iterable[tuple[int, bytes | None]]) -> bytes:
    """Give the payload of an answer or a push: ids, and payloads as JSON."""
    return b"[" + b",".join(map(_rendered, commands)) + b"]"


def check_json(payload: bytes, *, what: str) -> bytes:
    """Give the text of one JSON value without the space around it; raises InvalidInput if it is none."""
    payload = payload.strip(b" \t\r\n")
    try:
        payload.decode()
        _value(payload)
    except msgspec.MsgspecError as error:
        raise InvalidInput(f"{what}: not JSON: {error}") from error
    except UnicodeDecodeError as error:
        raise InvalidInput(f"{what}: not UTF-8 text") from error
    except RecursionError as error:
        raise InvalidInput(f"{what}: nested too deeply") from error
    return payload


def payload_of(body: bytes, content_type: str) -> bytes | None:
    """Give the payload that a REST caller means: JSON as it is, text as a string, nothing as none."""
    if not body.strip():
        return None
    if content_type != TEXT:
        return check_json(body, what="body")
    try:
        return to_json(body.decode())
    except UnicodeDecodeError as error:
        raise InvalidInput("body: not UTF-8 text") from error


def result_headers(status_code: int | None, reason_phrase: str | None) -> dict[str, str]:
    """Tell a REST caller what the endpoint says of its result; what no header can carry becomes a question mark."""
    headers = {"Content-Type": "application/json", "X-Command-Status-Code": str(status_code)}
    if reason_phrase is not None:
        shown = "".join(char if " " <= char <= "~" else "?" for char in reason_phrase[:_LONGEST_HEADER])
        headers["X-Command-Reason-Phrase"] = shown.strip()
    return headers


def _rendered(command: tuple[int, bytes | None]) -> bytes:
    command_id, payload = command
    return b'{"id":%d}' % command_id if payload is None else b'{"id":%d,"payload":%b}' % (command_id, payload)


def _not_json(error: Exception, example: str) -> InvalidInput:
    if isinstance(error, UnicodeDecodeError):
        return InvalidInput("the payload is not UTF-8 text")
    if isinstance(error, RecursionError):
        return InvalidInput("the payload is nested too deeply")
    return InvalidInput(f"the payload must be JSON {example}: {error}")
