"""What a client has published and the shell has not settled: the order of acknowledgements, QoS 2, topic aliases."""

from collections import deque
from collections.abc import Sequence
from typing import cast

from kaa.core.errors import ProtocolError
from kaa.protocols.mqtt import packets as p
from kaa.protocols.mqtt import properties as prop
from kaa.protocols.mqtt.encoding import (
    encode,
    encode_puback,
    encode_pubcomp,
    encode_pubrec,
    encode_reasoned,
)
from kaa.protocols.mqtt.events import Event, Received, Repeated
from kaa.protocols.mqtt.outbox import UNLIMITED
from kaa.protocols.mqtt.reasons import Reason
from kaa.protocols.mqtt.session import SessionState, UnderWay, digest_of


class Inbox:
    """Messages in the order they came; acknowledgements and answers leave in that order."""

    __slots__ = (
        "_aliases",
        "_max_aliases",
        "_open_qos2",
        "_out",
        "_unsettled",
        "_window",
        "max_text_bytes",
        "state",
        "version",
    )

    def __init__(self, out: list[bytes], window: int, max_aliases: int) -> None:
        self._out = out
        self._window = window
        self._max_aliases = max_aliases
        # Made when needed and dropped when empty: most connections are idle most of the time.
        self._unsettled: deque[Received] | None = None
        self._aliases: dict[int, str] | None = None
        self._open_qos2 = 0
        self.state: SessionState | None = None
        self.version = 0
        self.max_text_bytes = UNLIMITED
        """How large a receipt with a reason string may be."""

    def __len__(self) -> int:
        return len(self._unsettled) if self._unsettled is not None else 0

    def opened(self) -> deque[Received]:
        """Give the queue, to append to; `flush` is called afterwards."""
        if self._unsettled is None:
            self._unsettled = deque()
        return self._unsettled

    def settle(
        self, received: Received, reason_code: int, answers: bytes | Sequence[bytes], reason_string: str | None
    ) -> None:
        """Attach the outcome, and let go what has its turn; the first outcome counts."""
        unsettled = self._unsettled
        if received.outcome is not None or unsettled is None:
            return
        qos = received.qos
        if not qos:
            receipt = b""
        elif qos == 1:
            if not reason_code or self.version != p.V5:
                receipt = encode_puback(received.packet_id)
            else:
                packet = p.PubAck(received.packet_id, reason_code)
                receipt = encode_reasoned(packet, reason_string, self.max_text_bytes)
        else:
            receipt = self._pubrec(received, reason_code, reason_string)
        if answers:
            receipt += answers if isinstance(answers, bytes) else b"".join(answers)
        received.outcome = receipt
        if received is unsettled[0]:
            self.flush()

    def flush(self) -> None:
        """Let the outcomes go up to the first message that has none [MQTT-4.6.0-2], [MQTT-4.6.0-3]."""
        unsettled = self._unsettled
        if unsettled is None:
            return
        out = self._out
        while unsettled and (outcome := unsettled[0].outcome) is not None:
            received = unsettled.popleft()
            if outcome:
                out.append(outcome)
            if received.qos == 2:
                self._pubrec_left(received)
        if not unsettled:
            self._unsettled = None

    def check_receive_maximum(self) -> None:
        """Raise ProtocolError for a client of MQTT 5 that has sent more than it may."""
        if len(self) + self._open_qos2 <= self._window:
            return
        # MQTT 5, 3.3.4: QoS 1 without PUBACK and QoS 2 without PUBCOMP count, QoS 0 does not.
        counted = self._open_qos2 + sum(1 for message in self._unsettled or () if message.qos)
        if counted > self._window:
            raise ProtocolError(
                f"{counted} messages without acknowledgement, the Receive Maximum is {self._window}",
                reason_code=Reason.RECEIVE_MAXIMUM_EXCEEDED,
            )

    def is_new(self, packet: Received, events: list[Event]) -> bool:
        """Tell whether a message with properties or at QoS 2 is one for the shell, and resolve its alias.

        One that waits for the outcome of its first delivery becomes an event of its own.
        """
        properties = packet.properties
        if properties is not None:
            if prop.SUBSCRIPTION_IDENTIFIER in properties:  # [MQTT5-3.3.4-6]
                raise ProtocolError("a client's PUBLISH with a Subscription Identifier", reason_code=0x82)
            if prop.TOPIC_ALIAS in properties:
                packet.topic = self._resolve(prop.number(properties, prop.TOPIC_ALIAS, 0), packet.topic)
        return packet.qos < 2 or self._is_new_qos2(packet, events)

    def _is_new_qos2(self, packet: Received, events: list[Event]) -> bool:
        assert self.state is not None
        state, packet_id, digest = self.state, packet.packet_id, digest_of(packet)
        first = state.under_way.get(packet_id)
        if first is not None and first.digest != digest:
            first = None  # another message, under an id that was not to be used yet
        if first is not None and first.owner is self:
            return False  # its PUBREC is under way
        if state.incoming_qos2.get(packet_id) == digest:
            # Seen before [MQTT-4.3.3-2]: the PUBREC once more, in its turn.
            packet.outcome = encode_pubrec(packet_id)
            self.opened().append(packet)
            return False
        if first is not None and cast("Received", first.message).outcome is None:
            first.owner = self
            self.opened().append(packet)
            events.append(Repeated(packet, first))
            return False
        if len(state.incoming_qos2) + len(state.under_way) >= 16 * self._window:
            # MQTT 3 has no Receive Maximum, and no bound of its own
            raise ProtocolError(
                "too many QoS 2 messages were never released", reason_code=Reason.RECEIVE_MAXIMUM_EXCEEDED
            )
        state.under_way[packet_id] = UnderWay(packet, digest, self)
        return True

    def leave(self, received: Received) -> UnderWay | None:
        """Let go of a QoS 2 message that was handed out and gets no PUBREC here; give what was known of it."""
        first = self._under_way(received)
        if first is not None:
            assert self.state is not None
            del self.state.under_way[received.packet_id]
        return first

    def close(self) -> None:
        """Let go of the QoS 2 messages that are settled: with the connection gone their PUBREC leaves no more."""
        for received in self._unsettled or ():
            if received.qos == 2 and received.outcome is not None:
                self.leave(received)

    def on_pubrel(self, packet_id: int) -> None:
        """Forget a QoS 2 message and say so."""
        assert self.state is not None
        if packet_id in self.state.incoming_qos2:
            del self.state.incoming_qos2[packet_id]
            self._open_qos2 -= self._open_qos2 > 0
            self._out.append(encode_pubcomp(packet_id))
        else:
            self._out.append(encode(p.PubComp(packet_id, Reason.PACKET_IDENTIFIER_NOT_FOUND), self.version))

    def _resolve(self, alias: int, topic: str) -> str:
        # [MQTT5-3.3.2-8], [MQTT5-3.3.2-9]
        if not 0 < alias <= self._max_aliases:
            raise ProtocolError(
                f"topic alias {alias} is not within 1 and {self._max_aliases}", reason_code=Reason.TOPIC_ALIAS_INVALID
            )
        if self._aliases is None:
            self._aliases = {}
        if topic:
            self._aliases[alias] = topic
        elif alias not in self._aliases:
            raise ProtocolError(f"topic alias {alias} stands for nothing yet", reason_code=0x82)
        return self._aliases[alias]

    def _under_way(self, received: Received) -> UnderWay | None:
        assert self.state is not None
        first = self.state.under_way.get(received.packet_id)
        return first if first is not None and first.message is received else None

    def _pubrec(self, received: Received, reason_code: int, reason_string: str | None) -> bytes:
        assert self.state is not None
        packet_id = received.packet_id
        if reason_code < 0x80 or self.version != p.V5:
            # Remembered now, not when the PUBREC leaves: what is stored must not be stored again [MQTT-4.3.3-2].
            first = self._under_way(received)
            self.state.incoming_qos2[packet_id] = first.digest if first is not None else digest_of(received)
        if not reason_code or self.version != p.V5:
            return encode_pubrec(packet_id)
        return encode_reasoned(p.PubRec(packet_id, reason_code), reason_string, self.max_text_bytes)

    def _pubrec_left(self, received: Received) -> None:
        assert self.state is not None
        self.leave(received)
        if received.packet_id in self.state.incoming_qos2:
            self._open_qos2 += 1
