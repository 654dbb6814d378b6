"""What endpoints ask and tell (11/CEP), and what is done when they come and go (9/ELCE)."""

import asyncio
from collections.abc import Mapping

import structlog

from kaa.core.clock import Clock
from kaa.core.errors import InvalidInput, NotFound, Refusal, TooMany
from kaa.core.metrics import Metrics
from kaa.protocols import cep, elce, kp
from kaa.protocols.esp import ClientData, ExtensionData
from kaa.protocols.names import checked
from kaa.protocols.x_outbox import EventProcessed

from .endpoints import Endpoints
from .models import CommandKey, CommandType, Outcome, Outstanding, Queue, Status
from .pushing import Pushes
from .repository import CommandRepository
from .waiting import Waiting

log = structlog.get_logger(__name__)

_MOST_UNOBSERVED = 256  # types of one endpoint: a bound on what a device can make up
_AT_A_TIME = 200
_BYTES_AT_A_TIME = 256 * 1024
_BUCKETS = (0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 5.0, 30.0, 60.0, 300.0, 3600.0)  # seconds
_OK = kp.error_payload(200, "OK")
_INTERNAL = Refusal("internal error")


class _Batch:
    """What the messages of a batch want, each by its place among them."""

    def __init__(self) -> None:
        self.asked: dict[int, tuple[Queue, bool | None]] = {}
        self.told: list[int] = []
        self.outcomes: dict[CommandKey, Outcome] = {}
        self.refused: dict[int, Refusal] = {}
        self.payloads: dict[int, bytes] = {}


class Devices:
    """Serves endpoints: all that has come at a time with one commit and one read."""

    def __init__(
        self,
        *,
        name: str,
        commands: CommandRepository,
        endpoints: Endpoints,
        waiting: Waiting,
        pushes: Pushes,
        clock: Clock,
        metrics: Metrics,
    ) -> None:
        self._name, self._commands, self._endpoints = name, commands, endpoints
        self._waiting, self._pushes, self._clock = waiting, pushes, clock
        self._executed = metrics.counter("kaa_cex_commands_executed_total", "Commands whose result has come")
        self._seconds = metrics.histogram(
            "kaa_cex_command_seconds", "From the time of a command's delivery to its result", buckets=_BUCKETS
        )

    async def on_client_data(self, messages: list[ClientData]) -> list[ExtensionData]:
        """Take results, then give commands to those who ask."""
        batch, size = _Batch(), 0
        for at, message in enumerate(messages):
            try:
                self._take(batch, at, message)
            except Refusal as no:
                batch.refused[at] = no
            # a bug that one message brings out must not refuse those that came with it
            except Exception:
                log.exception("message_failed", correlation_id=message.correlation_id)
                batch.refused[at] = _INTERNAL
            size += len(message.payload)
            if size > _BYTES_AT_A_TIME:
                size = 0
                await asyncio.sleep(0)
        if batch.outcomes:
            try:
                await self._finish(batch.outcomes)
            except Refusal as no:
                batch.refused |= dict.fromkeys(batch.told, no)
        if batch.asked:
            try:
                await self._answer(batch, messages)
            except Refusal as no:
                batch.refused |= {at: no for at in batch.asked if at not in batch.refused}
        return [
            self._reply(message, batch.refused.get(at), batch.payloads.get(at)) for at, message in enumerate(messages)
        ]

    async def on_connected(self, events: list[elce.ConnectedEvent]) -> None:
        """Push what is outstanding to endpoints that have come, all of them found by one query."""
        versions = {endpoint_id: version for event in events for endpoint_id, version in event.endpoints.items()}
        self._endpoints.connected(versions)
        found = await self._commands.find_to_push(list(versions), at_ms=self._clock.now_ms())
        by_endpoint: dict[str, list[Outstanding]] = {}
        for one in found:
            by_endpoint.setdefault(one.key.endpoint_id, []).append(one)
        sent = 0
        for commands in by_endpoint.values():
            sent += self._pushes.push(commands, lambda one: versions[one])
            if sent >= _AT_A_TIME:
                sent = 0
                await asyncio.sleep(0)

    async def on_unregistered(self, events: list[elce.UnregisteredEvent]) -> list[EventProcessed]:
        """Delete all that there is of endpoints that are no more.

        Of one that has been registered again since, what has been made since stays.
        """
        told = {event.endpoint_id: event.timestamp_ms for event in events}
        self._endpoints.forget(told)
        again = await self._endpoints.find(list(told))
        await self._commands.remove_of({one: at if one in again else self._clock.now_ms() for one, at in told.items()})
        self._waiting.tell_endpoints(told.keys() - again.keys(), Outcome(Status.DELETED))
        return [
            EventProcessed(
                correlation_id=event.correlation_id,
                timestamp_ms=self._clock.now_ms(),
                receiver_service_instance_name=self._name,
                status_code=200,
            )
            for event in events
        ]

    def _take(self, batch: _Batch, at: int, message: ClientData) -> None:
        path = message.resource_path
        if message.endpoint_id is None:
            raise InvalidInput("commands need an endpoint; the communication service has no token in their topics")
        if path.startswith(cep.COMMAND):
            type_ = _type(path.removeprefix(cep.COMMAND))
            batch.asked[at] = Queue(message.endpoint_id, type_), cep.parse_request(message.payload).observe
        elif path.startswith(cep.RESULT):
            type_ = _type(path.removeprefix(cep.RESULT))
            for one in cep.parse_results(message.payload):
                if 0 <= one.id <= cep.MAX_COMMAND_ID:  # no other id has been given out
                    payload = bytes(one.payload) or None
                    outcome = Outcome(Status.EXECUTED, one.status_code, one.reason_phrase, payload)
                    batch.outcomes.setdefault(CommandKey(message.endpoint_id, type_, one.id), outcome)
            batch.told.append(at)
            if message.request_id is not None:
                batch.payloads[at] = _OK
        else:
            raise NotFound(f"there is no resource {path[:80]!r}; there are /command/<type> and /result/<type>")

    async def _finish(self, outcomes: Mapping[CommandKey, Outcome]) -> None:
        now_ms = self._clock.now_ms()
        done = await self._commands.finish(outcomes, at_ms=now_ms)
        self._executed.inc(len(done))
        for deliver_ms in done.values():
            self._seconds.observe((now_ms - deliver_ms) / 1000)
        for key in done:
            self._waiting.tell(key, outcomes[key])

    async def _answer(self, batch: _Batch, messages: list[ClientData]) -> None:
        queues = list(dict.fromkeys(queue for queue, _ in batch.asked.values()))
        offered, muted = await self._commands.find_outstanding(queues, at_ms=self._clock.now_ms())
        wanted = {queue: is_wanted for queue, is_wanted in batch.asked.values() if is_wanted is not None}
        changes = {queue: is_wanted for queue, is_wanted in wanted.items() if (queue in muted) == is_wanted}
        if changes:
            now = self._clock.now_ms()
            full = await self._commands.observe(changes, at_ms=now, most=_MOST_UNOBSERVED)
            no = TooMany(f"more than {_MOST_UNOBSERVED} types of commands are not observed")
            batch.refused |= {at: no for at, (queue, _) in batch.asked.items() if queue in full}
        for at, (queue, is_wanted) in batch.asked.items():
            found = offered.get(queue, ())
            # who gives no request id has not asked for an answer, but gets what would be pushed to him
            if messages[at].request_id is not None or (found and is_wanted is not False):
                batch.payloads[at] = cep.render_commands((one.key.command_id, one.payload) for one in found)

    def _reply(self, message: ClientData, no: Refusal | None, payload: bytes | None) -> ExtensionData:
        return ExtensionData(
            correlation_id=message.correlation_id,
            timestamp_ms=self._clock.now_ms(),
            app_version_name=message.app_version_name,
            extension_instance_name=None,
            endpoint_id=message.endpoint_id,
            resource_path=message.resource_path,
            request_id=message.request_id,
            payload=None if no is not None else payload,
            status_code=200 if no is None else no.status,
            reason_phrase=None if no is None else no.reason,
        )


def _type(text: str) -> CommandType:
    return CommandType(checked(cep.COMMAND_TYPE, text, what="the type of command"))
