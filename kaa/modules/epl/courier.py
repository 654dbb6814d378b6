"""Work that is done page by page until nothing is left, and over again when it fails."""

import asyncio
from collections.abc import Awaitable, Callable

import structlog

from kaa.core.clock import Clock
from kaa.core.errors import Refusal

log = structlog.get_logger(__name__)

_AGAIN_MS = 1_000
_AGAIN_MOST_MS = 60_000


class Courier:
    """Calls `deliver` as long as it says that more may be left, and then whenever it is woken.

    A Refusal means that somebody is away: it is tried again, with back-off.
    """

    def __init__(self, name: str, deliver: Callable[[], Awaitable[bool]], *, clock: Clock) -> None:
        self._name, self._deliver, self._clock = name, deliver, clock
        self._has_work = asyncio.Event()
        self._has_work.set()  # an earlier run may have left something

    def wake(self) -> None:
        """Say that there may be something to do."""
        self._has_work.set()

    async def run(self) -> None:
        """Do what there is to do; for a task of its own."""
        pause_ms = _AGAIN_MS
        while True:
            await self._has_work.wait()
            self._has_work.clear()
            try:
                while await self._deliver():
                    pause_ms = _AGAIN_MS
            except Refusal as no:
                # the first time is nothing to tell of: at start, who is asked may not listen yet
                tell = log.debug if pause_ms == _AGAIN_MS else log.info
                tell("put_off", what=self._name, reason=no.reason, again_in_s=pause_ms / 1000)
                await self._clock.sleep_ms(pause_ms)
                pause_ms = min(pause_ms * 2, _AGAIN_MOST_MS)
                self._has_work.set()
