"""The bounded queue before a listener, and the workers that empty it; the same on every bus."""

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable, Sequence
from contextvars import copy_context
from dataclasses import fields
from typing import Any, TypeVar

import structlog
from structlog.contextvars import bound_contextvars

from kaa.core.bus import BatchHandler, Handler
from kaa.core.clock import Clock
from kaa.core.errors import Refusal
from kaa.core.messages import answer
from kaa.core.metrics import Metrics
from kaa.core.subjects import Subject
from kaa.core.tasks import Tasks

log = structlog.get_logger(__name__)

M = TypeVar("M")

_DRAIN_MS = 5_000

Publish = Callable[[Subject[Any], Any], None]


class Counters:
    """What every bus counts."""

    def __init__(self, metrics: Metrics) -> None:
        labels = ("subject", "queue")
        self.overflows = metrics.counter("kaa_bus_overflow_total", "Messages refused or dropped: queue full", labels)
        self.expired = metrics.counter("kaa_bus_expired_total", "Messages that came too late", labels)
        self.failures = metrics.counter("kaa_bus_failure_total", "Messages whose handler failed", labels)
        self.unreadable = metrics.counter("kaa_bus_unreadable_total", "Messages that were none of their subject's")


class Subscription:
    """A bounded queue and the workers that empty it, made when they are first needed: most never need a second.

    Args:
        subject: what is heard; may have wildcards.
        handler: gets all that is queued at a time, at most `max_batch`.
        queue: the name of the queue group.
        limit: how many messages may wait.
        publish: sends the replies.
        clock: what time it is.
        counters: where is counted what did not get through.
        tasks: where the workers live.
        max_batch: how many messages the handler takes at a time.
        concurrency: how many workers there may be.
    """

    def __init__(
        self,
        subject: Subject[Any],
        handler: BatchHandler[Any],
        queue: str,
        *,
        limit: int,
        publish: Publish,
        clock: Clock,
        counters: Counters,
        tasks: Tasks,
        max_batch: int,
        concurrency: int,
    ) -> None:
        self.subject, self.queue, self.limit, self.max_batch = subject, queue, limit, max_batch
        self._tasks, self._concurrency = tasks, concurrency
        self._handler, self._publish, self._clock, self._counters = handler, publish, clock, counters
        self._has_timeout = any(field.name == "timeout_ms" for field in fields(subject.message))
        self._queued: deque[tuple[Any, Subject[Any] | None]] = deque()
        self._idle: deque[asyncio.Future[None]] = deque()
        self._workers: list[asyncio.Task[None]] = []
        # that of the subscriber: what whoever publishes has bound to its log lines is not a worker's
        self._context = copy_context()
        self._is_waking = False
        self._dropped = 0

    def __len__(self) -> int:
        return len(self._queued)

    @property
    def is_busy(self) -> bool:
        """Whether a message is queued, or in a worker's hands."""
        return bool(self._queued) or len(self._idle) < len(self._workers)

    def put(self, message: Any, reply_to: Subject[Any] | None) -> None:
        """Queue a message; where there is no room it is dropped, or refused if an answer is wanted."""
        if len(self._queued) >= self.limit:
            self._overflow(message, reply_to)
            return
        self._queued.append((message, reply_to))
        if not self._is_waking:
            self._wake()

    def _overflow(self, message: Any, reply_to: Subject[Any] | None) -> None:
        if self._dropped == 0:
            log.warning("slow_consumer", subject=self.subject.name, queue=self.queue, limit=self.limit)
        self._dropped += 1
        self._counters.overflows.labels(self.subject.name, self.queue).inc()
        if reply_to is not None:
            self.refuse(message, reply_to, 503, f"{self.queue} has more to do than it can; try again later")

    def _wake(self) -> None:
        """Have a message taken by a worker that has nothing to do, or by a new one."""
        if self._idle:
            self._is_waking = True
            self._idle.popleft().set_result(None)
        elif len(self._workers) < self._concurrency:
            self._is_waking = True
            name = f"bus {self.queue} {self.subject.name} {len(self._workers)}"
            self._workers.append(self._context.run(self._tasks.spawn, self._work(), name=name))

    async def stop(self) -> None:
        """Let the workers finish what is queued, for a while; then stop them."""
        deadline = self._clock.monotonic_ms() + _DRAIN_MS
        while self.is_busy and self._clock.monotonic_ms() < deadline:
            if any(worker.done() for worker in self._workers):
                break
            await asyncio.sleep(0.001)
        await self._tasks.stop(*self._workers)

    async def _work(self) -> None:
        loop = asyncio.get_running_loop()
        queued = self._queued
        self._is_waking = False
        while True:
            while not queued:
                idle = loop.create_future()
                self._idle.append(idle)
                try:
                    await idle
                finally:
                    self._is_waking = False
            if len(queued) <= self.max_batch:
                deliveries = list(queued)
                queued.clear()
            else:
                deliveries = [queued.popleft() for _ in range(self.max_batch)]
                self._wake()
            if self._dropped:
                log.warning("slow_consumer_caught_up", subject=self.subject.name, dropped=self._dropped)
                self._dropped = 0
            await self._deliver(deliveries)

    async def _deliver(self, deliveries: list[tuple[Any, Subject[Any] | None]]) -> None:
        if self._has_timeout:
            now = self._clock.now_ms()
            fresh = [d for d in deliveries if not d[0].timeout_ms or d[0].timestamp_ms + d[0].timeout_ms > now]
            if len(fresh) < len(deliveries):
                self._counters.expired.labels(self.subject.name, self.queue).inc(len(deliveries) - len(fresh))
                deliveries = fresh
                if not deliveries:
                    return
        try:
            replies = await self._handler([message for message, _ in deliveries])
        except Refusal as no:
            self._refuse_all(deliveries, no.status, no.reason)
            return
        # a bad message ends nothing: it is logged, counted and answered
        except Exception:
            log.exception("handler_failed", subject=self.subject.name, queue=self.queue, messages=len(deliveries))
            self._counters.failures.labels(self.subject.name, self.queue).inc(len(deliveries))
            self._refuse_all(deliveries, 500, "internal error")
            return
        if replies is None:
            return
        publish = self._publish
        for (_, reply_to), reply in zip(deliveries, replies, strict=True):
            if reply is not None and reply_to is not None:
                publish(reply_to, reply)

    def _refuse_all(self, deliveries: list[tuple[Any, Subject[Any] | None]], status: int, reason: str) -> None:
        for message, reply_to in deliveries:
            if reply_to is not None:
                self.refuse(message, reply_to, status, reason)

    def refuse(self, message: Any, reply_to: Subject[Any], status: int, reason: str) -> None:
        """Answer in the listener's stead, where the subject has answers."""
        if self.subject.reply is not None:
            now = self._clock.now_ms()
            reply = answer(self.subject.reply, message, status_code=status, reason=reason, at_ms=now, by=self.queue)
            self._publish(reply_to, reply)


def one_by_one(handler: Handler[M]) -> Callable[[list[M]], Awaitable[Sequence[Any]]]:
    """Make a handler of batches of one that hears messages one by one."""

    async def run(batch: list[M]) -> Sequence[Any]:
        with bound_contextvars(correlation_id=batch[0].correlation_id):  # type: ignore[attr-defined]
            return [await handler(batch[0])]

    return run
