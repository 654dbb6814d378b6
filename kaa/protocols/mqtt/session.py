"""What of a client may outlive its connection, and for how long; where it is kept is the shell's business."""

import hashlib
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Final

from kaa.protocols.mqtt.packets import V5, Connect, Publish
from kaa.protocols.mqtt.properties import SESSION_EXPIRY_INTERVAL, number

DEFAULT_MAX_EXPIRY_S: Final = 3600


@dataclass(slots=True, eq=False)
class UnderWay:
    """A QoS 2 message that was handed out and has not got its PUBREC yet; its connection may be gone meanwhile.

    `owner` is the connection that owes the PUBREC; `heir` is told the outcome, once it is known, where that is not the
    connection that handed it out.
    """

    message: Publish
    digest: bytes
    owner: object
    heir: Callable[..., None] | None = None


@dataclass(slots=True)
class SessionState:
    """Session state of the standards, 4.1, as far as we promise it: no messages are queued in it.

    QoS 2 messages are remembered by packet id with a digest each: clients that share a client id, or have forgotten
    their session, use an id again, and what they say then is something else.
    """

    expiry_s: int = 0
    subscriptions: dict[str, int] = field(default_factory=dict)
    incoming_qos2: dict[int, bytes] = field(default_factory=dict)
    under_way: dict[int, UnderWay] = field(default_factory=dict)


def digest_of(message: Publish) -> bytes:
    """Give what tells a repetition from another message under the same packet id."""
    found = hashlib.blake2b(message.topic.encode(errors="surrogatepass"), digest_size=16)
    found.update(b"\0")
    found.update(message.payload)
    return found.digest()


def requested_expiry(connect: Connect, max_expiry_s: int = DEFAULT_MAX_EXPIRY_S) -> int:
    """Give the seconds to keep the session after the connection, 0 for not at all.

    MQTT 3 knows only for ever (Clean Session 0), which becomes the maximum.
    """
    if connect.version != V5:
        return 0 if connect.clean_start else max_expiry_s
    return min(number(connect.properties, SESSION_EXPIRY_INTERVAL, 0), max_expiry_s)
