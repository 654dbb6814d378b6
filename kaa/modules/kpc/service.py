"""The rules of KPC: from a message of a client to the extension service, and from its answer back."""

import asyncio
from collections.abc import Callable

from kaa.core.bus import Bus
from kaa.core.clock import Clock
from kaa.core.errors import Forbidden, Refusal
from kaa.core.ids import Ids
from kaa.core.log import is_debug
from kaa.core.metrics import Metrics
from kaa.core.subjects import Subject
from kaa.core.tasks import Tasks
from kaa.protocols import kp
from kaa.protocols.ecap import EndpointTokenRevokedEvent
from kaa.protocols.esp import ClientData, ExtensionData
from kaa.protocols.names import EndpointId, InstanceName
from kaa.protocols.x_outbox import EventProcessed

from . import trace
from .config import KpcConfig
from .models import Connection, Inbound, Route, Tally, TokenEntry, token_hash
from .notes import Notes
from .outcomes import is_final
from .presence import Presence
from .routing import Routing
from .tokens import Tokens
from .traffic import Traffic
from .waiting import Acknowledged, Waiting

_SWEEP_MS = 250
_MINUTE_MS = 60_000
_FLUSHES = 32  # each is a system call, which lets go of the interpreter
"""How many connections are written to before others have their turn: each costs a call of the system."""


class Communication:
    """Carries messages between clients and extension services.

    While `is_full` the doors do not read: more messages wait for their answers than are to be in the queues of the bus,
    which would refuse what comes then. `on_room` is called when they may go on.
    """

    def __init__(
        self,
        *,
        name: str,
        config: KpcConfig,
        routing: Routing,
        tokens: Tokens,
        presence: Presence,
        notes: Notes,
        traffic: Traffic,
        max_waiting: int,
        reply_to: Subject[ExtensionData],
        bus: Bus,
        clock: Clock,
        ids: Ids,
        tasks: Tasks,
        metrics: Metrics,
    ) -> None:
        self._name, self._config = name, config
        self._routing, self._tokens, self._presence, self._notes = routing, tokens, presence, notes
        self._in_use, self._reliable = presence.entries, presence.reliable
        self._traffic, self._spoken = traffic, traffic.spoken
        self._reply_to, self._bus, self._clock, self._ids, self._tasks = reply_to, bus, clock, ids, tasks
        self._correlation_id: Callable[[], str] = ids.correlation_id
        self._waiting: dict[str, Waiting] = {}
        # apart from the others, since nobody has promised an answer, and nothing waits for it
        self._acknowledged: dict[str, Waiting] = {}
        self._unidentified = 0
        self._max_waiting = max_waiting
        self._received = self._pushed = 0
        self._is_debug = is_debug()
        self.is_full = False
        self.on_room: Callable[[], None] = lambda: None
        self._messages = metrics.counter("kaa_kpc_messages_total", "Messages answered", ("extension", "status"))
        self._latency = metrics.histogram("kaa_kpc_answer_seconds", "From a message to its answer, one of each burst")
        self._stops = metrics.counter("kaa_kpc_full_total", "Times that reading stopped for too much to do")
        metrics.counter_from("kaa_kpc_messages_received_total", "Messages received", lambda: self._received)
        metrics.counter_from(
            "kaa_kpc_messages_pushed_total", "Messages that devices did not ask for, sent", lambda: self._pushed
        )
        metrics.gauge_from("kaa_kpc_waiting", "Messages that wait for their answer", self._count)
        metrics.gauge_from("kaa_kpc_endpoints", "Endpoints that are connected", lambda: len(presence))

    # from the doors

    def on_message(self, connection: Connection, message: Inbound, now_ms: int) -> None:
        """Take a message of a client; its outcome comes back through `connection.finish`, now or later.

        Raises:
            ProtocolError: the topic is none of 1/KP.
        """
        self._received += 1
        route, request_id = self._routing.find(message.topic)
        if route.refusal is not None:
            self._refuse(connection, message, route, route.refusal)
            return
        if route.token is None:
            self._forward(connection, message, route, None, request_id, now_ms)
            return
        entry = route.entry
        if entry is None or entry.valid_until_ms <= now_ms:
            entry = route.entry = self._tokens.find(route.application, route.token, now_ms)
            if entry is None:
                self._unidentified += 1
                self._tokens.ask(
                    route.application,
                    route.token,
                    lambda found: self._found(connection, message, route, request_id, found),
                )
                return
        if entry.refusal is not None:
            self._refuse(connection, message, route, entry.refusal)
            return
        self._forward(connection, message, route, entry, request_id, now_ms)

    def end_of_read(self) -> None:
        """Tell what a burst of messages has brought; others may have to wait for it."""
        self._presence.tell_arrivals()
        if not self.is_full and self._count() >= self._max_waiting:
            self.is_full = True
            self._stops.inc()

    def on_gone(self, connection: Connection) -> None:
        """Note that a connection has ended."""
        self._presence.leave_all(connection)

    # from the bus

    async def on_extension_data(self, answers: list[ExtensionData]) -> None:
        """Take what extension services answer and push."""
        touched: dict[Connection, None] = {}
        counts: dict[tuple[str, int], int] = {}
        waiting = None
        for answer in answers:
            waiting = self._waiting.pop(answer.correlation_id, None)
            if waiting is None and self._acknowledged:
                waiting = self._acknowledged.pop(answer.correlation_id, None)
            if waiting is None:
                connection = self._push(answer)
                if connection is not None:
                    touched[connection] = None
                continue
            if self._is_debug:
                trace.answered(answer.correlation_id, waiting, answer.status_code, answer.reason_phrase)
            key = (waiting.route.extension, answer.status_code)
            counts[key] = counts.get(key, 0) + 1
            self._finish(waiting, answer.status_code, answer.reason_phrase, answer.payload)
            touched[waiting.connection] = None
        for number, connection in enumerate(touched, 1):
            connection.flush()
            if not number % _FLUSHES:
                await asyncio.sleep(0)
        if len(answers) > _FLUSHES:  # there may be more where they came from
            await asyncio.sleep(0)
        self._look_for_room()
        for (extension, status), count in counts.items():
            self._messages.labels(extension, str(status)).inc(count)
        if waiting is not None:
            self._latency.observe((self._clock.monotonic_ms() - waiting.since_ms) / 1000)

    async def on_token_revoked(self, event: EndpointTokenRevokedEvent) -> EventProcessed:
        """Take an endpoint off its connection; the connection ends if it was the last on it.

        One that speaks with another token, which is still good, stays where it is.
        """
        left = self._tokens.forget(event.endpoint_id, frozenset(event.token_ids))
        in_use = self._in_use.get(event.endpoint_id)
        if in_use is None or in_use.token not in left:
            connection = self._presence.leave(event.endpoint_id)
            if connection is not None and not connection.endpoints:
                connection.close(403, "the endpoint token is no longer valid")
        return EventProcessed(
            correlation_id=event.correlation_id,
            timestamp_ms=self._clock.now_ms(),
            receiver_service_instance_name=self._name,
            status_code=200,
        )

    async def run(self) -> None:
        """Give up on what has waited too long; for a task of its own."""
        while True:
            await self._clock.sleep_ms(_SWEEP_MS)
            await self.sweep()

    async def sweep(self) -> None:
        """Give up on what has waited too long."""
        limit = self._clock.monotonic_ms() - self._config.request_timeout
        for number, (waiting, correlation_id) in enumerate(self._late(limit), 1):
            if not number % _FLUSHES:
                await asyncio.sleep(0)
            one = waiting.pop(correlation_id, None)
            if one is None:  # answered while others had their turn
                continue
            if waiting is self._acknowledged and one.request_id is None:
                continue
            reason = f"{one.route.extension} did not answer within {self._config.request_timeout / 1000:g} s"
            if self._is_debug:
                trace.answered(correlation_id, one, 504, reason)
            self._finish(one, 504, reason, None)
            one.connection.flush()
        self._look_for_room()

    def _late(self, limit: int) -> list[tuple[dict[str, Waiting], str]]:
        found = []
        for waiting in (self._waiting, self._acknowledged):
            for correlation_id, one in waiting.items():  # in the order in which they came
                if one.since_ms > limit:
                    break
                found.append((waiting, correlation_id))
        return found

    def _count(self) -> int:
        return len(self._waiting) + self._unidentified

    def _look_for_room(self) -> None:
        if self.is_full and 4 * self._count() <= 3 * self._max_waiting:
            self.is_full = False
            self.on_room()

    # the way in

    def _found(
        self, connection: Connection, message: Inbound, route: Route, request_id: int | None, entry: TokenEntry
    ) -> None:
        self._unidentified -= 1
        if entry.refusal is not None:
            self._refuse(connection, message, route, entry.refusal)
            if entry.refusal.status == 401:
                self._count_unknown(connection, entry)
        else:
            route.entry = entry
            connection.has_shown_token = True
            self._forward(connection, message, route, entry, request_id, self._clock.now_ms())
        self._presence.tell_arrivals()
        connection.flush()
        self._look_for_room()

    def _forward(
        self,
        connection: Connection,
        message: Inbound,
        route: Route,
        entry: TokenEntry | None,
        request_id: int | None,
        now_ms: int,
    ) -> None:
        endpoint_id = None
        if entry is not None:
            endpoint_id = entry.endpoint_id
            assert endpoint_id is not None
            if connection.endpoints.get(endpoint_id) != route.version:
                if not self._arrive(connection, endpoint_id, route, entry):
                    self._refuse(connection, message, route, Forbidden("this connection carries too many endpoints"))
                    return
            elif self._in_use.get(endpoint_id) is not entry and not connection.is_gone:
                self._in_use[endpoint_id] = entry
            if message.qos and endpoint_id not in self._reliable and not connection.is_gone:
                self._reliable.add(endpoint_id)
            if not entry.received_count:
                self._spoken.append(entry)
            entry.received_count += 1
            entry.received_bytes += len(message.payload)
        correlation_id = self._correlation_id()
        data = ClientData(
            correlation_id=correlation_id,
            timestamp_ms=now_ms,
            app_version_name=route.version,
            endpoint_id=endpoint_id,
            resource_path=route.resource_path,
            request_id=request_id,
            payload=message.payload,
        )
        assert route.subject is not None
        if self._is_debug:
            trace.received(correlation_id, message, route, entry)
        since_ms = self._clock.monotonic_ms()
        self._waiting[correlation_id] = Waiting(connection, message, route, entry, request_id, since_ms)
        self._bus.publish(route.subject, data, reply_to=self._reply_to)
        if not route.has_receipts and self._bus.is_heard(route.subject):
            self._acknowledge(correlation_id)

    def _acknowledge(self, correlation_id: str) -> None:
        """Acknowledge a message that has been handed on; an answer that comes all the same is told."""
        waiting = self._acknowledged[correlation_id] = self._waiting.pop(correlation_id)
        connection, waiting.connection = waiting.connection, Acknowledged(waiting.connection)
        connection.finish(waiting.message, 200, has_answer=False)
        if len(self._acknowledged) > self._max_waiting:
            del self._acknowledged[next(iter(self._acknowledged))]

    def _arrive(self, connection: Connection, endpoint_id: EndpointId, route: Route, entry: TokenEntry) -> bool:
        if connection.is_gone:
            return True  # what it has said counts, but no endpoint is there
        if len(connection.endpoints) >= self._config.max_endpoints_per_connection:
            return endpoint_id in connection.endpoints
        connection.has_shown_token = True
        self._presence.arrive(connection, endpoint_id, route.version, entry)
        return True

    def _count_unknown(self, connection: Connection, entry: TokenEntry) -> None:
        """Close a connection that tries tokens out."""
        if connection.has_shown_token:
            return
        now_ms = self._clock.now_ms()
        tally = connection.tally
        if tally is None or now_ms - tally.since_ms > _MINUTE_MS:
            tally = connection.tally = Tally(now_ms)
        tally.hashes.add(token_hash(entry.token))
        if len(tally.hashes) > self._config.unknown_tokens_per_minute:
            connection.close(401, "too many unknown endpoint tokens")

    # the way out

    def _finish(self, waiting: Waiting, status_code: int, reason: str | None, payload: bytes | None) -> None:
        connection, message = waiting.connection, waiting.message
        if status_code < 300:
            has_answer = waiting.request_id is not None or bool(payload)
            connection.finish(message, status_code, reason, payload, has_answer=has_answer)
            if has_answer and waiting.entry is not None and not connection.is_gone:
                self._traffic.note_sent(waiting.entry, len(payload or b""))
            return
        reason = reason or f"{waiting.route.extension} refused it with {status_code}"
        if status_code == 500 and self._notes.has_failed_too_often(message):
            work = self._notes.give_up(connection, message, waiting.route, waiting.entry, reason)
            self._tasks.spawn(work, name="kpc gives a message up")
            return
        self._notes.refused(message, waiting.route, waiting.entry, status_code, reason)
        connection.finish(message, status_code, reason)
        if waiting.entry is not None and is_final(status_code) and not connection.is_gone:
            self._traffic.note_sent(waiting.entry, len(kp.error_payload(status_code, reason)))

    def _refuse(self, connection: Connection, message: Inbound, route: Route, no: Refusal) -> None:
        if self._is_debug:
            trace.refused(self._correlation_id(), message, route, no)
        self._messages.labels(route.extension if route.subject is not None else "none", str(no.status)).inc()
        self._notes.refused(message, route, None, no.status, no.reason)
        connection.finish(message, no.status, no.reason)

    def _push(self, data: ExtensionData) -> Connection | None:
        """Send what an extension service says unasked to the connection that last spoke for the endpoint."""
        if data.endpoint_id is None or data.app_version_name is None or data.extension_instance_name is None:
            return None
        connection, entry = self._presence.find(data.endpoint_id), self._in_use.get(data.endpoint_id)
        if connection is None or entry is None or data.request_id is not None:
            return None
        extension, payload = InstanceName(data.extension_instance_name), data.payload or b""
        topic = kp.push_topic(data.app_version_name, extension, entry.token, data.resource_path)
        connection.push(topic, payload, is_reliable=data.endpoint_id in self._reliable)
        self._traffic.note_sent(entry, len(payload))
        self._pushed += 1
        return connection
