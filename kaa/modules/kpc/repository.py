"""KPC's tables: the refusals kept, and the sessions to be kept."""

from collections.abc import Sequence

from sqlalchemy import (
    JSON,
    Column,
    Connection,
    Integer,
    LargeBinary,
    MetaData,
    String,
    Table,
    delete,
    func,
    select,
    tuple_,
)
from sqlalchemy.dialects.sqlite import insert

from kaa.core.storage.database import Storage
from kaa.protocols.names import CredentialsId

from .models import Client, KeptRefusal

_metadata = MetaData()
_refusal = Table(
    "kpc_refusal",
    _metadata,
    Column("id", Integer, primary_key=True),
    Column("at_ms", Integer, nullable=False),
    Column("endpoint_id", String),
    Column("token_hash", String),
    Column("topic", String, nullable=False),
    Column("status_code", Integer, nullable=False),
    Column("reason", String, nullable=False),
    Column("payload", LargeBinary, nullable=False),
    Column("payload_size", Integer, nullable=False),
)
_session = Table(
    "kpc_session",
    _metadata,
    Column("credentials", String, primary_key=True),
    Column("client_id", String, primary_key=True),
    Column("expiry_s", Integer, nullable=False),
    Column("subscriptions", JSON, nullable=False),
)


class RefusalRepository:
    """Keeps the latest refusals."""

    def __init__(self, storage: Storage, *, most: int) -> None:
        self._storage, self._most = storage, most

    async def add(self, refusals: Sequence[KeptRefusal]) -> None:
        """Keep refusals, and let go of the oldest beyond the most that are kept."""
        rows = [
            {
                "at_ms": r.at_ms,
                "endpoint_id": r.endpoint_id,
                "token_hash": r.token_hash,
                "topic": r.topic,
                "status_code": r.status_code,
                "reason": r.reason,
                "payload": r.payload,
                "payload_size": r.payload_size,
            }
            for r in refusals
        ]

        def run(connection: Connection) -> None:
            connection.execute(insert(_refusal), rows)
            newest = select(func.max(_refusal.c.id)).scalar_subquery()
            connection.execute(delete(_refusal).where(_refusal.c.id <= newest - self._most))

        await self._storage.write(run)

    async def find(
        self, *, endpoint_id: str | None, status_code: int | None, offset: int, limit: int
    ) -> tuple[list[KeptRefusal], int]:
        """Give a page of the refusals, newest first, and how many there are."""
        where = []
        if endpoint_id is not None:
            where.append(_refusal.c.endpoint_id == endpoint_id)
        if status_code is not None:
            where.append(_refusal.c.status_code == status_code)

        def run(connection: Connection) -> tuple[list[KeptRefusal], int]:
            total = connection.execute(select(func.count()).select_from(_refusal).where(*where)).scalar_one()
            query = (
                select(_refusal)
                .where(*where)
                .order_by(_refusal.c.at_ms.desc(), _refusal.c.id.desc())
                .offset(offset)
                .limit(limit)
            )
            return [KeptRefusal(**row._mapping) for row in connection.execute(query)], total  # noqa: SLF001  its name

        return await self._storage.read(run)


class SessionRepository:
    """Keeps the sessions."""

    def __init__(self, storage: Storage) -> None:
        self._storage = storage

    async def all(self) -> list[tuple[Client, int, dict[str, int]]]:
        """Give client, expiry in seconds and subscriptions of every session."""

        def run(connection: Connection) -> list[tuple[Client, int, dict[str, int]]]:
            return [
                (
                    Client(tuple(map(CredentialsId, row.credentials.split())), row.client_id),
                    row.expiry_s,
                    row.subscriptions,
                )
                for row in connection.execute(select(_session))
            ]

        return await self._storage.read(run)

    async def put(self, client: Client, expiry_s: int, subscriptions: dict[str, int]) -> None:
        """Keep a session as it is now."""
        values = _key(client) | {"expiry_s": expiry_s, "subscriptions": subscriptions}
        query = insert(_session).values(values)
        query = query.on_conflict_do_update(index_elements=["credentials", "client_id"], set_=values)
        await self._storage.write(lambda connection: connection.execute(query).close())

    async def remove(self, clients: Sequence[Client]) -> None:
        """Forget sessions."""
        keys = [tuple(_key(client).values()) for client in clients]

        def run(connection: Connection) -> None:
            both = tuple_(_session.c.credentials, _session.c.client_id)
            for at in range(0, len(keys), 500):
                connection.execute(delete(_session).where(both.in_(keys[at : at + 500])))

        await self._storage.write(run)


def _key(client: Client) -> dict[str, object]:
    return {"credentials": " ".join(client.credentials), "client_id": client.client_id}
