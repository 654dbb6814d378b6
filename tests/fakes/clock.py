"""A clock that stands still until it is moved."""

import asyncio
import heapq
import itertools
from collections.abc import Callable

START_MS = 1_764_000_000_000  # 2025-11-24T16:00:00Z
_TURNS = 20


class _Timer:
    def __init__(self, callback: Callable[[], object]) -> None:
        self.callback, self.is_cancelled = callback, False

    def cancel(self) -> None:
        self.is_cancelled = True


class FakeClock:
    """Time as the test has it; `advance` moves it, and whoever waits for it wakes up in order."""

    def __init__(self, now_ms: int = START_MS) -> None:
        self._now_us = now_ms * 1000
        self._began_us = self._now_us
        self._timers: list[tuple[int, int, _Timer]] = []
        self._numbers = itertools.count()

    def now_ms(self) -> int:
        return self._now_us // 1000

    def now_us(self) -> int:
        return self._now_us

    def monotonic_ms(self) -> int:
        return (self._now_us - self._began_us) // 1000

    async def sleep_ms(self, duration_ms: float) -> None:
        woken = asyncio.get_running_loop().create_future()
        timer = self.call_later(duration_ms, lambda: woken.done() or woken.set_result(None))
        try:
            await woken
        finally:
            timer.cancel()

    def call_later(self, delay_ms: float, callback: Callable[[], object]) -> _Timer:
        timer = _Timer(callback)
        heapq.heappush(self._timers, (self._now_us + int(delay_ms * 1000), next(self._numbers), timer))
        return timer

    def waiting(self) -> int:
        """How many are waiting for a time."""
        return sum(not timer.is_cancelled for _, _, timer in self._timers)

    async def advance(self, ms: float) -> None:
        """Let time go by; whatever is due on the way happens at its time, and may ask for more."""
        until_us = self._now_us + int(ms * 1000)
        await self._settle()
        while self._timers and self._timers[0][0] <= until_us:
            at_us, _, timer = heapq.heappop(self._timers)
            if timer.is_cancelled:
                continue
            self._now_us = max(self._now_us, at_us)
            timer.callback()
            await self._settle()
        self._now_us = until_us
        await self._settle()

    def set(self, now_ms: int) -> None:
        """Have the wall clock show another time; nobody wakes up."""
        self._now_us = now_ms * 1000

    async def _settle(self) -> None:
        for _ in range(_TURNS):
            await asyncio.sleep(0)
