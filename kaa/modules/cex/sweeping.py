"""What happens to commands by itself: delivery when it is due, expiry, and the end of retention."""

import asyncio
from collections.abc import Sequence

import structlog

from kaa.core.clock import Clock
from kaa.core.errors import Refusal
from kaa.core.metrics import Metrics

from .endpoints import Endpoints
from .models import Order, Outcome, Outstanding, Status
from .pushing import Pushes
from .repository import CommandRepository, TaskRepository
from .waiting import Waiting

log = structlog.get_logger(__name__)

_LONGEST_SLEEP_MS = 600_000
_AGAIN_MS = 1_000
_RETENTION_EVERY_MS = 3_600_000
_AT_A_TIME = 500
_NEVER_MS = 1 << 62


class Deadlines:
    """Knows the next time at which something is due, so that nobody has to ask the database again and again."""

    def __init__(self, clock: Clock) -> None:
        self._clock, self._is_sooner = clock, asyncio.Event()
        self._next_ms = 0  # what an earlier run has left is not known yet

    def note(self, order: Order) -> None:
        """Take up a command that was made."""
        self.set(order.deliver_ms if order.deliver_ms > order.created_ms else order.expires_ms)

    def set(self, due_ms: int) -> None:
        """Have something due at a time."""
        if due_ms < self._next_ms:
            self._next_ms = due_ms
            self._is_sooner.set()

    async def wait(self) -> None:
        """Return when something is due; from here on nothing more is, unless it is set."""
        while (left_ms := self._next_ms - self._clock.now_ms()) > 0:
            self._is_sooner.clear()
            # the wall clock may be moved, so it is looked at now and then
            timer = self._clock.call_later(min(left_ms, _LONGEST_SLEEP_MS), self._is_sooner.set)
            try:
                await self._is_sooner.wait()
            finally:
                timer.cancel()
        self._next_ms = _NEVER_MS


class Sweeping:
    """Does what time asks for."""

    def __init__(
        self,
        *,
        commands: CommandRepository,
        tasks: TaskRepository,
        endpoints: Endpoints,
        waiting: Waiting,
        pushes: Pushes,
        deadlines: Deadlines,
        retention_ms: int,
        clock: Clock,
        metrics: Metrics,
    ) -> None:
        self._commands, self._tasks, self._endpoints = commands, tasks, endpoints
        self._waiting, self._pushes, self._deadlines = waiting, pushes, deadlines
        self._retention_ms, self._clock = retention_ms, clock
        self._expired = metrics.counter("kaa_cex_commands_expired_total", "Commands whose time was over")

    async def run(self) -> None:
        """Deliver and end what is due, again and again; for a task of its own."""
        while True:
            await self._deadlines.wait()
            try:
                await self.sweep()
            except Refusal as no:
                log.warning("sweep_put_off", reason=no.reason)
                self._deadlines.set(self._clock.now_ms() + _AGAIN_MS)

    async def sweep(self) -> None:
        """Deliver and end what is due, and note when the next is."""
        now = self._clock.now_ms()
        while over := await self._commands.expire(at_ms=now, most=_AT_A_TIME):
            self._expired.inc(len(over))
            for key in over:
                self._waiting.tell(key, Outcome(Status.EXPIRED))
        while due := await self._commands.release(at_ms=now, most=_AT_A_TIME):
            await self._push([one for one, is_observed in due if is_observed])
        next_ms = await self._commands.next_due_ms()
        if next_ms is not None:
            self._deadlines.set(next_ms)

    async def keep_clean(self) -> None:
        """Delete what has been kept long enough, every hour; for a task of its own."""
        while True:
            try:
                await self.clean_up()
            except Refusal as no:
                log.warning("clean_up_put_off", reason=no.reason)
            await self._clock.sleep_ms(_RETENTION_EVERY_MS)

    async def clean_up(self) -> None:
        """Delete what has been kept long enough."""
        before_ms = self._clock.now_ms() - self._retention_ms
        while await self._commands.remove_finished(before_ms=before_ms, most=_AT_A_TIME) == _AT_A_TIME:
            pass
        await self._tasks.remove_old(before_ms=before_ms)

    async def _push(self, commands: Sequence[Outstanding]) -> None:
        known = await self._endpoints.find([one.key.endpoint_id for one in commands])
        there = [one for one in commands if one.key.endpoint_id in known]
        self._pushes.push(there, lambda one: self._endpoints.version_of(one, known[one].version))
