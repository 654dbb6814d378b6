"""Dates and spans as REST callers write them."""

import re
from datetime import UTC, datetime, timedelta

from kaa.core.errors import InvalidInput

from .extraction import check_time, parse_iso_us

_RELATIVE = re.compile(r"now(?:([+-])(\d{1,9})([smhdwMy]))?(?:/([smhdwMy]))?")
_NUMBER = re.compile(r"\d{1,15}")
_SECONDS = {"s": 1, "m": 60, "h": 3600, "d": 86_400, "w": 7 * 86_400}
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


def parse_date(text: str | int, *, now_ms: int, what: str) -> int:
    """Give the milliseconds of a date: ISO 8601, milliseconds since 1970, or `now-7d`, `now-1h/h`.

    Raises:
        InvalidInput: it is none of these; the sentence begins with `what`.
    """
    return parse_date_us(text, now_ms=now_ms, what=what) // 1000


def parse_date_us(text: str | int, *, now_ms: int, what: str) -> int:
    """Do what `parse_date` does, and give microseconds."""
    text = str(text).strip()
    relative = _RELATIVE.fullmatch(text)
    try:
        if _NUMBER.fullmatch(text):
            return check_time(int(text)) * 1000
        if relative is None:
            # a plus sign that was not quoted has become a space on its way
            return parse_iso_us(re.sub(r"[ ](\d\d:?\d\d)$", r"+\1", text))
        return _relative(relative, now_ms) * 1000
    except (ValueError, OverflowError, InvalidInput) as error:
        raise InvalidInput(
            f"{what}: {text[:80]!r} is no date; write 2026-11-22T08:30:00Z, milliseconds since 1970, or now-7d"
        ) from error


def _relative(found: re.Match[str], now_ms: int) -> int:
    sign, number, unit, rounded = found.groups()
    at = _EPOCH + timedelta(milliseconds=now_ms)
    if number is not None:
        count = int(number) if sign == "+" else -int(number)
        at = (
            _months_later(at, count * (12 if unit == "y" else 1))
            if unit in "My"
            else at + timedelta(seconds=count * _SECONDS[unit])
        )
    if rounded is not None:
        at = _rounded(at, rounded)
    return (at - _EPOCH) // timedelta(milliseconds=1)


def _months_later(at: datetime, months: int) -> datetime:
    year, month = divmod(at.year * 12 + at.month - 1 + months, 12)
    for day in (at.day, 30, 29, 28):
        try:
            return at.replace(year=year, month=month + 1, day=day)
        except ValueError:
            if day == 28:
                raise
    raise AssertionError("every month has 28 days")


def _rounded(at: datetime, unit: str) -> datetime:
    midnight = at.replace(hour=0, minute=0, second=0, microsecond=0)
    match unit:
        case "y":
            return midnight.replace(month=1, day=1)
        case "M":
            return midnight.replace(day=1)
        case "w":
            return midnight - timedelta(days=at.weekday())
        case "d":
            return midnight
        case _:
            seconds = _SECONDS[unit]
            since = (at - midnight) // timedelta(seconds=seconds)
            return midnight + timedelta(seconds=since * seconds)
