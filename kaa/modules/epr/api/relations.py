"""Relations over HTTP."""

from typing import Annotated, Literal

from pydantic import Field

from kaa.core.errors import Conflict, InvalidInput, NotFound
from kaa.core.http import Answer, Call, Camel, Named, Page, PageQuery, Route
from kaa.protocols.names import EndpointId

from ..models import Relation
from ..service import Relations
from ..service.relations import MAX_RELATIONS


class RelationView(Camel):
    """One endpoint contains another one."""

    model_config = Camel.like({"type": "contains", "from": "kitchen-1", "to": "lamp-4"})

    type: Literal["contains"] = Field(description="The one kind that there is")
    from_: str = Field(alias="from", description="The endpoint that contains the other one")
    to: str = Field(description="The endpoint that is contained")


class RelationsQuery(PageQuery):
    """Which relations are wanted: what the endpoint contains, what contains it (`!contains`), or both."""

    relation: Literal["contains", "!contains"] | None = Field(
        None, description="contains: what it contains; !contains: what contains it; without it both"
    )


_Many = Annotated[list[RelationView], Field(max_length=MAX_RELATIONS)]


def routes(relations: Relations) -> list[Route]:
    """Give all that can be asked for."""
    api = _Api(relations)
    return [
        Route(
            method="GET",
            path="/endpoints/{endpointId}/relations",
            handler=api.get_relations,
            summary="The relations of an endpoint",
            query=RelationsQuery,
            returns=Page[RelationView],
            errors=(InvalidInput, NotFound),
        ),
        Route(
            method="PUT",
            path="/relations/link",
            handler=api.put_link,
            names=_named,
            summary="Relate endpoints",
            description="All are made, or none; one that is there already stays.",
            example=[{"type": "contains", "from": "kitchen-1", "to": "lamp-4"}],
            means={
                404: "One of the endpoints is not there; nothing was changed",
                409: "An endpoint has as many relations as it may",
            },
            body=_Many,
            status=204,
            errors=(InvalidInput, NotFound, Conflict),
        ),
        Route(
            method="PUT",
            path="/relations/unlink",
            handler=api.put_unlink,
            names=_named,
            summary="Take relations away",
            description="One that is not there is no mistake.",
            example=[{"type": "contains", "from": "kitchen-1", "to": "lamp-4"}],
            body=_Many,
            status=204,
            errors=(InvalidInput,),
        ),
    ]


class _Api:
    def __init__(self, relations: Relations) -> None:
        self._relations = relations

    async def get_relations(self, call: Call) -> Page[RelationView]:
        query: RelationsQuery = call.query
        found, total = await self._relations.find(
            call.path["endpointId"], query.relation, offset=query.offset, limit=query.limit
        )
        content = [
            RelationView.model_validate({"type": one.type, "from": one.from_id, "to": one.to_id}) for one in found
        ]
        return Page(content=content, total_elements=total)

    async def put_link(self, call: Call) -> Answer:
        await self._relations.link(_made(call.body))
        return Answer()

    async def put_unlink(self, call: Call) -> Answer:
        await self._relations.unlink(_made(call.body))
        return Answer()


def _named(call: Call) -> Named:
    views: list[RelationView] = call.body
    return Named(endpoints=tuple(end for one in views for end in (one.from_, one.to)))


def _made(views: list[RelationView]) -> list[Relation]:
    return [Relation(one.type, EndpointId(one.from_), EndpointId(one.to)) for one in views]
