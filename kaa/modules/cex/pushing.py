"""Commands on their way to endpoints that are connected, those of one type together."""

from collections.abc import Callable, Iterable, Iterator

from kaa.core.bus import Bus
from kaa.core.clock import Clock
from kaa.core.ids import Ids
from kaa.protocols import cep, esp
from kaa.protocols.esp import ExtensionData
from kaa.protocols.names import AppVersionName, EndpointId

from .models import Outstanding, Queue

_MOST_BYTES = 64 * 1024
_MOST_COMMANDS = 100


class Pushes:
    """Sends commands to the communication service, which drops what is for an endpoint that is not there."""

    def __init__(self, *, name: str, communication: str, bus: Bus, clock: Clock, ids: Ids) -> None:
        self._name, self._subject = name, esp.extension_data(communication)
        self._bus, self._clock, self._ids = bus, clock, ids

    def push(self, commands: Iterable[Outstanding], version_of: Callable[[EndpointId], AppVersionName]) -> int:
        """Send commands, in the order in which they come; gives the number of messages that it took."""
        messages = 0
        for queue, part in _portions(commands):
            self._bus.publish(
                self._subject,
                ExtensionData(
                    correlation_id=self._ids.correlation_id(),
                    timestamp_ms=self._clock.now_ms(),
                    app_version_name=version_of(queue.endpoint_id),
                    extension_instance_name=self._name,
                    endpoint_id=queue.endpoint_id,
                    resource_path=cep.COMMAND + queue.command_type,
                    request_id=None,
                    payload=cep.render_commands((one.key.command_id, one.payload) for one in part),
                    status_code=200,
                ),
            )
            messages += 1
        return messages


def _portions(commands: Iterable[Outstanding]) -> Iterator[tuple[Queue, list[Outstanding]]]:
    """Group commands by their queues, as many as fit a message."""
    open_: dict[Queue, tuple[list[Outstanding], int]] = {}
    for one in commands:
        part, size = open_.get(one.key.queue, ([], 0))
        size += len(one.payload or b"")
        if part and (size > _MOST_BYTES or len(part) >= _MOST_COMMANDS):
            yield one.key.queue, part
            part, size = [], len(one.payload or b"")
        part.append(one)
        open_[one.key.queue] = part, size
    for queue, (part, _) in open_.items():
        yield queue, part
