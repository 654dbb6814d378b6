"""10/EPMP, endpoint metadata: the resources of a metadata extension, and their payloads.

A value passes as the text of its JSON: what a device reads is what somebody wrote, to the last digit of a number.
"""

from collections.abc import Callable, Iterable, Mapping
from typing import Any, TypeVar

import msgspec

from kaa.core.errors import InvalidInput, TooLarge
from kaa.protocols.names import METADATA_KEY, checked

GET = "/get"
GET_KEYS = "/get/keys"
UPDATE = "/update"
UPDATE_KEYS = "/update/keys"
DELETE_KEYS = "/delete/keys"
RESOURCES = (GET, GET_KEYS, UPDATE, UPDATE_KEYS, DELETE_KEYS)

MAX_BYTES = 65_536
MAX_KEYS = 256
MAX_DEPTH = 32

T = TypeVar("T")


class _GetRequest(msgspec.Struct, forbid_unknown_fields=True):
    keys: list[str] | msgspec.UnsetType = msgspec.UNSET


_object = msgspec.json.Decoder(dict[str, msgspec.Raw]).decode
_array = msgspec.json.Decoder(list[str]).decode
_get_request = msgspec.json.Decoder(_GetRequest).decode


def is_key(name: str) -> bool:
    """Whether a device can name the key; over REST keys may have other names, which devices never see."""
    return METADATA_KEY.fullmatch(name) is not None


def read_get(payload: bytes) -> tuple[str, ...] | None:
    """Give the keys that a get names; None if it asks for all."""
    if not payload.strip():
        return None
    found = _read(_get_request, payload, 'empty, {}, or {"keys": ["<key>", …]}')
    return None if isinstance(found.keys, msgspec.UnsetType) else _keys(found.keys)


def read_update(payload: bytes) -> dict[str, bytes]:
    """Give the keys of an update with the JSON of their values."""
    found = _read(_object, payload, "an object of keys and their values")
    if not found:
        raise InvalidInput("the payload is an empty object; at least one key was expected")
    _keys(list(found))
    values = {key: bytes(raw) for key, raw in found.items()}
    for key, text in values.items():
        _check_depth(_read(msgspec.json.decode, text, "JSON"), key)
    return values


def read_delete(payload: bytes) -> tuple[str, ...]:
    """Give the keys that are to be deleted."""
    found = _read(_array, payload, "an array of keys")
    if not found:
        raise InvalidInput("the payload is an empty array; at least one key was expected")
    return _keys(found)


def read_metadata(text: bytes | None) -> dict[str, bytes]:
    """Take metadata as it is kept apart, without looking at its values."""
    return {key: bytes(raw) for key, raw in _object(text or b"{}").items()}


def metadata(values: Mapping[str, bytes]) -> bytes:
    """Render keys with the JSON of their values: what a get is answered with."""
    return msgspec.json.encode({key: msgspec.Raw(text) for key, text in values.items()})


def keys(names: Iterable[str]) -> bytes:
    """Render the names of keys: what a get of keys is answered with."""
    return msgspec.json.encode(list(names))


def _read(decode: Callable[[bytes], T], payload: bytes, expected: str) -> T:
    if len(payload) > MAX_BYTES:
        raise TooLarge(f"the payload has {len(payload)} bytes; at most {MAX_BYTES} are taken")
    if not payload.strip():
        raise InvalidInput(f"the payload is empty; it must be {expected}")
    try:
        payload.decode()
        return decode(payload)
    except msgspec.ValidationError as error:
        raise InvalidInput(f"the payload must be {expected}: {error}") from error
    except UnicodeDecodeError as error:
        raise InvalidInput("the payload is not UTF-8 text") from error
    except RecursionError as error:
        raise InvalidInput("the payload is nested too deeply") from error
    except (msgspec.DecodeError, ValueError) as error:  # a number of too many digits is a plain ValueError
        raise InvalidInput(f"the payload is not JSON: {error}") from error


def _keys(names: list[str]) -> tuple[str, ...]:
    if len(names) > MAX_KEYS:
        raise TooLarge(f"the payload names {len(names)} keys; at most {MAX_KEYS} are taken")
    for name in names:
        checked(METADATA_KEY, name, what="metadata key")
    if len(set(names)) < len(names):
        raise InvalidInput("the payload names a key twice")
    return tuple(names)


def _check_depth(value: Any, key: str) -> None:
    level = [value]
    for _ in range(MAX_DEPTH):
        inner: list[Any] = []
        for one in level:
            if isinstance(one, dict):
                inner.extend(one.values())
            elif isinstance(one, list):
                inner.extend(one)
        if not inner:
            return
        level = inner
    raise InvalidInput(f"the value of {key!r} is nested more than {MAX_DEPTH} levels deep")
