"""Telling what has changed: one endpoint at once, many by and by."""

import asyncio
from collections.abc import Collection, Sequence

import structlog

from kaa.core.bus import Bus
from kaa.core.clock import Clock
from kaa.core.errors import Refusal
from kaa.core.ids import Ids
from kaa.core.storage.outbox import Outbox
from kaa.protocols import cdtp
from kaa.protocols.names import EndpointId

from ..models import Rollout, Target
from ..presence import Presence
from ..repository import DeliveryRepository
from ..repository.tables import Event

log = structlog.get_logger(__name__)

_CHUNK = 200
_CHUNK_BYTES = 2 * 1024 * 1024
_CHUNK_WAIT_MS = 5_000
_AGAIN_MS = 1_000


class Rollouts:
    """Tells endpoints that are connected what they have not been told yet.

    That something has changed for many is written down with the change, and taken up again after a crash. What each
    endpoint is to have is looked up when its turn comes, so a rollout that is overtaken by another change tells the
    newest only, and one that is repeated tells nothing twice.
    """

    def __init__(
        self,
        *,
        name: str,
        delivery: DeliveryRepository,
        presence: Presence,
        outbox: Outbox,
        bus: Bus,
        clock: Clock,
        ids: Ids,
    ) -> None:
        self._updated = cdtp.config_updated(name)
        self._delivery, self._presence, self._outbox = delivery, presence, outbox
        self._bus, self._clock, self._ids = bus, clock, ids
        self._has_work = asyncio.Event()
        self._has_work.set()

    def event(self, target: Target, config_id: str, content: bytes) -> Event:
        """Make the event that an endpoint is to have that configuration."""
        message = cdtp.ConfigUpdated(
            correlation_id=self._ids.correlation_id(),
            timestamp_ms=self._clock.now_ms(),
            app_version_name=target.app_version,
            endpoint_id=target.endpoint_id,
            config_id=config_id,
            content=content,
            originator_replica_id=self._bus.replica,
        )
        return self._updated, message

    async def heard(self, events: Sequence[Event]) -> None:
        """Wait for a while until those that listen have heard."""
        await self._outbox.settled([message.correlation_id for _, message in events])

    def wake(self) -> None:
        """Have what has been written down told."""
        self._has_work.set()

    async def run(self) -> None:
        """Tell what has been written down, now and after an earlier run; for a task of its own."""
        await self._presence.is_known.wait()
        while True:
            await self._has_work.wait()
            self._has_work.clear()
            try:
                for rollout in await self._delivery.find_rollouts():
                    await self._roll_out(rollout)
            except Refusal as no:
                log.warning("rollout_put_off", reason=no.reason)
                await self._clock.sleep_ms(_AGAIN_MS)
                self._has_work.set()

    async def tell(self, endpoint_ids: Sequence[EndpointId], names: Collection[str] | None) -> None:
        """Tell those of the endpoints that are connected."""
        for at in range(0, len(endpoint_ids), _CHUNK):
            part, is_all = endpoint_ids[at : at + _CHUNK], False
            while not is_all and (targets := self._presence.present(part)):
                now = self._clock.now_ms()
                events, is_all = await self._delivery.tell_due(
                    targets, names, self.event, at_ms=now, most_bytes=_CHUNK_BYTES
                )
                # one burst has been delivered before the next: telemetry passes between them
                await self._outbox.settled([m.correlation_id for _, m in events], timeout_ms=_CHUNK_WAIT_MS)

    async def _roll_out(self, rollout: Rollout) -> None:
        targets = self._presence.find(rollout.app_version)
        await self.tell([target.endpoint_id for target in targets], [rollout.name])
        await self._delivery.remove_rollout(rollout)
        if targets:
            log.info("rolled_out", app_version=rollout.app_version, config_name=rollout.name, connected=len(targets))
