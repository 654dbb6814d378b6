"""Filters over HTTP."""

from typing import Annotated, Any

from pydantic import Field, StringConstraints

from kaa.core.dates import Date
from kaa.core.errors import Conflict, InvalidInput, NotFound, PreconditionFailed
from kaa.core.http import Answer, Call, Camel, Page, PageQuery, Route

from .models import Filter
from .service import Filters

_PATH = "/applications/{applicationName}/filters"

Name = Annotated[str, StringConstraints(min_length=1, max_length=128)]
Description = Annotated[str, StringConstraints(max_length=1024)]
MongoQuery = dict[str, Any] | str
_QUERY = "In MongoDB's language, as an object or its JSON text"


class NewFilter(Camel):
    """A filter to be made."""

    name: Name | None = Field(None, description="Its name; no two filters of an application have the same")
    description: Description | None = Field(None, description="What it is for")
    mongo_query: MongoQuery = Field(description=_QUERY)


class FilterChanges(Camel):
    """What is to become of a filter; what is absent stays, and null takes name or description away."""

    name: Name | None = Field(None, description="Its new name; null takes it away")
    description: Description | None = Field(None, description="What it is for; null takes it away")
    mongo_query: MongoQuery = Field(default_factory=dict, description=_QUERY)


class FilterView(Camel):
    """A filter; `matchedEndpointsCount` counts once it is active."""

    model_config = Camel.like(
        {
            "id": "0f6e2c9e-6f0e-4d2b-9a53-4f8f4c0f7a11",
            "name": "second-floor",
            "description": None,
            "mongoQuery": {"metadata.floor": 2},
            "status": "active",
            "matchedEndpointsCount": 12,
            "createdDate": "2026-11-22T09:00:00.000Z",
            "updatedDate": "2026-11-22T09:00:00.000Z",
        }
    )

    id: str
    name: str | None
    description: str | None
    mongo_query: dict[str, Any]
    status: str
    matched_endpoints_count: int
    created_date: Date
    updated_date: Date


class FiltersQuery(PageQuery):
    """Which filters are wanted."""

    name: str | None = Field(None, description="Only the one with this name")


def routes(filters: Filters) -> list[Route]:
    """Give all that can be asked for."""
    api = _Api(filters)
    return [
        Route(
            method="POST",
            path=_PATH,
            handler=api.post_filter,
            summary="Make an endpoint filter; it is pending until all endpoints have been looked at",
            example={"name": "second-floor", "mongoQuery": {"metadata.floor": 2}},
            means={409: "The name is taken, or the application has as many filters as it may"},
            body=NewFilter,
            returns=FilterView,
            status=201,
            errors=(InvalidInput, NotFound, Conflict),
        ),
        Route(
            method="GET",
            path=_PATH,
            handler=api.get_filters,
            summary="An application's endpoint filters, oldest first",
            query=FiltersQuery,
            returns=Page[FilterView],
            errors=(InvalidInput, NotFound),
        ),
        Route(
            method="GET",
            path=_PATH + "/{filterId}",
            handler=api.get_filter,
            summary="One endpoint filter",
            returns=FilterView,
            errors=(NotFound,),
        ),
        Route(
            method="PATCH",
            path=_PATH + "/{filterId}",
            handler=api.patch_filter,
            summary="Change an endpoint filter; with another query it is pending again",
            description="What is not in the body stays as it is.",
            example={"mongoQuery": {"metadata.floor": {"$gte": 2}}},
            means={409: "The name is taken"},
            body=FilterChanges,
            content_types=("application/json", "application/merge-patch+json"),
            returns=FilterView,
            errors=(InvalidInput, NotFound, Conflict, PreconditionFailed),
        ),
        Route(
            method="DELETE",
            path=_PATH + "/{filterId}",
            handler=api.delete_filter,
            summary="Delete an endpoint filter",
            status=204,
            errors=(NotFound, PreconditionFailed),
        ),
    ]


class _Api:
    def __init__(self, filters: Filters) -> None:
        self._filters = filters

    async def post_filter(self, call: Call) -> Answer:
        new: NewFilter = call.body
        made = await self._filters.add(
            call.path["applicationName"], name=new.name, description=new.description, query=new.mongo_query
        )
        return _answer(made, location=f"/applications/{made.application}/filters/{made.id}")

    async def get_filters(self, call: Call) -> Page[FilterView]:
        query: FiltersQuery = call.query
        found, total = await self._filters.find(
            call.path["applicationName"], name=query.name, offset=query.offset, limit=query.limit
        )
        return Page(content=[_view(one) for one in found], total_elements=total)

    async def get_filter(self, call: Call) -> Answer:
        return _answer(await self._filters.get(*_which(call)))

    async def patch_filter(self, call: Call) -> Answer:
        body: FilterChanges = call.body
        names = {"name": "name", "description": "description", "mongo_query": "query"}
        changes = {names[field]: getattr(body, field) for field in body.model_fields_set}
        return _answer(await self._filters.update(*_which(call), changes, _unchanged(call)))

    async def delete_filter(self, call: Call) -> Answer:
        await self._filters.remove(*_which(call), _unchanged(call))
        return Answer()


def _which(call: Call) -> tuple[str, str]:
    return call.path["applicationName"], call.path["filterId"]


def _unchanged(call: Call) -> Any:
    return lambda found: call.if_match(_tag(found))


def _tag(found: Filter) -> str:
    return str(found.revision)


def _answer(found: Filter, *, location: str | None = None) -> Answer:
    # The tag is that of what people have written: it does not change with status and count, so that If-Match does not
    # fail for what the server does by itself. Hence nobody may be answered "not modified" by it, and it is put here.
    return Answer(body=_view(found), headers={"ETag": f'W/"{_tag(found)}"'}, location=location)


def _view(found: Filter) -> FilterView:
    return FilterView(
        id=found.id,
        name=found.name,
        description=found.description,
        mongo_query=dict(found.query),
        status=found.status,
        matched_endpoints_count=found.matched,
        created_date=found.created_ms,
        updated_date=found.updated_ms,
    )
