"""Configurations for those that match a filter."""

from typing import Any

from kaa.core.errors import Conflict, InvalidInput, NotFound, PreconditionFailed, TooLarge, Unavailable
from kaa.core.http import Answer, Call, Route

from ..service import Configurations, Filters
from .views import BODY_FACTOR, ConfigurationView, NameQuery, view

_OF_FILTER = "/endpoints/filters/{filterId}"


class AttachQuery(NameQuery):
    """Which configuration, and whether it is kept for those that match later."""

    attach: bool = False


def filter_routes(filters: Filters, configurations: Configurations, *, most_bytes: int) -> list[Route]:
    """Give the routes."""
    api = _Api(filters, configurations)
    return [
        Route(
            method="PUT",
            path=_OF_FILTER,
            handler=api.put_of_filter,
            summary="Give those that match a filter a configuration: now, or with attach=true as long as they match",
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
