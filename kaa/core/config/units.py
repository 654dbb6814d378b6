"""How settings are spelled: the base of their models, durations, sizes and ports."""

import re
from collections.abc import Mapping
from types import MappingProxyType
from typing import Annotated, Any, TypeVar

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, PlainSerializer, ValidationInfo

M = TypeVar("M", bound=BaseModel)

_UNITS_MS = {"w": 604_800_000, "d": 86_400_000, "h": 3_600_000, "m": 60_000, "s": 1_000, "ms": 1}
_LONGEST_MS = 36_500 * _UNITS_MS["d"]
_PART = re.compile(r"(\d+(?:\.\d+)?)(ms|[wdhms])")
_PARTS = re.compile(rf"(?:{_PART.pattern}\s*)+")
_ISO = re.compile(r"P(?:(\d+)W)?(?:(\d+)D)?(?:T(?:(\d+)H)?(?:(\d+)M)?(?:(\d+(?:\.\d+)?)S)?)?")
_ISO_UNITS = ("w", "d", "h", "m", "s")
_DURATION = "expected a duration like 90d, 1h30m, 250ms or P90D (a bare number is seconds)"

_SIZE = re.compile(r"(\d+(?:\.\d+)?)\s*([kmgt]?)(i?)b?", re.IGNORECASE)
_SIZE_WORDS = "expected a size like 256KiB, 10MB or 5GiB (a bare number is bytes)"
_LARGEST = (1 << 63) - 1

# Marks what somebody wrote down, where a bare number is seconds, as it is in JSON; in Python, `timeout_ms=5` means what
# it says.
_WRITTEN: Mapping[str, bool] = MappingProxyType({"written": True})


def kebab(name: str) -> str:
    """Spell a field as a key; the unit `_ms` is not part of it, for a duration is written with its own."""
    return name.removesuffix("_ms").replace("_", "-")


class Settings(BaseModel):
    """The base of all that can be configured: frozen, nothing unknown, keys in kebab case."""

    model_config = ConfigDict(frozen=True, extra="forbid", alias_generator=kebab, populate_by_name=True)


def validate_written(model: type[M], value: object) -> M:
    """Make the model of what somebody wrote, by its kebab-case keys; raises pydantic's ValidationError."""
    return model.model_validate(value, by_alias=True, by_name=False, context=dict(_WRITTEN))


def validate_written_json(model: type[M], text: bytes) -> M:
    """Make the model of JSON that somebody wrote, by the same rules."""
    return model.model_validate_json(text, by_alias=True, by_name=False, context=dict(_WRITTEN))


def defaults(model: type[BaseModel]) -> dict[str, Any]:
    """Give what holds without a word of configuration, spelled as in the file."""
    return model().model_dump(mode="json", by_alias=True)


def _to_ms(value: object, info: ValidationInfo) -> object:
    is_written = info.mode == "json" or bool(info.context and info.context.get("written"))
    if isinstance(value, bool) or not isinstance(value, int | float | str):
        raise ValueError(_DURATION)  # noqa: TRY004 - pydantic makes findings of ValueErrors only
    if isinstance(value, str):
        return _bounded(_text_to_ms(value.strip()))
    return _bounded(value * 1_000 if is_written else value)


def _text_to_ms(text: str) -> float:
    if re.fullmatch(r"\d+(?:\.\d+)?", text):
        return float(text) * 1_000
    if _PARTS.fullmatch(text):
        return sum(float(amount) * _UNITS_MS[unit] for amount, unit in _PART.findall(text))
    iso = _ISO.fullmatch(text)
    if iso and any(iso.groups()):
        return sum(float(part or 0) * _UNITS_MS[unit] for part, unit in zip(iso.groups(), _ISO_UNITS, strict=True))
    raise ValueError(_DURATION)


def _bounded(ms: float) -> int:
    if not 0 <= ms <= _LONGEST_MS:
        raise ValueError("expected a duration from 0 to 36500d")
    return round(ms)


def _from_ms(ms: int) -> str:
    unit = next((unit for unit, length in _UNITS_MS.items() if unit != "w" and ms and ms % length == 0), "s")
    return f"{ms // _UNITS_MS[unit]}{unit}"


def _to_bytes(value: object) -> object:
    if isinstance(value, bool) or not isinstance(value, int | str):
        raise ValueError(_SIZE_WORDS)  # noqa: TRY004 - pydantic makes findings of ValueErrors only
    if isinstance(value, str):
        found = _SIZE.fullmatch(value.strip())
        if found is None or (found[3] and not found[2]):
            raise ValueError(_SIZE_WORDS)
        base = 1024 if found[3] else 1000
        size = round(float(found[1]) * base ** " kmgt".index(found[2].lower() or " "))
    else:
        size = value
    if not 0 <= size <= _LARGEST:
        raise ValueError("expected a size from 0 to 8EiB")
    return size


def _from_bytes(size: int) -> int | str:
    for unit, length in (("GiB", 1 << 30), ("MiB", 1 << 20), ("KiB", 1 << 10)):
        if size and size % length == 0:
            return f"{size // length}{unit}"
    return size


Duration = Annotated[int, BeforeValidator(_to_ms), PlainSerializer(_from_ms, when_used="json")]
"""Milliseconds; written as 90d, 1h30m, P90D or a number of seconds."""

Size = Annotated[int, BeforeValidator(_to_bytes), PlainSerializer(_from_bytes, when_used="json")]
"""Bytes; written as 256KiB, 10MB or a number."""

Port = Annotated[int, Field(ge=0, le=65_535)]
"""A TCP port; 0 takes a free one."""


def _closed(value: object) -> object:
    # YAML takes a bare `off` for false
    return None if value is False or (isinstance(value, str) and value.strip().lower() == "off") else value


DoorPort = Annotated[int | None, Field(ge=0, le=65_535), BeforeValidator(_closed)]
"""A TCP port that may be closed; 0 takes a free one, and off, or null, is none."""
