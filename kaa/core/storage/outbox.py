"""The outbox: events that change another service's state, kept until the listeners that matter have answered.

An event is written in the transaction of the change it tells of, published after the commit, and deleted when every
listener that was to answer has. Until then it is sent again: with back-off, and at the next start. Listeners are
idempotent; the event's `correlationId` is its identity.
"""

import asyncio
from collections.abc import AsyncIterator, Callable, Iterable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any, Protocol

import structlog
from sqlalchemy import Column, Connection, Integer, LargeBinary, MetaData, String, Table, delete, insert, select

from kaa.core.bus import Bus
from kaa.core.clock import Clock
from kaa.core.errors import ProtocolError
from kaa.core.messages import decode, encode
from kaa.core.storage.database import Storage
from kaa.core.subjects import Subject, is_match
from kaa.core.tasks import Tasks

log = structlog.get_logger(__name__)

_RESEND_MS = 1_000
_RESEND_MOST_MS = 60_000
_PAGE = 1_000

outbox_table = Table(
    "core_outbox",
    MetaData(),
    Column("correlation_id", String, primary_key=True),
    Column("instance", String, nullable=False, index=True),
    Column("subject", String, nullable=False),
    Column("message", LargeBinary, nullable=False),
    Column("created_ms", Integer, nullable=False),
)


class Processed(Protocol):
    """What a listener's answer says, whatever its type."""

    correlation_id: str
    receiver_service_instance_name: str
    status_code: int
    reason_phrase: str | None


@dataclass(slots=True, eq=False)
class _Pending:
    subject: Subject[Any]
    message: Any
    waiting: set[str]
    attempts: int = 0
    next_ms: int = 0
    done: asyncio.Event = field(default_factory=asyncio.Event)


class Outbox:
    """One instance's events.

    `listeners` names the instances that must answer, for the case that not all of them live in this process; without
    it those that listen in this process are waited for.
    """

    def __init__(
        self,
        instance: str,
        events: Sequence[Subject[Any]],
        *,
        reply_to: Subject[Any],
        bus: Bus,
        storage: Storage,
        clock: Clock,
        tasks: Tasks,
        listeners: frozenset[str] | None = None,
    ) -> None:
        self._instance, self._events, self._reply_to = instance, events, reply_to
        self._bus, self._storage, self._clock, self._tasks = bus, storage, clock, tasks
        self._listeners = listeners
        self._is_started = False
        self._pending: dict[str, _Pending] = {}
        storage.metrics.gauge_from(
            "kaa_outbox_events",
            "Events that not every listener has answered yet",
            lambda: len(self._pending),
            {"instance": instance},
        )
        self._finished: list[str] = []
        self._has_finished = asyncio.Event()

    def add(self, connection: Connection, subject: Subject[Any], message: Any) -> str:
        """Write an event in the transaction of the change; gives its identity, for `settled`."""
        self.add_all(connection, [(subject, message)])
        correlation_id: str = message.correlation_id
        return correlation_id

    def add_all(self, connection: Connection, events: Sequence[tuple[Subject[Any], Any]]) -> None:
        """Write events in the transaction of the change."""
        if not events:
            return
        now = self._clock.now_ms()
        rows = [
            {
                "correlation_id": message.correlation_id,
                "instance": self._instance,
                "subject": subject.name,
                "message": encode(message),
                "created_ms": now,
            }
            for subject, message in events
        ]
        connection.execute(insert(outbox_table), rows)
        self._storage.after_commit(connection, lambda: self._take(events))

    async def settled(self, correlation_ids: Iterable[str], *, timeout_ms: int = 1_000) -> bool:
        """Wait until the events have been answered by all, for a while; whether they have."""
        pending = [found for one in correlation_ids if (found := self._pending.get(one)) is not None]
        try:
            async with asyncio.timeout(timeout_ms / 1000):
                for one in pending:
                    await one.done.wait()
        except TimeoutError:
            return False
        return True

    @asynccontextmanager
    async def opened(self) -> AsyncIterator["Outbox"]:
        """Publish while the block lasts; `start` takes up what an earlier run has left."""
        tasks = [
            self._tasks.spawn(self._resend(), name=f"outbox {self._instance} resend"),
            self._tasks.spawn(self._forget(), name=f"outbox {self._instance} forget"),
        ]
        try:
            async with self._bus.subscribe_batches(self._reply_to, self._on_processed, queue=self._instance):
                yield self
        finally:
            await self._tasks.stop(*tasks)

    async def start(self) -> None:
        """Send again what an earlier run has left; called when all modules listen.

        What is added before that waits until then: who is to answer is known only when everybody is there.
        """
        self._is_started = True

        def load(connection: Connection) -> list[Any]:
            table = outbox_table
            return list(
                connection.execute(
                    select(table.c.correlation_id, table.c.subject, table.c.message)
                    .where(table.c.instance == self._instance)
                    .order_by(table.c.created_ms)
                )
            )

        left = [row for row in await self._storage.read(load) if row.correlation_id not in self._pending]
        for row in left:
            pattern = next((event for event in self._events if is_match(event.name, row.subject)), None)
            if pattern is None:
                log.error("outbox_event_unknown", subject=row.subject, instance=self._instance)
                continue
            subject = Subject(row.subject, pattern.message, pattern.reply)
            try:
                message = decode(pattern.message, row.message)
            except ProtocolError as error:  # written by another version; the rest must not wait for it
                log.error("outbox_event_unreadable", subject=row.subject, reason=str(error))  # noqa: TRY400
                continue
            self._take([(subject, message)])
        if left:
            log.info("outbox_resumed", instance=self._instance, events=len(left))

    def _take(self, events: Iterable[tuple[Subject[Any], Any]]) -> None:
        if not self._is_started:
            return
        for subject, message in events:
            heard = self._bus.listeners(subject)
            pending = _Pending(subject, message, set(heard if self._listeners is None else self._listeners))
            self._pending[message.correlation_id] = pending
            self._send(message.correlation_id, pending)

    def _send(self, correlation_id: str, pending: _Pending) -> None:
        pending.next_ms = self._clock.monotonic_ms() + min(_RESEND_MS << min(pending.attempts, 16), _RESEND_MOST_MS)
        pending.attempts += 1
        if not pending.waiting:
            self._bus.publish(pending.subject, pending.message)
            self._finish(correlation_id, pending)
            return
        self._bus.publish(pending.subject, pending.message, reply_to=self._reply_to)

    async def _on_processed(self, batch: list[Processed]) -> None:
        for answer in batch:
            pending = self._pending.get(answer.correlation_id)
            if pending is None or answer.receiver_service_instance_name not in pending.waiting:
                continue
            if answer.status_code >= 500:
                continue  # sent again by and by
            if answer.status_code >= 300:
                log.warning(
                    "event_refused",
                    subject=pending.subject.name,
                    by=answer.receiver_service_instance_name,
                    reason=answer.reason_phrase,
                )
            pending.waiting.discard(answer.receiver_service_instance_name)
            if not pending.waiting:
                self._finish(answer.correlation_id, pending)

    def _finish(self, correlation_id: str, pending: _Pending) -> None:
        self._pending.pop(correlation_id, None)
        pending.done.set()
        self._finished.append(correlation_id)
        self._has_finished.set()

    async def _resend(self) -> None:
        while True:
            await self._clock.sleep_ms(_RESEND_MS)
            now = self._clock.monotonic_ms()
            for correlation_id, pending in list(self._pending.items()):
                if pending.next_ms <= now:
                    log.info("outbox_sent_again", subject=pending.subject.name, waiting_for=sorted(pending.waiting))
                    self._send(correlation_id, pending)

    async def _forget(self) -> None:
        """Delete the rows of what is finished, all that has gathered at a time."""
        while True:
            await self._has_finished.wait()
            self._has_finished.clear()
            finished, self._finished = self._finished[:_PAGE], self._finished[_PAGE:]
            if self._finished:
                self._has_finished.set()
            try:
                await self._storage.write(_deletion(finished))
            # they stay, and are sent once more at the next start, where listeners know them
            except Exception as error:  # noqa: BLE001
                log.warning("outbox_not_cleared", error=repr(error))


def _deletion(correlation_ids: list[str]) -> Callable[[Connection], None]:
    def run(connection: Connection) -> None:
        connection.execute(delete(outbox_table).where(outbox_table.c.correlation_id.in_(correlation_ids)))

    return run
