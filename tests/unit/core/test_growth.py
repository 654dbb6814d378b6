"""How long there is room, as the storage has grown."""

import math

from kaa.core.storage.growth import Growth

MINUTE_MS, HOUR_MS, DAY_MS = 60_000, 3_600_000, 86_400_000


def test_nothing_is_said_in_the_first_hour() -> None:
    growth = Growth()
    assert math.isnan(growth.days_left(0, 0, 100))
    growth.note(0, 0)
    assert math.isnan(growth.days_left(59 * MINUTE_MS, 50, 100))
    assert growth.days_left(HOUR_MS, 50, 100) == 100 / (50 * 24)


def test_what_grows_evenly_is_full_when_it_is_full() -> None:
    growth = Growth()
    for minute in range(3 * 24 * 60):
        growth.note(minute * MINUTE_MS, minute)
    now = 3 * 24 * 60
    assert growth.days_left(now * MINUTE_MS, now, 10 * 24 * 60) == 10


def test_only_the_last_day_counts() -> None:
    growth = Growth()
    for hour in range(48):
        growth.note(hour * HOUR_MS, 1_000_000 * min(hour, 12))  # a flood at the beginning, then nothing
    assert growth.days_left(48 * HOUR_MS, 12_000_000, 1) == math.inf


def test_what_shrinks_is_never_full() -> None:
    growth = Growth()
    growth.note(0, 1_000)
    assert growth.days_left(DAY_MS, 500, 10) == math.inf


def test_where_nothing_is_left_no_day_is() -> None:
    assert Growth().days_left(0, 0, 0) == 0
    assert Growth().days_left(0, 0, -5) == 0
