"""The server's side of one connection: bytes in, events and bytes out, no I/O and no clock.

What the shell does:

    session.receive(data)               after every read, and without data while `has_more` says so
    session.accept(...)                 or session.refuse(...), once for the Connect event
    session.settle(received, ...)       once for every Received, in any order, after the end of the connection too
    session.leave(received)             for one of QoS 2 that gets no receipt, and before `settle` after the end
    session.grant(...), .release(...)   for a Subscribe, an Unsubscribe
    session.take_output()               once at the end of every wake-up, and write it
    session.fail(error)                 when `receive` or `accept` raised; then write and close
    session.close()                     when the connection is gone

While `wants_pause` is true it does not read.
"""

from collections.abc import Sequence
from typing import Final

from kaa.core.errors import ProtocolError
from kaa.protocols.mqtt import handshake
from kaa.protocols.mqtt import packets as p
from kaa.protocols.mqtt import properties as prop
from kaa.protocols.mqtt.codec import DEFAULT_MAX_PACKET_BYTES, DEFAULT_MAX_TOPIC_BYTES, Decoder, StreamError
from kaa.protocols.mqtt.encoding import PINGRESP, encode, encode_reasoned
from kaa.protocols.mqtt.events import Disconnected, Event, Received, Repeated
from kaa.protocols.mqtt.inbox import Inbox
from kaa.protocols.mqtt.outbox import UNLIMITED, Outbox
from kaa.protocols.mqtt.packets import Packet, Properties
from kaa.protocols.mqtt.reasons import Reason, connack_v3
from kaa.protocols.mqtt.session import DEFAULT_MAX_EXPIRY_S, SessionState, UnderWay, requested_expiry

__all__ = [
    "Disconnected",
    "Event",
    "Received",
    "Repeated",
    "ServerSession",
    "SessionState",
    "StreamError",
    "requested_expiry",
]

MAX_HELD_BYTES: Final = 1 << 20
"""How much the shell may hand over while it should not read, besides one packet."""

_NEW: Final = 0
_WAITING: Final = 1
_OPEN: Final = 2
_CLOSED: Final = 3


class ServerSession:
    """One connection: the order of acknowledgements, windows in both directions, QoS 2, subscriptions.

    `will` is what to say for the client when the connection ends; a proper farewell makes it None.
    """

    __slots__ = (
        "_asked_expiry_s",
        "_asked_will",
        "_burst_bytes",
        "_decoder",
        "_in_flight",
        "_inbox",
        "_max_aliases",
        "_max_expiry_s",
        "_max_packet",
        "_max_subscription_bytes",
        "_max_subscriptions",
        "_max_topic",
        "_out",
        "_outbox",
        "_state",
        "keep_alive_s",
        "session",
        "version",
        "will",
    )

    def __init__(
        self,
        *,
        max_packet_bytes: int = DEFAULT_MAX_PACKET_BYTES,
        max_topic_bytes: int = DEFAULT_MAX_TOPIC_BYTES,
        in_flight: int = 256,
        max_topic_aliases: int = 16,
        max_subscriptions: int = 256,
        max_subscription_bytes: int = 16_384,
        max_expiry_s: int = DEFAULT_MAX_EXPIRY_S,
    ) -> None:
        self._max_packet = max_packet_bytes
        self._max_topic = max_topic_bytes
        self._in_flight = in_flight = min(in_flight, 0xFFFF)
        self._max_aliases = max_topic_aliases
        self._max_subscriptions = max_subscriptions
        self._max_subscription_bytes = max_subscription_bytes
        self._max_expiry_s = max_expiry_s
        self._state = _NEW
        self._out: list[bytes] = []
        self._decoder = Decoder(max_packet_bytes, max_topic_bytes=max_topic_bytes, publish=Received)
        self._inbox = Inbox(self._out, in_flight, max_topic_aliases)
        self._outbox = Outbox(self._out, in_flight)
        self._burst_bytes = 0
        self._asked_expiry_s = 0
        self.version = 0
        self.keep_alive_s = 0
        self._asked_will: p.Will | None = None
        self.will: p.Will | None = None
        self.session: SessionState | None = None

    @property
    def is_open(self) -> bool:
        """Whether CONNECT was accepted and no end has come since."""
        return self._state == _OPEN

    @property
    def unsettled(self) -> int:
        """How many messages wait for their outcome, or for that of an earlier one."""
        return len(self._inbox)

    @property
    def wants_pause(self) -> bool:
        """Whether the shell should not read: CONNECT has no answer yet, or too much is unsettled."""
        return (
            self._state == _WAITING
            or len(self._inbox) >= self._in_flight
            # Counted by reads and until nothing is unsettled: few large messages weigh like many small ones.
            or (self._burst_bytes >= 4 * self._max_packet and len(self._inbox) > 0)
        )

    @property
    def has_more(self) -> bool:
        """Whether `receive()` without data would go on with packets that were read already."""
        return self._state == _OPEN and self._decoder.has_more and len(self._inbox) < self._in_flight

    @property
    def held_bytes(self) -> int:
        """How much was read and is not looked at yet."""
        return self._decoder.held_bytes

    @property
    def has_output(self) -> bool:
        """Whether `take_output` has something to give."""
        return bool(self._out)

    @property
    def dropped(self) -> int:
        """How many messages to the client were dropped: too large for it, or too many for the queue."""
        return self._outbox.dropped

    @property
    def will_delay_s(self) -> int:
        """What the client asked for with the Will Delay Interval."""
        return prop.number(self.will.properties, prop.WILL_DELAY_INTERVAL, 0) if self.will is not None else 0

    def deadline(self, last_received: float) -> float | None:
        """Give the time until which something must arrive, in seconds like the argument; None for ever."""
        # [MQTT-3.1.2-24]: one and a half times the keep-alive
        return last_received + 1.5 * self.keep_alive_s if self.keep_alive_s else None

    def take_output(self) -> bytes:
        """Give all that is to be written, once."""
        data = b"".join(self._out)
        self._out.clear()
        return data

    # What arrives

    def receive(self, data: bytes = b"") -> list[Event]:
        """Take what was read, give what happened; raises StreamError, a ProtocolError whose `before` has events.

        Beyond `in_flight` unsettled messages the rest of the read is held: see `has_more`.
        """
        events: list[Event] = []
        self._burst_bytes = len(data) + (self._burst_bytes if self._inbox else 0)
        try:
            while self._state != _CLOSED:
                room = self._room()
                if self._read(data, room, events) < room or not room:
                    break
                data = b""
            self._check_held()
        except ProtocolError as error:
            raise StreamError(error, events) from error
        return events

    def _check_held(self) -> None:
        if self._state != _CLOSED and self._decoder.held_bytes > MAX_HELD_BYTES + self._max_packet:
            raise ProtocolError("more was sent than is read for now", reason_code=Reason.QUOTA_EXCEEDED)

    def _room(self) -> int:
        if self._state == _OPEN:
            # One more than announced with MQTT 5, so that a client beyond its Receive Maximum is seen.
            return max(0, self._in_flight - len(self._inbox) + (self.version == p.V5))
        return 1 if self._state == _NEW else 0

    def _read(self, data: bytes, limit: int, events: list[Event]) -> int:
        try:
            packets = self._decoder.feed(data, limit)
        except StreamError as error:
            self._take(error.before, events)
            if self._state == _CLOSED:  # what comes after a farewell is not looked at
                return 0
            raise
        if packets:
            self._take(packets, events)
        return len(packets)

    def _take(self, packets: Sequence[Packet], events: list[Event]) -> None:
        inbox = self._inbox
        unsettled = inbox.opened()
        for packet in packets:
            if type(packet) is Received:
                if (packet.qos == 2 or packet.properties is not None) and not inbox.is_new(packet, events):
                    continue
                unsettled.append(packet)
                events.append(packet)
                continue
            self._control(packet, events)
            if self._state == _CLOSED:
                break
        inbox.flush()
        if self.version == p.V5:
            inbox.check_receive_maximum()

    def _control(self, packet: Packet, events: list[Event]) -> None:
        match packet:
            case p.PubAck():
                self._outbox.on_puback(packet.packet_id)
            case p.PingReq():
                self._out.append(PINGRESP)  # [MQTT-3.12.4-1]
            case p.PubRel():
                self._inbox.on_pubrel(packet.packet_id)
            case p.Connect():
                self._on_connect(packet)
                events.append(packet)
            case p.Subscribe() | p.Unsubscribe():
                events.append(packet)
            case p.Disconnect():
                self._on_disconnect(packet)
                events.append(Disconnected(packet.reason_code, packet.properties))
            case p.PubRec():
                # Nothing is sent at QoS 2, so the id is not known; MQTT 3 has no way to say so.
                if packet.reason_code < 0x80:
                    unknown = p.PubRel(packet.packet_id, Reason.PACKET_IDENTIFIER_NOT_FOUND)
                    self._out.append(encode(unknown, self.version))
            case p.PubComp():
                pass
            case _:
                name = type(packet).__name__.upper()
                raise ProtocolError(f"a client does not send {name}", reason_code=Reason.PROTOCOL_ERROR)

    def _on_connect(self, connect: p.Connect) -> None:
        self._state = _WAITING
        self.version = self._inbox.version = self._outbox.version = connect.version
        self.keep_alive_s = connect.keep_alive_s
        properties = connect.properties
        if properties is not None:
            outbox, inbox = self._outbox, self._inbox
            outbox.window = min(self._in_flight, prop.number(properties, prop.RECEIVE_MAXIMUM, 0xFFFF))
            outbox.max_packet_bytes = prop.number(properties, prop.MAXIMUM_PACKET_SIZE, UNLIMITED)
            tells_reasons = prop.number(properties, prop.REQUEST_PROBLEM_INFORMATION, 1)
            inbox.max_text_bytes = outbox.max_packet_bytes if tells_reasons else 0  # [MQTT5-3.1.2-29]
            self._asked_expiry_s = prop.number(properties, prop.SESSION_EXPIRY_INTERVAL, 0)
        handshake.check_connect(connect, self._max_topic)
        self._asked_will = connect.will

    def _on_disconnect(self, packet: p.Disconnect) -> None:
        expiry_s = prop.number(packet.properties, prop.SESSION_EXPIRY_INTERVAL, self._asked_expiry_s)
        if expiry_s and not self._asked_expiry_s:  # MQTT 5, 3.14.2.2.2
            raise ProtocolError(
                "a session that was not to be kept is to be kept after all", reason_code=Reason.PROTOCOL_ERROR
            )
        if expiry_s != self._asked_expiry_s and self.session is not None:
            self.session.expiry_s = min(expiry_s, self._max_expiry_s)
        if not packet.reason_code:  # [MQTT-3.14.4-3]
            self.will = None
        self._state = _CLOSED

    # What the shell says

    def accept(
        self,
        session_present: bool,  # noqa: FBT001  the one argument that is always given
        session: SessionState,
        *,
        assigned_client_id: str | None = None,
        server_keep_alive: int | None = None,
    ) -> list[Event]:
        """Answer CONNECT with yes and give what had been sent behind it; raises like `receive`.

        The session's `expiry_s` is told to the client where it is not what it asked for.
        """
        if self._state != _WAITING:
            return []
        self.session = self._inbox.state = session
        self.will, self._asked_will = self._asked_will, None  # [MQTT-3.1.2-8]: of a CONNECT that was accepted
        properties: Properties | None = None
        if self.version == p.V5:
            properties = handshake.connack_properties(
                in_flight=self._in_flight,
                max_packet_bytes=self._max_packet,
                max_topic_aliases=self._max_aliases,
            )
            if session.expiry_s != self._asked_expiry_s:
                properties[prop.SESSION_EXPIRY_INTERVAL] = session.expiry_s
            if assigned_client_id is not None:
                properties[prop.ASSIGNED_CLIENT_IDENTIFIER] = assigned_client_id
            if server_keep_alive is not None:
                properties[prop.SERVER_KEEP_ALIVE] = self.keep_alive_s = server_keep_alive
        self._out.append(encode(p.ConnAck(session_present, 0, properties), self.version))
        self._state = _OPEN
        return self.receive()

    def refuse(self, reason_code: int, text: str | None = None) -> None:
        """Answer CONNECT with no, in the words of its version, or not at all where MQTT 3 has none."""
        if self._state > _WAITING:
            return
        self._state = _CLOSED
        self._asked_will = None
        if self.version == p.V5:
            self._say(p.ConnAck(False, reason_code), text)
        elif (code := connack_v3(reason_code)) is not None:
            self._out.append(encode(p.ConnAck(False, code), p.V311))

    def disconnect(self, reason_code: int, text: str | None = None) -> None:
        """Say why the connection ends, which only MQTT 5 can."""
        if self._state == _OPEN and self.version == p.V5:
            self._say(p.Disconnect(reason_code), text)
        self._state = _CLOSED

    def fail(self, error: ProtocolError) -> None:
        """Say what was wrong, as `refuse` or as `disconnect`, whichever is due; at most one of them speaks."""
        if self._state > _WAITING:
            self.disconnect(error.reason_code, str(error))
        elif self.version or error.reason_code == Reason.UNSUPPORTED_PROTOCOL_VERSION:
            self.refuse(error.reason_code, str(error))
        else:
            self._state = _CLOSED  # [MQTT-3.1.4-1]: without a CONNECT there is nobody to answer

    def _say(self, packet: p.ConnAck | p.Disconnect, text: str | None) -> None:
        self._out.append(encode_reasoned(packet, text, self._outbox.max_packet_bytes))

    def settle(
        self,
        received: Received,
        reason_code: int = 0,
        *,
        answers: bytes | Sequence[bytes] = b"",
        reason_string: str | None = None,
    ) -> None:
        """Finish a message: its acknowledgement and then the answers leave when all before it have left."""
        self._inbox.settle(received, reason_code, answers, reason_string)

    def leave(self, received: Received) -> UnderWay | None:
        """Let go of a QoS 2 message that gets no receipt on this connection; give what is known of it, and its heir."""
        return self._inbox.leave(received)

    def close(self) -> None:
        """Note that the connection is gone; a message without an outcome is still settled, for the session's sake."""
        self._state = _CLOSED
        self._inbox.close()

    def answer(self, topic: str, payload: bytes, qos: int = 0, *, properties: Properties | None = None) -> bytes:
        """Encode an answer for `settle`: at QoS 0 where the client's window is full, empty if too large for it."""
        return self._outbox.answer(topic, payload, qos, properties)

    def publish(self, topic: str, payload: bytes, qos: int = 0, *, properties: Properties | None = None) -> bool:
        """Send a message at QoS 0 or 1, or queue it until the window opens; False if it had to be dropped."""
        if self._state != _OPEN:
            return False
        return self._outbox.publish(topic, payload, qos, properties)

    def grant(self, subscribe: p.Subscribe) -> p.SubAck:
        """Answer a Subscribe: valid filters are granted and written down in the session."""
        assert self.session is not None
        codes = handshake.grant(
            self.session,
            subscribe,
            version=self.version,
            max_topic_bytes=self._max_topic,
            max_subscriptions=self._max_subscriptions,
            max_bytes=self._max_subscription_bytes,
        )
        answer = p.SubAck(subscribe.packet_id, codes)
        self._out.append(encode(answer, self.version))  # [MQTT-3.8.4-1]
        return answer

    def release(self, unsubscribe: p.Unsubscribe) -> p.UnsubAck:
        """Answer an Unsubscribe, which always succeeds."""
        assert self.session is not None
        codes = handshake.release(self.session, unsubscribe.filters)
        answer = p.UnsubAck(unsubscribe.packet_id, codes)
        self._out.append(encode(answer, self.version))  # [MQTT-3.10.4-4]
        return answer
