"""System configurations."""

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

from sqlalchemy import (
    BigInteger,
    Column,
    Connection,
    LargeBinary,
    MetaData,
    String,
    Table,
    bindparam,
    delete,
    func,
    insert,
    select,
    update,
)
from sqlalchemy.exc import IntegrityError

from kaa.core.errors import Conflict, NotFound
from kaa.core.storage.database import Storage
from kaa.core.storage.outbox import Outbox

from ..models import Level, SystemConfiguration
from .tables import Event

_system = Table(
    "ecr_system",
    MetaData(),
    Column("id", String, primary_key=True),
    Column("level", String, nullable=False),
    Column("level_id", String, nullable=False),
    Column("name", String, nullable=False),
    Column("display_name", String),
    Column("content", LargeBinary, nullable=False),
    Column("created_ms", BigInteger, nullable=False),
    Column("updated_ms", BigInteger, nullable=False),
)

Check = Callable[[SystemConfiguration], None]
Tell = Callable[[SystemConfiguration], Event]


class SystemRepository:
    """Keeps system configurations; a change takes the event that tells of it along."""

    def __init__(self, storage: Storage, outbox: Outbox) -> None:
        self._storage, self._outbox = storage, outbox

    async def add(self, made: SystemConfiguration, tell: Tell) -> Event:
        """Keep a new one; Conflict if the name is taken at its level."""
        event = tell(made)

        def run(connection: Connection) -> Event:
            try:
                connection.execute(insert(_system).values(_values(made)))
            except IntegrityError as error:
                raise _taken(made) from error
            self._outbox.add(connection, *event)
            return event

        return await self._storage.write(run)

    async def get(self, level: Level, level_id: str, id: str) -> SystemConfiguration:  # noqa: A002
        """Give one; NotFound if there is none of that id at that level."""
        return await self._storage.read(lambda connection: _get(connection, level, level_id, id))

    async def find(
        self, level: Level, level_id: str, *, offset: int, limit: int
    ) -> tuple[list[SystemConfiguration], int]:
        """Give one page by name, and how many there are."""
        which = _system.c.level == level, _system.c.level_id == level_id

        def run(connection: Connection) -> tuple[list[SystemConfiguration], int]:
            rows = connection.execute(
                select(_system).where(*which).order_by(_system.c.name).offset(offset).limit(limit)
            )
            total = connection.execute(select(func.count()).select_from(_system).where(*which)).scalar_one()
            return [_made(row) for row in rows], total

        return await self._storage.read_apart(run)

    async def find_first(self, name: str, levels: Sequence[tuple[Level, str]]) -> SystemConfiguration | None:
        """Give that of the first of the levels that has one of the name."""

        def run(connection: Connection) -> SystemConfiguration | None:
            for level, level_id in levels:
                which = _system.c.level == level, _system.c.level_id == level_id, _system.c.name == name
                row = connection.execute(select(_system).where(*which)).one_or_none()
                if row is not None:
                    return _made(row)
            return None

        return await self._storage.read(run)

    async def update(self, changed: SystemConfiguration, check: Check, tell: Tell) -> Event | None:
        """Replace what somebody wrote; None, and nothing is told, where nothing has changed.

        Raises:
            NotFound: there is none of that id at that level.
            Conflict: the name is taken there.
        """

        def run(connection: Connection) -> Event | None:
            before = _get(connection, changed.level, changed.level_id, changed.id)
            check(before)
            now = replace(changed, created_ms=before.created_ms)
            if replace(now, updated_ms=before.updated_ms) == before:
                return None
            try:
                connection.execute(update(_system).where(_system.c.id == now.id).values(_values(now)))
            except IntegrityError as error:
                raise _taken(now) from error
            event = tell(now)
            self._outbox.add(connection, *event)
            return event

        return await self._storage.write(run)

    async def remove(self, level: Level, level_id: str, id: str, check: Check) -> None:  # noqa: A002
        """Delete one; NotFound if there is none of that id at that level."""

        def run(connection: Connection) -> None:
            check(_get(connection, level, level_id, id))
            connection.execute(delete(_system).where(_system.c.id == id))

        await self._storage.write(run)

    async def remove_endpoints(self, gone: Sequence[tuple[str, int]]) -> None:
        """Delete those of endpoints that are no more, unless they are newer than the time given with each."""
        statement = delete(_system).where(
            _system.c.level == Level.ENDPOINT,
            _system.c.level_id == bindparam("key"),
            _system.c.updated_ms <= bindparam("until_ms"),
        )
        rows = [{"key": endpoint_id, "until_ms": at_ms} for endpoint_id, at_ms in gone]
        if rows:
            await self._storage.write(lambda connection: connection.execute(statement, rows))


def _get(connection: Connection, level: Level, level_id: str, id_: str) -> SystemConfiguration:
    which = _system.c.id == id_, _system.c.level == level, _system.c.level_id == level_id
    row = connection.execute(select(_system).where(*which)).one_or_none()
    if row is None:
        raise NotFound(f"there is no system configuration {id_!r} here")
    return _made(row)


def _values(one: SystemConfiguration) -> dict[str, Any]:
    return {column.name: getattr(one, column.name) for column in _system.c}


def _made(row: Any) -> SystemConfiguration:
    return replace(SystemConfiguration(**row._mapping), level=Level(row.level))  # noqa: SLF001  its public name


def _taken(one: SystemConfiguration) -> Conflict:
    return Conflict(f"name: there is a system configuration {one.name!r} here already")
