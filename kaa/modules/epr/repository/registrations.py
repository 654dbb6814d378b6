"""Reserved ids, and how they become endpoints."""

from collections.abc import Callable, Mapping, Sequence

from pydantic_core import to_json
from sqlalchemy import Connection, Table, delete, insert, select

from kaa.core.errors import Conflict, Unavailable
from kaa.core.storage.database import Storage
from kaa.core.storage.parts import parts
from kaa.protocols.names import AppVersionName, EndpointId

from ..models import Endpoint, Relation
from .consequences import Consequences, Event
from .relations import link
from .tables import endpoint_table, registration_table


class RegistrationRepository:
    """Keeps what is being registered until it is an endpoint."""

    def __init__(self, storage: Storage, consequences: Consequences) -> None:
        self._storage, self._consequences = storage, consequences

    async def add(self, endpoint_id: EndpointId, app_version: AppVersionName, *, at_ms: int) -> None:
        """Reserve an id; Conflict if an endpoint has it, or is about to."""

        def run(connection: Connection) -> None:
            if reserve(connection, [endpoint_id], app_version, at_ms=at_ms):
                raise Conflict(f"endpointId: there is an endpoint {endpoint_id!r} already")

        await self._storage.write(run)

    async def find(self, *, before_ms: int) -> list[tuple[EndpointId, AppVersionName]]:
        """Give the ids reserved up to a time, and the version that each was to have; none of a batch."""

        def run(connection: Connection) -> list[tuple[EndpointId, AppVersionName]]:
            columns = (registration_table.c.id, registration_table.c.app_version)
            is_left = registration_table.c.begun_ms <= before_ms, registration_table.c.batch_id.is_(None)
            rows = connection.execute(select(*columns).where(*is_left))
            return [(row.id, row.app_version) for row in rows]

        return await self._storage.read(run)

    async def remove(self, events: Mapping[EndpointId, Event | None]) -> None:
        """Give reserved ids back, each with the event that tells of it, if there is one.

        Of an id whose registration has been completed meanwhile nothing is told: its endpoint is there, and its token
        is to stay.
        """

        def run(connection: Connection) -> None:
            give_back(connection, events, self._consequences)

        await self._storage.write(run)

    async def complete(
        self,
        made: Endpoint,
        relations: Sequence[Relation],
        event: Event,
        *,
        tell_related: Callable[[Sequence[EndpointId]], Event],
    ) -> list[Event]:
        """Make an endpoint of a reserved id, with relations; gives what is told.

        Raises:
            Unavailable: the id has been given back meanwhile.
            NotFound: one that it is to be related to is not there.
        """

        def run(connection: Connection) -> list[Event]:
            if not complete(connection, [made]):
                raise Unavailable("the registration has taken too long; try again")
            events = [event]
            if related := link(connection, relations):
                events.append(tell_related(related))
            return self._consequences.of_change(connection, [(None, made)], events)

        return await self._storage.write(run)


def reserve(
    connection: Connection,
    ids: Sequence[EndpointId],
    app_version: AppVersionName,
    *,
    at_ms: int,
    batch_id: str | None = None,
) -> set[EndpointId]:
    """Reserve the ids that are free, and give those that are not."""
    taken = _present(connection, endpoint_table, ids) | _present(connection, registration_table, ids)
    common = {"app_version": app_version, "begun_ms": at_ms, "batch_id": batch_id}
    if rows := [{"id": one, **common} for one in ids if one not in taken]:
        connection.execute(insert(registration_table), rows)
    return taken


def give_back(connection: Connection, events: Mapping[EndpointId, Event | None], consequences: Consequences) -> None:
    """Give reserved ids back; of those that are endpoints by now nothing is told."""
    ids = list(events)
    for part in parts(ids):
        connection.execute(delete(registration_table).where(registration_table.c.id.in_(part)))
    made = _present(connection, endpoint_table, ids)
    consequences.tell(connection, [event for one, event in events.items() if event is not None and one not in made])


def complete(connection: Connection, made: Sequence[Endpoint]) -> list[Endpoint]:
    """Make endpoints of reserved ids; gives those that were made, for some ids may have been given back."""
    held = _present(connection, registration_table, [one.id for one in made])
    kept = [one for one in made if one.id in held]
    for part in parts(kept):
        connection.execute(delete(registration_table).where(registration_table.c.id.in_([one.id for one in part])))
        connection.execute(insert(endpoint_table), [_row(one) for one in part])
    return kept


def _present(connection: Connection, table: Table, ids: Sequence[EndpointId]) -> set[EndpointId]:
    return {
        EndpointId(one)
        for part in parts(ids)
        for one in connection.scalars(select(table.c.id).where(table.c.id.in_(part)))
    }


def _row(endpoint: Endpoint) -> dict[str, object]:
    values = {column.name: getattr(endpoint, column.name) for column in endpoint_table.c}
    return values | {"metadata": to_json(endpoint.metadata or {})}
