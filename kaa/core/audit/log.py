"""Writes the audit log, and cleans it."""

from collections import deque

import structlog
from sqlalchemy.exc import DBAPIError

from kaa.core.clock import Clock
from kaa.core.errors import Refusal
from kaa.core.http.auditing import Change
from kaa.core.metrics import Metrics

from .models import Entry
from .store import AuditStore

log = structlog.get_logger(__name__)

_MOST_UNWRITTEN = 1_000
_AGAIN_MS = 60_000


class AuditLog:
    """Keeps what changed, for so long."""

    def __init__(self, store: AuditStore, *, retention_ms: int, clock: Clock, metrics: Metrics) -> None:
        self._store, self._retention_ms, self._clock = store, retention_ms, clock
        self._unwritten: deque[Entry] = deque(maxlen=_MOST_UNWRITTEN)
        self._lost = metrics.counter("kaa_audit_lost_total", "Changes that will never be in the audit log", ())
        metrics.gauge_from("kaa_audit_unwritten", "Changes not in the audit log yet", lambda: len(self._unwritten))

    async def record(self, change: Change) -> None:
        """Keep a change, on the disk on return; never raises, for the change has been made."""
        caller = change.caller
        entry = Entry(
            at_ms=self._clock.now_ms(),
            key_id=caller.id or None,
            key_name=caller.name,
            role=caller.role,
            method=change.method,
            path=change.path,
            operation=change.operation,
            application=change.application,
            status=change.status,
            correlation_id=change.correlation_id,
            before=change.before.text,
            is_before_cut=change.before.is_cut,
            after=change.after.text,
            is_after_cut=change.after.is_cut,
        )
        await self._write([*self._taken(), entry])

    def problem(self) -> str | None:
        """Say what is wrong, for `/health`."""
        count = len(self._unwritten)
        return f"{count} changes are not in the audit log yet: they could not be written" if count else None

    async def keep(self) -> None:
        """Write what could not be written, and remove what is old; for a task of its own."""
        while True:
            await self.flush()
            try:
                while await self._store.remove_before(self._clock.now_ms() - self._retention_ms):
                    pass
            except Refusal as no:
                log.warning("audit_log_not_cleaned", reason=no.reason)
            await self._clock.sleep_ms(_AGAIN_MS)

    async def flush(self) -> None:
        """Try once more to write what could not be written."""
        if waiting := self._taken():
            await self._write(waiting)

    def _taken(self) -> list[Entry]:
        waiting = list(self._unwritten)
        self._unwritten.clear()
        return waiting

    async def _write(self, entries: list[Entry]) -> None:
        try:
            await self._store.add(entries)
        except (Refusal, DBAPIError) as error:
            log.error("audit_log_not_written", reason=str(getattr(error, "orig", error)), entries=len(entries))  # noqa: TRY400  the reason says it all
            overflow = len(self._unwritten) + len(entries) - _MOST_UNWRITTEN
            if overflow > 0:
                self._lost.inc(overflow)
            self._unwritten.extend(entries)
