"""Finding endpoints over HTTP."""

from typing import Any, Literal

from pydantic import Field

from kaa.core.endpoint_query import compile_regex
from kaa.core.errors import Conflict, InvalidInput, NotFound
from kaa.core.http import Call, Camel, Page, PageQuery, Route
from kaa.protocols.names import TENANT

from ..models import Included, Wanted
from ..search import read_filter, read_query
from ..service import Register
from .endpoints import EndpointView, endpoint_view

_INCLUDE = "What else is given of each endpoint"
_TENANT = f"There is one tenant, {TENANT}; of another one there is nothing"
_APPLICATION = "Only those of this application"
_VERSION = "Only those of this application version"
_FILTER = "Only those that this endpoint filter matches"
_ONLY = "Only these endpoints"

Include = tuple[Literal["metadata", "filters"], ...]


class IncludeQuery(Camel):
    """What is wanted beside the endpoint itself."""

    include: Include = Field((), description=_INCLUDE)
    tenant_id: str = Field(TENANT, description=_TENANT)


class EndpointsQuery(PageQuery):
    """Which endpoints are wanted.

    `metadataFilter` is `key:value` or a query in JSON; `regex` is looked for in the id.
    """

    endpoint_id: tuple[str, ...] = Field((), description=_ONLY)
    application_name: str | None = Field(None, description=_APPLICATION)
    application_version_name: str | None = Field(None, description=_VERSION)
    filter_id: str | None = Field(None, description=_FILTER)
    metadata_filter: str | None = Field(
        None, description='Only those with this metadata: `key:value`, or a query in JSON like `{"metadata.floor": 2}`'
    )
    regex: str | None = Field(None, description="Only those whose id has a match of this regular expression (RE2)")
    multi_filter: str | None = Field(None, description="There is no such thing yet; it is refused")
    include: Include = Field((), description=_INCLUDE)
    tenant_id: str = Field(TENANT, description=_TENANT)


class Search(PageQuery):
    """Which endpoints are wanted; `metadata` is a query on it."""

    application_name: str | None = Field(None, description=_APPLICATION)
    application_version_name: str | None = Field(None, description=_VERSION)
    filter_id: str | None = Field(None, description=_FILTER)
    endpoint_ids: tuple[str, ...] | None = Field(None, max_length=1_000, description=_ONLY)
    metadata: dict[str, Any] | str | None = Field(
        None, description="Only those that this query in MongoDB's language matches; an object, or its JSON text"
    )
    include: Include = Field((), description=_INCLUDE)


def routes(register: Register) -> list[Route]:
    """Give all that can be asked for."""
    api = _Api(register)
    return [
        Route(
            method="GET",
            path="/endpoints",
            handler=api.get_endpoints,
            summary="Endpoints, oldest first",
            description="Only what all of the given conditions hold for.",
            means={
                404: "There is no such application, application version or endpoint filter",
                409: "The endpoint filter is pending: it is not yet known whom it matches",
            },
            query=EndpointsQuery,
            returns=Page[EndpointView],
            errors=(InvalidInput, NotFound, Conflict),
        ),
        Route(
            method="POST",
            path="/endpoints/search",
            handler=api.search_endpoints,
            summary="Endpoints, oldest first, by a query on their metadata",
            description="Only what all of the given conditions hold for.",
            example={
                "applicationName": "smart-home",
                "metadata": {"metadata.room": {"$in": ["kitchen", "cellar"]}},
                "include": ["metadata"],
            },
            means={
                404: "There is no such application, application version or endpoint filter",
                409: "The endpoint filter is pending: it is not yet known whom it matches",
            },
            body=Search,
            returns=Page[EndpointView],
            errors=(InvalidInput, NotFound, Conflict),
            writes=False,
        ),
        Route(
            method="GET",
            path="/endpoints/{endpointId}",
            handler=api.get_endpoint,
            summary="One endpoint",
            query=IncludeQuery,
            returns=EndpointView,
            errors=(InvalidInput, NotFound),
        ),
    ]


class _Api:
    def __init__(self, register: Register) -> None:
        self._register = register

    async def get_endpoints(self, call: Call) -> Page[EndpointView]:
        query: EndpointsQuery = call.query
        if query.tenant_id != TENANT:
            return Page(content=[], total_elements=0)
        if query.multi_filter is not None:
            raise InvalidInput("query.multiFilter: there is no such thing yet; use metadataFilter, or a search")
        wanted = Wanted(
            query.endpoint_id,
            query.application_name,
            query.application_version_name,
            query.filter_id,
            _given(query.metadata_filter, read_filter, "query.metadataFilter"),
            _given(query.regex, compile_regex, "query.regex"),
        )
        return await self._page(wanted, query, query.include)

    async def search_endpoints(self, call: Call) -> Page[EndpointView]:
        search: Search = call.body
        if search.endpoint_ids == ():
            return Page(content=[], total_elements=0)
        wanted = Wanted(
            search.endpoint_ids or (),
            search.application_name,
            search.application_version_name,
            search.filter_id,
            _given(search.metadata, read_query, "body.metadata"),
        )
        return await self._page(wanted, search, search.include)

    async def get_endpoint(self, call: Call) -> EndpointView:
        query: IncludeQuery = call.query
        endpoint_id = call.path["endpointId"]
        if query.tenant_id != TENANT:
            raise NotFound(f"there is no endpoint {endpoint_id!r}")
        return endpoint_view(await self._register.get(endpoint_id, _included(query.include)))

    async def _page(self, wanted: Wanted, page: PageQuery, include: Include) -> Page[EndpointView]:
        found, total = await self._register.find(
            wanted, offset=page.offset, limit=page.limit, included=_included(include)
        )
        return Page(content=[endpoint_view(one) for one in found], total_elements=total)


def _included(include: Include) -> Included:
    return Included("metadata" in include, "filters" in include)


def _given(value: Any, read: Any, what: str) -> Any:
    return None if value is None else read(value, what=what)
