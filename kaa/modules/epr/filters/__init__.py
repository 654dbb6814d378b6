"""Endpoint filters: queries that are kept, and which endpoints match each of them at any time.

For `module.py`, in this order: `events(name)` belongs into the list of the outbox; `Matching` is made and handed to
whoever writes endpoints, who calls it within his transactions; then the block of `opened` is entered.

For lists of endpoints: `kaa.core.endpoint_query.parse` reads a query, `sql.where` turns it into a condition on the rows
of `epr_endpoint`; `repository.matched_by` is the condition for a filter, `repository.check_active` refuses one that
cannot be listed by, `repository.filters_of` tells the filters of some endpoints.
"""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from kaa.core.applications import Applications
from kaa.core.bus import Bus
from kaa.core.clock import Clock
from kaa.core.http import Site
from kaa.core.ids import Ids
from kaa.core.storage.database import Storage
from kaa.core.storage.outbox import Outbox
from kaa.core.subjects import Subject
from kaa.core.tasks import Tasks
from kaa.protocols import efe, efmp, x_register

from .api import routes
from .matching import Matching
from .passing import Passes
from .repository import FilterRepository
from .service import Filters

__all__ = ["Matching", "events", "opened"]


def events(name: str) -> list[Subject[Any]]:
    """Give the events that go through the instance's outbox."""
    subjects = (
        efe.filter_pending,
        efe.filter_activated,
        efe.filter_deleted,
        efe.endpoint_matched,
        efe.endpoint_unmatched,
    )
    return [subject(originator=name) for subject in subjects]


@asynccontextmanager
async def opened(
    *,
    name: str,
    matching: Matching,
    storage: Storage,
    outbox: Outbox,
    bus: Bus,
    site: Site,
    applications: Applications[Any],
    clock: Clock,
    ids: Ids,
    tasks: Tasks,
    max_filters: int = 1_000,
) -> AsyncIterator[None]:
    """Serve filters while the block lasts: REST, 20/EFMP, and the passes over all endpoints behind them.

    Enter it within the outbox's block and before the site opens. `name` is the instance's, `max_filters` how many an
    application may have. `Matching(name=…, replica=…, clock=…, ids=…)` is the one that the endpoints' writers call.
    """
    filters = Filters(
        filters=FilterRepository(storage, outbox, matching.tell),
        passes=Passes(storage, outbox, matching),
        applications=applications,
        outbox=outbox,
        clock=clock,
        ids=ids,
        max_filters=max_filters,
    )
    site.mount(name, routes(filters))
    asked = bus.subscribe(efmp.filters_of(name), filters.on_filters_of, queue=name, concurrency=4)
    listed = bus.subscribe(efmp.endpoints_by_filter(name), filters.on_endpoints_by_filter, queue=name, concurrency=4)
    found = bus.subscribe(x_register.find_filters(name), filters.on_find_filters, queue=name, concurrency=4)
    async with asked, listed, found:
        passing = tasks.spawn(filters.keep_matching(), name=f"{name} filter passes")
        try:
            yield
        finally:
            await tasks.stop(passing)
