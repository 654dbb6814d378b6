"""What is kept how long. Files whose period lies beyond every application's retention are deleted whole."""

import asyncio

import structlog

from kaa.core.applications import Applications
from kaa.core.clock import Clock
from kaa.core.errors import Refusal
from kaa.core.storage.periods import PeriodFiles

from .models import Window
from .repository import ChannelRepository, PointRepository
from .settings import EptsSettings

log = structlog.get_logger(__name__)


class Retention:
    """Deletes points that are older than their application keeps them."""

    def __init__(
        self,
        *,
        applications: Applications[EptsSettings],
        files: PeriodFiles,
        channels: ChannelRepository,
        points: PointRepository,
        clock: Clock,
        every_ms: int,
    ) -> None:
        self._applications, self._files = applications, files
        self._channels, self._points = channels, points
        self._clock, self._every_ms = clock, every_ms
        self._one_at_a_time = asyncio.Lock()

    async def run(self) -> None:
        """Sweep again and again; for a task of its own."""
        while True:
            try:
                await self.sweep()
            except Refusal as no:
                log.warning("retention_failed", reason=no.reason)
            await self._clock.sleep_ms(self._every_ms)

    async def make_room(self) -> bool:
        """Delete the oldest file that is beyond every retention; whether there was one."""
        async with self._one_at_a_time:
            return self._may_delete() and await self._remove_oldest()

    async def sweep(self) -> None:
        """Delete all that is beyond its retention."""
        async with self._one_at_a_time:
            if not self._may_delete():
                log.warning("retention_waits", reason="the settings of the applications are not known")
                return
            while await self._remove_oldest():
                pass
            longest = self._longest_ms()
            for application in self._applications.all():
                kept_ms = application.settings.retention
                if kept_ms >= longest:
                    continue
                until = Window(0, (self._clock.now_ms() - kept_ms) * 1000)
                await self._points.remove(await self._channels.ids_of(application.name), until)

    def _may_delete(self) -> bool:
        """Whether it is known what every application keeps; nothing is deleted upon a guess."""
        return self._applications.is_known and all(application.is_valid for application in self._applications.all())

    async def _remove_oldest(self) -> bool:
        periods = self._files.periods()
        if not periods or periods[0].end_ms > self._clock.now_ms() - self._longest_ms():
            return False
        await self._files.remove(periods[0])
        log.info("period_deleted", period=periods[0].file_name)
        return True

    def _longest_ms(self) -> int:
        known = [application.settings.retention for application in self._applications.all()]
        return max(known, default=self._applications.default.retention)
