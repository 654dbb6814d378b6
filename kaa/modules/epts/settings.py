"""What an application, or a version of it, may set: which series its samples give."""

import re
from typing import Literal, Self

from pydantic import Field, field_validator, model_validator

from kaa.core.config import Duration, Settings

from .paths import compile_path

_SERIES = re.compile(r"[a-zA-Z0-9_-]{1,128}")
_FORBIDDEN = re.compile(r"[\\^$'\"=,\x00-\x1f]")
_RESERVED = frozenset({"time", "kaaEndpointID", "kaaEmpty", "_field", "_measurement"})
DAY_MS = 86_400_000


def check_value_name(name: str) -> str:
    """Give the name of a value back; ValueError if it may not be one."""
    if not name or len(name) > 128 or _FORBIDDEN.search(name):
        raise ValueError(f"{name[:80]!r} cannot name a value: \\ ^ $ ' \" = , may not stand there")
    if name in _RESERVED:
        raise ValueError(f"{name!r} is reserved and cannot name a value")
    return name


class ValueSettings(Settings):
    """One value of a series: where it stands in a sample, what it is called, and its type."""

    path: str
    name: str = "value"
    type: Literal["number", "string", "boolean"] | None = None

    @field_validator("type", mode="before")
    @classmethod
    def _lower(cls, value: object) -> object:
        return value.lower() if isinstance(value, str) else value

    @field_validator("path")
    @classmethod
    def _is_path(cls, value: str) -> str:
        compile_path(value)
        return value

    @field_validator("name")
    @classmethod
    def _is_name(cls, value: str) -> str:
        return check_value_name(value)


class SeriesSettings(Settings):
    """The values of a series; their names differ."""

    values: tuple[ValueSettings, ...] = Field(min_length=1, max_length=64)

    @model_validator(mode="after")
    def _are_different(self) -> Self:
        names = [value.name for value in self.values]
        if len(set(names)) < len(names):
            raise ValueError("two values of a series have the same name; give each a `name` of its own")
        return self


class TimestampSettings(Settings):
    """Where a sample says its time, how, and what to do where it does not."""

    path: str
    format: Literal["millis-unix-epoch", "sec-unix-epoch", "iso8601"] = "millis-unix-epoch"
    fallback_strategy: Literal["server-timestamp", "fail"] = "server-timestamp"

    @field_validator("path")
    @classmethod
    def _is_path(cls, value: str) -> str:
        compile_path(value)
        return value


class TimeSeriesSettings(Settings):
    """The series: those configured by name, and whether each number on the top level of a sample becomes one."""

    auto_extract: bool = True
    names: dict[str, SeriesSettings] = Field(default={}, max_length=1000)
    timestamp: TimestampSettings | None = None

    @field_validator("names")
    @classmethod
    def _are_series(cls, value: dict[str, SeriesSettings]) -> dict[str, SeriesSettings]:
        for name in value:
            if _SERIES.fullmatch(name) is None:
                raise ValueError(f"{name[:80]!r} cannot name a series: letters, digits, _ and - may stand there")
        return value


class EptsSettings(Settings):
    """Settings of an application or version; `retention` counts where it stands at the application."""

    time_series: TimeSeriesSettings = TimeSeriesSettings()
    retention: Duration = Field(90 * DAY_MS, ge=60_000)
