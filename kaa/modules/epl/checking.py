"""What was heard, held against what the communication service says: at start, from time to time, and upon doubt.

Events of connectivity are told once and may be lost, with this process or with that one; so an endpoint that was left
connected, or came while nobody listened, is put right by asking.
"""

from collections.abc import Callable, Mapping, Sequence

from kaa.core.bus import Bus, expect
from kaa.core.clock import Clock
from kaa.core.errors import Refusal
from kaa.core.ids import Ids
from kaa.protocols import x_presence
from kaa.protocols.names import EndpointId
from kaa.protocols.x_presence import PresentEndpoint

from .models import State, heard
from .repository import StateRepository

_PAGE = 1_000


class Checking:
    """Asks who is connected; what is not as it was heard is handed to `correct`."""

    def __init__(
        self,
        *,
        communication: str,
        states: StateRepository,
        bus: Bus,
        clock: Clock,
        ids: Ids,
        correct: Callable[[Sequence[State]], None],
    ) -> None:
        self._communication, self._states = communication, states
        self._bus, self._clock, self._ids, self._correct = bus, clock, ids, correct
        self._doubts: set[EndpointId] = set()
        self._is_all_due = True

    def doubt(self, endpoint_ids: Sequence[EndpointId]) -> None:
        """Have these asked about the next time."""
        self._doubts.update(endpoint_ids)

    def doubt_all(self) -> None:
        """Have all asked about the next time."""
        self._is_all_due = True

    async def check(self) -> bool:
        """Ask about what is in doubt; whether there may be more. A Refusal means that nobody answers."""
        is_all_due, self._is_all_due = self._is_all_due, False
        doubts = list(self._doubts)[:_PAGE]
        self._doubts.difference_update(doubts)
        try:
            if is_all_due:
                await self._check_known()
                await self._check_connected()
            await self._compare(await self._states.find(doubts))
        except Refusal:
            self._is_all_due |= is_all_due
            self._doubts.update(doubts)
            raise
        return self._is_all_due or bool(self._doubts)

    async def _check_known(self) -> None:
        """Ask about all that were heard of."""
        after = ""
        while page := await self._states.find_after(after, _PAGE):
            await self._compare(page)
            after = page[-1].endpoint_id

    async def _check_connected(self) -> None:
        """Look at all who are connected: some may never have been heard of."""
        after: EndpointId | None = None
        while True:
            request = x_presence.ConnectedRequest(
                correlation_id=self._ids.correlation_id(), timestamp_ms=self._clock.now_ms(), after=after
            )
            answer = expect(await self._bus.request(x_presence.connected_endpoints(self._communication), request))
            if not answer.endpoints:
                return
            known = {
                state.endpoint_id for state in await self._states.find(one.endpoint_id for one in answer.endpoints)
            }
            self._correct(
                [
                    heard(one.endpoint_id, one.app_version_name, one.since_ms, is_connected=True)
                    for one in answer.endpoints
                    if one.endpoint_id not in known
                ]
            )
            after = answer.endpoints[-1].endpoint_id

    async def _compare(self, states: Sequence[State]) -> None:
        if not states:
            return
        asked_ms = self._clock.now_ms()  # what happens from now on is news, whatever the answer
        request = x_presence.PresenceRequest(
            correlation_id=self._ids.correlation_id(),
            timestamp_ms=asked_ms,
            endpoint_ids=tuple(state.endpoint_id for state in states),
        )
        answer = expect(await self._bus.request(x_presence.presence(self._communication), request))
        there = {endpoint.endpoint_id: endpoint for endpoint in answer.endpoints}
        self._correct([right for state in states if (right := _corrected(state, there, asked_ms)) is not None])


def _corrected(state: State, there: Mapping[EndpointId, PresentEndpoint], asked_ms: int) -> State | None:
    """Give the state as it should be; None if it is."""
    found = there.get(state.endpoint_id)
    if found is None:
        if not state.is_connected:
            return None
        at_ms = max(asked_ms, state.heard_ms)
        return heard(state.endpoint_id, state.app_version, at_ms, is_connected=False)
    if state.is_connected and state.app_version == found.app_version_name:
        return None
    at_ms = max(found.since_ms, state.heard_ms)
    return heard(state.endpoint_id, found.app_version_name, at_ms, is_connected=True)
