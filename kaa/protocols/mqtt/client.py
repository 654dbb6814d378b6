"""A client's side of one connection, for tests and for load: whatever is sent to it is acknowledged at once."""

from dataclasses import dataclass, replace

from kaa.core.errors import ProtocolError
from kaa.protocols.mqtt import packets as p
from kaa.protocols.mqtt import properties as prop
from kaa.protocols.mqtt.codec import DEFAULT_MAX_PACKET_BYTES, Decoder
from kaa.protocols.mqtt.encoding import (
    PINGREQ,
    encode,
    encode_puback,
    encode_pubcomp,
    encode_publish,
    encode_pubrec,
    encode_pubrel,
)
from kaa.protocols.mqtt.packets import Packet, Properties, Publish
from kaa.protocols.mqtt.wire import MAX_STRING_BYTES


@dataclass(slots=True)
class Acknowledged:
    """The server has taken a message, or refused it for good if the reason is 0x80 or above."""

    packet_id: int
    reason_code: int = 0
    properties: Properties | None = None


Event = p.ConnAck | Acknowledged | Publish | p.SubAck | p.UnsubAck | p.PingResp | p.Disconnect


class ClientSession:
    """A client that may connect again: what was not acknowledged is sent again where the server kept the session."""

    __slots__ = (
        "_decoder",
        "_earlier",
        "_incoming_qos2",
        "_last_id",
        "_max_packet",
        "_out",
        "_released",
        "_unacknowledged",
        "client_id",
        "is_connected",
        "receive_maximum",
        "version",
    )

    def __init__(
        self, client_id: str, *, version: int = p.V311, max_packet_bytes: int = DEFAULT_MAX_PACKET_BYTES
    ) -> None:
        self.client_id = client_id
        self.version = version
        self.is_connected = False
        self.receive_maximum = 0xFFFF
        self._max_packet = max_packet_bytes
        self._decoder = self._new_decoder()
        self._out: list[bytes] = []
        self._last_id = 0
        self._unacknowledged: dict[int, Publish] = {}
        self._released: dict[int, None] = {}
        # What the last connection left, until CONNACK says whether it counts; None where only PUBREL is missing.
        self._earlier: dict[int, Publish | None] = {}
        self._incoming_qos2: set[int] = set()

    def _new_decoder(self) -> Decoder:
        return Decoder(self._max_packet, max_topic_bytes=MAX_STRING_BYTES, version=self.version)

    @property
    def room(self) -> int:
        """How many more messages above QoS 0 the server wants before it acknowledges one; nothing enforces it here."""
        return self.receive_maximum - len(self._unacknowledged) - len(self._released)

    @property
    def unacknowledged(self) -> int:
        """How many messages above QoS 0 are under way."""
        return len(self._unacknowledged) + len(self._released) + len(self._earlier)

    def take_output(self) -> bytes:
        """Give all that is to be written, once."""
        data = b"".join(self._out)
        self._out.clear()
        return data

    def connect(
        self,
        *,
        clean_start: bool = True,
        keep_alive_s: int = 0,
        username: str | None = None,
        password: bytes | None = None,
        will: p.Will | None = None,
        properties: Properties | None = None,
    ) -> None:
        """Begin a connection, the first or a later one; what the last one had not written is forgotten."""
        self._out.clear()
        self._decoder = self._new_decoder()
        self.is_connected = False
        self._earlier.update(self._unacknowledged)
        self._earlier.update(self._released)
        self._unacknowledged.clear()
        self._released.clear()
        packet = p.Connect(
            self.client_id, self.version, clean_start, keep_alive_s, username, password, will, properties
        )
        self._out.append(encode(packet, self.version))

    def publish(
        self,
        topic: str,
        payload: bytes,
        qos: int = 0,
        *,
        retain: bool = False,
        properties: Properties | None = None,
    ) -> int:
        """Send a message and give its packet id, 0 at QoS 0."""
        packet_id = 0
        if qos:
            packet_id = self._next_id()
            self._unacknowledged[packet_id] = Publish(topic, payload, qos, packet_id, retain, False, properties)
        self._out.append(
            encode_publish(topic, payload, qos, packet_id, version=self.version, retain=retain, properties=properties)
        )
        return packet_id

    def subscribe(self, *subscriptions: tuple[str, int], properties: Properties | None = None) -> int:
        """Ask for messages by filter and QoS; gives the packet id of the SUBACK to come."""
        packet_id = self._next_id()
        items = tuple(p.Subscription(spelling, qos) for spelling, qos in subscriptions)
        self._out.append(encode(p.Subscribe(packet_id, items, properties), self.version))
        return packet_id

    def unsubscribe(self, *filters: str) -> int:
        """Ask for no more; gives the packet id of the UNSUBACK to come."""
        packet_id = self._next_id()
        self._out.append(encode(p.Unsubscribe(packet_id, filters), self.version))
        return packet_id

    def ping(self) -> None:
        """Ask for a sign of life."""
        self._out.append(PINGREQ)

    def disconnect(self, reason_code: int = 0, *, properties: Properties | None = None) -> None:
        """Say farewell."""
        self._out.append(encode(p.Disconnect(reason_code, properties), self.version))
        self.is_connected = False

    def receive(self, data: bytes) -> list[Event]:
        """Take what was read, answer it, give what happened; raises ProtocolError."""
        events: list[Event] = []
        unacknowledged = self._unacknowledged
        for packet in self._decoder.feed(data):
            if type(packet) is p.PubAck:
                unacknowledged.pop(packet.packet_id, None)
                events.append(Acknowledged(packet.packet_id, packet.reason_code, packet.properties))
            else:
                self._take(packet, events)
        return events

    def _take(self, packet: Packet, events: list[Event]) -> None:
        match packet:
            case Publish():
                self._on_publish(packet, events)
            case p.PubRec():
                self._on_pubrec(packet, events)
            case p.PubRel():
                self._incoming_qos2.discard(packet.packet_id)
                self._out.append(encode_pubcomp(packet.packet_id))
            case p.PubComp():
                if packet.packet_id in self._released:
                    del self._released[packet.packet_id]
                    events.append(Acknowledged(packet.packet_id))
            case p.ConnAck():
                self._on_connack(packet)
                events.append(packet)
            case p.SubAck() | p.UnsubAck() | p.PingResp() | p.Disconnect():
                events.append(packet)
            case _:
                raise ProtocolError(f"a server does not send {type(packet).__name__.upper()}", reason_code=0x82)

    def _on_connack(self, packet: p.ConnAck) -> None:
        if packet.reason_code:
            return
        self.is_connected = True
        self.receive_maximum = prop.number(packet.properties, prop.RECEIVE_MAXIMUM, 0xFFFF)
        earlier, self._earlier = self._earlier, {}
        if not packet.session_present:  # [MQTT-3.2.2-3]: what was kept for the old session is void
            self._incoming_qos2.clear()
            return
        # [MQTT-4.4.0-1], in the order of the first time [MQTT-4.6.0-1]
        for packet_id, message in earlier.items():
            if message is None:
                self._released[packet_id] = None
                self._out.append(encode_pubrel(packet_id))
            else:
                self._unacknowledged[packet_id] = message
                self._out.append(encode(replace(message, dup=True), self.version))

    def _on_publish(self, packet: Publish, events: list[Event]) -> None:
        if packet.qos == 1:
            self._out.append(encode_puback(packet.packet_id))
        elif packet.qos == 2:
            self._out.append(encode_pubrec(packet.packet_id))
            if packet.packet_id in self._incoming_qos2:
                return
            self._incoming_qos2.add(packet.packet_id)
        events.append(packet)

    def _on_pubrec(self, packet: p.PubRec, events: list[Event]) -> None:
        packet_id = packet.packet_id
        known = self._unacknowledged.pop(packet_id, None) is not None or packet_id in self._released
        if packet.reason_code >= 0x80:
            if known:
                events.append(Acknowledged(packet_id, packet.reason_code, packet.properties))
            return
        if known:
            self._released[packet_id] = None
            self._out.append(encode_pubrel(packet_id))
        else:
            self._out.append(encode(p.PubRel(packet_id, 0x92), self.version))

    def _next_id(self) -> int:
        last = self._last_id % 0xFFFF + 1
        while last in self._unacknowledged or last in self._released or last in self._earlier:
            last = last % 0xFFFF + 1
        self._last_id = last
        return last
