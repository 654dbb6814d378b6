"""From a payload to samples: each is the text of one JSON value, as it came from the device."""

import re

import msgspec
from pydantic_core import to_json

from kaa.core.errors import InvalidInput, NotFound
from kaa.protocols import dcp

_PLAIN = re.compile(r"\s*([+-]?(?:\d+(?:\.\d*)?|\.\d+)(?:[eE][+-]?\d+)?)(\S[^\x00-\x1f]{0,31})?\s*")
_METRIC = re.compile(r"[a-zA-Z0-9_-]{1,64}")

# the items as they stand: they are looked at to see that they are JSON, and not made into objects
_split = msgspec.json.Decoder(list[msgspec.Raw]).decode
_check = msgspec.json.Decoder(msgspec.Raw).decode


def samples(resource_path: str, payload: bytes, *, is_relaxed: bool) -> tuple[bytes, ...]:
    """Give the samples of a message.

    Raises:
        InvalidInput: the payload is not what the resource takes.
        NotFound: there is no such resource.
    """
    if resource_path == dcp.JSON or (is_relaxed and resource_path.startswith(dcp.JSON)):
        return _json(payload)
    if resource_path.startswith(dcp.PLAIN):
        return (_plain(resource_path.removeprefix(dcp.PLAIN), payload),)
    raise NotFound(f"there is no resource {resource_path[:80]!r}; there are /json and /plain/<metric>")


def _json(payload: bytes) -> tuple[bytes, ...]:
    try:
        if not payload.isascii():
            payload.decode()
        first = payload[:1]
        if first not in {b"[", b"{"}:
            payload = payload.strip(b" \t\r\n")
            first = payload[:1]
        if first == b"[":
            return tuple(map(bytes, _split(payload)))
        if first == b"{":
            _check(payload)
            return (payload,)
    except msgspec.DecodeError as error:
        raise InvalidInput(f"the payload is not JSON: {error}") from error
    except UnicodeDecodeError as error:
        raise InvalidInput("the payload is not UTF-8 text") from error
    except RecursionError as error:
        raise InvalidInput("the payload is nested too deeply") from error
    if not payload:
        raise InvalidInput("the payload is empty; a JSON object, or an array of samples, was expected")
    raise InvalidInput("the payload must be a JSON object, or an array of samples")


def _plain(metric: str, payload: bytes) -> bytes:
    if _METRIC.fullmatch(metric) is None:
        raise InvalidInput(f"{metric[:80]!r} is no name of a metric: letters, digits, _ and - may stand there")
    try:
        found = _PLAIN.fullmatch(payload.decode())
    except UnicodeDecodeError as error:
        raise InvalidInput("the payload is not UTF-8 text") from error
    if found is None:
        raise InvalidInput("the payload must be a number, or a number with its unit behind it, like 47 or 47%")
    text, unit = found.groups()
    if abs(float(text)) == float("inf"):
        raise InvalidInput("the number is too large")
    value = int(text) if text.lstrip("+-").isdecimal() else float(text)
    return to_json({f"{metric}-value": value, f"{metric}-unit": (unit or "number").strip()})
