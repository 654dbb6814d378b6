"""Relations between endpoints."""

from collections.abc import Callable, Iterable, Sequence

from sqlalchemy import ColumnElement, Connection, and_, bindparam, delete, func, insert, or_, select

from kaa.core.errors import Conflict, NotFound
from kaa.core.storage.database import Storage
from kaa.core.storage.parts import parts
from kaa.protocols.names import EndpointId

from ..models import Relation
from .consequences import Consequences, Event
from .tables import endpoint_table, relation_table

_MAX_OF_ONE = 10_000

_is_it = and_(
    relation_table.c.type == bindparam("of_type"),
    relation_table.c.from_id == bindparam("of_from"),
    relation_table.c.to_id == bindparam("of_to"),
)


class RelationRepository:
    """Keeps relations; a change takes the event that tells of it along."""

    def __init__(self, storage: Storage, consequences: Consequences) -> None:
        self._storage, self._consequences = storage, consequences

    async def find(
        self, endpoint_id: str, *, is_from: bool, is_to: bool, offset: int, limit: int
    ) -> tuple[list[Relation], int]:
        """Give one page of the relations that begin or end at an endpoint, and how many there are in all.

        NotFound if there is no such endpoint.
        """
        wanted = _limits(endpoint_id, is_from=is_from, is_to=is_to)

        def run(connection: Connection) -> tuple[list[Relation], int]:
            _check_present(connection, [endpoint_id])
            rows = connection.execute(
                select(relation_table)
                .where(wanted)
                .order_by(relation_table.c.from_id, relation_table.c.to_id, relation_table.c.type)
                .offset(offset)
                .limit(limit)
            )
            return [_made(row) for row in rows], _counted(connection, wanted)

        return await self._storage.read(run)

    async def find_related(self, endpoint_id: str, *, is_from: bool) -> list[EndpointId]:
        """Give those that an endpoint contains (`is_from`), or those that contain it; NotFound if it is not there."""
        column = relation_table.c.to_id if is_from else relation_table.c.from_id
        wanted = select(column).where(_limits(endpoint_id, is_from=is_from, is_to=not is_from)).order_by(column)

        def run(connection: Connection) -> list[EndpointId]:
            _check_present(connection, [endpoint_id])
            return [EndpointId(one) for one in connection.scalars(wanted)]

        return await self._storage.read(run)

    async def add(self, relations: Sequence[Relation], *, tell: Callable[[Sequence[EndpointId]], Event]) -> list[Event]:
        """Relate endpoints; gives what is told.

        Raises:
            NotFound: one of them is not there.
            Conflict: one has as many relations as it may.
        """
        return await self._change(link, relations, tell)

    async def remove(
        self, relations: Sequence[Relation], *, tell: Callable[[Sequence[EndpointId]], Event]
    ) -> list[Event]:
        """Take relations away, those that there are; gives what is told."""
        return await self._change(unlink, relations, tell)

    async def _change(
        self,
        work: Callable[[Connection, Sequence[Relation]], list[EndpointId]],
        relations: Sequence[Relation],
        tell: Callable[[Sequence[EndpointId]], Event],
    ) -> list[Event]:
        def run(connection: Connection) -> list[Event]:
            changed = work(connection, relations)
            told = [tell(changed)] if changed else []
            self._consequences.tell(connection, told)
            return told

        return await self._storage.write(run)


def link(connection: Connection, relations: Sequence[Relation]) -> list[EndpointId]:
    """Relate endpoints, and give those whose relations have changed; refuses as `RelationRepository.add` does."""
    if not relations:
        return []
    ids = _named(relations)
    _check_present(connection, ids)
    new = [one for one in dict.fromkeys(relations) if not _is_there(connection, one)]
    if new:
        connection.execute(
            insert(relation_table), [{"type": one.type, "from_id": one.from_id, "to_id": one.to_id} for one in new]
        )
    for endpoint_id in _named(new):
        if _counted(connection, _limits(endpoint_id, is_from=True, is_to=True)) > _MAX_OF_ONE:
            raise Conflict(f"endpoint {endpoint_id!r} has {_MAX_OF_ONE} relations, and may have no more")
    return _named(new)


def unlink(connection: Connection, relations: Sequence[Relation]) -> list[EndpointId]:
    """Take relations away, and give the endpoints whose relations have changed."""
    gone = [one for one in dict.fromkeys(relations) if _is_there(connection, one)]
    for one in gone:
        connection.execute(delete(relation_table).where(_is_it), _key(one))
    return _named(gone)


def remove_of(connection: Connection, ids: Sequence[EndpointId]) -> list[EndpointId]:
    """Take away all relations of endpoints, and give the endpoints whose relations have changed."""
    changed: dict[EndpointId, None] = {}
    for part in parts(ids):
        theirs = or_(relation_table.c.from_id.in_(part), relation_table.c.to_id.in_(part))
        changed.update(
            dict.fromkeys(_named(_made(row) for row in connection.execute(select(relation_table).where(theirs))))
        )
        connection.execute(delete(relation_table).where(theirs))
    return list(changed)


def _named(relations: Iterable[Relation]) -> list[EndpointId]:
    return list(dict.fromkeys(one for relation in relations for one in (relation.from_id, relation.to_id)))


def _check_present(connection: Connection, ids: Sequence[str]) -> None:
    present = {
        one
        for part in parts(ids)
        for one in connection.scalars(select(endpoint_table.c.id).where(endpoint_table.c.id.in_(part)))
    }
    for one in ids:
        if one not in present:
            raise NotFound(f"there is no endpoint {one!r}")


def _is_there(connection: Connection, relation: Relation) -> bool:
    return connection.execute(select(relation_table.c.type).where(_is_it), _key(relation)).one_or_none() is not None


def _key(relation: Relation) -> dict[str, str]:
    return {"of_type": relation.type, "of_from": relation.from_id, "of_to": relation.to_id}


def _limits(endpoint_id: str, *, is_from: bool, is_to: bool) -> ColumnElement[bool]:
    ends = [relation_table.c.from_id == endpoint_id] * is_from + [relation_table.c.to_id == endpoint_id] * is_to
    return or_(*ends)


def _counted(connection: Connection, wanted: ColumnElement[bool]) -> int:
    return int(connection.execute(select(func.count()).select_from(relation_table).where(wanted)).scalar_one())


def _made(row: object) -> Relation:
    return Relation(row.type, row.from_id, row.to_id)  # type: ignore[attr-defined]
