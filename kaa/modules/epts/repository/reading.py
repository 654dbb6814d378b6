"""The points, in files by period: finding them again.

Everything here runs on a reader's thread. What is long is put into words by SQLite itself, 500 points a call:
while it does so the interpreter is free, and a read of a hundred thousand points does not hold up telemetry.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from sqlite3 import Connection

import msgspec

from kaa.core.storage.periods import PeriodFiles

from ..models import Channel, ChannelId, Value, Window
from .files import each, overlapping
from .words import MILLIONTHS, Layout, csv, in_words, json

_CHUNK = 500


@dataclass(frozen=True, slots=True)
class Bucket:
    """What one channel holds within one span: enough to merge with the same span of another file."""

    start_us: int
    count: int
    sum: float
    min: float
    max: float
    first_us: int
    first: float
    last_us: int
    last: float


class PointReader:
    """Reads points."""

    def __init__(self, files: PeriodFiles) -> None:
        self._files = files

    def json_points(
        self,
        channels: Sequence[Channel],
        window: Window,
        *,
        is_descending: bool,
        limit: int | None,
        is_precise: bool = False,
    ) -> Iterator[bytes]:
        """Yield the points of one series of one endpoint as JSON objects with commas between, in pieces."""
        labels = {channel.id: msgspec.json.encode(channel.value_name).decode() + ":" for channel in channels}
        is_first = True
        layout = json(is_precise=is_precise)
        for piece in self._pieces(layout, ",", labels, window, is_descending=is_descending, limit=limit):
            yield piece if is_first else b"," + piece
            is_first = False

    def csv_points(
        self,
        channels: Sequence[Channel],
        window: Window,
        *,
        is_descending: bool,
        limit: int | None,
        is_precise: bool = False,
    ) -> Iterator[bytes]:
        """Yield the points of one series of one endpoint as lines: endpoint, series, time, value's name, value."""
        layout = csv(f"{channels[0].endpoint_id},{channels[0].series},", is_precise=is_precise)
        labels = {channel.id: channel.value_name for channel in channels}
        for piece in self._pieces(layout, "\n", labels, window, is_descending=is_descending, limit=limit):
            yield piece + b"\n"

    def last(self, channels: Sequence[Channel], before_us: int) -> Iterator[tuple[Channel, int, Value]]:
        """Yield the latest point of each channel before a time: channel, time in microseconds, value."""
        query = (
            "select c.value, p.at_us, p.value from json_each(?) c join epts_point p on p.channel = c.value"
            " and p.at_us = (select max(at_us) from epts_point where channel = c.value and at_us < ?)"
        )
        wanted = {channel.id: channel for channel in channels}
        for period in reversed(self._files.periods()):
            if not wanted or period.start_ms * 1000 >= before_us:
                continue
            for connection in each(self._files, [period]):
                ids = msgspec.json.encode(list(wanted)).decode()
                for channel_id, at_us, value in connection.execute(query, (ids, before_us)).fetchall():
                    yield wanted.pop(channel_id), at_us, _value(value)

    def aggregate(self, channel: Channel, window: Window, *, span_us: int) -> dict[int, Bucket]:
        """Give the numbers of a channel by span; spans begin at multiples of `span_us` since 1970."""
        query = (
            "select at_us / :span * :span, count(*), total(value), min(value), max(value), min(at_us), max(at_us)"
            " from epts_point where channel = :channel and at_us >= :from_us and at_us < :to_us"
            " and typeof(value) in ('integer', 'real') group by 1"
        )
        one = "select value from epts_point where channel = ? and at_us = ?"
        found: dict[int, Bucket] = {}
        values = {"span": span_us, "channel": channel.id, "from_us": window.from_us, "to_us": window.to_us}
        for connection in each(self._files, overlapping(self._files, window)):
            for start, count, total, least, most, first_us, last_us in connection.execute(query, values).fetchall():
                first = connection.execute(one, (channel.id, first_us)).fetchone()[0]
                last = connection.execute(one, (channel.id, last_us)).fetchone()[0]
                bucket = Bucket(start, count, total, least, most, first_us, first, last_us, last)
                found[start] = _merged(found[start], bucket) if start in found else bucket
        return found

    def _pieces(
        self,
        layout: Layout,
        separator: str,
        labels: dict[ChannelId, str],
        window: Window,
        *,
        is_descending: bool,
        limit: int | None,
    ) -> Iterator[bytes]:
        """Yield the points as the layout has them, joined; a call of SQLite a piece."""
        order = "desc" if is_descending else "asc"
        query = _one_channel(layout, order) if len(labels) == 1 else _many_channels(layout, order, len(labels))
        names = [item for pair in labels.items() for item in pair]
        left = limit if limit is not None else -1
        periods = overlapping(self._files, window)
        for connection in each(self._files, reversed(periods) if is_descending else periods):
            connection.create_function("in_words", 1, repr, deterministic=True)
            for start, end in _parts(connection, list(labels), window, order):
                if left == 0:
                    return
                count, found = connection.execute(query, (*names, start, end, left, separator)).fetchone()
                if count:
                    left -= count if left > 0 else 0
                    yield in_words(found)


def _one_channel(layout: Layout, order: str) -> str:
    """Ask for the points of one channel, in words: id, label, from, to, limit, separator. No sorting, no grouping."""
    return (
        "with name (id, label) as (values (?, ?)), wanted as ("
        f"select at_us, value, {MILLIONTHS} as millionths from epts_point where channel = (select id from name)"
        f" and at_us >= ? and at_us < ? order by at_us {order} limit ?), "
        f"told as (select {layout.one()} as text from wanted, name)"
        " select count(*), cast(group_concat(text, ?) as blob) from told"
    )


def _many_channels(layout: Layout, order: str, count: int) -> str:
    """Ask for the points of several channels, by time: ids and labels, from, to, limit, separator."""
    marks = ",".join(["(?,?)"] * count)
    return (
        f"with names (id, label) as (values {marks}), wanted as ("
        "select at_us, value, label from epts_point join names on channel = id where at_us >= ? and at_us < ?), "
        f"told as (select at_us, {layout.many()} as text from (select *, {MILLIONTHS} as millionths from wanted"
        f" order by at_us {order}, label) group by at_us order by at_us {order} limit ?)"
        " select count(*), cast(group_concat(text, ?) as blob) from told"
    )


def _parts(connection: Connection, channels: list[ChannelId], window: Window, order: str) -> Iterator[tuple[int, int]]:
    """Cut a window so that no channel has more than a chunk of points in a part."""
    query = (
        "select at_us from epts_point where channel = ? and at_us >= ? and at_us < ?"
        f" order by at_us {order} limit 1 offset ?"
    )
    start, end = window.from_us, window.to_us
    while start < end:
        cuts = [connection.execute(query, (channel, start, end, _CHUNK)).fetchone() for channel in channels]
        found = [cut[0] for cut in cuts if cut is not None]
        if order == "desc":
            cut = max(found, default=start - 1) + 1
            yield cut, end
            end = cut
        else:
            cut = min(found, default=end)
            yield start, cut
            start = cut


def _merged(one: Bucket, other: Bucket) -> Bucket:
    first, last = min(one, other, key=lambda b: b.first_us), max(one, other, key=lambda b: b.last_us)
    return Bucket(
        one.start_us,
        one.count + other.count,
        one.sum + other.sum,
        min(one.min, other.min),
        max(one.max, other.max),
        first.first_us,
        first.first,
        last.last_us,
        last.last,
    )


def _value(found: float | str | bytes | None) -> Value:
    return found == b"\x01" if isinstance(found, bytes) else found
