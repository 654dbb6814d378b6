"""The passes over all endpoints of an application that tell who matches a filter, and the clearing of deleted ones.

A step is some hundred endpoints and a transaction of its own, in the order of the index; how far it has come is kept
with the filter. Endpoints that change between two steps are kept right by `Matching`, so each step is right by itself;
the last one makes the filter active, and tells so.
"""

from typing import Any

from pydantic_core import from_json
from sqlalchemy import Connection, Row, delete, func, select, tuple_, update

from kaa.core.storage.database import Storage
from kaa.core.storage.outbox import Outbox

from ..repository.tables import endpoint_table
from .matching import Matching, write_matches
from .models import Status
from .tables import filter_table, match_table

_STEP = 500
_CLEARED = 5_000


class Passes:
    """Does what is to be done behind filters, step by step."""

    def __init__(self, storage: Storage, outbox: Outbox, matching: Matching) -> None:
        self._storage, self._outbox, self._matching = storage, outbox, matching

    async def find_next(self) -> str | None:
        """Give the id of a filter that something is to be done for: the one that has waited longest."""
        unfinished = (
            select(filter_table.c.id)
            .where(filter_table.c.status != Status.ACTIVE)
            .order_by(filter_table.c.status == Status.DELETED, filter_table.c.updated_ms, filter_table.c.id)
            .limit(1)
        )
        return await self._storage.read(lambda connection: connection.execute(unfinished).scalar())

    async def step(self, filter_id: str) -> bool:
        """Do a piece for a filter; whether there is more."""

        def run(connection: Connection) -> bool:
            row = connection.execute(select(filter_table).where(filter_table.c.id == filter_id)).one_or_none()
            if row is None or row.status == Status.ACTIVE:
                return False
            return self._clear(connection, filter_id) if row.status == Status.DELETED else self._pass(connection, row)

        return await self._storage.write(run)

    def _pass(self, connection: Connection, filter_: Row[Any]) -> bool:
        query = self._matching.read(filter_.query)
        time_and_id = (endpoint_table.c.created_ms, endpoint_table.c.id)
        endpoints = connection.execute(
            select(*time_and_id, endpoint_table.c.app_version, endpoint_table.c.metadata)
            .where(
                endpoint_table.c.application == filter_.application,
                tuple_(*time_and_id) > (filter_.passed_ms, filter_.passed_id),
            )
            .order_by(*time_and_id)
            .limit(_STEP)
        ).all()
        is_its = match_table.c.filter_id == filter_.id
        if endpoints:
            is_seen = match_table.c.endpoint_id.in_([one.id for one in endpoints])
            found = set(connection.scalars(select(match_table.c.endpoint_id).where(is_its, is_seen)))
            wanted = {
                endpoint_id
                for _, endpoint_id, app_version, metadata in endpoints
                if query.matches(app_version, from_json(metadata))
            }
            write_matches(
                connection,
                new=[(filter_.id, one) for one in wanted - found],
                gone=[(filter_.id, one) for one in found - wanted],
            )
        if is_more := len(endpoints) == _STEP:
            values = {"passed_ms": endpoints[-1].created_ms, "passed_id": endpoints[-1].id}
        else:
            matched = connection.execute(select(func.count()).where(is_its)).scalar_one()
            values = {"status": Status.ACTIVE, "matched": matched}
            self._outbox.add(connection, *self._matching.tell.activated(filter_))
        connection.execute(update(filter_table).where(filter_table.c.id == filter_.id).values(values))
        return is_more

    def _clear(self, connection: Connection, filter_id: str) -> bool:
        is_its = match_table.c.filter_id == filter_id
        some = select(match_table.c.endpoint_id).where(is_its).limit(_CLEARED)
        gone = connection.execute(delete(match_table).where(is_its, match_table.c.endpoint_id.in_(some)))
        if gone.rowcount == _CLEARED:
            return True
        connection.execute(delete(filter_table).where(filter_table.c.id == filter_id))
        return False
