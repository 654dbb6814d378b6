"""From samples to points: by configuration, and by taking each number on the top level (auto-extraction)."""

import re
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from typing import Any

import msgspec

from kaa.core.errors import InvalidInput
from kaa.protocols.names import EndpointId, SeriesName

from .models import AUTO, Point, Value
from .paths import MISSING, compile_path
from .settings import TimeSeriesSettings, TimestampSettings, ValueSettings

_AUTO_NAME = re.compile(r"[a-zA-Z0-9_-]{1,128}")
_MAX_TEXT = 65_536
_INT64 = 2**63
_MAX_MS = 253_402_300_799_999  # the last of the year 9999

_decode = msgspec.json.Decoder().decode


def parse(sample: bytes) -> Any:
    """Give the JSON value of a sample; InvalidInput if it is none."""
    try:
        return _decode(sample)
    except (ValueError, RecursionError) as error:
        raise InvalidInput(f"the sample is not JSON that can be kept: {error}") from error


def stored(value: Value) -> Value:
    """Give the value as the storage keeps it: an integer of more than 64 bits as the nearest double."""
    if type(value) is int and not -_INT64 <= value < _INT64:
        try:
            return float(value)
        except OverflowError as error:
            raise InvalidInput("a number is too large") from error
    return value


class Extractor:
    """Makes points of samples as the settings say.

    `is_plain` tells that there is nothing but auto-extraction; the way of most messages, which the caller takes
    without this class.
    """

    def __init__(self, settings: TimeSeriesSettings) -> None:
        self.is_plain = settings.auto_extract and not settings.names and settings.timestamp is None
        self._is_auto = settings.auto_extract
        self._series = [
            (SeriesName(name), [_reader(value) for value in series.values]) for name, series in settings.names.items()
        ]
        self._time = _clock_of(settings.timestamp) if settings.timestamp is not None else None

    def points(self, endpoint_id: EndpointId, sample: Any) -> Iterator[Point]:
        """Give the points of a sample; InvalidInput if it has no time and needs one."""
        at_ms = self._time(sample) if self._time is not None else None
        for name, readers in self._series:
            values = {key: value for key, read in readers if (value := read(sample)) is not MISSING}
            if values:
                yield Point(endpoint_id, name, at_ms, values)
        if self._is_auto and type(sample) is dict:
            for field, value in sample.items():
                if (type(value) is float or type(value) is int) and is_auto_name(field):
                    yield Point(endpoint_id, SeriesName(AUTO + field), at_ms, {"value": stored(value)})


def is_auto_name(field: str) -> bool:
    """Whether a field's name can be that of a series."""
    return _AUTO_NAME.fullmatch(field) is not None


def check_time(at_ms: float) -> int:
    """Give a time that a sample carries, in whole milliseconds; InvalidInput if it is none that can be kept."""
    if not 0 <= at_ms <= _MAX_MS:
        raise InvalidInput(f"{at_ms:.0f} ms since 1970 is no time that can be kept")
    return int(at_ms)


def parse_iso(text: str) -> int:
    """Give the milliseconds of an ISO 8601 time; without an offset it is UTC. ValueError if it is none."""
    return parse_iso_us(text) // 1000


def parse_iso_us(text: str) -> int:
    """Give the microseconds of an ISO 8601 time; without an offset it is UTC. ValueError if it is none."""
    found = datetime.fromisoformat(text)
    if found.tzinfo is None:
        found = found.replace(tzinfo=UTC)
    since = found - datetime(1970, 1, 1, tzinfo=UTC)
    return (since.days * 86_400 + since.seconds) * 1_000_000 + since.microseconds


def _reader(value: ValueSettings) -> tuple[str, Callable[[Any], Any]]:
    follow = compile_path(value.path)
    fits = {None: _is_scalar, "number": _is_number, "string": _is_string, "boolean": _is_boolean}[value.type]

    def read(sample: Any) -> Any:
        found = follow(sample)
        if found is None:  # an explicit null is kept, whatever the type
            return None
        return stored(found) if fits(found) else MISSING

    return value.name, read


def _is_number(value: Any) -> bool:
    return type(value) is float or type(value) is int


def _is_string(value: Any) -> bool:
    return type(value) is str and len(value) <= _MAX_TEXT


def _is_boolean(value: Any) -> bool:
    return type(value) is bool


def _is_scalar(value: Any) -> bool:
    return _is_number(value) or _is_string(value) or _is_boolean(value)


def _clock_of(settings: TimestampSettings) -> Callable[[Any], int | None]:
    follow = compile_path(settings.path)
    factor = 1000 if settings.format == "sec-unix-epoch" else 1
    is_text, must = settings.format == "iso8601", settings.fallback_strategy == "fail"

    def read(sample: Any) -> int | None:
        found = follow(sample)
        try:
            if is_text and type(found) is str:
                return check_time(parse_iso(found))
            if not is_text and _is_number(found):
                return check_time(found * factor)
        except (ValueError, OverflowError):
            pass
        except InvalidInput:
            if must:
                raise
        if must:
            what = "no time" if found is MISSING else "no such time"
            raise InvalidInput(f"the sample has {what} at {settings.path!r}; {settings.format} was expected")
        return None

    return read
