"""What OTAO asks the register of endpoints: which filters one matches (20/EFMP), and its metadata (19/EPMMP).

Filters are remembered until the register tells of a change (18/EFE), endpoint by endpoint, and only of those that were
asked for. While versions are rolled out the members of the filters concerned are held instead, so that a hundred
thousand endpoints are one question.
"""

from collections import OrderedDict
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from pydantic_core import from_json

from kaa.core.bus import Bus
from kaa.core.clock import Clock
from kaa.core.errors import Refusal, refusal
from kaa.core.ids import Ids
from kaa.protocols import efmp, epmmp
from kaa.protocols.names import EndpointId, FilterId

_TIMEOUT_MS = 5_000
_REMEMBERED = 10_000


@dataclass(slots=True, eq=False)
class _Held:
    """The members of a filter, once they are known; those of which something was told since are asked for one by one.

    Events may come in any order, so what they say is not taken over.
    """

    members: set[str] | None = None
    doubtful: set[str] = field(default_factory=set)


class Register:
    """Asks the register of endpoints; whatever it knows nothing of matches nothing.

    Raises:
        Unavailable: it cannot be reached, or fails.
        TimedOut: it does not answer.
    """

    def __init__(self, *, name: str, bus: Bus, clock: Clock, ids: Ids) -> None:
        self._name, self._bus, self._clock, self._ids = name, bus, clock, ids
        self._filters: OrderedDict[str, frozenset[str]] = OrderedDict()
        self._held: dict[str, _Held] = {}
        self._changes = 0

    async def is_member(self, endpoint_id: str, filter_ids: Collection[str]) -> bool:
        """Whether an endpoint matches one of these filters."""
        is_open = False
        for filter_id in filter_ids:
            held = self._held.get(filter_id)
            if held is None or held.members is None or endpoint_id in held.doubtful:
                is_open = True
            elif endpoint_id in held.members:
                return True
        return is_open and not (await self._filters_of(endpoint_id)).isdisjoint(filter_ids)

    async def metadata_of(self, endpoint_id: str, *keys: str) -> Mapping[str, Any] | None:
        """Give an endpoint's metadata, or these keys of it; None if there is no such endpoint."""
        request = epmmp.EndpointMetadataGetRequest(
            correlation_id=self._ids.correlation_id(),
            timestamp_ms=self._clock.now_ms(),
            timeout_ms=_TIMEOUT_MS,
            endpoint_id=EndpointId(endpoint_id),
            include=keys,
        )
        reply = await self._bus.request(epmmp.metadata(self._name), request, timeout_ms=_TIMEOUT_MS)
        if not _is_known(reply.status_code, reply.reason_phrase):
            return None
        found = from_json(reply.payload) if reply.payload else {}
        return found if isinstance(found, dict) else {}

    async def hold(self, filter_ids: Iterable[str]) -> None:
        """Hold the members of these filters until `let_go`."""
        for filter_id in filter_ids:
            if filter_id in self._held:
                continue
            held = self._held[filter_id] = _Held()
            try:
                held.members = await self._members_of(filter_id)
            except Refusal:
                self._held.pop(filter_id, None)
                raise

    def let_go(self) -> None:
        """Hold no members any more."""
        self._held.clear()

    def on_filter(self, filter_id: str) -> None:
        """Forget what is known of a filter: it is being matched anew, or is gone."""
        self._changes += 1
        self._filters.clear()
        self._held.pop(filter_id, None)

    def on_member(self, endpoint_id: str, filter_id: str) -> None:
        """Forget what is known of an endpoint that has come to match a filter, or ceased to."""
        self._changes += 1
        self._filters.pop(endpoint_id, None)
        if (held := self._held.get(filter_id)) is not None:
            held.doubtful.add(endpoint_id)

    async def _filters_of(self, endpoint_id: str) -> frozenset[str]:
        known = self._filters.get(endpoint_id)
        if known is not None:
            self._filters.move_to_end(endpoint_id)
            return known
        request = efmp.EndpointFiltersRequest(
            correlation_id=self._ids.correlation_id(),
            timestamp_ms=self._clock.now_ms(),
            timeout_ms=_TIMEOUT_MS,
            endpoint_id=EndpointId(endpoint_id),
        )
        changes = self._changes
        reply = await self._bus.request(efmp.filters_of(self._name), request, timeout_ms=_TIMEOUT_MS)
        found = frozenset(reply.filter_ids) if _is_known(reply.status_code, reply.reason_phrase) else frozenset[str]()
        if changes == self._changes:
            self._filters[endpoint_id] = found
            if len(self._filters) > _REMEMBERED:
                self._filters.popitem(last=False)
        return found

    async def _members_of(self, filter_id: str) -> set[str]:
        request = efmp.EndpointListByFilterRequest(
            correlation_id=self._ids.correlation_id(),
            timestamp_ms=self._clock.now_ms(),
            timeout_ms=_TIMEOUT_MS,
            filter_id=FilterId(filter_id),
        )
        reply = await self._bus.request(efmp.endpoints_by_filter(self._name), request, timeout_ms=_TIMEOUT_MS)
        if not _is_known(reply.status_code, reply.reason_phrase):  # nobody, while it is pending
            return set()
        return {endpoint_id for some in reply.app_versions_to_endpoints.values() for endpoint_id in some}


def _is_known(status_code: int, reason: str | None) -> bool:
    if status_code >= 500:
        raise refusal(status_code, reason or f"the register answered {status_code}")
    return status_code < 300
