"""The only door to time."""

import asyncio
import time
from collections.abc import Callable
from typing import Protocol


class Timer(Protocol):
    """Something that will happen unless it is cancelled."""

    def cancel(self) -> None:
        """Make it not happen."""


class Clock(Protocol):
    """What time it is, and waiting for it."""

    def now_ms(self) -> int:
        """UTC, milliseconds since 1970."""

    def now_us(self) -> int:
        """UTC, microseconds since 1970."""

    def monotonic_ms(self) -> int:
        """Milliseconds that never go back; only differences mean something."""

    async def sleep_ms(self, duration_ms: float) -> None:
        """Return after that long."""

    def call_later(self, delay_ms: float, callback: Callable[[], object]) -> Timer:
        """Call back on the loop after that long."""


class SystemClock:
    """The machine's clock."""

    def now_ms(self) -> int:
        """UTC, milliseconds since 1970."""
        return time.time_ns() // 1_000_000

    def now_us(self) -> int:
        """UTC, microseconds since 1970."""
        return time.time_ns() // 1_000

    def monotonic_ms(self) -> int:
        """Milliseconds that never go back."""
        return time.monotonic_ns() // 1_000_000

    async def sleep_ms(self, duration_ms: float) -> None:
        """Return after that long."""
        await asyncio.sleep(duration_ms / 1000)

    def call_later(self, delay_ms: float, callback: Callable[[], object]) -> Timer:
        """Call back on the loop after that long."""
        return asyncio.get_running_loop().call_later(delay_ms / 1000, callback)
