"""The points, in files by period: writing and deleting.

A row is a channel, a time in microseconds and a value in SQLite's own type; true and false are one-byte blobs, for
SQLite would take them for 1 and 0. The rows of a channel lie together and in order, so a window is one range.
"""

import sqlite3
from bisect import bisect_left
from collections.abc import Iterator, Sequence
from functools import partial
from itertools import pairwise
from typing import Any

from kaa.core.storage.periods import Period, PeriodFiles

from ..models import ChannelId, Value, Window
from .files import each, overlapping

SCHEMA = """
create table if not exists epts_point (
    channel integer not null,
    at_us integer not null,
    value,
    primary key (channel, at_us)
) without rowid;
"""

Rows = list[Any]
"""Rows one behind the other: channel, at_us, value, channel, at_us, value …"""

_WIDTH = 3
_MAX_ROWS = 2000
_NO_CHANNEL = 0
"""Where the latest time stands that was given to a sample without one: in a row of its own, at time 0."""


def _sizes() -> Iterator[int]:
    size = 1
    while size < _MAX_ROWS + 1:
        yield size
        size = max(size + 1, size * 6 // 5)
    yield _MAX_ROWS + 1


_SIZES = tuple(_sizes())
# One statement for all rows, and a transaction by itself: the driver lets go of the interpreter once a statement, and
# with one a row a busy loop would hold up the writer at every one of them. There are statements of a few dozen sizes,
# which the driver keeps prepared; what is left over of one is filled up with its last row.
_INSERTS = {
    size: "insert into epts_point (channel, at_us, value) values "
    + ",".join(["(?,?,?)"] * size)
    + " on conflict do update set value = excluded.value"
    for size in _SIZES
}


def stored(value: Value) -> int | float | str | bytes | None:
    """Give a value as it lies in a row."""
    return (b"\x01" if value else b"\x00") if type(value) is bool else value


class PointRepository:
    """Writes points."""

    def __init__(self, files: PeriodFiles) -> None:
        self._files = files

    @property
    def period_ms(self) -> int:
        """The length of a file's period."""
        return self._files.period_ms

    async def last_us(self) -> int:
        """Find the latest time that was given to a sample without one; 0 if there is none."""

        def run() -> int:
            query = "select value from epts_point where channel = ? and at_us = 0"
            found = 0
            for connection in each(self._files, self._files.periods()):
                row = connection.execute(query, (_NO_CHANNEL,)).fetchone()
                found = max(found, row[0] if row else 0)
            return found

        return await self._files.read(run)

    async def add(self, rows: Rows, *, last_us: int) -> None:
        """Store rows, and return when they are on the disk; a row of the same channel and time is replaced."""
        first, last = min(rows[1::_WIDTH]), max(rows[1::_WIDTH])
        period = self._files.period_at(first // 1000)
        if last < period.end_ms * 1000 and len(rows) <= _MAX_ROWS * _WIDTH:
            await self._files.write({period: partial(_insert, rows, last_us)}, is_one_statement=True)
            return
        for part in self._by_period(rows):
            work = {of: partial(_insert, found, last_us) for of, found in part.items()}
            await self._files.write(work, is_one_statement=True)

    async def remove(self, channels: Sequence[ChannelId], window: Window) -> None:
        """Delete the points of channels in a window, piece by piece, so that the writer serves others between."""
        for period in overlapping(self._files, window):
            is_less = False
            for channel in channels:
                bounds = await self._files.read(partial(self._bounds, period, channel, window))
                for start, end in pairwise(bounds):
                    await self._files.write({period: partial(_delete, channel, start, end)}, is_one_statement=True)
                    is_less = True
            if is_less:
                await self._files.shrink(period)

    def _bounds(self, period: Period, channel: ChannelId, window: Window) -> list[int]:
        """Cut the window into pieces; fewer than two bounds if there are no points."""
        query = (
            "select at_us from epts_point where channel = ? and at_us >= ? and at_us < ?"
            " order by at_us limit 1 offset ?"
        )
        bounds: list[int] = []
        start, offset = window.from_us, 0
        for connection in each(self._files, [period]):
            while (row := connection.execute(query, (channel, start, window.to_us, offset)).fetchone()) is not None:
                bounds.append(row[0])
                start, offset = row[0], _MAX_ROWS
        return [*bounds, window.to_us] if bounds else []

    def _by_period(self, rows: Rows) -> list[dict[Period, Rows]]:
        """Sort rows into their periods, a bounded number a transaction."""
        parts: list[dict[Period, Rows]] = [{}]
        count = 0
        for at in range(0, len(rows), _WIDTH):
            if count == _MAX_ROWS:
                parts.append({})
                count = 0
            period = self._files.period_at(rows[at + 1] // 1000)
            parts[-1].setdefault(period, []).extend(rows[at : at + _WIDTH])
            count += 1
        return parts


def _insert(rows: Rows, last_us: int, connection: sqlite3.Connection) -> None:
    count = len(rows) // _WIDTH + 1
    size = _SIZES[bisect_left(_SIZES, count)]
    connection.execute(_INSERTS[size], [*rows, *((_NO_CHANNEL, 0, last_us) * (size - count + 1))])


def _delete(channel: ChannelId, start_us: int, end_us: int, connection: sqlite3.Connection) -> None:
    connection.execute(
        "delete from epts_point where channel = ? and at_us >= ? and at_us < ?", (channel, start_us, end_us)
    )
