"""The rules of EPL: what is heard is written down in order, and told from there.

Events about one endpoint may come in any order, for they are heard on two subjects: the newest counts. Of two of the
same time that say the contrary the one that came later is believed, and the communication service is asked.
"""

import asyncio
from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from itertools import islice

import structlog

from kaa.core.applications import Applications
from kaa.core.clock import Clock
from kaa.core.errors import Refusal
from kaa.core.metrics import Metrics
from kaa.protocols import elce
from kaa.protocols.names import AppVersionName, EndpointId
from kaa.protocols.x_outbox import EventProcessed

from .config import EplSettings
from .models import State, heard
from .repository import StateRepository

log = structlog.get_logger(__name__)

_CHUNK = 500
_MAX_INBOX = 100_000
_AGAIN_MS = 1_000


class Lifecycle:
    """Hears who comes and goes.

    `on_news` is called when something has to be told, `on_doubt` with the endpoints that somebody has to ask about.
    """

    def __init__(
        self,
        *,
        name: str,
        applications: Applications[EplSettings],
        states: StateRepository,
        clock: Clock,
        metrics: Metrics,
        on_news: Callable[[], None],
        on_doubt: Callable[[Sequence[EndpointId]], None],
    ) -> None:
        self._name, self._applications, self._states = name, applications, states
        self._clock, self._on_news, self._on_doubt = clock, on_news, on_doubt
        self._inbox: deque[Iterator[State]] = deque()
        self._waiting = 0
        self._has_work, self._is_idle = asyncio.Event(), asyncio.Event()
        self._is_idle.set()
        self._written = metrics.counter("kaa_epl_states_total", "Comings and goings of endpoints written down")

    async def on_connected(self, events: list[elce.ConnectedEvent]) -> None:
        """Hear who has come."""
        for event in events:
            self._put(event.endpoints, event.timestamp_ms, is_connected=True)
        await self._not_too_many()

    async def on_disconnected(self, events: list[elce.DisconnectedEvent]) -> None:
        """Hear who has gone."""
        for event in events:
            self._put(event.endpoints, event.timestamp_ms, is_connected=False)
        await self._not_too_many()

    async def on_unregistered(self, events: list[elce.UnregisteredEvent]) -> list[EventProcessed]:
        """Forget endpoints that are no more; one that has the id anew, and was heard of since, stays."""
        await self._states.remove([(event.endpoint_id, event.timestamp_ms) for event in events])
        now = self._clock.now_ms()
        return [
            EventProcessed(
                correlation_id=event.correlation_id,
                timestamp_ms=now,
                receiver_service_instance_name=self._name,
                status_code=200,
            )
            for event in events
        ]

    def correct(self, states: Sequence[State]) -> None:
        """Take over what was found out by asking, behind what has been heard."""
        if states:
            self._add(iter(states), len(states))

    async def run(self) -> None:
        """Write down what is heard; for a task of its own. What the disk does not take now is tried again."""
        while True:
            await self._has_work.wait()
            while states := self._next():
                await self._write(states)
                self._waiting -= len(states)
            self._has_work.clear()
            self._is_idle.set()

    async def settled(self, *, timeout_ms: int) -> bool:
        """Wait until all that was heard is written down, for a while; whether it is."""
        try:
            async with asyncio.timeout(timeout_ms / 1000):
                await self._is_idle.wait()
        except TimeoutError:
            return False
        return True

    def _put(self, endpoints: Mapping[EndpointId, AppVersionName], at_ms: int, *, is_connected: bool) -> None:
        # unfolded piece by piece when it is written: a gateway's event may have ten thousand endpoints
        states = (heard(endpoint, version, at_ms, is_connected=is_connected) for endpoint, version in endpoints.items())
        self._add(states, len(endpoints))

    def _add(self, states: Iterator[State], count: int) -> None:
        self._inbox.append(states)
        self._waiting += count
        self._is_idle.clear()
        self._has_work.set()

    async def _not_too_many(self) -> None:
        """Have the bus's queues hold what is too much: they are bounded, and counted."""
        if self._waiting > _MAX_INBOX:
            await self._is_idle.wait()

    def _next(self) -> list[State]:
        found: list[State] = []
        while self._inbox and len(found) < _CHUNK:
            found += islice(self._inbox[0], _CHUNK - len(found))
            if len(found) < _CHUNK:
                self._inbox.popleft()
        return found

    async def _write(self, states: list[State]) -> None:
        while True:
            try:
                doubts = await self._states.advance(states, has_series=self._has_series)
            except Refusal as no:
                log.warning("states_not_written", states=len(states), reason=no.reason)
                await self._clock.sleep_ms(_AGAIN_MS)
                continue
            self._written.inc(len(states))
            self._on_news()
            if doubts:
                self._on_doubt(doubts)
            return

    def _has_series(self, version: AppVersionName) -> bool:
        return settings_of(self._applications, version).series() is not None


def settings_of(applications: Applications[EplSettings], version: AppVersionName) -> EplSettings:
    """Give what is made of a version's connectivity; of one that is not known here yet, what is made by itself."""
    found = applications.find_version(version)
    return applications.default if found is None else found.settings
