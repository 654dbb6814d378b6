"""Which endpoint speaks through which connection, and the events that tell of it (9/ELCE)."""

from kaa.core.bus import Bus
from kaa.core.clock import Clock
from kaa.core.ids import Ids
from kaa.protocols import elce
from kaa.protocols.names import AppVersionName, EndpointId

from .models import Connection, TokenEntry


class Presence:
    """Knows where endpoints are.

    An endpoint is connected from its first message on a connection until the connection ends, another takes it over,
    or its token is revoked.
    """

    def __init__(self, *, name: str, replica: str, bus: Bus, clock: Clock, ids: Ids) -> None:
        self._connected_at, self._disconnected_at = elce.connected(name), elce.disconnected(name)
        self._replica, self._bus, self._clock, self._ids = replica, bus, clock, ids
        self._present: dict[EndpointId, Connection] = {}
        self.since_ms: dict[EndpointId, int] = {}
        """When each endpoint has come to its connection."""
        self.entries: dict[EndpointId, TokenEntry] = {}
        """The token with which each endpoint has spoken last: pushes to it name that."""
        self.reliable: set[EndpointId] = set()
        """Those that have said something at QoS 1 or 2 on their connection: pushes to them are acknowledged."""
        self._arrived: dict[EndpointId, AppVersionName] = {}

    def __len__(self) -> int:
        return len(self._present)

    def find(self, endpoint_id: EndpointId) -> Connection | None:
        """Give the connection that last spoke for an endpoint."""
        return self._present.get(endpoint_id)

    def ids(self) -> list[EndpointId]:
        """List those that are connected."""
        return list(self._present)

    def arrive(
        self, connection: Connection, endpoint_id: EndpointId, version: AppVersionName, entry: TokenEntry
    ) -> None:
        """Note that an endpoint speaks through a connection; told by `tell_arrivals`, all of a wake-up together."""
        other = self._present.get(endpoint_id)
        if other is not None and other is not connection:
            self._disconnected({endpoint_id: other.endpoints.pop(endpoint_id)})
        if endpoint_id not in connection.endpoints:
            self.since_ms[endpoint_id] = self._clock.now_ms()
            self.reliable.discard(endpoint_id)
        self._present[endpoint_id] = connection
        self.entries[endpoint_id] = entry
        connection.endpoints[endpoint_id] = version
        self._arrived[endpoint_id] = version

    def tell_arrivals(self) -> None:
        """Broadcast who has arrived since the last time."""
        if not self._arrived:
            return
        arrived, self._arrived = self._arrived, {}
        self._bus.publish(
            self._connected_at,
            elce.ConnectedEvent(
                correlation_id=self._ids.correlation_id(),
                timestamp_ms=self._clock.now_ms(),
                endpoints=arrived,
                originator_replica_id=self._replica,
            ),
        )

    def leave(self, endpoint_id: EndpointId) -> Connection | None:
        """Take an endpoint off its connection, and give that."""
        connection = self._present.pop(endpoint_id, None)
        if connection is not None:
            self._forget(endpoint_id)
            self._disconnected({endpoint_id: connection.endpoints.pop(endpoint_id)})
        return connection

    def leave_all(self, connection: Connection) -> None:
        """Take all its endpoints off a connection that has ended, in one event."""
        gone = connection.endpoints
        if gone:
            connection.endpoints = {}
            for endpoint_id in gone:
                del self._present[endpoint_id]
                self._forget(endpoint_id)
            self._disconnected(gone)

    def _forget(self, endpoint_id: EndpointId) -> None:
        del self.entries[endpoint_id], self.since_ms[endpoint_id]
        self.reliable.discard(endpoint_id)

    def _disconnected(self, endpoints: dict[EndpointId, AppVersionName]) -> None:
        self.tell_arrivals()  # nobody is told to have left who was not told to have come
        self._bus.publish(
            self._disconnected_at,
            elce.DisconnectedEvent(
                correlation_id=self._ids.correlation_id(),
                timestamp_ms=self._clock.now_ms(),
                endpoints=endpoints,
                originator_replica_id=self._replica,
            ),
        )
