"""What ECR asks EPR: which endpoints there are, and which match a filter."""

from collections.abc import Mapping, Sequence

from kaa.core.bus import Bus, expect
from kaa.core.clock import Clock
from kaa.core.errors import NotFound
from kaa.core.ids import Ids
from kaa.protocols import efmp, x_register
from kaa.protocols.names import FilterId
from kaa.protocols.x_register import FoundEndpoint

_FILTER_WAIT_MS = 30_000  # a filter may match every endpoint there is


class Register:
    """Asks the instance that keeps endpoints and filters."""

    def __init__(self, name: str, *, bus: Bus, clock: Clock, ids: Ids) -> None:
        self._name, self._bus, self._clock, self._ids = name, bus, clock, ids

    async def find(self, endpoint_ids: Sequence[str]) -> dict[str, FoundEndpoint]:
        """Give those of at most 1000 endpoints that there are."""
        request = x_register.FindRequest(
            correlation_id=self._ids.correlation_id(),
            timestamp_ms=self._clock.now_ms(),
            endpoint_ids=tuple(endpoint_ids),
        )
        found = expect(await self._bus.request(x_register.find_endpoints(self._name), request)).endpoints
        return {one.endpoint_id: one for one in found}

    async def get(self, endpoint_id: str) -> FoundEndpoint:
        """Give an endpoint; NotFound if there is none of that id."""
        found = (await self.find([endpoint_id])).get(endpoint_id)
        if found is None:
            raise NotFound(f"there is no endpoint {endpoint_id!r}")
        return found

    async def matching(self, filter_id: str) -> Mapping[str, Sequence[str]]:
        """Give the endpoints that match a filter, by their versions; the register's refusal if it cannot be said."""
        request = efmp.EndpointListByFilterRequest(
            correlation_id=self._ids.correlation_id(),
            timestamp_ms=self._clock.now_ms(),
            filter_id=FilterId(filter_id),
        )
        subject = efmp.endpoints_by_filter(self._name)
        answer = expect(await self._bus.request(subject, request, timeout_ms=_FILTER_WAIT_MS))
        return answer.app_versions_to_endpoints
