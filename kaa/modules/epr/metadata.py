"""What metadata may be, and how it differs from what it was."""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from hashlib import sha256
from typing import Any

import msgspec
from pydantic_core import from_json, to_json

from kaa.core.errors import InvalidInput

MAX_BYTES = 64 * 1024
MAX_KEYS = 256
MAX_KEY_LENGTH = 512
MAX_DEPTH = 32
_TAG_LENGTH = 40


@dataclass(frozen=True, slots=True)
class Difference:
    """What a change has done, by key; `updated` holds the old value and the new one."""

    removed: Mapping[str, Any]
    added: Mapping[str, Any]
    updated: Mapping[str, tuple[Any, Any]]

    def __bool__(self) -> bool:
        return bool(self.removed or self.added or self.updated)


def check(metadata: Mapping[str, Any]) -> None:
    """Refuse metadata that is more than can be kept."""
    if len(metadata) > MAX_KEYS:
        raise InvalidInput(f"metadata: more than {MAX_KEYS} keys")
    for key, value in metadata.items():
        if len(key) > MAX_KEY_LENGTH:
            raise InvalidInput(f"metadata: the key {key[:80]!r}… is longer than {MAX_KEY_LENGTH} characters")
        check_value(value, f"metadata.{key[:80]}")
    if len(to_json(metadata)) > MAX_BYTES:
        raise InvalidInput(f"metadata: more than {MAX_BYTES} bytes of JSON")


def check_value(value: Any, what: str) -> None:
    """Refuse a value that is nested too deep, or has a number that JSON has no word for."""
    rest = [(value, 1)]
    while rest:
        found, depth = rest.pop()
        if isinstance(found, dict | list):
            if depth > MAX_DEPTH:
                raise InvalidInput(f"{what}: nested deeper than {MAX_DEPTH} levels")
            rest += [(one, depth + 1) for one in (found.values() if isinstance(found, dict) else found)]
        elif isinstance(found, float) and not math.isfinite(found):
            raise InvalidInput(f"{what}: a number is too large for a double")


def read_value(data: bytes, what: str) -> Any:
    """Read one value from JSON."""
    try:
        value = from_json(data, allow_inf_nan=False)
    except ValueError as error:
        raise InvalidInput(f"{what}: invalid JSON: {error}") from None
    check_value(value, what)
    return value


def difference(before: Mapping[str, Any], after: Mapping[str, Any]) -> Difference:
    """Compare by key; the order of an object's keys makes no difference, and 1 is neither true nor 1.0."""
    return Difference(
        removed={key: value for key, value in before.items() if key not in after},
        added={key: value for key, value in after.items() if key not in before},
        updated={
            key: (before[key], value)
            for key, value in after.items()
            if key in before and value is not before[key] and text_of(value) != text_of(before[key])
        },
    )


def text_of(value: Any) -> str:
    """Spell a value in JSON, one way."""
    return msgspec.json.encode(value, order="sorted").decode()


def tag_of(kept: bytes) -> str:
    """Give the tag (`ETag`) of what is kept as these bytes."""
    return sha256(kept).hexdigest()[:_TAG_LENGTH]


def tag_of_value(value: Any) -> str:
    """Give the tag of one value."""
    return tag_of(text_of(value).encode())
