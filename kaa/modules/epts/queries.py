"""The way out: the last points, windows of points, spans of them, and which series there are."""

from collections.abc import AsyncIterator, Iterator, Sequence
from dataclasses import dataclass
from itertools import groupby
from typing import Any

from pydantic_core import to_json

from kaa.core.applications import Applications
from kaa.core.dates import iso
from kaa.core.errors import InvalidInput
from kaa.core.storage.periods import PeriodFiles

from .models import Channel, Window
from .repository import ChannelRepository, PointReader
from .repository.reading import Bucket
from .settings import EptsSettings

MAX_SPANS = 100_000


@dataclass(frozen=True, slots=True)
class Selection:
    """Which series of which endpoints; None is all of them."""

    application: str
    series: Sequence[str] | None
    endpoint_ids: Sequence[str] | None


class Queries:
    """Finds points again. What it gives are the bytes of the answers, as long reads are streamed."""

    def __init__(
        self,
        *,
        applications: Applications[EptsSettings],
        channels: ChannelRepository,
        points: PointReader,
        files: PeriodFiles,
    ) -> None:
        self._applications, self._channels, self._points, self._files = applications, channels, points, files

    async def config(self, names: Sequence[str]) -> dict[str, list[dict[str, Any]]]:
        """Give the series of applications, by configuration or because they have been stored, with their values."""
        wanted = list(names) or [application.name for application in self._applications.all()]
        found: dict[str, dict[str, list[str]]] = {name: {} for name in wanted}
        for name in wanted:
            application = self._applications.find(name)
            if application is None:
                continue
            for settings in (application.settings, *(v.settings for v in application.versions.values())):
                for series, values in settings.time_series.names.items():
                    known = found[name].setdefault(series, [])
                    known.extend(v.name for v in values.values if v.name not in known)
        for name, series, value_name in await self._channels.names(wanted):
            known = found[name].setdefault(series, [])
            if value_name not in known:
                known.append(value_name)
        return {
            name: [{"name": series, "values": values} for series, values in sorted(listed.items())]
            for name, listed in found.items()
        }

    async def last(self, selection: Selection, *, before_us: int, offset: int = 0, limit: int | None = None) -> bytes:
        """Give the last point of each series of each endpoint; `offset` and `limit` count endpoints."""
        channels = await self._find(selection)

        def run() -> bytes:
            wanted = channels
            if offset or limit is not None:
                ids = list(dict.fromkeys(channel.endpoint_id for channel in channels))
                chosen = set(ids[offset : None if limit is None else offset + limit])
                wanted = [channel for channel in channels if channel.endpoint_id in chosen]
            latest: dict[tuple[str, str], tuple[int, dict[str, Any]]] = {}
            for channel, at_us, value in self._points.last(wanted, before_us):
                key = (channel.endpoint_id, channel.series)
                known = latest.get(key)
                if known is None or at_us > known[0]:
                    latest[key] = (at_us, {channel.value_name: value})
                elif at_us == known[0]:
                    known[1][channel.value_name] = value
            tree: dict[str, dict[str, Any]] = {}
            for (endpoint_id, series), (at_us, values) in sorted(latest.items()):
                tree.setdefault(endpoint_id, {})[series] = [{"timestamp": iso(at_us // 1000), "values": values}]
            return to_json([{endpoint_id: listed} for endpoint_id, listed in tree.items()])

        return await self._files.read(run)

    async def data(
        self,
        selection: Selection,
        window: Window,
        *,
        is_descending: bool,
        limit: int | None,
        is_csv: bool,
        is_precise: bool = False,
    ) -> AsyncIterator[bytes]:
        """Give the points of a window, as JSON or CSV, in pieces; `is_precise` says their times in microseconds."""
        channels = await self._find(selection)

        def points(of: list[Channel]) -> Iterator[bytes]:
            read = self._points.csv_points if is_csv else self._points.json_points
            return read(of, window, is_descending=is_descending, limit=limit, is_precise=is_precise)

        return self._files.stream(lambda: (_csv if is_csv else _tree)(channels, points))

    async def spans(
        self,
        selection: Selection,
        window: Window,
        *,
        span_ms: int,
        aggregate: str,
        is_descending: bool,
        limit: int | None,
        is_csv: bool,
    ) -> AsyncIterator[bytes]:
        """Give one point a span: what `aggregate` makes of the numbers of each value within it, as JSON or CSV."""
        span_us = span_ms * 1000
        if (window.to_us - window.from_us) // span_us > MAX_SPANS:
            raise InvalidInput(f"period: the window has more than {MAX_SPANS} of them; take a longer period")
        channels = await self._find(selection)

        def points(of: list[Channel]) -> Iterator[bytes]:
            spans: dict[int, dict[str, Any]] = {}
            for channel in of:
                for start, bucket in self._points.aggregate(channel, window, span_us=span_us).items():
                    spans.setdefault(start, {})[channel.value_name] = _aggregated(bucket, aggregate)
            starts = sorted(spans, reverse=is_descending)[:limit]
            if is_csv:
                yield from _csv_spans(of[0], starts, spans)
            elif starts:
                made = [{"timestamp": iso(start // 1000), "values": spans[start]} for start in starts]
                yield to_json(made, inf_nan_mode="null")[1:-1]  # a sum may be more than a double holds

        return self._files.stream(lambda: (_csv if is_csv else _tree)(channels, points))

    async def _find(self, selection: Selection) -> list[Channel]:
        self._applications.get(selection.application)
        return await self._channels.find(
            selection.application, series=selection.series, endpoint_ids=selection.endpoint_ids
        )


def _tree(channels: list[Channel], points: Any) -> Iterator[bytes]:
    """Yield the layout of the specification: an array of endpoints, each with its series, each with its points."""
    yield b"["
    is_first_endpoint = True
    for endpoint_id, of_endpoint in groupby(channels, key=lambda channel: channel.endpoint_id):
        is_first_series = True
        for series, of_series in groupby(of_endpoint, key=lambda channel: channel.series):
            is_first_piece = True
            for piece in points(list(of_series)):
                if is_first_piece:
                    opening = (
                        b""
                        if not is_first_series
                        else b"," * (not is_first_endpoint) + b"{" + to_json(endpoint_id) + b":{"
                    )
                    yield opening + b"," * (not is_first_series) + to_json(series) + b":["
                is_first_piece = is_first_series = is_first_endpoint = False
                yield piece
            if not is_first_piece:
                yield b"]"
        if not is_first_series:
            yield b"}}"
    yield b"]"


def _csv(channels: list[Channel], points: Any) -> Iterator[bytes]:
    """Yield lines, one a value."""
    yield b"endpointId,timeSeriesName,timestamp,valueName,value\n"
    for _, of in groupby(channels, key=lambda c: (c.endpoint_id, c.series)):
        yield from points(list(of))


def _csv_spans(of: Channel, starts: list[int], spans: dict[int, dict[str, Any]]) -> Iterator[bytes]:
    for start in starts:
        for name, value in spans[start].items():
            told = to_json(value, inf_nan_mode="null").decode()
            yield f"{of.endpoint_id},{of.series},{iso(start // 1000)},{name},{told}\n".encode()


def _aggregated(bucket: Bucket, aggregate: str) -> float:
    if aggregate == "avg":
        return bucket.sum / bucket.count
    value: float = getattr(bucket, aggregate)
    return value
