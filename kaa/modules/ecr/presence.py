"""Who is connected: only they are told of a change at once, the others get it when they come."""

import asyncio
from collections.abc import Iterable

import structlog

from kaa.core.bus import Bus, expect
from kaa.core.clock import Clock
from kaa.core.errors import Refusal, Unavailable
from kaa.core.ids import Ids
from kaa.protocols import elce, x_presence
from kaa.protocols.names import AppVersionName, EndpointId

from .models import Target

log = structlog.get_logger(__name__)

_AGAIN_MS = 5_000


class Presence:
    """Follows 9/ELCE, and asks once at start who has been there before.

    The events of one endpoint come by two subscriptions, so their order is told by their times; of those that have the
    same time the one that comes later counts.
    """

    def __init__(self, *, communication: str, bus: Bus, clock: Clock, ids: Ids) -> None:
        self._communication = communication
        self._bus, self._clock, self._ids = bus, clock, ids
        self._present: dict[EndpointId, tuple[AppVersionName, int]] = {}
        self._changed: set[EndpointId] | None = set()
        self.is_known = asyncio.Event()
        """Set when those that were connected before are known, too."""

    def __contains__(self, endpoint_id: object) -> bool:
        return endpoint_id in self._present

    def __len__(self) -> int:
        return len(self._present)

    def find(self, app_version: str) -> list[Target]:
        """Give those that are connected under a version; with an empty one, all."""
        return [
            Target(endpoint_id, version)
            for endpoint_id, (version, _) in self._present.items()
            if not app_version or version == app_version
        ]

    def present(self, endpoint_ids: Iterable[EndpointId]) -> list[Target]:
        """Give those of the endpoints that are connected."""
        return [Target(one, self._present[one][0]) for one in endpoint_ids if one in self._present]

    def move(self, endpoint_id: EndpointId, app_version: AppVersionName) -> None:
        """Have an endpoint that is connected belong to another version."""
        if endpoint_id in self._present:
            self._present[endpoint_id] = (app_version, self._present[endpoint_id][1])

    async def on_connected(self, event: elce.ConnectedEvent) -> None:
        """Note who has come."""
        for endpoint_id, version in event.endpoints.items():
            _, since_ms = self._present.get(endpoint_id, (None, event.timestamp_ms))
            if event.timestamp_ms >= since_ms:
                self._present[endpoint_id] = (version, event.timestamp_ms)
        self._note(event.endpoints)

    async def on_disconnected(self, event: elce.DisconnectedEvent) -> None:
        """Note who has gone."""
        for endpoint_id in event.endpoints:
            found = self._present.get(endpoint_id)
            if found is not None and event.timestamp_ms >= found[1]:
                del self._present[endpoint_id]
        self._note(event.endpoints)

    async def load(self) -> None:
        """Ask who is connected, until it is known; for a task of its own.

        Where nobody answers there is nothing to know: a communication service that comes later tells of everybody.
        """
        while not self.is_known.is_set():
            try:
                await self._load()
            except Unavailable:
                break
            except Refusal as no:
                log.warning("presence_not_reached", reason=no.reason)
                await self._clock.sleep_ms(_AGAIN_MS)
            else:
                break
        self._changed = None
        self.is_known.set()

    async def _load(self) -> None:
        subject, after = x_presence.connected_endpoints(self._communication), None
        while True:
            request = x_presence.ConnectedRequest(
                correlation_id=self._ids.correlation_id(), timestamp_ms=self._clock.now_ms(), after=after
            )
            page = expect(await self._bus.request(subject, request)).endpoints
            if not page:
                return
            for one in page:
                # what has happened meanwhile is newer than what is told here
                if self._changed is None or one.endpoint_id not in self._changed:
                    self._present[one.endpoint_id] = (one.app_version_name, one.since_ms)
            after = page[-1].endpoint_id

    def _note(self, endpoint_ids: Iterable[EndpointId]) -> None:
        if self._changed is not None:
            self._changed.update(endpoint_ids)
