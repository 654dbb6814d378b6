"""The refusals that operators can read: who was told no, when, on what topic and why."""

import asyncio
from collections import deque

import structlog

from kaa.core.clock import Clock
from kaa.core.errors import Refusal
from kaa.core.metrics import Metrics

from .models import KeptRefusal
from .repository import RefusalRepository

log = structlog.get_logger(__name__)

HEAD_BYTES = 256
_GATHER_MS = 250
_MOST_GATHERED = 500


class Refusals:
    """Gathers refusals and keeps them, many at a time; a flood of them is counted, not kept."""

    def __init__(self, repository: RefusalRepository, *, clock: Clock, metrics: Metrics) -> None:
        self._repository, self._clock = repository, clock
        self._gathered: deque[KeptRefusal] = deque()
        self._has_some = asyncio.Event()
        self._count = metrics.counter("kaa_kpc_refusals_total", "Messages refused", ("status",))
        self._missed = metrics.counter("kaa_kpc_refusals_not_kept_total", "Refusals that were only counted")

    def note(self, refusal: KeptRefusal) -> None:
        """Keep a refusal soon."""
        self._count.labels(str(refusal.status_code)).inc()
        if len(self._gathered) >= _MOST_GATHERED:
            self._missed.inc()
            return
        self._gathered.append(refusal)
        self._has_some.set()

    async def keep(self, refusal: KeptRefusal) -> None:
        """Keep a refusal before going on."""
        self._count.labels(str(refusal.status_code)).inc()
        await self._repository.add([refusal])

    async def run(self) -> None:
        """Keep what gathers; for a task of its own."""
        while True:
            await self._has_some.wait()
            await self._clock.sleep_ms(_GATHER_MS)
            await self.flush()

    async def flush(self) -> None:
        """Keep what has gathered."""
        self._has_some.clear()
        gathered = list(self._gathered)
        self._gathered.clear()
        if not gathered:
            return
        try:
            await self._repository.add(gathered)
        except Refusal as no:
            self._missed.inc(len(gathered))
            log.warning("refusals_not_kept", count=len(gathered), reason=no.reason)
