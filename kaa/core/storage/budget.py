"""How much may be stored. Below the reserve telemetry is refused, while REST, deletions and logins go on."""

import asyncio
import os
from collections.abc import Awaitable, Callable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import structlog

from kaa.core.clock import Clock
from kaa.core.errors import Refusal, StorageFull
from kaa.core.metrics import Metrics
from kaa.core.storage.growth import Growth

log = structlog.get_logger(__name__)

_CHECK_MS = 1_000
_SHARE = 0.9
_RESERVE_SHARE = 0.05

MakeRoom = Callable[[], Awaitable[bool]]


@dataclass(frozen=True, slots=True)
class Usage:
    """Bytes: what is stored, what may be, and what may still be added before the reserve."""

    used_bytes: int
    max_bytes: int
    left_bytes: int


class Budget:
    """Watches the data directory and the file system it lies on.

    `max_bytes` is 90 % of the file system where nothing is given, the reserve 5 % of that. When the reserve is
    reached, whoever said `on_reserve` is asked to delete what it can spare, oldest first; while nobody can, `check`
    refuses.
    """

    def __init__(
        self,
        directory: Path,
        *,
        max_bytes: int | None,
        reserve_bytes: int | None,
        clock: Clock,
        metrics: Metrics,
    ) -> None:
        self._directory, self._clock = directory, clock
        self._max_bytes, self._reserve_bytes = max_bytes, reserve_bytes
        self._is_full = False
        self._fault: str | None = None
        self._taken_bytes = 0
        self._make_room: list[MakeRoom] = []
        self._one_at_a_time = asyncio.Lock()
        self._growth = Growth()
        self.usage = self._measure()
        metrics.gauge_from("kaa_storage_used_bytes", "Bytes stored", lambda: self.usage.used_bytes)
        metrics.gauge_from("kaa_storage_max_bytes", "Bytes that may be stored", lambda: self.usage.max_bytes)
        metrics.gauge_from("kaa_storage_reserve_bytes", "Bytes of these that telemetry may not take", self._reserve)
        metrics.gauge_from(
            "kaa_storage_left_bytes", "Bytes that telemetry may still take", lambda: self.usage.left_bytes
        )
        metrics.gauge_from("kaa_storage_left_days", "Days until telemetry is refused, as storage has grown", self._days)

    def on_reserve(self, make_room: MakeRoom) -> None:
        """Have `make_room` called when the reserve is reached: it deletes a piece, and says whether it did."""
        self._make_room.append(make_room)

    def check(self) -> None:
        """Raise StorageFull if telemetry may not be stored now."""
        if self._is_full:
            raise StorageFull("the storage has reached its reserve; delete data, shorten the retention or add disk")

    async def ensure(self) -> None:
        """Check, and look before if what was stored since the last look may have used the room up.

        While room is made everybody waits for it, so those who store keep their order.
        """
        if self._may_be_full():
            async with self._one_at_a_time:
                if self._may_be_full():  # still, after who was at it before
                    with suppress(OSError, Refusal):  # the watch says so, and what was known holds
                        await self._look()
        self.check()

    def take(self, size_bytes: int) -> None:
        """Count what is being stored until the next look, about."""
        self._taken_bytes += size_bytes

    def problem(self) -> str | None:
        """Say what is wrong, for `/health`."""
        if self._is_full:
            return "the storage has reached its reserve: telemetry is refused"
        return self._fault

    async def watch(self) -> None:
        """Look again and again, also at a disk that fails; for a task of its own."""
        while True:
            try:
                await self.look()
            except (OSError, Refusal) as error:
                self._note(f"the storage cannot be looked after: {error}")
            else:
                self._note(None)
            await self._clock.sleep_ms(_CHECK_MS)

    async def look(self) -> None:
        """Look once, and make room if the reserve is reached.

        Raises:
            OSError: the disk fails; the last usage that could be measured holds.
            Refusal: no room could be made; telemetry is refused.
        """
        async with self._one_at_a_time:
            await self._look()

    async def _look(self) -> None:
        self.usage, self._taken_bytes = self._measure(), 0
        self._growth.note(self._clock.monotonic_ms(), self.usage.used_bytes)
        try:
            while self.usage.left_bytes <= 0 and any([await make_room() for make_room in self._make_room]):
                self.usage = self._measure()
        finally:
            is_full = self.usage.left_bytes <= 0
            if is_full != self._is_full:
                log.warning("storage_reserve", reached=is_full, used_bytes=self.usage.used_bytes)
            self._is_full = is_full

    def _may_be_full(self) -> bool:
        return not self._is_full and self._taken_bytes >= self.usage.left_bytes

    def _note(self, fault: str | None) -> None:
        if fault is not None and fault != self._fault:  # once, not every second
            log.error("storage_watch_failed", reason=fault)
        self._fault = fault

    def _measure(self) -> Usage:
        used = 0
        for root, _, files in os.walk(self._directory):
            for name in files:
                try:
                    used += (Path(root) / name).stat().st_size
                except FileNotFoundError:  # deleted meanwhile
                    continue
        disk = os.statvfs(self._directory)
        size, free = disk.f_frsize * disk.f_blocks, disk.f_frsize * disk.f_bavail
        most = self._max_bytes if self._max_bytes is not None else int(size * _SHARE)
        return Usage(used, most, min(most - used, free) - self._reserve_of(most))

    def _reserve_of(self, most: int) -> int:
        return self._reserve_bytes if self._reserve_bytes is not None else int(most * _RESERVE_SHARE)

    def _reserve(self) -> int:
        return self._reserve_of(self.usage.max_bytes)

    def _days(self) -> float:
        return self._growth.days_left(self._clock.monotonic_ms(), self.usage.used_bytes, self.usage.left_bytes)
