"""One MQTT connection: the socket's side of a session."""

import asyncio
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, cast

import structlog

from kaa.core.errors import ProtocolError
from kaa.protocols import kp
from kaa.protocols.mqtt import packets as p
from kaa.protocols.mqtt.codec import StreamError
from kaa.protocols.mqtt.events import Disconnected, Event, Received, Repeated
from kaa.protocols.mqtt.reasons import Reason
from kaa.protocols.mqtt.server import ServerSession
from kaa.protocols.mqtt.session import SessionState, UnderWay
from kaa.protocols.names import AppVersionName, EndpointId

from ..config import Authentication
from ..models import Client, Tally
from ..outcomes import farewell_reason, is_final, receipt_reason
from . import answers
from .admission import admit
from .departed import say_will

if TYPE_CHECKING:
    from .mqtt import MqttDoor

log = structlog.get_logger(__name__)

_FAREWELL_MS = 5_000
_NOBODY = Client((), "")


class Connection(asyncio.Protocol):
    """Bytes from the socket to the session, its events to the service, its output back, in one write a wake-up."""

    __slots__ = (
        "_door",
        "_ended",
        "_has_kept_session",
        "_has_published_elsewhere",
        "_held",
        "_is_held_up",
        "_is_paused",
        "_qos",
        "_read_ms",
        "_session",
        "_transport",
        "certificate",
        "client",
        "endpoints",
        "has_shown_token",
        "required",
        "tally",
    )

    def __init__(self, door: "MqttDoor", required: Authentication) -> None:
        config = door.config
        self._door, self.required = door, required
        self._session = ServerSession(
            max_packet_bytes=config.max_packet,
            max_topic_bytes=config.max_topic,
            in_flight=config.in_flight,
            max_expiry_s=config.session_expiry // 1000,
        )
        self._transport: asyncio.Transport | None = None
        self._read_ms = door.clock.monotonic_ms()
        self._is_paused = False
        self._has_kept_session = False
        self._has_published_elsewhere = False
        self._is_held_up = False
        self._held = b""
        self.client = _NOBODY
        self.certificate: bytes | None = None
        """The client's own, as TLS has verified it."""
        self._ended = ""
        self._qos = 0
        self.endpoints: dict[EndpointId, AppVersionName] = {}
        self.tally: Tally | None = None
        self.has_shown_token = False

    @property
    def unsettled(self) -> int:
        """How many messages wait for their outcome."""
        return self._session.unsettled

    @property
    def is_gone(self) -> bool:
        """Whether it has ended."""
        return self._transport is None

    @property
    def is_over(self) -> bool:
        """Whether it has ended, or is about to."""
        return bool(self._ended)

    # from the socket

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Begin."""
        self._transport = cast("asyncio.Transport", transport)
        if not self._door.add(self):
            self._transport.abort()
            return
        encryption = self._transport.get_extra_info("ssl_object")
        if encryption is not None:
            self.certificate = encryption.getpeercert(binary_form=True)
        # what a client does not take beyond that ends the connection: see `pause_writing`
        self._transport.set_write_buffer_limits(high=self._door.config.max_unsent)

    def data_received(self, data: bytes) -> None:
        """Take what has been read."""
        if self._ended:
            return
        self._door.received_bytes += len(data)
        if self._door.communication.is_full:
            self._held += data
            self._hold_up()
            self.flush()
            return
        try:
            self._handle(self._session.receive(data))
        except StreamError as error:
            self._handle(error.before)
            self._fail(error)
        if self._session.version:  # a CONNECT that drips in has its time from the beginning
            self._read_ms = self._door.clock.monotonic_ms()
        self.flush()

    def pause_writing(self) -> None:
        """End the connection of a client that does not read what it is sent."""
        self._ended = self._ended or "slow_reader"
        if self._transport is not None:
            self._transport.abort()

    def eof_received(self) -> bool:
        """Close when the other side has."""
        return False

    def connection_lost(self, exc: Exception | None) -> None:
        """Say for the client what it wanted said, and let its endpoints go."""
        self._transport = None
        self._door.remove(self, self._ended or ("reset" if exc is not None else "closed"))
        self._ended = self._ended or "closed"
        self._session.close()
        will, self._session.will = self._session.will, None
        if will is not None:
            say_will(self._door, self.endpoints, will)
        if self.endpoints:
            self._door.communication.on_gone(self)
        if self.client.credentials:
            self._door.clients.leave(self.client, self)
        self._leave_session()

    def check_time(self, now_ms: int) -> None:
        """End the connection if it has been silent for too long, or does not take its farewell."""
        if self._ended:
            if self._transport is not None and now_ms - self._read_ms > _FAREWELL_MS:
                self._transport.abort()
            return
        if self._is_held_up:  # what it has said already may be a CONNECT
            self._read_ms = now_ms
            return
        session = self._session
        if not session.is_open:
            if now_ms - self._read_ms > self._door.config.connect_timeout and not session.version:
                self.end("connect_timeout", Reason.KEEP_ALIVE_TIMEOUT, "no CONNECT came in time")
            return
        if self._is_paused:  # while we do not read, the client cannot be late
            self._read_ms = now_ms
            return
        deadline = session.deadline(self._read_ms / 1000)
        if deadline is not None and now_ms / 1000 > deadline:
            self.end("keep_alive", Reason.KEEP_ALIVE_TIMEOUT, "nothing came for one and a half times the keep-alive")

    # from the service

    def finish(
        self,
        message: Received,
        status_code: int,
        reason: str | None = None,
        payload: bytes | None = None,
        *,
        has_answer: bool = True,
        is_given_up: bool = False,
    ) -> None:
        """Take the outcome of a message, and do what the table of delivery says."""
        if self._ended:
            if message.qos == 2:
                self._finish_late(message, status_code, reason, payload, has_answer=has_answer, is_given_up=is_given_up)
            return
        session = self._session
        if status_code < 300:
            session.settle(
                message, answers=answers.encoded(session, message, "/status", payload or b"") if has_answer else b""
            )
            return
        reason = reason or str(status_code)
        if message.qos and not (is_given_up or is_final(status_code)):
            self._leave(message)
            self.end(f"status_{status_code}", farewell_reason(status_code), reason)
            return
        answer: bytes | list[bytes] = b""
        if has_answer:
            answer = answers.encoded(session, message, "/error", kp.error_payload(status_code, reason))
        session.settle(message, receipt_reason(status_code), answers=answer, reason_string=reason)

    def _finish_late(
        self,
        message: Received,
        status_code: int,
        reason: str | None,
        payload: bytes | None,
        *,
        has_answer: bool,
        is_given_up: bool,
    ) -> None:
        """Remember for the session what became of a QoS 2 message, and tell the connection that waits for it."""
        first = self._leave(message)
        if first is None:  # its PUBREC has left, or the id means something else by now
            return
        if is_given_up or is_final(status_code):
            self._session.settle(message, receipt_reason(status_code))
        if first.heir is not None:
            first.heir(status_code, reason, payload, has_answer=has_answer, is_given_up=is_given_up)

    def _leave(self, message: Received) -> UnderWay | None:
        return self._session.leave(message) if message.qos == 2 else None

    def tell(self, message: Received, status_code: int, reason: str | None, payload: bytes | None) -> None:
        """Send the answer to a message whose outcome is settled."""
        answers.publish(self._session, message, status_code, reason, payload)

    def push(self, topic: str, payload: bytes, *, is_reliable: bool) -> None:
        """Send something that was not asked for, at QoS 1 if the endpoint or a subscription has said so."""
        self._session.publish(topic, payload, 1 if is_reliable else self._qos)

    def flush(self) -> None:
        """Go on with what was read and not looked at, then write what has gathered, then read or pause."""
        session = self._session
        while session.has_more and not self._ended:
            if self._door.communication.is_full:
                self._hold_up()
                break
            try:
                self._handle(session.receive())
            except StreamError as error:
                self._handle(error.before)
                self._fail(error)
        transport = self._transport
        if transport is None:
            return
        if session.has_output:
            output = session.take_output()
            self._door.sent_bytes += len(output)
            transport.write(output)
        if self._ended:
            transport.close()
            return
        if (session.wants_pause or self._is_held_up or self._door.is_closing) is not self._is_paused:
            self._is_paused = not self._is_paused
            if self._is_paused:
                transport.pause_reading()
            else:
                self._read_ms = self._door.clock.monotonic_ms()
                transport.resume_reading()

    def _hold_up(self) -> None:
        """Read no more until there is room for what clients say."""
        self._is_held_up = True
        self._door.hold_up(self)

    def go_on(self) -> None:
        """Take what was held back, and read again."""
        self._is_held_up = False
        held, self._held = self._held, b""
        if held:
            self.data_received(held)
        else:
            self.flush()

    def yield_place(self) -> None:
        """End the connection of a client that has come again, and leave it its session [MQTT-3.1.4-2]."""
        self._leave_session()
        # CONNACK knows no word for it, where its own CONNECT has not been answered yet
        reason_code = Reason.SESSION_TAKEN_OVER if self._session.is_open else Reason.SERVER_BUSY
        self.end("taken_over", reason_code, "the client has connected once more")

    def close(self, status_code: int, reason: str) -> None:
        """End the connection."""
        self.end(f"status_{status_code}", Reason.NOT_AUTHORIZED, reason)

    def end(self, why: str, reason_code: int, text: str) -> None:
        """Say farewell, as far as the version can, and close."""
        if self._ended:
            return
        self._ended = why
        self._read_ms = self._door.clock.monotonic_ms()
        if self._session.is_open:
            self._session.disconnect(reason_code, text)
        else:
            self._session.refuse(reason_code, text)
        self.flush()

    # what happens

    def _handle(self, events: Sequence[Event]) -> None:
        now_ms = self._door.clock.now_ms()
        for event in events:
            if type(event) is Received:
                self._on_message(event, now_ms)
            elif type(event) is Repeated:
                self._on_repeated(event)
            elif type(event) is p.Connect:
                admit(self, self._door, event)
            elif type(event) is p.Subscribe:
                self._on_subscribe(event)
            elif type(event) is p.Unsubscribe:
                self._session.release(event)
                self._save_session()
            elif type(event) is Disconnected:
                self._ended = self._ended or "disconnected"
        self._door.communication.end_of_read()

    def _on_message(self, message: Received, now_ms: int) -> None:
        if self._ended:
            self._leave(message)
            return
        if message.retain and self._session.version == p.V5:
            # [MQTT5-3.2.2-14]: we have said that there is no retaining
            self._leave(message)
            self.end("retain", Reason.RETAIN_NOT_SUPPORTED, "messages cannot be retained here")
            return
        try:
            self._door.communication.on_message(self, message, now_ms)
        except ProtocolError as error:
            self._on_elsewhere(message, error)

    def _on_repeated(self, event: Repeated) -> None:
        """Have the outcome of the first delivery, whose connection is gone, told here."""
        message = event.message

        def inherit(*outcome: Any, **more: Any) -> None:
            self.finish(message, *outcome, **more)
            self.flush()

        self._qos = 1
        event.first.heir = inherit

    def _on_elsewhere(self, message: Received, error: ProtocolError) -> None:
        shape = self._door.notes.elsewhere(message, error)
        if not self._has_published_elsewhere:
            self._has_published_elsewhere = True
            log.warning("published_elsewhere", client=self.client.client_id[:64], topic=shape, reason=str(error))
        self._session.settle(message, Reason.TOPIC_NAME_INVALID, reason_string=str(error))

    def accept(
        self,
        connect: p.Connect,
        client: Client,
        session: SessionState,
        *,
        is_present: bool = False,
        is_kept: bool = False,
    ) -> None:
        """Answer CONNECT with yes, and take what was sent behind it."""
        self.client, self._has_kept_session = client, is_kept
        self._qos = 1 if any(session.subscriptions.values()) else 0
        assigned = None if connect.client_id else client.client_id
        try:
            self._handle(self._session.accept(is_present, session, assigned_client_id=assigned))
        except StreamError as error:
            self._handle(error.before)
            self._fail(error)

    def _on_subscribe(self, subscribe: p.Subscribe) -> None:
        granted = self._session.grant(subscribe)
        if any(code in {1, 2} for code in granted.reason_codes):
            self._qos = 1
        self._save_session()

    def _save_session(self) -> None:
        if self._has_kept_session and (work := self._door.sessions.save(self.client)) is not None:
            self._door.in_background(work, "mqtt session")

    def _leave_session(self) -> None:
        if self._has_kept_session:
            self._has_kept_session = False
            self._door.sessions.leave(self.client)

    def _fail(self, error: ProtocolError) -> None:
        if self._ended:
            return
        try:
            self._ended = Reason(error.reason_code).name.lower()
        except ValueError:
            self._ended = "protocol_error"
        log.info("protocol_broken", client=self.client.client_id[:64], reason=str(error))
        self._session.fail(error)
