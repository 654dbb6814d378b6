"""The properties of MQTT 5: names, where each is allowed, what it may say."""

from collections.abc import Callable
from typing import Final, NamedTuple, cast

from kaa.core.errors import ProtocolError
from kaa.protocols.mqtt import packets as p
from kaa.protocols.mqtt.packets import Properties, PropertyValue
from kaa.protocols.mqtt.wire import (
    read_binary,
    read_byte,
    read_string,
    read_u16,
    read_u32,
    read_varint,
    write_binary,
    write_string,
    write_u16,
    write_u32,
    write_varint,
)

PAYLOAD_FORMAT_INDICATOR: Final = 0x01
MESSAGE_EXPIRY_INTERVAL: Final = 0x02
CONTENT_TYPE: Final = 0x03
RESPONSE_TOPIC: Final = 0x08
CORRELATION_DATA: Final = 0x09
SUBSCRIPTION_IDENTIFIER: Final = 0x0B
SESSION_EXPIRY_INTERVAL: Final = 0x11
ASSIGNED_CLIENT_IDENTIFIER: Final = 0x12
SERVER_KEEP_ALIVE: Final = 0x13
AUTHENTICATION_METHOD: Final = 0x15
AUTHENTICATION_DATA: Final = 0x16
REQUEST_PROBLEM_INFORMATION: Final = 0x17
WILL_DELAY_INTERVAL: Final = 0x18
REQUEST_RESPONSE_INFORMATION: Final = 0x19
RESPONSE_INFORMATION: Final = 0x1A
SERVER_REFERENCE: Final = 0x1C
REASON_STRING: Final = 0x1F
RECEIVE_MAXIMUM: Final = 0x21
TOPIC_ALIAS_MAXIMUM: Final = 0x22
TOPIC_ALIAS: Final = 0x23
MAXIMUM_QOS: Final = 0x24
RETAIN_AVAILABLE: Final = 0x25
USER_PROPERTY: Final = 0x26
MAXIMUM_PACKET_SIZE: Final = 0x27
WILDCARD_SUBSCRIPTION_AVAILABLE: Final = 0x28
SUBSCRIPTION_IDENTIFIER_AVAILABLE: Final = 0x29
SHARED_SUBSCRIPTION_AVAILABLE: Final = 0x2A

MAX_REPEATED: Final = 100
"""How often one packet may repeat the user property, or the subscription identifier; the standard has no bound."""


class _Kind(NamedTuple):
    read: Callable[[bytes, int, int], tuple[PropertyValue, int]]
    write: Callable[..., bytes]


class _Rule(NamedTuple):
    name: str
    kind: _Kind
    packets: frozenset[int]
    may_be_zero: bool = True


def _write_byte(value: int) -> bytes:
    return bytes((value,))


def _read_flag(data: bytes, at: int, stop: int) -> tuple[int, int]:
    value, at = read_byte(data, at, stop)
    if value > 1:
        raise ProtocolError(f"a property that is 0 or 1 says {value}", reason_code=0x82)
    return value, at


def _read_pair(data: bytes, at: int, stop: int) -> tuple[list[tuple[str, str]], int]:
    name, at = read_string(data, at, stop)
    value, at = read_string(data, at, stop)
    return [(name, value)], at


def _write_pairs(pairs: list[tuple[str, str]]) -> bytes:
    mark = write_varint(USER_PROPERTY)
    # the identifier of the first is written by the caller
    return mark.join(write_string(name) + write_string(value) for name, value in pairs)


def _read_number(data: bytes, at: int, stop: int) -> tuple[list[int], int]:
    value, at = read_varint(data, at, stop)
    if not value:
        raise ProtocolError("the property Subscription Identifier is 0", reason_code=0x82)  # 3.8.2.1.2
    return [value], at


def _write_numbers(numbers: list[int]) -> bytes:
    mark = write_varint(SUBSCRIPTION_IDENTIFIER)
    return mark.join(write_varint(number) for number in numbers)


def _read_topic(data: bytes, at: int, stop: int) -> tuple[str, int]:
    topic, at = read_string(data, at, stop)
    if "+" in topic or "#" in topic or not topic:  # [MQTT5-3.3.2-14]
        raise ProtocolError("the Response Topic is empty or holds a wildcard", reason_code=0x82)
    return topic, at


_FLAG: Final = _Kind(_read_flag, _write_byte)
_U16: Final = _Kind(read_u16, write_u16)
_U32: Final = _Kind(read_u32, write_u32)
_STRING: Final = _Kind(read_string, write_string)
_BINARY: Final = _Kind(read_binary, write_binary)

_MESSAGE: Final = frozenset({p.PUBLISH, p.WILL})
_IN_CONNACK: Final = frozenset({p.CONNACK})
_BOTH_WAYS: Final = frozenset({p.CONNECT, p.CONNACK})
_REASONED: Final = frozenset(
    {
        p.CONNACK,
        p.PUBACK,
        p.PUBREC,
        p.PUBREL,
        p.PUBCOMP,
        p.SUBACK,
        p.UNSUBACK,
        p.DISCONNECT,
        p.AUTH,
    }
)
_AUTHENTICATION: Final = frozenset({p.CONNECT, p.CONNACK, p.AUTH})
_ALL: Final = _REASONED | {p.CONNECT, p.PUBLISH, p.WILL, p.SUBSCRIBE, p.UNSUBSCRIBE}

# MQTT 5, table 2-4.
_RULES: Final[dict[int, _Rule]] = {
    PAYLOAD_FORMAT_INDICATOR: _Rule("Payload Format Indicator", _FLAG, _MESSAGE),
    MESSAGE_EXPIRY_INTERVAL: _Rule("Message Expiry Interval", _U32, _MESSAGE),
    CONTENT_TYPE: _Rule("Content Type", _STRING, _MESSAGE),
    RESPONSE_TOPIC: _Rule("Response Topic", _Kind(_read_topic, write_string), _MESSAGE),
    CORRELATION_DATA: _Rule("Correlation Data", _BINARY, _MESSAGE),
    SUBSCRIPTION_IDENTIFIER: _Rule(
        "Subscription Identifier", _Kind(_read_number, _write_numbers), frozenset({p.PUBLISH, p.SUBSCRIBE})
    ),
    SESSION_EXPIRY_INTERVAL: _Rule("Session Expiry Interval", _U32, frozenset({p.CONNECT, p.CONNACK, p.DISCONNECT})),
    ASSIGNED_CLIENT_IDENTIFIER: _Rule("Assigned Client Identifier", _STRING, _IN_CONNACK),
    SERVER_KEEP_ALIVE: _Rule("Server Keep Alive", _U16, _IN_CONNACK),
    AUTHENTICATION_METHOD: _Rule("Authentication Method", _STRING, _AUTHENTICATION),
    AUTHENTICATION_DATA: _Rule("Authentication Data", _BINARY, _AUTHENTICATION),
    REQUEST_PROBLEM_INFORMATION: _Rule("Request Problem Information", _FLAG, frozenset({p.CONNECT})),
    WILL_DELAY_INTERVAL: _Rule("Will Delay Interval", _U32, frozenset({p.WILL})),
    REQUEST_RESPONSE_INFORMATION: _Rule("Request Response Information", _FLAG, frozenset({p.CONNECT})),
    RESPONSE_INFORMATION: _Rule("Response Information", _STRING, _IN_CONNACK),
    SERVER_REFERENCE: _Rule("Server Reference", _STRING, frozenset({p.CONNACK, p.DISCONNECT})),
    REASON_STRING: _Rule("Reason String", _STRING, _REASONED),
    RECEIVE_MAXIMUM: _Rule("Receive Maximum", _U16, _BOTH_WAYS, may_be_zero=False),
    TOPIC_ALIAS_MAXIMUM: _Rule("Topic Alias Maximum", _U16, _BOTH_WAYS),
    TOPIC_ALIAS: _Rule("Topic Alias", _U16, frozenset({p.PUBLISH})),
    MAXIMUM_QOS: _Rule("Maximum QoS", _FLAG, _IN_CONNACK),
    RETAIN_AVAILABLE: _Rule("Retain Available", _FLAG, _IN_CONNACK),
    USER_PROPERTY: _Rule("User Property", _Kind(_read_pair, _write_pairs), _ALL),
    MAXIMUM_PACKET_SIZE: _Rule("Maximum Packet Size", _U32, _BOTH_WAYS, may_be_zero=False),
    WILDCARD_SUBSCRIPTION_AVAILABLE: _Rule("Wildcard Subscription Available", _FLAG, _IN_CONNACK),
    SUBSCRIPTION_IDENTIFIER_AVAILABLE: _Rule("Subscription Identifier Available", _FLAG, _IN_CONNACK),
    SHARED_SUBSCRIPTION_AVAILABLE: _Rule("Shared Subscription Available", _FLAG, _IN_CONNACK),
}


def read_properties(data: bytes, at: int, stop: int, packet: int) -> tuple[Properties | None, int]:
    """Read the properties of a packet of the given type, each of them checked; None where there are none."""
    length, at = read_varint(data, at, stop)
    if not length:
        return None, at
    end = at + length
    if end > stop:
        raise ProtocolError(f"the properties of {p.NAMES[packet]} are longer than the packet")
    properties: Properties = {}
    while at < end:
        identifier, at = read_varint(data, at, end)
        rule = _RULES.get(identifier)
        if rule is None or packet not in rule.packets:  # 2.2.2.2: malformed
            name = rule.name if rule else f"property 0x{identifier:02x}"
            raise ProtocolError(f"{name} is not a property of {p.NAMES[packet]}")
        value, at = rule.kind.read(data, at, end)
        if identifier not in properties:
            if not value and not rule.may_be_zero:
                raise ProtocolError(f"the property {rule.name} is 0", reason_code=0x82)
            properties[identifier] = value
        elif identifier == USER_PROPERTY or (identifier == SUBSCRIPTION_IDENTIFIER and packet == p.PUBLISH):
            kept = cast("list[object]", properties[identifier])
            if len(kept) >= MAX_REPEATED:
                raise ProtocolError(f"the property {rule.name} comes more than {MAX_REPEATED} times", reason_code=0x97)
            kept.extend(cast("list[object]", value))
        else:
            raise ProtocolError(f"the property {rule.name} comes twice", reason_code=0x82)
    if AUTHENTICATION_DATA in properties and AUTHENTICATION_METHOD not in properties:
        raise ProtocolError("Authentication Data without an Authentication Method", reason_code=0x82)
    return properties, end


def write_properties(properties: Properties | None) -> bytes:
    """Write properties after their length."""
    if not properties:
        return b"\0"
    body = b"".join(
        write_varint(identifier) + _RULES[identifier].kind.write(value) for identifier, value in properties.items()
    )
    return write_varint(len(body)) + body


def number(properties: Properties | None, identifier: int, default: int) -> int:
    """Give an integer property, or the default where it is absent."""
    if properties is None:
        return default
    value = properties.get(identifier, default)
    assert isinstance(value, int)
    return value
