"""What is sent to devices unasked: when a configuration changes, and when they come and have another one."""

import asyncio
from collections.abc import Mapping, Sequence
from typing import Any

import structlog

from kaa.core.bus import Bus
from kaa.core.clock import Clock
from kaa.core.errors import InvalidInput, Refusal
from kaa.core.ids import Ids
from kaa.protocols import cdtp, cmp, elce, esp
from kaa.protocols.cmp import DEFAULT
from kaa.protocols.names import AppVersionName, EndpointId
from kaa.protocols.x_outbox import EventProcessed

from .models import Current, Key, Push, State
from .provider import Provider
from .recent import Recent
from .repository import StateRepository

log = structlog.get_logger(__name__)

_CHUNK = 1_000
_AT_ONCE = 100
_AGAIN_MS = 5_000
_FIRST_PULL_MS = 100
_MOVE_MS = 1_000

Arrived = tuple[AppVersionName, int]
"""The version that an endpoint speaks, and when it was told of."""


class Pushing:
    """Pushes configurations to endpoints that do not have them.

    Nothing is queued for an endpoint that is away: when it comes, the provider is asked what it is to have, and that
    is compared with what it has. A push that nobody takes is thus repeated until the endpoint says it has it.
    """

    def __init__(
        self,
        *,
        name: str,
        communication: str,
        states: StateRepository,
        provider: Provider,
        pulls: Recent,
        bus: Bus,
        clock: Clock,
        ids: Ids,
    ) -> None:
        self._name, self._pushed_at = name, esp.extension_data(communication)
        self._states, self._provider, self._pulls = states, provider, pulls
        self._bus, self._clock, self._ids = bus, clock, ids
        self._pushes = Recent()
        self._later: dict[EndpointId, Arrived] = {}
        self._one_at_a_time = asyncio.Lock()

    async def on_updated(self, events: list[cdtp.ConfigUpdated]) -> list[EventProcessed]:
        """Push what has changed; of several changes of one configuration the last."""
        names = await self._provider.names(event.config_id for event in events)
        pushes: dict[Key, Push] = {}
        for event in events:
            key = (event.endpoint_id, names[event.config_id])
            now = Current(event.config_id, event.content)
            self._provider.is_told(key, now)
            pushes.pop(key, None)
            # who has come after the change, and before it is told here, has been sent it already
            is_sent = self._pushes.is_since(key, event.timestamp_ms, (event.app_version_name, event.config_id))
            if now.is_pushable and not is_sent:
                pushes[key] = Push(*key[:1], event.app_version_name, key[1], event.config_id, event.content)
        states = await self._states.find(list({endpoint_id for endpoint_id, _ in pushes}))
        await self._push([push for push in pushes.values() if _wants(states.get(push.key), push.config_id)])
        return self._processed(events)

    async def on_connected(self, events: list[elce.ConnectedEvent]) -> None:
        """Push to those that have come what they do not have."""
        await self._bring({one: (v, event.timestamp_ms) for event in events for one, v in event.endpoints.items()})

    async def on_moved(self, events: list[elce.AppVersionUpdatedEvent]) -> list[EventProcessed]:
        """Push to those that have another version what they do not have."""
        arrived = {event.endpoint_id: (event.app_version_name, event.timestamp_ms) for event in events}
        await self._bring(arrived, is_move=True)
        return self._processed(events)

    async def on_unregistered(self, events: list[elce.UnregisteredEvent]) -> list[EventProcessed]:
        """Forget endpoints that are no more."""
        await self._states.forget([(event.endpoint_id, event.timestamp_ms) for event in events])
        return self._processed(events)

    async def run(self) -> None:
        """Try again with those for whom the provider could not be asked; for a task of its own."""
        while True:
            await self._clock.sleep_ms(_AGAIN_MS)
            if self._later:
                later, self._later = self._later, {}
                await self._bring(later)

    async def _bring(self, arrived: Mapping[EndpointId, Arrived], *, is_move: bool = False) -> None:
        """Find out what endpoints are to have, and push what they do not have; one crowd after the other."""
        everyone = list(arrived.items())
        async with self._one_at_a_time:
            for at in range(0, len(everyone), _CHUNK):
                chunk = dict(everyone[at : at + _CHUNK])
                try:
                    await self._bring_chunk(chunk, is_move=is_move)
                except Refusal as no:
                    log.warning("arrivals_put_off", endpoints=len(chunk), reason=no.reason)
                    self._put_off(chunk)

    async def _bring_chunk(self, arrived: dict[EndpointId, Arrived], *, is_move: bool) -> None:
        states = await self._states.find(list(arrived))
        effective = await self._provider.effective(
            [
                (endpoint_id, version, states.get((endpoint_id, DEFAULT), State()).applied_id)
                for endpoint_id, (version, _) in arrived.items()
            ]
        )
        due = [
            (key, config_id)
            for key, config_id in effective
            if key[0] in arrived
            and _wants(states.get(key), config_id)
            and not self._has_just_got(key, config_id, arrived[key[0]], is_move=is_move)
        ]
        for at in range(0, len(due), _AT_ONCE):
            part = due[at : at + _AT_ONCE]
            async with asyncio.TaskGroup() as group:
                tasks = [
                    group.create_task(self._get(key, arrived[key[0]], states.get(key, State()))) for key, _ in part
                ]
            await self._push([push for task in tasks if (push := task.result()) is not None])

    async def _get(self, key: Key, arrived: Arrived, state: State) -> Push | None:
        version, _ = arrived
        try:
            now = await self._provider.get(key, version, state.known_id)
        except Refusal as no:
            log.warning("arrival_put_off", reason=no.reason)
            self._put_off({key[0]: arrived})
            return None
        if not now.is_pushable:
            return None
        assert now.content is not None
        return Push(key[0], version, key[1], now.config_id, now.content)

    async def _push(self, pushes: Sequence[Push]) -> None:
        """Send; what is not sure any more because of it is kept first."""
        if not pushes:
            return
        now_ms = self._clock.now_ms()
        await self._states.note_answered([], [(push.key, push.config_id) for push in pushes], at_ms=now_ms)
        for push in pushes:
            try:
                payload = cmp.configuration(push.config_id, push.content)
            except InvalidInput as no:
                log.warning("not_pushed", endpoint_id=push.endpoint_id, config_id=push.config_id, reason=no.reason)
                continue
            self._pushes.note(push.key, now_ms, (push.app_version, push.config_id))
            self._bus.publish(
                self._pushed_at,
                esp.ExtensionData(
                    correlation_id=self._ids.correlation_id(),
                    timestamp_ms=now_ms,
                    app_version_name=push.app_version,
                    extension_instance_name=self._name,
                    endpoint_id=push.endpoint_id,
                    resource_path=cmp.push_path(push.name),
                    request_id=None,
                    payload=payload,
                    status_code=200,
                ),
            )

    def _has_just_got(self, key: Key, config_id: str | None, arrived: Arrived, *, is_move: bool) -> bool:
        """Whether the endpoint has been sent it in this very turn.

        The first message of a connection is often the question for the configuration, and its answer is on the way;
        and a device that speaks another version is told of twice, as one that came and as one that moved.
        """
        version, at_ms = arrived
        if is_move and config_id is not None and self._pushes.is_since(key, at_ms - _MOVE_MS, (version, config_id)):
            return True
        return self._pulls.is_since(key, at_ms - _FIRST_PULL_MS)

    def _put_off(self, arrived: Mapping[EndpointId, Arrived]) -> None:
        self._later.update(arrived)

    def _processed(self, events: Sequence[Any]) -> list[EventProcessed]:
        now = self._clock.now_ms()
        return [
            EventProcessed(
                correlation_id=event.correlation_id,
                timestamp_ms=now,
                receiver_service_instance_name=self._name,
                status_code=200,
            )
            for event in events
        ]


def _wants(state: State | None, config_id: str | None) -> bool:
    """Whether an endpoint is to be sent a configuration unasked; None is one of which only the provider knows."""
    return state is None or (not state.is_deaf and (config_id is None or state.known_id != config_id))
