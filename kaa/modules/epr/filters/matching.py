"""Who matches which filter, kept right with every change of an endpoint, in the same transaction.

Which filters there are is read from the database each time: it is the state that the transaction sees, whatever else
has just been written before it or is undone later. What is held is what a query's text means, which never changes.

Filters whose pass is still under way are kept right, too; so it does not matter whether the pass comes to an endpoint
before or after its change. Events are for active filters only: who needs the endpoints of a filter lists them when it
is told `activated`, and from there on hears of every one that comes or goes.
"""

from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import structlog
from pydantic_core import from_json
from sqlalchemy import Connection, bindparam, delete, insert, select, update

from kaa.core.clock import Clock
from kaa.core.endpoint_query import Query, parse
from kaa.core.errors import InvalidInput
from kaa.core.ids import Ids
from kaa.core.storage.parts import parts
from kaa.protocols.names import ApplicationName, EndpointId, FilterId

from ..events import Event
from ..models import Endpoint
from .choosing import Choice
from .models import Status
from .tables import filter_table, match_table
from .telling import Telling

log = structlog.get_logger(__name__)

Match = tuple[FilterId, EndpointId]
"""The ids of a filter and of an endpoint."""

_MAX_HELD = 10_000
_NOBODY = parse({"$nor": [{}]})


@dataclass(frozen=True, slots=True)
class _Live:
    """A filter as far as matching needs it."""

    id: FilterId
    application: ApplicationName
    name: str | None
    status: str
    query: bytes


class Matching:
    """Told of every endpoint that changes; knows what that means for the filters."""

    def __init__(self, *, name: str, replica: str, clock: Clock, ids: Ids) -> None:
        self.tell = Telling(name, replica=replica, clock=clock, ids=ids)
        self._queries: dict[bytes, Query] = {}

    def on_changed(self, connection: Connection, after: Sequence[Endpoint]) -> list[Event]:
        """Bring the filters up to date with endpoints that are new or have changed; give the events that tell of it.

        The endpoints come as they now are, with their metadata.
        """
        by_application = defaultdict(list)
        for endpoint in after:
            by_application[endpoint.application].append(endpoint)
        events: list[Event] = []
        for application, endpoints in by_application.items():
            live = self._live(connection, application)
            if live:
                events += self._changed(connection, live, endpoints)
        return events

    def on_removed(self, connection: Connection, gone: Sequence[Endpoint]) -> list[Event]:
        """Take endpoints that are no more out of their filters; give the events that tell of it."""
        events: list[Event] = []
        lost: Counter[str] = Counter()
        for part in parts(gone):
            whose = {endpoint.id: endpoint for endpoint in part}
            is_theirs = match_table.c.endpoint_id.in_(list(whose))
            is_active = filter_table.c.status == Status.ACTIVE
            for row in connection.execute(
                select(match_table.c.endpoint_id, *_LIVE)
                .join(filter_table, filter_table.c.id == match_table.c.filter_id)
                .where(is_theirs, is_active)
            ):
                live = _Live(*row[1:])
                events.append(self.tell.unmatched(live, whose[row.endpoint_id]))
                lost[live.id] -= 1
            connection.execute(delete(match_table).where(is_theirs))
        _count(connection, lost)
        return events

    def read(self, text: bytes) -> Query:
        """Give the query of a filter; for the writer's thread.

        It was taken once; one that this version does not understand any more matches nobody.
        """
        if (held := self._queries.get(text)) is not None:
            return held
        try:
            query = parse(from_json(text))
        except InvalidInput as no:
            log.error("filter_not_understood", reason=no.reason)  # noqa: TRY400  the reason says it
            query = _NOBODY
        if len(self._queries) >= _MAX_HELD:
            del self._queries[next(iter(self._queries))]
        self._queries[text] = query
        return query

    def _live(self, connection: Connection, application: str) -> list[_Live]:
        is_live = filter_table.c.status != Status.DELETED
        rows = connection.execute(select(*_LIVE).where(filter_table.c.application == application, is_live))
        return [_Live(*row) for row in rows]

    def _changed(self, connection: Connection, live: Sequence[_Live], endpoints: Sequence[Endpoint]) -> list[Event]:
        by_id = {endpoint.id: endpoint for endpoint in endpoints}  # of one that comes twice the last state holds
        filters = {one.id: one for one in live}
        choice = Choice((one.id, self.read(one.query)) for one in live)
        wanted = {(one, endpoint.id) for endpoint in by_id.values() for one in choice.matching(endpoint)}
        found: set[Match] = set()
        for part in parts(list(by_id)):
            rows = connection.execute(select(*match_table.c).where(match_table.c.endpoint_id.in_(part)))
            found.update((row.filter_id, row.endpoint_id) for row in rows if row.filter_id in filters)
        new, gone = wanted - found, found - wanted
        write_matches(connection, new=new, gone=gone)
        events: list[Event] = []
        counts: Counter[str] = Counter()
        for changed, tell, by in ((new, self.tell.matched, 1), (gone, self.tell.unmatched, -1)):
            for filter_id, endpoint_id in sorted(changed):
                if filters[filter_id].status == Status.ACTIVE:
                    events.append(tell(filters[filter_id], by_id[endpoint_id]))
                    counts[filter_id] += by
        _count(connection, counts)
        return events


def write_matches(connection: Connection, *, new: Iterable[Match], gone: Iterable[Match]) -> None:
    """Keep matches that are new, and no longer those that are gone."""
    if rows := [{"filter_id": one[0], "endpoint_id": one[1]} for one in sorted(new)]:
        connection.execute(insert(match_table), rows)
    if rows := [{"of_filter": one[0], "of_endpoint": one[1]} for one in sorted(gone)]:
        connection.execute(_DELETION, rows)


_LIVE = [getattr(filter_table.c, name) for name in ("id", "application", "name", "status", "query")]
_DELETION = delete(match_table).where(
    match_table.c.filter_id == bindparam("of_filter"), match_table.c.endpoint_id == bindparam("of_endpoint")
)
_COUNTING = (
    update(filter_table)
    .where(filter_table.c.id == bindparam("of_filter"))
    .values(matched=filter_table.c.matched + bindparam("by"))
)


def _count(connection: Connection, changes: Counter[str]) -> None:
    if rows := [{"of_filter": filter_id, "by": by} for filter_id, by in changes.items() if by]:
        connection.execute(_COUNTING, rows)
