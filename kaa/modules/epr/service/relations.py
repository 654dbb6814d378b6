"""Relations: which endpoints contain which."""

from collections.abc import Sequence

from kaa.core.clock import Clock
from kaa.core.errors import InvalidInput
from kaa.core.storage.outbox import Outbox
from kaa.protocols import eprmp

from ..events import Event, Events
from ..models import Relation
from ..repository import RelationRepository

CONTAINS = "contains"
IS_CONTAINED = "!contains"
MAX_RELATIONS = 1_000


class Relations:
    """Keeps relations."""

    def __init__(self, *, relations: RelationRepository, events: Events, outbox: Outbox, clock: Clock) -> None:
        self._relations, self._events, self._outbox, self._clock = relations, events, outbox, clock

    async def find(
        self, endpoint_id: str, relation: str | None, *, offset: int, limit: int
    ) -> tuple[list[Relation], int]:
        """Give one page of an endpoint's relations, of both ways if none is named, and how many there are in all."""
        return await self._relations.find(
            endpoint_id,
            is_from=relation in {None, CONTAINS},
            is_to=relation in {None, IS_CONTAINED},
            offset=offset,
            limit=limit,
        )

    async def link(self, relations: Sequence[Relation]) -> None:
        """Relate endpoints; those that are related already stay so.

        Raises:
            InvalidInput: an endpoint is to contain itself, or too many are named.
            NotFound: one of them is not there.
            Conflict: one has as many relations as it may.
        """
        check(relations)
        await self._heard(await self._relations.add(relations, tell=self._events.relations_updated))

    async def unlink(self, relations: Sequence[Relation]) -> None:
        """Take relations away; those that are not there are none already."""
        check(relations)
        await self._heard(await self._relations.remove(relations, tell=self._events.relations_updated))

    async def on_get(self, request: eprmp.EndpointRelationsGetRequest) -> eprmp.EndpointRelationsGetResponse:
        """Give what an endpoint contains, or what it is contained in."""
        if request.relation not in {CONTAINS, IS_CONTAINED}:
            raise InvalidInput(f"relation: {request.relation[:80]!r} is neither {CONTAINS!r} nor {IS_CONTAINED!r}")
        found = await self._relations.find_related(request.endpoint_id, is_from=request.relation == CONTAINS)
        return eprmp.EndpointRelationsGetResponse(
            correlation_id=request.correlation_id,
            timestamp_ms=self._clock.now_ms(),
            endpoint_ids=tuple(found),
            status_code=200,
        )

    async def _heard(self, told: Sequence[Event]) -> None:
        await self._outbox.settled([message.correlation_id for _, message in told])


def check(relations: Sequence[Relation]) -> None:
    """Refuse relations that cannot be."""
    if len(relations) > MAX_RELATIONS:
        raise InvalidInput(f"relations: more than {MAX_RELATIONS}")
    for at, one in enumerate(relations):
        if one.from_id == one.to_id:
            raise InvalidInput(f"relations[{at}]: endpoint {one.from_id!r} cannot contain itself")
