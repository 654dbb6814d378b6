"""The way in: samples and points, stored before they are answered.

The rules of time: a time that a sample carries is kept as it is (milliseconds), and a second point of the same
endpoint, series and time merges, the later value winning. A sample without a time gets that of its receipt, in
microseconds, strictly increasing and never a whole millisecond: no two such samples overwrite each other, nor a
sample with a time of its own.
"""

import asyncio
import math
from collections.abc import Iterable, Mapping, Sequence

import structlog

from kaa.core.applications import Applications, Version
from kaa.core.bus import Bus
from kaa.core.clock import Clock
from kaa.core.errors import InvalidInput, Refusal
from kaa.core.ids import Ids
from kaa.core.log import is_debug
from kaa.core.metrics import Metrics
from kaa.core.storage.budget import Budget
from kaa.protocols import tstp
from kaa.protocols.dstp import DataSamplesEvent, DataSamplesProcessed
from kaa.protocols.names import ENDPOINT_ID, SERIES_NAME, AppVersionName, EndpointId, SeriesName, checked
from kaa.protocols.tstp import DataPoint, TimeSeriesEvent, TimeSeriesProcessed

from .channels import Channels, Key, Missing
from .extraction import Extractor, check_time, is_auto_name, parse
from .extraction import stored as as_stored
from .models import AUTO, Point, Value
from .repository import PointRepository
from .repository.points import Rows, stored
from .settings import EptsSettings, check_value_name
from .times import Times

log = structlog.get_logger(__name__)

_INT64 = 2**63
_VALUE_BYTES = 64  # in the file and in its log, about


class Ingest:
    """Stores points; answers when they are on the disk."""

    def __init__(
        self,
        *,
        name: str,
        applications: Applications[EptsSettings],
        channels: Channels,
        points: PointRepository,
        bus: Bus,
        budget: Budget,
        clock: Clock,
        ids: Ids,
        metrics: Metrics,
    ) -> None:
        self._name, self._applications = name, applications
        self._channels, self._points, self._bus = channels, points, bus
        self._budget, self._clock, self._ids = budget, clock, ids
        self._extractors: dict[str, Extractor] = {}
        self._last_us = 0
        self._in_order = asyncio.Lock()
        self._any_series = tstp.data_points_received(name)
        self._stored = metrics.counter("kaa_epts_values_stored_total", "Values stored")
        applications.on_change(self._extractors.clear)

    async def start(self) -> None:
        """Go on after the latest time that was given before."""
        self._last_us = await self._points.last_us()

    async def on_data_samples(self, events: list[DataSamplesEvent]) -> list[DataSamplesProcessed]:
        """Store the samples of many events with one commit, and answer each."""
        refused: dict[int, Refusal] = {}
        if has_log := is_debug():
            for event in events:
                log.debug("samples_received", correlation_id=event.correlation_id, samples=len(event.data_samples))
        told: list[tuple[DataSamplesEvent, Point, int]] | None = [] if self._bus.is_heard(self._any_series) else None
        try:
            await self._budget.ensure()
            async with self._in_order:
                rows, spans = await self._extract(events, refused, told)
            if rows:
                await self._add(rows, spans, refused)
        except Refusal as no:
            refused |= {at: no for at in range(len(events)) if at not in refused}
        if has_log:
            _log_outcome(events, refused)
        now = self._clock.now_ms()
        if told:
            lost = {id(events[at]) for at in refused}
            self._tell((e.app_version_name, p, at) for e, p, at in told if id(e) not in lost)
        return [
            DataSamplesProcessed(
                correlation_id=event.correlation_id,
                timestamp_ms=now,
                receiver_service_instance_name=self._name,
                status_code=200,
            )
            if (refusal := refused.get(at)) is None
            else DataSamplesProcessed(
                correlation_id=event.correlation_id,
                timestamp_ms=now,
                receiver_service_instance_name=self._name,
                status_code=refusal.status,
                reason_phrase=refusal.reason,
            )
            for at, event in enumerate(events)
        ]

    async def on_time_series(self, event: TimeSeriesEvent) -> TimeSeriesProcessed:
        """Store the points of another transmitter."""
        checked(SERIES_NAME, event.time_series_name, what="timeSeriesName")
        checked(ENDPOINT_ID, event.endpoint_id, what="endpointId")
        points = []
        for point in event.data_points:
            values = {name: _checked_value(name, value) for name, value in point.values.items()}
            points.append(Point(event.endpoint_id, event.time_series_name, point.timestamp_ms, values))
        await self.add(event.app_version_name, points)
        return TimeSeriesProcessed(
            correlation_id=event.correlation_id, timestamp_ms=self._clock.now_ms(), status_code=200
        )

    def check(self, version_name: AppVersionName, points: Sequence[Point]) -> None:
        """Raise a Refusal if points cannot be stored as they are; whether there is room for new series shows later."""
        self._budget.check()
        times = self._times(self._applications.get_version(version_name))
        for point in points:
            times.check(check_time(point.at_ms or 0))

    async def add(self, version_name: AppVersionName, points: Sequence[Point]) -> None:
        """Store points whose time is known; all of them, or a Refusal."""
        version = self._applications.get_version(version_name)
        await self._budget.ensure()
        if not points:
            return
        missing: Missing = {}
        rows: Rows = []
        told = []
        times = self._times(version)
        with self._channels.held():
            for point in points:
                times.check(check_time(point.at_ms or 0))
                self._rows_of(version, point, 0, [], missing)
            if missing:
                await self._channels.learn(missing)
            for point in points:
                at_us = (point.at_ms or 0) * 1000 + point.us
                self._rows_of(version, point, at_us, rows, None)
                told.append((version_name, point, at_us))
        if rows:
            await self._points.add(rows, last_us=self._last_us)
            self._count(rows)
        if self._bus.is_heard(self._any_series):
            self._tell(told)

    async def _extract(
        self,
        events: list[DataSamplesEvent],
        refused: dict[int, Refusal],
        told: list[tuple[DataSamplesEvent, Point, int]] | None,
    ) -> tuple[Rows, list[tuple[int, int, int]]]:
        """Give the rows of all events, and for each event its number and where its rows begin and end."""
        with self._channels.held():
            for is_last in (False, False, True):
                missing: Missing | None = None if is_last else {}
                refused.clear()
                if told is not None:
                    told.clear()
                rows, spans = self._pass(events, refused, told, missing)
                if not missing:
                    break
                # values that are new: their channels are made, and all is done over, so that times stay in order
                await self._channels.learn(missing)
        return rows, spans

    def _pass(
        self,
        events: list[DataSamplesEvent],
        refused: dict[int, Refusal],
        told: list[tuple[DataSamplesEvent, Point, int]] | None,
        missing: Missing | None,
    ) -> tuple[Rows, list[tuple[int, int, int]]]:
        rows: Rows = []
        spans = []
        now_us = self._clock.now_us()
        for number, event in enumerate(events):
            start = len(rows)
            try:
                version = self._applications.find_version(event.app_version_name)
                if version is None:
                    raise InvalidInput(f"there is no application version {event.app_version_name!r}")  # noqa: TRY301  as below
                extractor = self._extractors.get(version.name) or self._extractor(version)
                times = None if extractor.is_plain else self._times(version)
                for sample in event.data_samples:
                    at_us = max(self._last_us + 1, now_us)
                    if at_us % 1000 == 0:
                        at_us += 1
                    self._last_us = at_us
                    value = parse(sample)
                    if told is None and extractor.is_plain:
                        if type(value) is dict:
                            self._take(version, event.endpoint_id, value, at_us, rows, missing)
                        continue
                    for point in extractor.points(event.endpoint_id, value):
                        if point.at_ms is not None and times is not None:
                            times.check(point.at_ms)
                        time_us = at_us if point.at_ms is None else point.at_ms * 1000
                        self._rows_of(version, point, time_us, rows, missing)
                        if told is not None:
                            told.append((event, point, time_us))
            except Refusal as no:
                refused[number] = no
            # a bug that one message brings out must not refuse those that came with it
            except Exception:
                log.exception("message_failed", correlation_id=event.correlation_id)
                refused[number] = Refusal("internal error")
            if number in refused:
                del rows[start:]
                if told is not None:
                    told[:] = [entry for entry in told if entry[0] is not event]
            if len(rows) > start:
                spans.append((number, start, len(rows)))
        return rows, spans

    def _take(
        self,
        version: Version[EptsSettings],
        endpoint_id: EndpointId,
        sample: dict[str, Value],
        at_us: int,
        rows: Rows,
        missing: Missing | None,
    ) -> None:
        """Take the numbers of a sample, without configuration: the way of most messages."""
        owner = (version.application, endpoint_id)
        channels = self._channels.of(owner)
        for field, value in sample.items():
            kind = type(value)
            if kind is not float and (kind is not int or not -_INT64 <= value < _INT64):  # type: ignore[operator]
                if kind is not int:
                    continue
                value = as_stored(value)  # noqa: PLW2901  the same number, as it can be kept
            channel = channels.get(field)
            if channel is None:
                if is_auto_name(field):
                    self._channels.note(missing, owner, field)
                continue
            rows += (channel, at_us, value)

    def _rows_of(
        self, version: Version[EptsSettings], point: Point, at_us: int, rows: Rows, missing: Missing | None
    ) -> None:
        owner = (version.application, point.endpoint_id)
        channels = self._channels.of(owner)
        is_auto = point.series.startswith(AUTO)
        for name, value in point.values.items():
            key: Key = point.series[len(AUTO) :] if is_auto and name == "value" else (point.series, name)
            channel = channels.get(key)
            if channel is None:
                self._channels.note(missing, owner, key)
            else:
                rows += (channel, at_us, stored(value))

    async def _add(self, rows: Rows, spans: list[tuple[int, int, int]], refused: dict[int, Refusal]) -> None:
        try:
            await self._points.add(rows, last_us=self._last_us)
        except Refusal:
            raise
        # one message that the database cannot take must not refuse the others
        except Exception:
            if len(spans) == 1:
                raise
            log.exception("batch_failed_trying_one_by_one", messages=len(spans))
            for number, start, end in spans:
                try:
                    await self._points.add(rows[start:end], last_us=self._last_us)
                except Refusal as no:
                    refused[number] = no
                except Exception:
                    log.exception("message_failed")
                    refused[number] = Refusal("internal error")
                else:
                    self._count(rows[start:end])
        else:
            self._count(rows)

    def _count(self, rows: Rows) -> None:
        values = len(rows) // 3
        self._stored.inc(values)
        texts = sum(len(value) for value in rows[2::3] if type(value) is str)
        self._budget.take(values * _VALUE_BYTES + texts)

    def _tell(self, points: Iterable[tuple[AppVersionName, Point, int]]) -> None:
        """Broadcast what was stored, by endpoint and series (14/TSTP)."""
        now = self._clock.now_ms()
        grouped: dict[tuple[AppVersionName, EndpointId, SeriesName], list[DataPoint]] = {}
        for version, point, at_us in points:
            made = DataPoint(ingestion_timestamp_ms=now, timestamp_ms=at_us // 1000, values=point.values)
            grouped.setdefault((version, point.endpoint_id, point.series), []).append(made)
        for (version, endpoint_id, series), made_points in grouped.items():
            subject = tstp.data_points_received(self._name, series)
            if self._bus.is_heard(subject):
                self._bus.publish(
                    subject,
                    TimeSeriesEvent(
                        correlation_id=self._ids.correlation_id(),
                        timestamp_ms=now,
                        app_version_name=version,
                        endpoint_id=endpoint_id,
                        time_series_name=series,
                        data_points=tuple(made_points),
                    ),
                )

    def _times(self, version: Version[EptsSettings]) -> Times:
        application = self._applications.find(version.application)
        kept_ms = (application or version).settings.retention
        return Times(self._clock.now_ms(), kept_ms=kept_ms, period_ms=self._points.period_ms)

    def _extractor(self, version: Version[EptsSettings]) -> Extractor:
        made = self._extractors[version.name] = Extractor(version.settings.time_series)
        return made


def _log_outcome(events: Sequence[DataSamplesEvent], refused: Mapping[int, Refusal]) -> None:
    for at, event in enumerate(events):
        if (no := refused.get(at)) is None:
            log.debug("samples_committed", correlation_id=event.correlation_id)
        else:
            log.debug("samples_refused", correlation_id=event.correlation_id, status=no.status, reason=no.reason)


def _checked_value(name: str, value: Value | bytes) -> Value:
    try:
        check_value_name(name)
    except ValueError as error:
        raise InvalidInput(str(error)) from error
    if isinstance(value, bytes):
        raise InvalidInput(f"the value {name!r} is bytes; numbers, text, booleans and null can be kept")
    if isinstance(value, float) and not math.isfinite(value):
        raise InvalidInput(f"the value {name!r} is {value}; a number that can be kept is finite")
    return value
