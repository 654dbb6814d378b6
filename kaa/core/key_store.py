"""Where the REST keys are kept: a table of the core's own."""

import json
from typing import Any

from sqlalchemy import Column, Connection, Integer, MetaData, Row, String, Table, delete, func, insert, select

from kaa.core.auth import KeyRecord, Role
from kaa.core.errors import Conflict, NotFound
from kaa.core.storage.database import Storage

_key = Table(
    "core_key",
    MetaData(),
    Column("id", String, primary_key=True),
    Column("hash", String, nullable=False, unique=True),
    Column("role", String, nullable=False),
    Column("created_ms", Integer, nullable=False),
    Column("name", String),
    Column("applications", String),
)


class SqlKeyStore:
    """REST keys, by their hashes."""

    def __init__(self, storage: Storage) -> None:
        self._storage = storage

    async def find(self, hash: str) -> KeyRecord | None:  # noqa: A002  the word of the table
        """Give the key with that hash."""

        def run(connection: Connection) -> KeyRecord | None:
            row = connection.execute(select(_key).where(_key.c.hash == hash)).one_or_none()
            return None if row is None else _record(row)

        return await self._storage.read(run)

    async def count(self) -> int:
        """Count the keys."""
        return await self._storage.read(lambda c: int(c.execute(select(func.count()).select_from(_key)).scalar_one()))

    async def add(self, record: KeyRecord) -> None:
        """Keep a new key."""

        def run(connection: Connection) -> None:
            values = {
                "id": record.id,
                "hash": record.hash,
                "role": record.role,
                "created_ms": record.created_ms,
                "name": record.name,
                "applications": json.dumps(record.applications) if record.applications else None,
            }
            connection.execute(insert(_key).values(values))

        await self._storage.write(run)

    async def all(self) -> list[KeyRecord]:
        """Give every key, oldest first."""

        def run(connection: Connection) -> list[KeyRecord]:
            return [_record(row) for row in connection.execute(select(_key).order_by(_key.c.created_ms, _key.c.id))]

        return await self._storage.read(run)

    async def get(self, id: str) -> KeyRecord:  # noqa: A002  as above
        """Give the key with that id; NotFound if there is none."""
        return await self._storage.read(lambda connection: _get(connection, id))

    async def remove(self, id: str) -> None:  # noqa: A002  as above
        """Remove a key; NotFound if there is none, Conflict if nobody would be left who may make another one."""

        def run(connection: Connection) -> None:
            if _get(connection, id).role is Role.ADMIN:
                admins = select(func.count()).select_from(_key).where(_key.c.role == Role.ADMIN)
                if connection.execute(admins).scalar_one() == 1:
                    raise Conflict(
                        "this is the last admin key, and without it nobody could make another one; make that first"
                    )
            connection.execute(delete(_key).where(_key.c.id == id))

        await self._storage.write(run)


def _get(connection: Connection, key_id: str) -> KeyRecord:
    row = connection.execute(select(_key).where(_key.c.id == key_id)).one_or_none()
    if row is None:
        raise NotFound(f"there is no key {key_id[:80]!r}")
    return _record(row)


def _record(row: Row[Any]) -> KeyRecord:
    return KeyRecord(
        id=row.id,
        hash=row.hash,
        role=Role(row.role),
        created_ms=row.created_ms,
        name=row.name,
        applications=tuple(json.loads(row.applications)) if row.applications else (),
    )
