"""The bus within one process: messages pass as objects.

A publish puts the message into the queue of every subscription that its subject matches; a burst of publishes wakes a
subscription's worker once, and a batch handler sees the whole burst. With `is_wired` every message is encoded and
decoded on its way and handed out truly frozen: the tests run on that, to see what a network would do to them.
"""

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import Any, TypeVar

from kaa.core.bus import BatchHandler, Handler, unreachable
from kaa.core.bus.requests import Requests
from kaa.core.bus.subscription import Counters, Subscription, one_by_one
from kaa.core.clock import Clock
from kaa.core.errors import Unavailable
from kaa.core.messages import answer, decode, encode
from kaa.core.metrics import Metrics
from kaa.core.subjects import RequestSubject, Subject, has_wildcard, is_match, is_overlap, tokens
from kaa.core.tasks import Tasks

M = TypeVar("M")
R = TypeVar("R")

_MAX_ROUTES = 10_000


class _Group:
    """The members of a queue group on one pattern; they take turns."""

    def __init__(self, members: Sequence[Subscription]) -> None:
        self._members, self._turn = members, 0

    def put(self, message: Any, reply_to: Subject[Any] | None) -> None:
        self._turn = (self._turn + 1) % len(self._members)
        self._members[self._turn].put(message, reply_to)


class MemoryBus:
    """The bus within one process."""

    def __init__(
        self,
        *,
        replica: str,
        clock: Clock,
        tasks: Tasks,
        metrics: Metrics,
        queue_size: int = 65_536,
        is_wired: bool = False,
    ) -> None:
        self.replica, self.clock, self.queue_size = replica, clock, queue_size
        self._tasks, self._is_wired = tasks, is_wired
        self._subscriptions: list[Subscription] = []
        self._routes: dict[str, tuple[Subscription | _Group, ...]] = {}
        self._heard: dict[str, bool] = {}
        self._listeners: dict[str, frozenset[str]] = {}
        self._requests = Requests(replica, clock=clock, publish=self._ask, listen=self._listen)
        self._replies: list[Subscription] = []
        self._counters = Counters(metrics)
        metrics.gauges_from("kaa_bus_queued", "Messages that wait for a listener", "listener", self._queued)

    def publish(self, subject: Subject[M], message: M, *, reply_to: Subject[Any] | None = None) -> None:
        """Send and go on."""
        routes = self._routes.get(subject.name)
        if routes is None:
            routes = self._route(subject.name)
        if self._is_wired:
            data = encode(message)
            for route in routes:
                route.put(decode(subject.message, data, is_frozen=True), reply_to)
        else:
            for route in routes:
                route.put(message, reply_to)
        if not routes and reply_to is not None and subject.reply is not None:
            now, reason = self.clock.now_ms(), unreachable(subject)
            self.publish(reply_to, answer(subject.reply, message, status_code=503, reason=reason, at_ms=now, by=""))

    def is_heard(self, subject: Subject[Any]) -> bool:
        """Whether anybody may be listening."""
        heard = self._heard.get(subject.name)
        if heard is None:
            heard = any(is_overlap(s.subject.name, subject.name) for s in self._subscriptions)
            if len(self._heard) >= _MAX_ROUTES:
                self._heard.clear()
            self._heard[subject.name] = heard
        return heard

    def listeners(self, subject: Subject[Any]) -> frozenset[str]:
        """Name the instances in this process that answer to what is published there."""
        found = self._listeners.get(subject.name)
        if found is None:
            found = frozenset(
                s.queue
                for s in self._subscriptions
                if s.subject.reply is not None and is_match(s.subject.name, subject.name)
            )
            if len(self._listeners) >= _MAX_ROUTES:
                self._listeners.clear()
            self._listeners[subject.name] = found
        return found

    async def request(self, subject: RequestSubject[M, R], message: M, *, timeout_ms: int = 10_000) -> R:
        """Send and wait for the one answer."""
        if not self.is_heard(subject):
            raise Unavailable(unreachable(subject))
        return await self._requests.ask(subject, message, timeout_ms)

    @asynccontextmanager
    async def subscribe(
        self, subject: Subject[M], handler: Handler[M], *, queue: str, concurrency: int = 1
    ) -> AsyncIterator[None]:
        """Hear messages one by one while the block lasts."""
        async with self._subscribed(subject, one_by_one(handler), queue, concurrency, 1):
            yield

    @asynccontextmanager
    async def subscribe_batches(
        self, subject: Subject[M], handler: BatchHandler[M], *, queue: str, concurrency: int = 1, max_batch: int = 1000
    ) -> AsyncIterator[None]:
        """Hear all that is queued at a time, in order."""
        async with self._subscribed(subject, handler, queue, concurrency, max_batch):
            yield

    @asynccontextmanager
    async def _subscribed(
        self, subject: Subject[Any], handler: BatchHandler[Any], queue: str, concurrency: int, max_batch: int
    ) -> AsyncIterator[None]:
        subscription = self._add(subject, handler, queue, concurrency, max_batch)
        try:
            yield
        finally:
            self._subscriptions.remove(subscription)
            self._forget_routes()
            await subscription.stop()

    def _add(
        self, subject: Subject[Any], handler: BatchHandler[Any], queue: str, concurrency: int, max_batch: int
    ) -> Subscription:
        tokens(subject.name)
        subscription = Subscription(
            subject,
            handler,
            queue,
            limit=self.queue_size,
            publish=self.publish,
            clock=self.clock,
            counters=self._counters,
            tasks=self._tasks,
            max_batch=max_batch,
            concurrency=concurrency,
        )
        self._subscriptions.append(subscription)
        self._forget_routes()
        return subscription

    def _queued(self) -> dict[str, float]:
        return {name: length for name, (length, _) in self.depths().items()}

    def depths(self) -> dict[str, tuple[int, int]]:
        """Give each queue's length and limit, by `subject → queue`."""
        return {f"{s.subject.name} → {s.queue}": (len(s), self.queue_size) for s in self._subscriptions}

    async def close(self) -> None:
        """Stop what the bus itself runs."""
        for subscription in self._replies:
            await subscription.stop()

    def _ask(self, subject: Subject[Any], message: Any, reply_to: Subject[Any]) -> None:
        self.publish(subject, message, reply_to=reply_to)

    def _listen(self, reply_to: Subject[Any]) -> None:
        self._replies.append(self._add(reply_to, self._requests.on_replies, self.replica, 1, 1000))

    def _forget_routes(self) -> None:
        self._routes.clear()
        self._heard.clear()
        self._listeners.clear()

    def _route(self, name: str) -> tuple[Subscription | _Group, ...]:
        if has_wildcard(name):
            raise ValueError(f"cannot publish to a pattern: {name}")
        groups: dict[str, list[Subscription]] = {}
        for subscription in self._subscriptions:
            if is_match(subscription.subject.name, name):
                groups.setdefault(subscription.queue, []).append(subscription)
        if len(self._routes) >= _MAX_ROUTES:
            self._routes.clear()
        routes = tuple(found[0] if len(found) == 1 else _Group(found) for found in groups.values())
        self._routes[name] = routes
        return routes
