"""The control packets of MQTT, as data.

Plain slotted dataclasses: one is made for every message, and a frozen one costs four times as much. Nobody changes
one that he was handed.
"""

from dataclasses import dataclass
from typing import Final

V31: Final = 3
V311: Final = 4
V5: Final = 5

PropertyValue = int | str | bytes | list[int] | list[tuple[str, str]]
Properties = dict[int, PropertyValue]
"""MQTT 5 properties by identifier (`properties` has the names); None where there are none.

User properties are a list of pairs, subscription identifiers a list of numbers, all others occur once.
"""


@dataclass(slots=True)
class Will:
    """What the server says for the client when the connection ends without a farewell."""

    topic: str
    payload: bytes
    qos: int = 0
    retain: bool = False
    properties: Properties | None = None


@dataclass(slots=True)
class Connect:
    """The first packet of a client; `clean_start` is called Clean Session in MQTT 3."""

    client_id: str
    version: int = V311
    clean_start: bool = True
    keep_alive_s: int = 0
    username: str | None = None
    password: bytes | None = None
    will: Will | None = None
    properties: Properties | None = None


@dataclass(slots=True)
class ConnAck:
    """The server's answer to CONNECT; the codes of MQTT 3 (0 to 5) and of MQTT 5 differ."""

    session_present: bool = False
    reason_code: int = 0
    properties: Properties | None = None


@dataclass(slots=True)
class Publish:
    """An application message; `packet_id` is 0 at QoS 0, `topic` is empty where a topic alias stands for it."""

    topic: str
    payload: bytes
    qos: int = 0
    packet_id: int = 0
    retain: bool = False
    dup: bool = False
    properties: Properties | None = None


@dataclass(slots=True)
class PubAck:
    """The receipt of a QoS 1 message."""

    packet_id: int
    reason_code: int = 0
    properties: Properties | None = None


@dataclass(slots=True)
class PubRec:
    """QoS 2, second of four: the message has arrived."""

    packet_id: int
    reason_code: int = 0
    properties: Properties | None = None


@dataclass(slots=True)
class PubRel:
    """QoS 2, third of four: the packet id may be forgotten."""

    packet_id: int
    reason_code: int = 0
    properties: Properties | None = None


@dataclass(slots=True)
class PubComp:
    """QoS 2, last of four: the packet id is forgotten."""

    packet_id: int
    reason_code: int = 0
    properties: Properties | None = None


@dataclass(slots=True)
class Subscription:
    """One line of a SUBSCRIBE; MQTT 3 knows only the first two fields. The filter may be an invalid one."""

    filter: str
    qos: int = 0
    no_local: bool = False
    retain_as_published: bool = False
    retain_handling: int = 0


@dataclass(slots=True)
class Subscribe:
    """A client asks for messages."""

    packet_id: int
    subscriptions: tuple[Subscription, ...]
    properties: Properties | None = None


@dataclass(slots=True)
class SubAck:
    """One granted QoS or reason for each subscription, in their order."""

    packet_id: int
    reason_codes: tuple[int, ...]
    properties: Properties | None = None


@dataclass(slots=True)
class Unsubscribe:
    """A client wants no more of something."""

    packet_id: int
    filters: tuple[str, ...]
    properties: Properties | None = None


@dataclass(slots=True)
class UnsubAck:
    """One reason for each filter, in their order; MQTT 3 gives none."""

    packet_id: int
    reason_codes: tuple[int, ...] = ()
    properties: Properties | None = None


@dataclass(slots=True)
class PingReq:
    """A client is alive and asks whether the server is."""


@dataclass(slots=True)
class PingResp:
    """The server is."""


@dataclass(slots=True)
class Disconnect:
    """The last packet of a connection; in MQTT 3 only clients send it."""

    reason_code: int = 0
    properties: Properties | None = None


@dataclass(slots=True)
class Auth:
    """One step of an extended authentication, MQTT 5 only."""

    reason_code: int = 0
    properties: Properties | None = None


Packet = (
    Connect
    | ConnAck
    | Publish
    | PubAck
    | PubRec
    | PubRel
    | PubComp
    | Subscribe
    | SubAck
    | Unsubscribe
    | UnsubAck
    | PingReq
    | PingResp
    | Disconnect
    | Auth
)

# Packet types, the upper half of the first byte [MQTT-2.2.1].
CONNECT: Final = 1
CONNACK: Final = 2
PUBLISH: Final = 3
PUBACK: Final = 4
PUBREC: Final = 5
PUBREL: Final = 6
PUBCOMP: Final = 7
SUBSCRIBE: Final = 8
SUBACK: Final = 9
UNSUBSCRIBE: Final = 10
UNSUBACK: Final = 11
PINGREQ: Final = 12
PINGRESP: Final = 13
DISCONNECT: Final = 14
AUTH: Final = 15
WILL: Final = 16
"""Not a packet type: the place of the will's own properties inside CONNECT."""

NAMES: Final = (
    "reserved type 0",
    "CONNECT",
    "CONNACK",
    "PUBLISH",
    "PUBACK",
    "PUBREC",
    "PUBREL",
    "PUBCOMP",
    "SUBSCRIBE",
    "SUBACK",
    "UNSUBSCRIBE",
    "UNSUBACK",
    "PINGREQ",
    "PINGRESP",
    "DISCONNECT",
    "AUTH",
    "CONNECT's will",
)
