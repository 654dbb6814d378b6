"""Where the audit log is kept: a table of the core's own."""

from collections.abc import AsyncIterator, Sequence
from dataclasses import asdict
from typing import Any

from sqlalchemy import (
    BigInteger,
    Boolean,
    Column,
    ColumnElement,
    Connection,
    Integer,
    MetaData,
    String,
    Table,
    Text,
    delete,
    func,
    insert,
    select,
)

from kaa.core.storage.database import Storage

from .models import Entry, Wanted

_A_READ = 50
_A_CLEANING = 1_000

_entry = Table(
    "core_audit",
    MetaData(),
    Column("id", Integer, primary_key=True),
    Column("at_ms", BigInteger, nullable=False),
    Column("key_id", String),
    Column("key_name", String),
    Column("role", String),
    Column("method", String, nullable=False),
    Column("path", String, nullable=False),
    Column("operation", String, nullable=False),
    Column("application", String),
    Column("status", Integer, nullable=False),
    Column("correlation_id", String, nullable=False),
    Column("before", Text),
    Column("is_before_cut", Boolean, nullable=False),
    Column("after", Text),
    Column("is_after_cut", Boolean, nullable=False),
)


class AuditStore:
    """Keeps entries."""

    def __init__(self, storage: Storage) -> None:
        self._storage = storage

    async def add(self, entries: Sequence[Entry]) -> None:
        """Keep entries, all or none."""
        rows = [{name: value for name, value in asdict(entry).items() if name != "id"} for entry in entries]

        def run(connection: Connection) -> None:
            connection.execute(insert(_entry), rows)

        await self._storage.write(run)

    async def count(self, wanted: Wanted) -> int:
        """Count the entries that are wanted."""
        query = select(func.count()).select_from(_entry).where(*_conditions(wanted))
        return await self._storage.read_apart(lambda connection: int(connection.execute(query).scalar_one()))

    async def find(self, wanted: Wanted, *, offset: int, limit: int) -> AsyncIterator[list[Entry]]:
        """Give the entries that are wanted, newest first, in portions; what is added meanwhile moves nothing."""
        newest = await self._storage.read_apart(
            lambda connection: connection.execute(select(func.max(_entry.c.id))).scalar_one()
        )
        query = (
            select(_entry)
            .where(*_conditions(wanted), _entry.c.id <= (newest or 0))
            .order_by(_entry.c.at_ms.desc(), _entry.c.id.desc())
        )
        for at in range(offset, offset + limit, _A_READ):
            part = query.offset(at).limit(min(_A_READ, offset + limit - at))

            def run(connection: Connection, part: Any = part) -> list[Entry]:
                return [Entry(**row._mapping) for row in connection.execute(part)]  # noqa: SLF001  its public name

            found = await self._storage.read_apart(run)
            if found:
                yield found
            if len(found) < _A_READ:
                return

    async def remove_before(self, at_ms: int) -> int:
        """Remove a portion of what is older, and give how much that was: 0 when nothing is left to remove."""
        oldest = select(_entry.c.id).where(_entry.c.at_ms < at_ms).limit(_A_CLEANING)

        def run(connection: Connection) -> int:
            return connection.execute(delete(_entry).where(_entry.c.id.in_(oldest))).rowcount

        return await self._storage.write(run)


def _conditions(wanted: Wanted) -> list[ColumnElement[bool]]:
    found: list[ColumnElement[bool]] = []
    if wanted.from_ms is not None:
        found.append(_entry.c.at_ms >= wanted.from_ms)
    if wanted.to_ms is not None:
        found.append(_entry.c.at_ms < wanted.to_ms)
    if wanted.key_id is not None:
        found.append(_entry.c.key_id == wanted.key_id)
    if wanted.method is not None:
        found.append(_entry.c.method == wanted.method)
    if wanted.path is not None:
        found.append(func.substr(_entry.c.path, 1, len(wanted.path)) == wanted.path)
    if wanted.application is not None:
        found.append(_entry.c.application == wanted.application)
    return found
