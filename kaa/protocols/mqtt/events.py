"""What a server's session tells its shell, besides the packets Connect, Subscribe and Unsubscribe."""

from dataclasses import dataclass

from kaa.protocols.mqtt.packets import Connect, Properties, Publish, Subscribe, Unsubscribe
from kaa.protocols.mqtt.session import UnderWay


@dataclass(slots=True, eq=False)
class Received(Publish):
    """An application message of the client, to be settled; `outcome` is what leaves when its turn has come."""

    outcome: bytes | None = None


@dataclass(slots=True)
class Repeated:
    """A QoS 2 message came again whose `first` delivery, on an earlier connection, has no outcome yet.

    It is no message for the shell; it is to be settled with the outcome of the first, to which it becomes the heir.
    """

    message: Received
    first: UnderWay


@dataclass(slots=True)
class Disconnected:
    """The client said farewell; nothing it sends after that counts. The session's `will` is None if it is void."""

    reason_code: int = 0
    properties: Properties | None = None


Event = Connect | Received | Repeated | Subscribe | Unsubscribe | Disconnected
