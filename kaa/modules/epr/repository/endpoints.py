"""Endpoints: finding them, moving them to another version, deleting them."""

from collections.abc import Callable, Sequence
from dataclasses import replace

from sqlalchemy import Connection, delete, select, update

from kaa.core.storage.database import Storage
from kaa.core.storage.parts import parts
from kaa.protocols.names import EndpointId

from ..models import Endpoint, Moved
from .consequences import Consequences, Event
from .relations import remove_of
from .tables import BARE, endpoint_of, endpoint_table


class EndpointRepository:
    """Keeps endpoints; a change takes the events that tell of it along."""

    def __init__(self, storage: Storage, consequences: Consequences) -> None:
        self._storage, self._consequences = storage, consequences

    async def find_by_id(self, ids: Sequence[str]) -> list[Endpoint]:
        """Give those of the ids that there are, without metadata."""

        def run(connection: Connection) -> list[Endpoint]:
            columns = select(*BARE)
            found = (connection.execute(columns.where(endpoint_table.c.id.in_(part))) for part in parts(ids))
            return [endpoint_of(row) for rows in found for row in rows]

        return await self._storage.read(run)

    async def update_versions(self, moved: Sequence[Moved], tell: Callable[[Moved], Event]) -> list[Event]:
        """Move endpoints to another version; one that has been moved or deleted meanwhile stays. Gives what is told."""

        def run(connection: Connection) -> list[Event]:
            present = {one.id: one for one in _present(connection, [one.id for one in moved])}
            changed, events = [], []
            for one in moved:
                before = present.get(one.id)
                if before is None or before.app_version != one.previous:
                    continue
                after = replace(before, app_version=one.app_version, version_since_ms=one.since_ms)
                connection.execute(
                    update(endpoint_table)
                    .where(endpoint_table.c.id == one.id)
                    .values(app_version=one.app_version, version_since_ms=one.since_ms)
                )
                changed.append((before, after))
                events.append(tell(one))
            return self._consequences.of_change(connection, changed, events)

        return await self._storage.write(run)

    async def remove(
        self,
        ids: Sequence[str],
        tell: Callable[[Endpoint], Event],
        tell_related: Callable[[Sequence[EndpointId]], Event],
    ) -> tuple[list[Endpoint], list[Event]]:
        """Delete those of the ids that there are, with their relations; gives them, and what is told."""

        def run(connection: Connection) -> tuple[list[Endpoint], list[Event]]:
            gone = _present(connection, ids)
            events = [tell(one) for one in gone]
            if related := remove_of(connection, [one.id for one in gone]):
                events.append(tell_related(related))
            for part in parts(ids):
                connection.execute(delete(endpoint_table).where(endpoint_table.c.id.in_(part)))
            return gone, self._consequences.of_removal(connection, gone, events)

        return await self._storage.write(run)


def _present(connection: Connection, ids: Sequence[str]) -> list[Endpoint]:
    return [
        endpoint_of(row)
        for part in parts(ids)
        for row in connection.execute(select(endpoint_table).where(endpoint_table.c.id.in_(part)))
    ]
