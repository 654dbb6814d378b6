"""The bus over NATS: Avro on the wire, queue groups, replies; what 3/ISM describes, for services in other processes.

A publish is encoded at once and sent by one task, which sends all that has gathered. Where nobody listens the server
says so, and whoever wanted an answer is told at once. While the connection is away what wants an answer is refused,
what does not is held back as far as there is room, and the client comes back by itself.

Who is told of nobody: the server names the subject (`Nats-Subject`), not the message, so the oldest unanswered one of
the subject is taken. Only while a listener comes or goes can that be another one, and to its sender a refusal with 503
means that it is not known what became of it: it is sent again.
"""

import asyncio
from collections import deque
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from typing import Any, TypeVar
from urllib.parse import urlsplit

import nats.errors
import structlog
from nats.aio.client import Client
from nats.aio.msg import Msg

from kaa.core.bus import BatchHandler, Handler, unreachable
from kaa.core.bus.requests import Requests
from kaa.core.bus.subscription import Counters, Subscription, one_by_one
from kaa.core.clock import Clock
from kaa.core.errors import ProtocolError, StartupError, Unavailable
from kaa.core.messages import answer, decode, encode
from kaa.core.metrics import Metrics
from kaa.core.subjects import RequestSubject, Subject, has_wildcard, is_match, tokens
from kaa.core.tasks import Tasks

log = structlog.get_logger(__name__)

M = TypeVar("M")
R = TypeVar("R")

_CONNECT_S = 10.0
_LEAVE_S = 2.0
_RECONNECT_WAIT_S = 1
_PENDING_BYTES = 64 * 1024 * 1024
_REPLICA = "kaa.v1.replica."


class NatsBus:
    """The bus over a NATS server."""

    def __init__(
        self,
        servers: str,
        *,
        replica: str,
        clock: Clock,
        tasks: Tasks,
        metrics: Metrics,
        queue_size: int = 65_536,
    ) -> None:
        self.replica, self.clock, self.queue_size = replica, clock, queue_size
        self._servers = [server.strip() for server in servers.split(",") if server.strip()]
        self._tasks = tasks
        self._client: Client = Client()
        self._subscriptions: list[Subscription] = []
        self._replies: list[Subscription] = []
        self._outgoing: deque[tuple[str, bytes, str] | Subscription] = deque()
        self._has_outgoing = asyncio.Event()
        self._asked: dict[tuple[str, str], tuple[Subject[Any], Any]] = {}
        self._requests = Requests(replica, clock=clock, publish=self._ask, listen=self._listen)
        self._counters = Counters(metrics)
        metrics.gauges_from("kaa_bus_queued", "Messages that wait for a listener", "listener", self._queued)

    @asynccontextmanager
    async def opened(self) -> AsyncIterator["NatsBus"]:
        """Be connected while the block lasts; StartupError if no server can be reached."""
        where = ", ".join(_shown(server) for server in self._servers)
        try:
            async with asyncio.timeout(_CONNECT_S):
                await self._client.connect(
                    servers=self._servers,
                    name=f"kaa {self.replica}",
                    max_reconnect_attempts=-1,
                    reconnect_time_wait=_RECONNECT_WAIT_S,
                    pending_size=_PENDING_BYTES,
                    error_cb=_on_error,
                    disconnected_cb=_on_disconnected,
                    reconnected_cb=_on_reconnected,
                )
        except (OSError, nats.errors.Error, TimeoutError) as error:
            await self._client.close()
            reason = "nobody answers there" if isinstance(error, TimeoutError) else str(error)
            raise StartupError(f"cannot reach NATS at {where} (bus.url, KAA_BUS_URL): {reason}") from error
        log.info("bus_connected", servers=where)
        sending = self._tasks.spawn(self._send(), name="bus nats")
        try:
            yield self
        finally:
            for subscription in self._replies:
                await subscription.stop()
            with suppress(nats.errors.Error, TimeoutError):
                async with asyncio.timeout(_LEAVE_S):
                    await self._flush()
            await self._tasks.stop(sending)
            with suppress(RuntimeError):  # uvloop's, when what is held back goes to a connection that is gone
                await self._client.close()

    def publish(self, subject: Subject[M], message: M, *, reply_to: Subject[Any] | None = None) -> None:
        """Send and go on."""
        if has_wildcard(subject.name):
            raise ValueError(f"cannot publish to a pattern: {subject.name}")
        reply_name = ""
        if reply_to is not None:
            reply_name = reply_to.name
            if subject.reply is not None:
                self._expect_answer(subject, message, reply_name)
                if not self._client.is_connected:
                    self._tell_nobody(reply_name, subject.name)
                    return
        if len(self._outgoing) >= self.queue_size:
            self._counters.overflows.labels(subject.name, "nats").inc()
            self._tell_nobody(reply_name, subject.name)
            return
        self._outgoing.append((subject.name, encode(message), reply_name))
        self._has_outgoing.set()

    def is_heard(self, subject: Subject[Any]) -> bool:  # noqa: ARG002  nobody knows who else is connected
        """Whether anybody may be listening: always, for others may be connected."""
        return True

    def listeners(self, subject: Subject[Any]) -> frozenset[str]:
        """Name the instances in this process that answer to what is published there."""
        return frozenset(
            s.queue
            for s in self._subscriptions
            if s.subject.reply is not None and is_match(s.subject.name, subject.name)
        )

    async def request(self, subject: RequestSubject[M, R], message: M, *, timeout_ms: int = 10_000) -> R:
        """Send and wait for the one answer."""
        if not self._client.is_connected:
            raise Unavailable(f"{unreachable(subject)}: there is no connection to NATS")
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

    def _queued(self) -> dict[str, float]:
        return {name: length for name, (length, _) in self.depths().items()}

    def depths(self) -> dict[str, tuple[int, int]]:
        """Give each queue's length and limit, by `subject → queue`."""
        found = {f"{s.subject.name} → {s.queue}": (len(s), self.queue_size) for s in self._subscriptions}
        return {**found, "nats": (len(self._outgoing), self.queue_size)}

    def problem(self) -> str | None:
        """Say what is wrong, for `/health`."""
        return None if self._client.is_connected else "there is no connection to NATS"

    @asynccontextmanager
    async def _subscribed(
        self, subject: Subject[Any], handler: BatchHandler[Any], queue: str, concurrency: int, max_batch: int
    ) -> AsyncIterator[None]:
        tokens(subject.name)
        subscription = self._made(subject, handler, queue, concurrency, max_batch)
        async with AsyncExitStack() as stack:
            stack.push_async_callback(subscription.stop)
            heard = await self._hear(subscription)
            self._subscriptions.append(subscription)
            await self._flush()  # from here on what is published is heard
            try:
                yield
            finally:
                self._subscriptions.remove(subscription)
                with suppress(nats.errors.Error, TimeoutError):
                    async with asyncio.timeout(_LEAVE_S):
                        await heard.drain()

    def _made(
        self, subject: Subject[Any], handler: BatchHandler[Any], queue: str, concurrency: int, max_batch: int
    ) -> Subscription:
        return Subscription(
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

    async def _hear(self, subscription: Subscription) -> Any:
        subject = subscription.subject
        is_for_replies = subject.name.startswith(_REPLICA)

        async def on_message(found: Msg) -> None:
            if not found.data and found.headers and found.headers.get("Status") == "503":
                self._tell_nobody(found.subject, found.headers.get("Nats-Subject"))
                return
            try:
                message = decode(subject.message, found.data)
            except ProtocolError as error:
                self._counters.unreadable.inc()
                log.warning("message_unreadable", subject=found.subject, reason=str(error))
                return
            if is_for_replies:
                self._asked.pop((message.correlation_id, found.subject), None)
            reply_to = Subject(found.reply, subject.reply) if found.reply and subject.reply is not None else None
            subscription.put(message, reply_to)

        return await self._client.subscribe(
            subject.name,
            # what is for one replica needs no group, and only plain subscriptions are told that nobody listens
            queue="" if is_for_replies else subscription.queue,
            cb=on_message,
            pending_msgs_limit=self.queue_size,
            pending_bytes_limit=_PENDING_BYTES,
        )

    async def _send(self) -> None:
        outgoing = self._outgoing
        while True:
            await self._has_outgoing.wait()
            self._has_outgoing.clear()
            while outgoing:
                one = outgoing.popleft()
                if isinstance(one, Subscription):
                    await self._hear(one)
                    continue
                name, data, reply_name = one
                try:
                    await self._client.publish(name, data, reply=reply_name)
                except nats.errors.Error as error:  # too large, or too much held back
                    log.warning("message_not_sent", subject=name, size=len(data), reason=str(error) or repr(error))
                    self._counters.overflows.labels(name, "nats").inc()
                    self._tell_nobody(reply_name, name)

    async def _flush(self) -> None:
        while self._outgoing:  # noqa: ASYNC110  emptied by a task that needs a turn or two
            await asyncio.sleep(0)
        if self._client.is_connected:
            await self._client.flush()
            # the client's PING overtakes what it holds back to be written together; the second one comes behind it
            await self._client.flush()

    # answers

    def _ask(self, subject: Subject[Any], message: Any, reply_to: Subject[Any]) -> None:
        self.publish(subject, message, reply_to=reply_to)

    def _listen(self, reply_to: Subject[Any]) -> None:
        subscription = self._made(reply_to, self._requests.on_replies, self.replica, 1, 1000)
        self._replies.append(subscription)
        self._outgoing.append(subscription)  # before the request that it is for
        self._has_outgoing.set()

    def _expect_answer(self, subject: Subject[Any], message: Any, reply_name: str) -> None:
        while len(self._asked) >= self.queue_size:  # of listeners that never answer
            del self._asked[next(iter(self._asked))]
        self._asked[message.correlation_id, reply_name] = (subject, message)

    def _tell_nobody(self, reply_name: str, name: str | None) -> None:
        """Answer the oldest message of a subject that wants its answer there, in the stead of nobody."""
        found = (k for k, (s, _) in self._asked.items() if k[1] == reply_name and name in {None, s.name})
        key = next(found, None)
        if key is None:
            return
        subject, message = self._asked.pop(key)
        if self._requests.fail(key[0], subject) or subject.reply is None:
            return
        now, reason = self.clock.now_ms(), unreachable(subject)
        refusal = answer(subject.reply, message, status_code=503, reason=reason, at_ms=now, by="")
        for subscription in self._subscriptions:
            if subscription.subject.name == reply_name:
                subscription.put(refusal, None)
                return


async def _on_error(error: Exception) -> None:
    log.warning("bus_error", reason=str(error) or repr(error))


async def _on_disconnected() -> None:
    log.warning("bus_disconnected")


async def _on_reconnected() -> None:
    log.info("bus_connected_again")


def _shown(server: str) -> str:
    """Spell a server's address without what may be a password."""
    found = urlsplit(server if "//" in server else f"nats://{server}")
    return f"{found.hostname}:{found.port or 4222}"
