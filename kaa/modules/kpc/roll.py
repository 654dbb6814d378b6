"""Answers who is connected, to other services (x-presence)."""

import asyncio
from bisect import bisect_right
from collections.abc import Iterable

from kaa.core.clock import Clock
from kaa.core.errors import InvalidInput
from kaa.protocols.names import EndpointId
from kaa.protocols.x_presence import ConnectedRequest, PresenceRequest, PresenceResponse, PresentEndpoint

from .presence import Presence

_MOST = 1_000
_AT_A_TIME = 5_000


class Roll:
    """Lists the endpoints that are connected to this replica.

    All of them are put in order for the first page, in short steps; the following pages are cut from that. Who comes
    later is not listed: that he comes is told to everybody.
    """

    def __init__(self, *, presence: Presence, replica: str, clock: Clock) -> None:
        self._presence, self._replica, self._clock = presence, replica, clock
        self._ordered: list[EndpointId] = []

    async def on_presence_request(self, request: PresenceRequest) -> PresenceResponse:
        """Tell which of some endpoints are connected; InvalidInput for too many at a time."""
        asked = request.endpoint_ids
        if len(asked) > _MOST:
            raise InvalidInput(f"endpointIds: {len(asked)} were asked for, at most {_MOST} may be")
        return self._response(request.correlation_id, self._present(dict.fromkeys(asked)))

    async def on_connected_request(self, request: ConnectedRequest) -> PresenceResponse:
        """Tell of all that are connected, page by page; the page behind the last one is empty."""
        after = request.after
        if after is None or not self._ordered:
            self._ordered = await self._put_in_order()
        at = bisect_right(self._ordered, after) if after is not None else 0
        found: tuple[PresentEndpoint, ...] = ()
        while not found and at < len(self._ordered):  # a page whose endpoints have all gone would look like the end
            found = self._present(self._ordered[at : at + _MOST])
            at += _MOST
        if not found:
            self._ordered = []
        return self._response(request.correlation_id, found)

    async def _put_in_order(self) -> list[EndpointId]:
        ids = self._presence.ids()
        runs = []
        for at in range(0, len(ids), _AT_A_TIME):
            runs.append(sorted(ids[at : at + _AT_A_TIME]))
            await asyncio.sleep(0)
        while len(runs) > 1:
            merged = []
            for at in range(0, len(runs), 2):
                merged.append(sorted([one for run in runs[at : at + 2] for one in run]))  # linear: it sees the runs
                await asyncio.sleep(0)
            runs = merged
        return runs[0] if runs else []

    def _present(self, ids: Iterable[EndpointId]) -> tuple[PresentEndpoint, ...]:
        found = []
        for endpoint_id in ids:
            connection = self._presence.find(endpoint_id)
            if connection is not None:
                present = PresentEndpoint(
                    endpoint_id=endpoint_id,
                    app_version_name=connection.endpoints[endpoint_id],
                    replica_id=self._replica,
                    since_ms=self._presence.since_ms[endpoint_id],
                )
                found.append(present)
        return tuple(found)

    def _response(self, correlation_id: str, found: tuple[PresentEndpoint, ...]) -> PresenceResponse:
        return PresenceResponse(
            correlation_id=correlation_id, timestamp_ms=self._clock.now_ms(), endpoints=found, status_code=200
        )
