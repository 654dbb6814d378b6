"""The inside of every packet but PUBLISH, whose hot path is in `codec`: from a complete body to a packet."""

from collections.abc import Callable
from typing import Final

from kaa.core.errors import ProtocolError
from kaa.protocols.mqtt import packets as p
from kaa.protocols.mqtt.packets import Packet
from kaa.protocols.mqtt.properties import read_properties
from kaa.protocols.mqtt.reasons import ALLOWED, ALLOWED_V3
from kaa.protocols.mqtt.topics import is_topic_name
from kaa.protocols.mqtt.wire import read_binary, read_byte, read_string, read_u16

MAX_FILTERS: Final = 1024
"""How many filters one SUBSCRIBE or UNSUBSCRIBE may carry; the standard has no bound."""

_REPEATABLE_V31: Final = {p.PUBREL, p.SUBSCRIBE, p.UNSUBSCRIBE}
_FLAGS: Final = {p.PUBREL: 2, p.SUBSCRIBE: 2, p.UNSUBSCRIBE: 2}


def decode(first: int, body: bytes, version: int) -> Packet:
    """Decode the body of one packet; `first` is the first byte of its header.

    The version is 0 before CONNECT, which sets it.
    """
    kind = first >> 4
    if kind == 0 or (kind == p.AUTH and version and version != p.V5):
        raise ProtocolError(f"{p.NAMES[kind]} is not a packet of this protocol version")
    if not version and kind != p.CONNECT:
        # [MQTT-3.1.0-1]
        raise ProtocolError(f"the first packet is {p.NAMES[kind]}, not CONNECT", reason_code=0x82)
    if version and kind == p.CONNECT:
        raise ProtocolError("a second CONNECT on one connection", reason_code=0x82)  # [MQTT-3.1.0-2]
    flags = first & 0x0F
    if version == p.V31 and kind in _REPEATABLE_V31:
        flags &= 0x07  # MQTT 3.1 allows DUP there
    if flags != _FLAGS.get(kind, 0):
        raise ProtocolError(f"the flags of {p.NAMES[kind]} are 0x{first & 0x0F:x}")  # [MQTT-2.2.2-2]
    packet, at = _READERS[kind](body, version, kind)
    if at != len(body):
        raise ProtocolError(f"{p.NAMES[kind]} goes on for {len(body) - at} bytes after its end")
    return packet


def _connect(body: bytes, _version: int, _kind: int) -> tuple[p.Connect, int]:
    stop = len(body)
    name, at = read_binary(body, 0, stop)
    version, at = read_byte(body, at, stop)
    known = (name == b"MQTT" and version in (p.V311, p.V5)) or (name == b"MQIsdp" and version == p.V31)
    if not known:
        # [MQTT-3.1.2-1], [MQTT-3.1.2-2]
        raise ProtocolError(f"protocol {name[:20]!r} level {version} is not MQTT 3.1, 3.1.1 or 5", reason_code=0x84)
    flags, at = read_byte(body, at, stop)
    if flags & 0x01 and version != p.V31:
        raise ProtocolError("the reserved flag of CONNECT is set")  # [MQTT-3.1.2-3]
    keep_alive_s, at = read_u16(body, at, stop)
    properties = None
    if version == p.V5:
        properties, at = read_properties(body, at, stop, p.CONNECT)
    client_id, at = read_string(body, at, stop)
    will = None
    if flags & 0x04:
        will, at = _will(body, at, version, flags)
    elif flags & 0x38:
        # [MQTT-3.1.2-11], [MQTT-3.1.2-13], [MQTT-3.1.2-15]
        raise ProtocolError("CONNECT has a QoS or a retain flag for a will, but no will")
    username = password = None
    # MQTT 3.1, 3.1: the remaining length takes precedence over these two flags.
    if flags & 0x80 and not (version == p.V31 and at == stop):
        username, at = read_string(body, at, stop)
    if flags & 0x40:
        if not flags & 0x80 and version != p.V5:
            raise ProtocolError("CONNECT has a password without a user name")  # [MQTT-3.1.2-22]
        if not (version == p.V31 and at == stop):
            password, at = read_binary(body, at, stop)
    clean_start = bool(flags & 0x02)
    return p.Connect(client_id, version, clean_start, keep_alive_s, username, password, will, properties), at


def _will(body: bytes, at: int, version: int, flags: int) -> tuple[p.Will, int]:
    stop = len(body)
    qos = flags >> 3 & 3
    if qos == 3:
        raise ProtocolError("the will's QoS is 3")  # [MQTT-3.1.2-14]
    properties = None
    if version == p.V5:
        properties, at = read_properties(body, at, stop, p.WILL)
    topic, at = read_string(body, at, stop)
    if not is_topic_name(topic):
        raise ProtocolError("the will's topic is empty or holds a wildcard")  # [MQTT-4.7.1-1], [MQTT-4.7.3-1]
    payload, at = read_binary(body, at, stop)
    return p.Will(topic, payload, qos, bool(flags & 0x20), properties), at


def _connack(body: bytes, version: int, kind: int) -> tuple[p.ConnAck, int]:
    stop = len(body)
    flags, at = read_byte(body, 0, stop)
    if flags > 1:
        raise ProtocolError("a reserved flag of CONNACK is set")
    reason_code, at = _reason(body, at, version, kind)
    properties = None
    if version == p.V5:
        properties, at = read_properties(body, at, stop, kind)
    if flags and reason_code:
        raise ProtocolError("CONNACK refuses and speaks of a session", reason_code=0x82)  # [MQTT-3.2.2-4]
    return p.ConnAck(bool(flags), reason_code, properties), at


def _reason(body: bytes, at: int, version: int, kind: int) -> tuple[int, int]:
    code, at = read_byte(body, at, len(body))
    if code not in (ALLOWED if version == p.V5 else ALLOWED_V3)[kind]:
        raise ProtocolError(f"0x{code:02x} is not a reason for {p.NAMES[kind]}", reason_code=0x82)
    return code, at


def _packet_id(body: bytes, kind: int) -> tuple[int, int]:
    packet_id, at = read_u16(body, 0, len(body))
    if not packet_id:
        raise ProtocolError(f"the packet id of {p.NAMES[kind]} is 0", reason_code=0x82)  # [MQTT-2.3.1-1]
    return packet_id, at


_RECEIPTS: Final[dict[int, type[p.PubAck | p.PubRec | p.PubRel | p.PubComp]]] = {
    p.PUBACK: p.PubAck,
    p.PUBREC: p.PubRec,
    p.PUBREL: p.PubRel,
    p.PUBCOMP: p.PubComp,
}


def _receipt(body: bytes, version: int, kind: int) -> tuple[Packet, int]:
    packet_id, at = _packet_id(body, kind)
    reason_code, properties = 0, None
    if version == p.V5 and at < len(body):
        reason_code, at = _reason(body, at, version, kind)
        if at < len(body):
            properties, at = read_properties(body, at, len(body), kind)
    return _RECEIPTS[kind](packet_id, reason_code, properties), at


def _subscribe(body: bytes, version: int, kind: int) -> tuple[p.Subscribe, int]:
    stop = len(body)
    packet_id, at = _packet_id(body, kind)
    properties = None
    if version == p.V5:
        properties, at = read_properties(body, at, stop, kind)
    subscriptions: list[p.Subscription] = []
    while at < stop:
        spelling, at = read_string(body, at, stop)
        options, at = read_byte(body, at, stop)
        _check_count(len(subscriptions), kind)
        if options & 3 == 3:
            raise ProtocolError("a subscription asks for QoS 3")  # [MQTT-3-8.3-4]
        if version != p.V5:
            if options > 2 and version != p.V31:
                raise ProtocolError("a reserved bit beside a subscription's QoS is set")  # [MQTT-3-8.3-4]
            subscriptions.append(p.Subscription(spelling, options & 3))
            continue
        if options & 0xC0:
            raise ProtocolError("a reserved bit of the subscription options is set")  # [MQTT5-3.8.3-5]
        if options & 0x30 == 0x30:
            raise ProtocolError("a subscription's Retain Handling is 3", reason_code=0x82)
        subscriptions.append(
            p.Subscription(spelling, options & 3, bool(options & 4), bool(options & 8), options >> 4 & 3)
        )
    if not subscriptions:
        raise ProtocolError("SUBSCRIBE without a filter", reason_code=0x82)  # [MQTT-3.8.3-3]
    return p.Subscribe(packet_id, tuple(subscriptions), properties), at


def _unsubscribe(body: bytes, version: int, kind: int) -> tuple[p.Unsubscribe, int]:
    stop = len(body)
    packet_id, at = _packet_id(body, kind)
    properties = None
    if version == p.V5:
        properties, at = read_properties(body, at, stop, kind)
    filters: list[str] = []
    while at < stop:
        spelling, at = read_string(body, at, stop)
        _check_count(len(filters), kind)
        filters.append(spelling)
    if not filters:
        raise ProtocolError("UNSUBSCRIBE without a filter", reason_code=0x82)  # [MQTT-3.10.3-2]
    return p.Unsubscribe(packet_id, tuple(filters), properties), at


def _check_count(count: int, kind: int) -> None:
    if count >= MAX_FILTERS:
        raise ProtocolError(f"{p.NAMES[kind]} with more than {MAX_FILTERS} filters", reason_code=0x97)


def _suback(body: bytes, version: int, kind: int) -> tuple[Packet, int]:
    packet_id, at = _packet_id(body, kind)
    properties = None
    if version == p.V5:
        properties, at = read_properties(body, at, len(body), kind)
    elif kind == p.UNSUBACK:
        return p.UnsubAck(packet_id), at
    codes: list[int] = []
    while at < len(body):
        code, at = _reason(body, at, version, kind)
        codes.append(code)
    if not codes:
        raise ProtocolError(f"{p.NAMES[kind]} without a reason code", reason_code=0x82)
    if kind == p.UNSUBACK:
        return p.UnsubAck(packet_id, tuple(codes), properties), at
    return p.SubAck(packet_id, tuple(codes), properties), at


def _pingreq(_body: bytes, _version: int, _kind: int) -> tuple[p.PingReq, int]:
    return p.PingReq(), 0


def _pingresp(_body: bytes, _version: int, _kind: int) -> tuple[p.PingResp, int]:
    return p.PingResp(), 0


def _farewell(body: bytes, version: int, kind: int) -> tuple[Packet, int]:
    reason_code, properties, at = 0, None, 0
    if version == p.V5 and body:
        reason_code, at = _reason(body, at, version, kind)
        if at < len(body):
            properties, at = read_properties(body, at, len(body), kind)
    if kind == p.AUTH:
        return p.Auth(reason_code, properties), at
    return p.Disconnect(reason_code, properties), at


_READERS: Final[dict[int, Callable[[bytes, int, int], tuple[Packet, int]]]] = {
    p.CONNECT: _connect,
    p.CONNACK: _connack,
    p.PUBACK: _receipt,
    p.PUBREC: _receipt,
    p.PUBREL: _receipt,
    p.PUBCOMP: _receipt,
    p.SUBSCRIBE: _subscribe,
    p.SUBACK: _suback,
    p.UNSUBSCRIBE: _unsubscribe,
    p.UNSUBACK: _suback,
    p.PINGREQ: _pingreq,
    p.PINGRESP: _pingresp,
    p.DISCONNECT: _farewell,
    p.AUTH: _farewell,
}
