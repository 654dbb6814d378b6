"""What is told of who comes and goes: metadata keys of the endpoint (19/EPMMP), and points of a series (14/TSTP).

The two go their own ways, so that one who is away does not hold up the other. Both ask first whether the endpoints are
there: one that was unregistered is told of no more.
"""

import asyncio
from collections.abc import Iterable, Sequence

import structlog
from pydantic_core import to_json

from kaa.core.applications import Applications
from kaa.core.bus import Bus, expect
from kaa.core.clock import Clock
from kaa.core.errors import Refusal, TimedOut, refusal
from kaa.core.ids import Ids
from kaa.core.subjects import Subject
from kaa.protocols import epmmp, tstp, x_register
from kaa.protocols.epmmp import EndpointMetadataKeyUpdateCommand
from kaa.protocols.names import EndpointId, SeriesName

from .config import EplSettings
from .models import Point, State
from .repository import StateRepository
from .service import settings_of

log = structlog.get_logger(__name__)

_STATES = 500  # each gives two commands, and a request takes a thousand
_POINTS = 500
_TIMEOUT_MS = 9_000
_VALUE = "value"

Commands = Sequence[tuple[State, list[EndpointMetadataKeyUpdateCommand]]]


class Telling:
    """Tells what is due, a page a call; a Refusal means that somebody is away."""

    def __init__(
        self,
        *,
        name: str,
        register: str,
        applications: Applications[EplSettings],
        states: StateRepository,
        bus: Bus,
        clock: Clock,
        ids: Ids,
        answered_at: Subject[tstp.TimeSeriesProcessed],
        points_kept_ms: int,
    ) -> None:
        self._name, self._register, self._applications = name, register, applications
        self._states, self._bus, self._clock, self._ids = states, bus, clock, ids
        self._answered_at, self._points_kept_ms = answered_at, points_kept_ms
        self._sent: dict[str, _Sent] = {}
        self._is_answered = asyncio.Event()

    async def tell_metadata(self) -> bool:
        """Write the states of many endpoints with one request; whether there may be more."""
        page = await self._states.find_untold(_STATES)
        if not page:
            return False
        there = await self._existing(state.endpoint_id for state in page)
        await self._states.remove([(s.endpoint_id, s.heard_ms) for s in page if s.endpoint_id not in there])
        states = [state for state in page if state.endpoint_id in there]
        await self._write([(s, commands) for s in states if (commands := self._commands(s))])
        await self._states.mark_told(states)
        return True

    async def tell_points(self) -> bool:
        """Tell points, and forget those that were stored; whether there may be more."""
        page = await self._states.find_points(_POINTS)
        if not page:
            return False
        there = await self._existing(point.endpoint_id for point in page)
        oldest_ms = self._clock.now_ms() - self._points_kept_ms
        wanted = []
        for point in page:
            series = settings_of(self._applications, point.app_version).series()
            if point.endpoint_id in there and series is not None and point.at_ms >= oldest_ms:
                wanted.append((point, SeriesName(series)))
        kept, failure = await self._answered([self._send(point, series) for point, series in wanted])
        await self._states.remove_points([point.id for point in page if point.id not in kept])
        if failure is not None:
            raise failure
        return True

    async def on_processed(self, answers: list[tstp.TimeSeriesProcessed]) -> None:
        """Take what is answered to points."""
        for answer in answers:
            sent = self._sent.get(answer.correlation_id)
            if sent is not None and sent.take(answer):
                del self._sent[answer.correlation_id]
                if not self._sent:
                    self._is_answered.set()

    def _commands(self, state: State) -> list[EndpointMetadataKeyUpdateCommand]:
        keys = settings_of(self._applications, state.app_version).keys()
        values = ((keys.state, state.is_connected), (keys.state_ts, state.at_ms))
        return [
            EndpointMetadataKeyUpdateCommand(
                endpoint_id=state.endpoint_id, metadata_key=key, metadata_value=to_json(value)
            )
            for key, value in values
            if key is not None
        ]

    async def _existing(self, endpoint_ids: Iterable[EndpointId]) -> set[str]:
        request = x_register.FindRequest(
            correlation_id=self._ids.correlation_id(),
            timestamp_ms=self._clock.now_ms(),
            endpoint_ids=tuple(dict.fromkeys(endpoint_ids)),
        )
        found = expect(await self._bus.request(x_register.find_endpoints(self._register), request))
        return {endpoint.endpoint_id for endpoint in found.endpoints}

    async def _write(self, commands: Commands) -> None:
        """Write all, or halves of them where the whole is refused: one endpoint must not hold up the others."""
        if not commands:
            return
        request = epmmp.EndpointMetadataKeyBatchUpdateRequest(
            correlation_id=self._ids.correlation_id(),
            timestamp_ms=self._clock.now_ms(),
            commands=tuple(command for _, own in commands for command in own),
        )
        try:
            expect(await self._bus.request(epmmp.update_metadata_keys(self._register), request))
        except Refusal as no:
            if _is_for_now(no):
                raise
            if len(commands) > 1:
                half = len(commands) // 2
                await self._write(commands[:half])
                await self._write(commands[half:])
                return
            log.warning("metadata_refused", endpoint_id=commands[0][0].endpoint_id, reason=no.reason)

    def _send(self, point: Point, series: SeriesName) -> "_Sent":
        subject = tstp.data_points_received(self._name, series)
        now = self._clock.now_ms()
        values = {_VALUE: 1 if point.is_connected else 0}
        event = tstp.TimeSeriesEvent(
            correlation_id=self._ids.correlation_id(),
            timestamp_ms=now,
            app_version_name=point.app_version,
            endpoint_id=point.endpoint_id,
            time_series_name=series,
            data_points=(tstp.DataPoint(ingestion_timestamp_ms=now, timestamp_ms=point.at_ms, values=values),),
        )
        sent = self._sent[event.correlation_id] = _Sent(point, listeners=len(self._bus.listeners(subject)))
        self._bus.publish(subject, event, reply_to=self._answered_at)
        return sent

    async def _answered(self, sent: "list[_Sent]") -> tuple[set[int], Refusal | None]:
        """Wait for the answers, for a while; gives the points that are to be told again, and why."""
        if not sent:
            return set(), None
        self._is_answered.clear()
        timer = self._clock.call_later(_TIMEOUT_MS, self._is_answered.set)
        try:
            await self._is_answered.wait()
        finally:
            timer.cancel()
            self._sent.clear()
        failed = [one for one in sent if one.failure is not None or one.missing]
        late = TimedOut(f"{len(failed)} points were not answered within {_TIMEOUT_MS / 1000:g} s")
        reasons = (one.failure for one in failed if one.failure is not None)
        return {one.point.id for one in failed}, next(reasons, late) if failed else None


class _Sent:
    """A point on its way, and what has been said to it: all who listen in this process answer, or else one who does."""

    def __init__(self, point: Point, *, listeners: int) -> None:
        self.point, self.missing = point, max(1, listeners)
        self.failure: Refusal | None = None

    def take(self, answer: tstp.TimeSeriesProcessed) -> bool:
        """Take an answer; whether it was the last."""
        self.missing -= 1
        if answer.status_code >= 300:
            no = refusal(answer.status_code, answer.reason_phrase or f"the answer was {answer.status_code}")
            if _is_for_now(no):
                self.failure = no
            else:
                log.warning("point_refused", endpoint_id=self.point.endpoint_id, reason=no.reason)
        return self.missing == 0


def _is_for_now(no: Refusal) -> bool:
    return no.status >= 500 or no.status == 429
