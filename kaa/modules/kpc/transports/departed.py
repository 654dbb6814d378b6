"""Who stands in for a client that is gone, when its will is said."""

from typing import TYPE_CHECKING

from kaa.core.errors import ProtocolError
from kaa.protocols.mqtt import packets as p
from kaa.protocols.mqtt.events import Received
from kaa.protocols.names import AppVersionName, EndpointId

from ..models import Tally

if TYPE_CHECKING:
    from .mqtt import MqttDoor


def say_will(door: "MqttDoor", endpoints: dict[EndpointId, AppVersionName], will: p.Will) -> None:
    """Treat a will as a message that the client has sent; nobody is there for its outcome."""
    message = Received(will.topic, will.payload)
    try:
        door.communication.on_message(Departed(endpoints), message, door.clock.now_ms())
    except ProtocolError as error:
        door.notes.elsewhere(message, error)


class Departed:
    """Whoever said something in his will."""

    is_gone = True

    def __init__(self, endpoints: dict[EndpointId, AppVersionName]) -> None:
        self.endpoints = endpoints
        self.tally: Tally | None = None
        self.has_shown_token = True

    def finish(self, *_: object, **__: object) -> None:
        """Nobody waits for it."""

    def tell(self, *_: object) -> None:
        """Nobody waits for it."""

    def push(self, *_: object, **__: object) -> None:
        """Nobody takes it."""

    def flush(self) -> None:
        """There is nothing to write."""

    def close(self, status_code: int, reason: str) -> None:
        """Do nothing: it is closed."""
