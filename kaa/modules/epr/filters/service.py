"""Filters: how they come to be, change and go.

A filter is pending until a pass over the application's endpoints has told who matches, and again when its query
changes; only then can endpoints be listed by it. The pass tells of no endpoint by itself: `activated` does, and who
needs the endpoints lists them then (20/EFMP, or REST). From there on every endpoint that comes to match, or ceases to,
is told.
"""

import asyncio
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

import structlog

from kaa.core.applications import Applications
from kaa.core.clock import Clock
from kaa.core.endpoint_query import parse
from kaa.core.errors import InvalidInput, Refusal
from kaa.core.ids import Ids
from kaa.core.storage.outbox import Outbox
from kaa.protocols import efmp, x_register
from kaa.protocols.names import ApplicationName, FilterId

from ..events import Event
from .models import Filter, Status, is_same_query
from .passing import Passes
from .repository import FilterRepository

log = structlog.get_logger(__name__)

_RETRY_MS = 1_000
_MAX_FOUND = 1_000

Check = Callable[[Filter], None]
"""Looks at a filter as it is before a change, and may refuse it."""


class Filters:
    """Keeps the filters of the applications."""

    def __init__(
        self,
        *,
        filters: FilterRepository,
        passes: Passes,
        applications: Applications[Any],
        outbox: Outbox,
        clock: Clock,
        ids: Ids,
        max_filters: int,
    ) -> None:
        self._filters, self._passes, self._applications, self._outbox = filters, passes, applications, outbox
        self._clock, self._ids, self._max_filters = clock, ids, max_filters
        self._has_work = asyncio.Event()

    async def add(
        self, application: str, *, name: str | None, description: str | None, query: str | Mapping[str, Any]
    ) -> Filter:
        """Make a filter.

        Raises:
            InvalidInput: the query is none.
            NotFound: there is no such application.
            Conflict: the name is taken, or the application has as many filters as it may.
        """
        self._applications.get(application)
        now = self._clock.now_ms()
        made = Filter(
            id=FilterId(self._ids.uuid()),
            application=ApplicationName(application),
            name=name,
            description=description,
            query=parse(query).document,
            status=Status.PENDING,
            matched=0,
            revision=1,
            created_ms=now,
            updated_ms=now,
        )
        await self._begun(await self._filters.add(made, at_most=self._max_filters))
        return made

    async def get(self, application: str, filter_id: str) -> Filter:
        """Give one filter."""
        return await self._filters.get(application, filter_id)

    async def find(self, application: str, *, name: str | None, offset: int, limit: int) -> tuple[list[Filter], int]:
        """Give one page of an application's filters, oldest first, and how many there are in all."""
        self._applications.get(application)
        return await self._filters.find(application, name=name, offset=offset, limit=limit)

    async def update(self, application: str, filter_id: str, changes: Mapping[str, Any], check: Check) -> Filter:
        """Change name, description and query, as far as they are given; with another query it is pending again.

        Raises:
            InvalidInput: the query is none.
            NotFound: there is no such filter.
            Conflict: the name is taken.
        """
        if "query" in changes:
            changes = {**changes, "query": parse(changes["query"]).document}
        now = self._clock.now_ms()

        def change(before: Filter) -> Filter:
            check(before)
            after = replace(before, **changes)
            if is_same_query(after, before):
                if (after.name, after.description) == (before.name, before.description):
                    return before
            else:
                after = replace(after, status=Status.PENDING, matched=0)
            return replace(after, revision=before.revision + 1, updated_ms=now)

        after, event = await self._filters.update(application, filter_id, change)
        if event is not None:
            await self._begun(event)
        return after

    async def remove(self, application: str, filter_id: str, check: Check) -> None:
        """Delete a filter."""
        await self._begun(await self._filters.remove(application, filter_id, check))

    async def keep_matching(self) -> None:
        """Do what is to be done behind the filters, now and whenever there is something; for a task of its own."""
        while True:
            self._has_work.clear()
            try:
                while (filter_id := await self._passes.find_next()) is not None:
                    while await self._passes.step(filter_id):
                        pass
            except Refusal as no:
                log.warning("filter_pass_put_off", reason=no.reason)
                await self._clock.sleep_ms(_RETRY_MS)
            else:
                await self._has_work.wait()

    async def on_filters_of(self, request: efmp.EndpointFiltersRequest) -> efmp.EndpointFiltersResponse:
        """Tell which filters an endpoint matches."""
        found = await self._filters.find_by_endpoint(request.endpoint_id)
        return efmp.EndpointFiltersResponse(
            correlation_id=request.correlation_id,
            timestamp_ms=self._clock.now_ms(),
            endpoint_id=request.endpoint_id,
            filter_ids=tuple(found),
            status_code=200,
        )

    async def on_endpoints_by_filter(
        self, request: efmp.EndpointListByFilterRequest
    ) -> efmp.EndpointListByFilterResponse:
        """Tell which endpoints match a filter."""
        found = await self._filters.find_endpoints(request.filter_id)
        return efmp.EndpointListByFilterResponse(
            correlation_id=request.correlation_id,
            timestamp_ms=self._clock.now_ms(),
            filter_id=request.filter_id,
            app_versions_to_endpoints=found,
            status_code=200,
        )

    async def on_find_filters(self, request: x_register.FindFiltersRequest) -> x_register.FindFiltersResponse:
        """Say which of some filters there are."""
        if len(request.filter_ids) > _MAX_FOUND:
            raise InvalidInput(f"filterIds: more than {_MAX_FOUND}")
        found = await self._filters.find_by_id(request.filter_ids)
        return x_register.FindFiltersResponse(
            correlation_id=request.correlation_id,
            timestamp_ms=self._clock.now_ms(),
            filters=tuple(
                x_register.FoundFilter(filter_id=filter_id, app_name=ApplicationName(application))
                for filter_id, application in found.items()
            ),
            status_code=200,
        )

    async def _begun(self, event: Event) -> None:
        self._has_work.set()
        await self._outbox.settled([event[1].correlation_id])
