"""Configurations for those that match a filter."""

from typing import Any

from pydantic import Field

from kaa.core.errors import Conflict, InvalidInput, NotFound, PreconditionFailed, TooLarge, Unavailable
from kaa.core.http import Answer, Call, Route

from ..service import Configurations, Filters
from .views import BODY_FACTOR, EXAMPLE, ConfigurationView, NameQuery, view

_OF_FILTER = "/endpoints/filters/{filterId}"


class AttachQuery(NameQuery):
    """Which configuration, and whether it is kept for those that match later."""

    attach: bool = Field(False, description="Whether those that match later get it, too")


def filter_routes(filters: Filters, configurations: Configurations, *, most_bytes: int) -> list[Route]:
    """Give the routes."""
    api = _Api(filters, configurations)
    return [
        Route(
            method="PUT",
            path=_OF_FILTER,
            handler=api.put_of_filter,
            summary="Give those that match a filter a configuration: now, or with attach=true as long as they match",
            example=EXAMPLE,
            means={
                404: "There is no such filter, or a schema is needed and there is none",
                409: "The filter is pending: it is not yet known whom it matches",
                503: "The register of endpoints does not answer; nothing was changed",
            },
            query=AttachQuery,
            body=Any,
            max_body_bytes=most_bytes * BODY_FACTOR,
            status=204,
            errors=(InvalidInput, NotFound, Conflict, PreconditionFailed, TooLarge, Unavailable),
        ),
        Route(
            method="GET",
            path=_OF_FILTER,
            handler=api.get_of_filter,
            summary="The configuration that is attached to a filter",
            means={404: "No configuration with that name is attached to the filter"},
            query=NameQuery,
            returns=ConfigurationView,
            errors=(InvalidInput, NotFound),
            tagged=True,
        ),
        Route(
            method="DELETE",
            path=_OF_FILTER,
            handler=api.delete_of_filter,
            summary="Detach a filter's configuration",
            description="Those that match are sent what holds for them from then on.",
            means={404: "No configuration with that name is attached to the filter"},
            query=NameQuery,
            status=204,
            errors=(InvalidInput, NotFound, PreconditionFailed),
        ),
    ]


class _Api:
    def __init__(self, filters: Filters, configurations: Configurations) -> None:
        self._filters, self._configurations = filters, configurations

    async def put_of_filter(self, call: Call) -> Answer:
        query: AttachQuery = call.query
        await self._filters.put(
            call.path["filterId"], query.name, call.body, is_attached=query.attach, check=call.if_match
        )
        return Answer()

    async def get_of_filter(self, call: Call) -> Answer:
        found = await self._configurations.get_of_filter(call.path["filterId"], call.query.name)
        return Answer(body=view(found), etag=found.config_id)

    async def delete_of_filter(self, call: Call) -> Answer:
        await self._configurations.remove_of_filter(call.path["filterId"], call.query.name, check=call.if_match)
        return Answer()
