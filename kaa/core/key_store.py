"""Where the REST keys are kept: a table of the core's own."""

from sqlalchemy import Column, Connection, Integer, MetaData, String, Table, func, insert, select

from kaa.core.auth import KeyRecord, Role
from kaa.core.storage.database import Storage

_key = Table(
    "core_key",
    MetaData(),
    Column("id", String, primary_key=True),
    Column("hash", String, nullable=False, unique=True),
    Column("role", String, nullable=False),
    Column("created_ms", Integer, nullable=False),
)


class SqlKeyStore:
    """REST keys, by their hashes."""

    def __init__(self, storage: Storage) -> None:
        self._storage = storage

    async def find(self, hash: str) -> KeyRecord | None:  # noqa: A002  the word of the table
        """Give the key with that hash."""

        def run(connection: Connection) -> KeyRecord | None:
            row = connection.execute(select(_key).where(_key.c.hash == hash)).one_or_none()
            if row is None:
                return None
            return KeyRecord(id=row.id, hash=row.hash, role=Role(row.role), created_ms=row.created_ms)

        return await self._storage.read(run)

    async def count(self) -> int:
        """Count the keys."""
        return await self._storage.read(lambda c: int(c.execute(select(func.count()).select_from(_key)).scalar_one()))

    async def add(self, record: KeyRecord) -> None:
        """Keep a new key."""

        def run(connection: Connection) -> None:
            values = {"id": record.id, "hash": record.hash, "role": record.role, "created_ms": record.created_ms}
            connection.execute(insert(_key).values(values))

        await self._storage.write(run)
