"""EPTS, dates as REST callers write them."""

from datetime import UTC, datetime, timedelta, timezone

import pytest
from fakes.clock import START_MS
from hypothesis import given, settings
from hypothesis import strategies as st

from kaa.core.errors import InvalidInput
from kaa.modules.epts.dates import parse_date


def parsed(text: str | int, now: str = "2025-11-24T16:00:00Z") -> str:
    """The date, read and written again."""
    now_ms = int(datetime.fromisoformat(now).timestamp() * 1000)
    at = datetime(1970, 1, 1, tzinfo=UTC) + timedelta(milliseconds=parse_date(text, now_ms=now_ms, what="date"))
    return at.isoformat(timespec="milliseconds").replace("+00:00", "Z")


@pytest.mark.parametrize(
    ("text", "at"),
    [
        ("2025-11-24T16:00:00Z", "2025-11-24T16:00:00.000Z"),
        ("2025-11-24T16:00:00.1Z", "2025-11-24T16:00:00.100Z"),
        ("2025-11-24T16:00:00.12Z", "2025-11-24T16:00:00.120Z"),
        ("2025-11-24T16:00:00.123Z", "2025-11-24T16:00:00.123Z"),
        ("2025-11-24T16:00:00.1234Z", "2025-11-24T16:00:00.123Z"),
        ("2025-11-24T16:00:00.12345Z", "2025-11-24T16:00:00.123Z"),
        ("2025-11-24T16:00:00.123999Z", "2025-11-24T16:00:00.123Z"),
        ("2025-11-24T16:00:00.1239999Z", "2025-11-24T16:00:00.123Z"),
        ("2025-11-24T16:00:00.12399999Z", "2025-11-24T16:00:00.123Z"),
        ("2025-11-24T16:00:00.123999999Z", "2025-11-24T16:00:00.123Z"),
        ("2025-11-24T18:30:00+02:30", "2025-11-24T16:00:00.000Z"),
        ("2025-11-24T18:30:00+0230", "2025-11-24T16:00:00.000Z"),
        ("2025-11-24T18:30:00.5+0230", "2025-11-24T16:00:00.500Z"),
        ("2025-11-24T11:00:00-05:00", "2025-11-24T16:00:00.000Z"),
        ("2025-11-24T11:00:00-0500", "2025-11-24T16:00:00.000Z"),
        ("2025-11-24T11:00:00-05", "2025-11-24T16:00:00.000Z"),
        ("2025-11-24T18:30:00 02:30", "2025-11-24T16:00:00.000Z"),  # a plus that was not quoted
        ("2025-11-24T18:30:00 0230", "2025-11-24T16:00:00.000Z"),
        ("2025-11-24T16:00", "2025-11-24T16:00:00.000Z"),
        ("2025-11-24 16:00:00", "2025-11-24T16:00:00.000Z"),
        ("2025-11-24", "2025-11-24T00:00:00.000Z"),
        (" 2025-11-24T16:00:00Z ", "2025-11-24T16:00:00.000Z"),
        ("1764000000000", "2025-11-24T16:00:00.000Z"),
        (1_764_000_000_000, "2025-11-24T16:00:00.000Z"),
        ("0", "1970-01-01T00:00:00.000Z"),
        ("1969-12-31T23:59:59.999Z", "1969-12-31T23:59:59.999Z"),
        ("0001-01-01T00:00:00Z", "0001-01-01T00:00:00.000Z"),
    ],
)
def test_iso_8601_and_milliseconds(text: str | int, at: str) -> None:
    assert parsed(text) == at


@pytest.mark.parametrize(
    ("text", "at"),
    [
        ("now", "2025-11-24T16:34:56.789Z"),
        ("now-30s", "2025-11-24T16:34:26.789Z"),
        ("now-90m", "2025-11-24T15:04:56.789Z"),
        ("now-1h", "2025-11-24T15:34:56.789Z"),
        ("now+1h", "2025-11-24T17:34:56.789Z"),
        ("now-7d", "2025-11-17T16:34:56.789Z"),
        ("now-2w", "2025-11-10T16:34:56.789Z"),
        ("now-1M", "2025-10-24T16:34:56.789Z"),
        ("now-1y", "2024-11-24T16:34:56.789Z"),
        ("now/s", "2025-11-24T16:34:56.000Z"),
        ("now/m", "2025-11-24T16:34:00.000Z"),
        ("now/h", "2025-11-24T16:00:00.000Z"),
        ("now-1h/h", "2025-11-24T15:00:00.000Z"),
        ("now/d", "2025-11-24T00:00:00.000Z"),
        ("now-1d/d", "2025-11-23T00:00:00.000Z"),
        ("now/w", "2025-11-24T00:00:00.000Z"),  # it is a Monday
        ("now-1d/w", "2025-11-17T00:00:00.000Z"),
        ("now/M", "2025-11-01T00:00:00.000Z"),
        ("now-11M/M", "2024-12-01T00:00:00.000Z"),
        ("now/y", "2025-01-01T00:00:00.000Z"),
    ],
)
def test_from_now(text: str, at: str) -> None:
    assert parsed(text, now="2025-11-24T16:34:56.789Z") == at


@pytest.mark.parametrize(
    ("now", "text", "at"),
    [
        ("2025-03-31T12:00:00Z", "now-1M", "2025-02-28T12:00:00.000Z"),
        ("2024-03-31T12:00:00Z", "now-1M", "2024-02-29T12:00:00.000Z"),
        ("2025-05-31T12:00:00Z", "now-1M", "2025-04-30T12:00:00.000Z"),
        ("2025-01-31T12:00:00Z", "now+1M", "2025-02-28T12:00:00.000Z"),
        ("2024-02-29T12:00:00Z", "now-1y", "2023-02-28T12:00:00.000Z"),
        ("2024-02-29T12:00:00Z", "now-4y", "2020-02-29T12:00:00.000Z"),
        ("2025-12-31T12:00:00Z", "now+2M", "2026-02-28T12:00:00.000Z"),
        ("2025-01-15T12:00:00Z", "now-1M", "2024-12-15T12:00:00.000Z"),
        ("2025-01-15T12:00:00Z", "now-13M", "2023-12-15T12:00:00.000Z"),
    ],
)
def test_a_month_that_is_too_short_ends_with_its_last_day(now: str, text: str, at: str) -> None:
    assert parsed(text, now=now) == at


@pytest.mark.parametrize(
    "text",
    [
        "",
        "yesterday",
        "now-",
        "now-7",
        "now-7x",
        "now-7d/",
        "now/x",
        "now -7d",
        "NOW",
        "now-7d-1h",
        "-5",
        "1.5",
        "1764000000000000",
        "253402300800000",
        "2025-13-01T00:00:00Z",
        "2025-02-30T00:00:00Z",
        "2025-11-24T16:00:00+25:00",
        "24.11.2025",
        "now-9999y",
        "now+9999y",
        "now-999999999y",
        "now-999999999d",
        "now+999999999w",
        "10000-01-01T00:00:00Z",
    ],
)
def test_what_is_no_date_is_refused_with_its_place(text: str) -> None:
    with pytest.raises(InvalidInput) as error:
        parse_date(text, now_ms=START_MS, what="query.fromDate")
    assert error.value.reason.startswith("query.fromDate: ")


@settings(deadline=None)
@given(st.text(max_size=40) | st.from_regex(r"now([+-]\d{1,9}[smhdwMy])?(/[smhdwMy])?", fullmatch=True))
def test_any_text_is_a_date_or_refused(text: str) -> None:
    try:
        assert isinstance(parse_date(text, now_ms=START_MS, what="date"), int)
    except InvalidInput:
        return


@settings(deadline=None)
@given(st.datetimes(datetime(1970, 1, 2), datetime(9999, 12, 30)), st.integers(-720, 720))  # noqa: DTZ001
def test_every_moment_is_read_as_it_is_written(moment: datetime, offset_minutes: int) -> None:
    there = moment.replace(tzinfo=timezone(timedelta(minutes=offset_minutes)))
    at_ms = (there - datetime(1970, 1, 1, tzinfo=UTC)) // timedelta(milliseconds=1)
    assert parse_date(there.isoformat(), now_ms=0, what="date") == at_ms
