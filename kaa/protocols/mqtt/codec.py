"""A stream of bytes to packets.

`Decoder.feed` is the hottest code of the server, and is written like it: one loop, PUBLISH decoded in place, the four
receipts in their short form likewise, everything else handed to `decoding`.
"""

from collections.abc import Callable, Sequence
from itertools import repeat
from typing import Any, Final

from kaa.core.errors import ProtocolError
from kaa.protocols.mqtt import packets as p
from kaa.protocols.mqtt.decoding import decode
from kaa.protocols.mqtt.encoding import encode, encode_publish
from kaa.protocols.mqtt.packets import Packet, Publish
from kaa.protocols.mqtt.properties import TOPIC_ALIAS, read_properties
from kaa.protocols.mqtt.wire import text

__all__ = ["DEFAULT_MAX_PACKET_BYTES", "DEFAULT_MAX_TOPIC_BYTES", "Decoder", "StreamError", "encode", "encode_publish"]

DEFAULT_MAX_PACKET_BYTES: Final = 262_144
DEFAULT_MAX_TOPIC_BYTES: Final = 1024

_MANY: Final = 1 << 62
_TOPIC_CACHE_SIZE: Final = 4096
_TOPIC_CACHE_LONGEST: Final = 256

# What was decoded and found valid once; shared, since many connections speak of the same topics. Length included.
_topics: dict[bytes, str] = {}

# First byte of a valid PUBLISH -> qos, retain, dup. QoS 3 [MQTT-3.3.1-4] and DUP at QoS 0 [MQTT-3.3.1-2] are missing.
_PUBLISH: Final = {
    0x30 | dup << 3 | qos << 1 | retain: (qos, bool(retain), bool(dup))
    for qos in (0, 1, 2)
    for retain in (0, 1)
    for dup in (0, 1)
    if qos or not dup
}
_RECEIPTS: Final[dict[int, Callable[[int], Packet]]] = {
    0x40: p.PubAck,
    0x50: p.PubRec,
    0x62: p.PubRel,
    0x70: p.PubComp,
}
_NONE: Final[dict[int, Any]] = {}


class StreamError(ProtocolError):
    """The peer broke the protocol; `before` is what had been understood of the same read until then."""

    def __init__(self, cause: ProtocolError, before: Sequence[Any]) -> None:
        super().__init__(str(cause), reason_code=cause.reason_code)
        self.before = before


class Decoder:
    """Turns what arrives into packets; any bytes give packets or a ProtocolError, however they are cut.

    The version comes with CONNECT, unless given. `publish` makes the packets of that kind.
    """

    __slots__ = ("_at", "_make", "_max_packet", "_max_topic", "_need", "_rest", "version")

    def __init__(
        self,
        max_packet_bytes: int = DEFAULT_MAX_PACKET_BYTES,
        *,
        max_topic_bytes: int = DEFAULT_MAX_TOPIC_BYTES,
        version: int = 0,
        publish: Callable[..., Publish] = Publish,
    ) -> None:
        self.version = version
        self._max_packet = max_packet_bytes
        self._max_topic = max_topic_bytes
        self._make = publish
        self._rest: bytes | bytearray | None = None
        # Either the rest is a part of one packet, and so many bytes are needed to go on with it ...
        self._need = 0
        # ... or that is 0, and there may be whole packets in it, from this place on.
        self._at = 0

    @property
    def held_bytes(self) -> int:
        """How much has arrived and is not decoded yet."""
        return len(self._rest) - self._at if self._rest is not None else 0

    @property
    def has_more(self) -> bool:
        """Whether decoding stopped at a limit, so that there may be whole packets among what is held."""
        return self._rest is not None and not self._need

    def feed(self, data: bytes = b"", limit: int = _MANY) -> list[Packet]:
        """Take what was read and give the packets that are complete, at most `limit`; the others are held.

        Raises StreamError, a ProtocolError; nothing may be fed after that.
        """
        at = 0
        rest = self._rest
        if rest is not None:
            if self._need:
                assert isinstance(rest, bytearray)
                rest += data
                if len(rest) < self._need:
                    return []
                data = bytes(rest)
            else:
                at = self._at
                if data:
                    data = bytes(rest[at:]) + data
                    at = 0
                else:
                    data = bytes(rest)  # the same object: it is one
            self._rest = None
        found: list[Packet] = []
        try:
            self._decode(data, at, limit, found)
        except ProtocolError as error:
            raise StreamError(error, found) from error
        return found

    def _decode(self, data: bytes, at: int, limit: int, found: list[Packet]) -> None:
        append = found.append
        make = self._make
        version = self.version
        v5 = version == p.V5
        # Before CONNECT nothing takes the short ways.
        publishes, receipts = (_PUBLISH, _RECEIPTS) if version else (_NONE, _NONE)
        topics = _topics
        max_topic = self._max_topic
        max_packet = self._max_packet
        end = len(data)
        need = 0
        for _ in repeat(None, limit):
            if at + 2 > end:
                need = 2
                break
            first = data[at]
            length = data[at + 1]
            body = at + 2
            if length > 0x7F:
                length, body = self._length(data, at, end)
                if not body:
                    need = end - at + 1
                    break
            stop = body + length
            if stop - at > max_packet:
                raise ProtocolError(
                    f"{p.NAMES[first >> 4]} of {stop - at} bytes, more than {max_packet}", reason_code=0x95
                )
            if stop > end:
                need = stop - at
                break
            at = stop
            flags = publishes.get(first)
            if flags is None:
                kind = receipts.get(first)
                if kind is not None and length == 2 and (packet_id := data[body] << 8 | data[body + 1]):
                    append(kind(packet_id))
                    continue
                if first >> 4 == p.PUBLISH and version:
                    raise ProtocolError("PUBLISH with QoS 3, or with DUP at QoS 0")  # [MQTT-3.3.1-2], [MQTT-3.3.1-4]
                packet = decode(first, data[body:stop], version)
                append(packet)
                if type(packet) is p.Connect:
                    self.version = version = packet.version
                    v5 = version == p.V5
                    publishes, receipts = _PUBLISH, _RECEIPTS
                continue
            if length < 2:
                raise ProtocolError("PUBLISH ends within the length of its topic")
            tail = body + 2 + (data[body] << 8 | data[body + 1])
            topic = topics.get(data[body:tail])
            if topic is None or tail > stop or tail - body > max_topic + 2:
                topic = self._topic(data, body, tail, stop)
            qos, retain, dup = flags
            packet_id = 0
            if qos:
                if tail + 2 > stop:
                    raise ProtocolError("PUBLISH ends before its packet id")
                packet_id = data[tail] << 8 | data[tail + 1]
                if not packet_id:
                    raise ProtocolError("the packet id of PUBLISH is 0", reason_code=0x82)  # [MQTT-2.3.1-1]
                tail += 2
            properties = None
            if v5:
                if tail < stop and not data[tail]:
                    tail += 1
                else:
                    properties, tail = read_properties(data, tail, stop, p.PUBLISH)
                if not topic and (properties is None or TOPIC_ALIAS not in properties):
                    raise ProtocolError("PUBLISH with neither topic nor alias", reason_code=0x82)
            append(make(topic, data[tail:stop], qos, packet_id, retain, dup, properties))
        if at < end:
            self._need = need
            if need:
                self._rest = bytearray(data[at:] if at else data)
                self._at = 0
            else:
                self._rest = data
                self._at = at

    def _length(self, data: bytes, at: int, end: int) -> tuple[int, int]:
        """Read the remaining length; gives it and where the body begins, which is 0 where it has not all arrived."""
        value = shift = 0
        for place in range(at + 1, min(at + 5, end)):
            byte = data[place]
            value |= (byte & 0x7F) << shift
            if byte < 0x80:
                if not byte and self.version == p.V5:
                    raise ProtocolError("the remaining length is longer than it needs to be")  # [MQTT5-1.5.5-1]
                return value, place + 1
            shift += 7
        if shift > 21:
            raise ProtocolError("the remaining length has more than four bytes")
        return 0, 0

    def _topic(self, data: bytes, body: int, tail: int, stop: int) -> str:
        if tail > stop:
            raise ProtocolError("the topic of PUBLISH is longer than the packet")
        if tail - body > self._max_topic + 2:
            raise ProtocolError(f"a topic of {tail - body - 2} bytes, more than {self._max_topic}", reason_code=0x90)
        topic = text(data[body + 2 : tail])
        if "+" in topic or "#" in topic:
            raise ProtocolError("the topic of PUBLISH holds a wildcard")  # [MQTT-3.3.2-2]
        if not topic:
            if self.version != p.V5:
                raise ProtocolError("the topic of PUBLISH is empty")  # [MQTT-4.7.3-1]
        elif tail - body <= _TOPIC_CACHE_LONGEST:
            if len(_topics) >= _TOPIC_CACHE_SIZE:
                _topics.clear()
            _topics[data[body:tail]] = topic
        return topic
