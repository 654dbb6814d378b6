"""The table of what clients connect with."""

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import replace
from typing import Any

from sqlalchemy import (
    BigInteger,
    BindParameter,
    Column,
    Connection,
    MetaData,
    String,
    Table,
    bindparam,
    delete,
    insert,
    or_,
    select,
    tuple_,
    update,
)

from kaa.core.errors import Conflict, NotFound
from kaa.core.storage.database import Storage
from kaa.core.storage.outbox import Outbox
from kaa.protocols.names import CredentialsId

from ..models import BY_HAND, GONE, Certificate, Client, Kind, Status, User
from .lookups import Lookups
from .tokens import Event

_client = Table(
    "cm_client",
    MetaData(),
    Column("id", String, primary_key=True),
    Column("kind", String, nullable=False),
    Column("status", String, nullable=False),
    Column("created_ms", BigInteger, nullable=False),
    Column("updated_ms", BigInteger, nullable=False),
    Column("last_use_ms", BigInteger),
    Column("username", String, unique=True),
    Column("password_hash", String),
    Column("common_name", String),
    Column("issuer", String),
    Column("serial", String),
    Column("not_after_ms", BigInteger),
)

Tell = Callable[[Client], Sequence[Event]]


class ClientRepository:
    """Keeps what clients connect with; a change takes the events that tell of it along."""

    def __init__(self, storage: Storage, outbox: Outbox) -> None:
        self._storage, self._outbox = storage, outbox
        self._users = Lookups(self._find_users)
        self._certificates = Lookups(self._find_certificates)

    async def add(self, client: Client) -> None:
        """Keep a new one; Conflict if its user name is taken, or its certificate known."""
        row = _row(client)

        def run(connection: Connection) -> None:
            there = connection.execute(select(_client.c.id).where(_is_same(client))).first()
            if there is not None:
                raise Conflict(_taken(client))
            connection.execute(insert(_client), row)

        await self._storage.write(run)

    async def get(self, kind: Kind, client_id: str) -> Client:
        """Give one; NotFound if there is none of that kind and id."""
        return await self._storage.read(lambda connection: _get(connection, kind, client_id))

    async def find_user(self, username: str) -> Client | None:
        """Give the one of that user name."""
        return await self._users.find(username)

    async def find_certificate(self, issuer: str, serial: str) -> Client | None:
        """Give the one of that issuer and serial number."""
        return await self._certificates.find((issuer, serial))

    async def find_page(
        self, kind: Kind, *, after: tuple[int, str], limit: int, statuses: Sequence[Status]
    ) -> list[Client]:
        """Give those that come after a time and id, oldest first."""
        key = _client.c.created_ms, _client.c.id
        limits = [_client.c.kind == kind, tuple_(*key) > after]
        if statuses:
            limits.append(_client.c.status.in_(statuses))
        query = select(_client).where(*limits).order_by(*key).limit(limit)
        return await self._storage.read_apart(lambda c: [_made(row) for row in c.execute(query)])

    async def activate(self, client_id: CredentialsId, *, at_ms: int) -> None:
        """Make it active if it is inactive."""
        which = _client.c.id == client_id, _client.c.status == Status.INACTIVE
        change = update(_client).where(*which).values(status=Status.ACTIVE, updated_ms=at_ms)

        def run(connection: Connection) -> None:
            connection.execute(change)

        await self._storage.write(run)

    async def keep_uses(self, uses: Mapping[CredentialsId, int]) -> None:
        """Note when each was last used; what is not there any more is left out."""
        at: BindParameter[int] = bindparam("at_ms")
        last = _client.c.last_use_ms
        change = (
            update(_client)
            .where(_client.c.id == bindparam("client_id"), or_(last.is_(None), last < at))
            .values(last_use_ms=at)
        )
        rows = [{"client_id": client_id, "at_ms": at_ms} for client_id, at_ms in uses.items()]

        def run(connection: Connection) -> None:
            connection.execute(change, rows)

        await self._storage.write(run)

    async def update_status(
        self, kind: Kind, client_id: str, status: Status, *, at_ms: int, tell: Tell
    ) -> tuple[Client, Sequence[Event]]:
        """Move one to another status; gives it as it is now, and the events that are due.

        Raises:
            NotFound: there is none of that kind and id.
            Conflict: it cannot go there from where it is.
        """

        def run(connection: Connection) -> tuple[Client, Sequence[Event]]:
            client = _get(connection, kind, client_id)
            if status not in BY_HAND[client.status]:
                raise Conflict(f"state: a credential that is {client.status} cannot be made {status}")
            connection.execute(update(_client).where(_client.c.id == client.id).values(status=status, updated_ms=at_ms))
            events = tell(client) if status in GONE else ()
            self._outbox.add_all(connection, events)
            return replace(client, status=status, updated_ms=at_ms), events

        return await self._storage.write(run)

    async def remove(self, kind: Kind, client_id: str, tell: Tell) -> tuple[Client, Sequence[Event]]:
        """Delete one; gives it as it was, and the events that are due. NotFound if there is none of kind and id."""

        def run(connection: Connection) -> tuple[Client, Sequence[Event]]:
            client = _get(connection, kind, client_id)
            connection.execute(delete(_client).where(_client.c.id == client.id))
            events = () if client.status is Status.REVOKED else tell(client)
            self._outbox.add_all(connection, events)
            return client, events

        return await self._storage.write(run)

    async def _find_users(self, usernames: Collection[str]) -> dict[str, Client]:
        query = select(_client).where(_client.c.username.in_(usernames))
        return await self._storage.read(lambda c: {row.username: _made(row) for row in c.execute(query)})

    async def _find_certificates(self, known_by: Collection[tuple[str, str]]) -> dict[tuple[str, str], Client]:
        query = select(_client).where(tuple_(_client.c.issuer, _client.c.serial).in_(known_by))
        return await self._storage.read(lambda c: {(row.issuer, row.serial): _made(row) for row in c.execute(query)})


def _get(connection: Connection, kind: Kind, client_id: str) -> Client:
    which = _client.c.id == client_id, _client.c.kind == kind
    row = connection.execute(select(_client).where(*which)).one_or_none()
    if row is None:
        raise NotFound(f"there is no {kind} credential {client_id!r}")
    return _made(row)


def _is_same(client: Client) -> Any:
    known_by = client.known_by
    if isinstance(known_by, User):
        return _client.c.username == known_by.username
    return (_client.c.issuer == known_by.issuer) & (_client.c.serial == known_by.serial)


def _taken(client: Client) -> str:
    known_by = client.known_by
    if isinstance(known_by, User):
        return f"username: {known_by.username!r} is taken"
    return f"certificate: that of issuer {known_by.issuer!r} with serial number {known_by.serial} is known already"


def _row(client: Client) -> dict[str, Any]:
    known_by = client.known_by
    if isinstance(known_by, User):
        special: dict[str, Any] = {"username": known_by.username, "password_hash": known_by.password_hash}
    else:
        special = {
            "common_name": known_by.common_name,
            "issuer": known_by.issuer,
            "serial": known_by.serial,
            "not_after_ms": known_by.not_after_ms,
        }
    return {
        "id": client.id,
        "kind": client.kind,
        "status": client.status,
        "created_ms": client.created_ms,
        "updated_ms": client.updated_ms,
        "last_use_ms": client.last_use_ms,
        **special,
    }


def _made(row: Any) -> Client:
    known_by = (
        User(row.username, row.password_hash)
        if row.kind == Kind.BASIC
        else Certificate(row.common_name, row.issuer, row.serial, row.not_after_ms)
    )
    return Client(
        id=CredentialsId(row.id),
        known_by=known_by,
        status=Status(row.status),
        created_ms=row.created_ms,
        updated_ms=row.updated_ms,
        last_use_ms=row.last_use_ms,
    )
