"""What everybody is told of a change."""

from kaa.core.bus import Bus
from kaa.core.clock import Clock
from kaa.core.ids import Ids
from kaa.core.storage.outbox import Outbox
from kaa.protocols import scmp
from kaa.protocols.names import TENANT, ApplicationName, AppVersionName

from ..models import Scope
from ..repository import Event


class Telling:
    """Makes the events of changes, and waits for those who listen.

    A change has been heard by those that listen, or a second has gone by, when `heard` returns: a device that speaks
    right afterwards is understood.
    """

    def __init__(self, *, name: str, outbox: Outbox, bus: Bus, clock: Clock, ids: Ids) -> None:
        self._name, self._outbox = name, outbox
        self._bus, self._clock, self._ids = bus, clock, ids

    def event(self, scope: Scope, *, change: str = "upsert") -> Event:
        """Make the event of a change, `upsert` or `delete`, of something."""
        message = scmp.BroadcastConfigurationUpdateEvent(
            correlation_id=self._ids.correlation_id(),
            timestamp_ms=self._clock.now_ms(),
            originator_replica_id=self._bus.replica,
            tenant_id=TENANT,
            app_name=None if scope.application is None else ApplicationName(scope.application),
            app_ver_name=None if scope.version is None else AppVersionName(scope.version),
        )
        return scmp.configuration_changed(self._name, change=change), message

    async def heard(self, event: Event) -> None:
        """Wait until those who listen have heard of it."""
        await self._outbox.settled([event[1].correlation_id])
