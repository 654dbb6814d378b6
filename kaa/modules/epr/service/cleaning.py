"""Clearing away what could not be given back when it was due, and what has been kept long enough."""

import structlog

from kaa.core.clock import Clock
from kaa.core.errors import Refusal

from .batches import Batches
from .register import Register

log = structlog.get_logger(__name__)

_STALE_MS = 60_000


async def keep_clean(register: Register, batches: Batches, *, clock: Clock) -> None:
    """Clean up again and again; for a task of its own."""
    while True:
        await clock.sleep_ms(_STALE_MS)
        try:
            await register.clean_up(older_than_ms=_STALE_MS)
            await batches.clean_up()
        except Refusal as no:
            log.warning("clean_up_put_off", reason=no.reason)
