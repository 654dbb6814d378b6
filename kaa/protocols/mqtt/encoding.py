"""From packets to bytes; what a peer would refuse by its lengths is a ValueError here."""

from collections.abc import Callable
from dataclasses import replace
from struct import Struct
from typing import Any, Final

from kaa.protocols.mqtt import packets as p
from kaa.protocols.mqtt.packets import Packet, Properties
from kaa.protocols.mqtt.properties import REASON_STRING, write_properties
from kaa.protocols.mqtt.wire import MAX_STRING_BYTES, write_binary, write_string, write_u16, write_varint

PINGREQ: Final = b"\xc0\x00"
PINGRESP: Final = b"\xd0\x00"
DISCONNECT: Final = b"\xe0\x00"

MAX_REASON_STRING: Final = 512

Reasoned = p.ConnAck | p.PubAck | p.PubRec | p.Disconnect

_SHORT: Final = Struct(">BBH").pack
_LONG: Final = Struct(">BBBH").pack
_FOUR: Final = Struct(">HH").pack


def encode_publish(
    topic: str,
    payload: bytes,
    qos: int = 0,
    packet_id: int = 0,
    *,
    version: int,
    retain: bool = False,
    dup: bool = False,
    properties: Properties | None = None,
) -> bytes:
    """Encode a PUBLISH without making one first."""
    name = topic.encode()
    if len(name) > MAX_STRING_BYTES:
        raise ValueError(f"a topic of {len(name)} bytes")
    first = 0x30 | dup << 3 | qos << 1 | retain
    middle = packet_id.to_bytes(2, "big") if qos else b""
    if version == p.V5:
        middle += write_properties(properties) if properties else b"\0"
    length = 2 + len(name) + len(middle) + len(payload)
    if length < 0x80:
        return _SHORT(first, length, len(name)) + name + middle + payload
    if length < 0x4000:
        return _LONG(first, length & 0x7F | 0x80, length >> 7, len(name)) + name + middle + payload
    return b"".join((bytes((first,)), write_varint(length), write_u16(len(name)), name, middle, payload))


def encode_puback(packet_id: int) -> bytes:
    """Encode a PUBACK that says success, the same in all versions."""
    return _FOUR(0x4002, packet_id)


def encode_pubrec(packet_id: int) -> bytes:
    """Encode a PUBREC that says success."""
    return _FOUR(0x5002, packet_id)


def encode_pubrel(packet_id: int) -> bytes:
    """Encode a PUBREL that says success."""
    return _FOUR(0x6202, packet_id)


def encode_pubcomp(packet_id: int) -> bytes:
    """Encode a PUBCOMP that says success."""
    return _FOUR(0x7002, packet_id)


def encode(packet: Packet, version: int) -> bytes:
    """Encode any packet for a protocol version; what the version does not know is left out."""
    return _WRITERS[type(packet)](packet, version)


def encode_reasoned(packet: Reasoned, reason_string: str | None, max_bytes: int) -> bytes:
    """Encode for MQTT 5, with a reason string in as far as there is one and it fits [MQTT5-3.4.2-2]."""
    if reason_string:
        properties = (packet.properties or {}) | {REASON_STRING: reason_string[:MAX_REASON_STRING]}
        wire = encode(replace(packet, properties=properties), p.V5)
        if len(wire) <= max_bytes:
            return wire
    return encode(packet, p.V5)


def _frame(first: int, body: bytes) -> bytes:
    return bytes((first,)) + write_varint(len(body)) + body


def _publish(packet: p.Publish, version: int) -> bytes:
    return encode_publish(
        packet.topic,
        packet.payload,
        packet.qos,
        packet.packet_id,
        version=version,
        retain=packet.retain,
        dup=packet.dup,
        properties=packet.properties,
    )


def _connect(packet: p.Connect, version: int) -> bytes:
    flags = packet.clean_start << 1
    parts = [write_string("MQIsdp" if version == p.V31 else "MQTT"), b"", write_u16(packet.keep_alive_s)]
    if version == p.V5:
        parts.append(write_properties(packet.properties))
    parts.append(write_string(packet.client_id))
    will = packet.will
    if will is not None:
        flags |= 0x04 | will.qos << 3 | will.retain << 5
        if version == p.V5:
            parts.append(write_properties(will.properties))
        parts += (write_string(will.topic), write_binary(will.payload))
    if packet.username is not None:
        flags |= 0x80
        parts.append(write_string(packet.username))
    if packet.password is not None:
        flags |= 0x40
        parts.append(write_binary(packet.password))
    parts[1] = bytes((version, flags))
    return _frame(0x10, b"".join(parts))


def _connack(packet: p.ConnAck, version: int) -> bytes:
    # MQTT 3.1 has no Session Present: the byte is reserved
    flags = packet.session_present and version != p.V31
    body = bytes((flags, packet.reason_code))
    return _frame(0x20, body + write_properties(packet.properties) if version == p.V5 else body)


def _receipt(first: int) -> Callable[[Any, int], bytes]:
    def write(packet: p.PubAck, version: int) -> bytes:
        body = write_u16(packet.packet_id)
        if version == p.V5 and (packet.reason_code or packet.properties):
            body += bytes((packet.reason_code,))
            if packet.properties:
                body += write_properties(packet.properties)
        return _frame(first, body)

    return write


def _subscribe(packet: p.Subscribe, version: int) -> bytes:
    parts = [write_u16(packet.packet_id)]
    if version == p.V5:
        parts.append(write_properties(packet.properties))
    for item in packet.subscriptions:
        options = item.qos
        if version == p.V5:
            options |= item.no_local << 2 | item.retain_as_published << 3 | item.retain_handling << 4
        parts += (write_string(item.filter), bytes((options,)))
    return _frame(0x82, b"".join(parts))


def _unsubscribe(packet: p.Unsubscribe, version: int) -> bytes:
    parts = [write_u16(packet.packet_id)]
    if version == p.V5:
        parts.append(write_properties(packet.properties))
    parts += (write_string(spelling) for spelling in packet.filters)
    return _frame(0xA2, b"".join(parts))


def _suback(packet: p.SubAck, version: int) -> bytes:
    properties = write_properties(packet.properties) if version == p.V5 else b""
    return _frame(0x90, write_u16(packet.packet_id) + properties + bytes(packet.reason_codes))


def _unsuback(packet: p.UnsubAck, version: int) -> bytes:
    body = write_u16(packet.packet_id)
    if version == p.V5:
        body += write_properties(packet.properties) + bytes(packet.reason_codes)
    return _frame(0xB0, body)


def _farewell(first: int) -> Callable[[Any, int], bytes]:
    def write(packet: p.Disconnect, version: int) -> bytes:
        body = b""
        if version == p.V5 and (packet.reason_code or packet.properties):
            body = bytes((packet.reason_code,))
            if packet.properties:
                body += write_properties(packet.properties)
        return _frame(first, body)

    return write


_WRITERS: Final[dict[type, Callable[[Any, int], bytes]]] = {
    p.Connect: _connect,
    p.ConnAck: _connack,
    p.Publish: _publish,
    p.PubAck: _receipt(0x40),
    p.PubRec: _receipt(0x50),
    p.PubRel: _receipt(0x62),
    p.PubComp: _receipt(0x70),
    p.Subscribe: _subscribe,
    p.SubAck: _suback,
    p.Unsubscribe: _unsubscribe,
    p.UnsubAck: _unsuback,
    p.PingReq: lambda _packet, _version: PINGREQ,
    p.PingResp: lambda _packet, _version: PINGRESP,
    p.Disconnect: _farewell(0xE0),
    p.Auth: _farewell(0xF0),
}
