"""The table of tokens."""

from collections.abc import Callable, Collection, Sequence
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
    asc,
    delete,
    desc,
    func,
    insert,
    select,
    update,
)

from kaa.core.errors import Conflict, NotFound
from kaa.core.storage.database import Storage
from kaa.core.storage.outbox import Outbox
from kaa.core.subjects import Subject
from kaa.protocols.names import TokenId

from ..models import BY_HAND, GONE, Status, Token

Event = tuple[Subject[Any], Any]

_token = Table(
    "cm_token",
    MetaData(),
    Column("id", String, primary_key=True),
    Column("hash", LargeBinary(32), nullable=False, unique=True),
    Column("application", String, nullable=False),
    Column("endpoint_id", String, nullable=False),
    Column("status", String, nullable=False),
    Column("created_ms", BigInteger, nullable=False),
    Column("updated_ms", BigInteger, nullable=False),
)


class TokenRepository:
    """Keeps tokens; a change takes the events that tell of it along."""

    def __init__(self, storage: Storage, outbox: Outbox) -> None:
        self._storage, self._outbox = storage, outbox

    async def add_all(
        self, made: Sequence[Token], *, is_repeated: Callable[[Token, Token], bool]
    ) -> list[Token | None]:
        """Keep new tokens, in one step, and give each as it now is; None where another has the value.

        One that is there already and that `is_repeated` (the old one, the new one) takes for the same counts as
        issued now.
        """

        def run(connection: Connection) -> list[Token | None]:
            present = _by_hash(connection, [token.hash for token in made])
            new, outcomes = [], list[Token | None]()
            for token in made:
                found = present.get(token.hash)
                if found is None:
                    present[token.hash] = token
                    new.append({column.name: getattr(token, column.name) for column in _token.c})
                    outcomes.append(token)
                elif is_repeated(found, token):
                    again = update(_token).where(_token.c.id == found.id).values(created_ms=token.created_ms)
                    connection.execute(again)
                    outcomes.append(replace(found, created_ms=token.created_ms))
                else:
                    outcomes.append(None)
            if new:
                connection.execute(insert(_token), new)
            return outcomes

        return await self._storage.write(run)

    async def find_by_hash(self, hashes: Sequence[bytes]) -> dict[bytes, Token]:
        """Give those that there are, by their hashes."""
        return await self._storage.read(lambda connection: _by_hash(connection, hashes))

    async def activate(self, ids: Sequence[TokenId], *, at_ms: int) -> None:
        """Make active those that are inactive."""
        which = _token.c.id.in_(ids), _token.c.status == Status.INACTIVE
        change = update(_token).where(*which).values(status=Status.ACTIVE, updated_ms=at_ms)

        def run(connection: Connection) -> None:
            connection.execute(change)

        await self._storage.write(run)

    async def get(self, endpoint_id: str, token_id: str) -> Token:
        """Give one token of an endpoint; NotFound if it has none of that id."""
        return await self._storage.read(lambda connection: _get(connection, endpoint_id, token_id))

    async def find(
        self, endpoint_id: str, *, statuses: Collection[Status], offset: int, limit: int, is_oldest_first: bool
    ) -> tuple[list[Token], int]:
        """Give one page of an endpoint's tokens by age, and how many there are in all."""
        limits = [_token.c.endpoint_id == endpoint_id]
        if statuses:
            limits.append(_token.c.status.in_(statuses))
        way = asc if is_oldest_first else desc

        def run(connection: Connection) -> tuple[list[Token], int]:
            order = way(_token.c.created_ms), way(_token.c.id)
            rows = connection.execute(select(_token).where(*limits).order_by(*order).offset(offset).limit(limit))
            total = connection.execute(select(func.count()).select_from(_token).where(*limits)).scalar_one()
            return [_made(row) for row in rows], total

        return await self._storage.read(run)

    async def update_status(
        self,
        find: tuple[str, str] | bytes,
        status: Status,
        *,
        at_ms: int,
        tell: Callable[[Sequence[Token]], Event],
    ) -> tuple[Token, Event | None]:
        """Move the token of that endpoint and id, or of that hash; gives it as it is now, and the event if one is due.

        Raises:
            NotFound: there is no such token.
            Conflict: it cannot go there from where it is.
        """

        def run(connection: Connection) -> tuple[Token, Event | None]:
            if isinstance(find, bytes):
                token = _by_hash(connection, [find]).get(find)
                if token is None:
                    raise NotFound("there is no such token")
            else:
                token = _get(connection, *find)
            if status not in BY_HAND[token.status]:
                raise Conflict(f"status: a token that is {token.status} cannot be made {status}")
            connection.execute(update(_token).where(_token.c.id == token.id).values(status=status, updated_ms=at_ms))
            event = tell([token]) if status in GONE else None
            if event is not None:
                self._outbox.add(connection, *event)
            return replace(token, status=status, updated_ms=at_ms), event

        return await self._storage.write(run)

    async def remove(self, endpoint_id: str, token_id: str, tell: Callable[[Sequence[Token]], Event]) -> Event | None:
        """Delete a token of an endpoint; gives the event if one is due. NotFound if it has none of that id."""

        def run(connection: Connection) -> Event | None:
            token = _get(connection, endpoint_id, token_id)
            connection.execute(delete(_token).where(_token.c.id == token.id))
            if token.status is Status.REVOKED:
                return None
            event = tell([token])
            self._outbox.add(connection, *event)
            return event

        return await self._storage.write(run)

    async def remove_of_endpoints(
        self, endpoints: Sequence[tuple[str, int]], tell: Callable[[Sequence[Token]], Event]
    ) -> list[Event]:
        """Delete the tokens of endpoints that were issued up to a time; gives the events that are due."""

        def run(connection: Connection) -> list[Event]:
            events = []
            for endpoint_id, until_ms in endpoints:
                which = _token.c.endpoint_id == endpoint_id, _token.c.created_ms <= until_ms
                gone = [_made(row) for row in connection.execute(select(_token).where(*which))]
                if not gone:
                    continue
                connection.execute(delete(_token).where(*which))
                for application in sorted({token.application for token in gone}):
                    valid = [t for t in gone if t.application == application and t.status is not Status.REVOKED]
                    if valid:
                        events.append(tell(valid))
            self._outbox.add_all(connection, events)
            return events

        return await self._storage.write(run)


def _by_hash(connection: Connection, hashes: Sequence[bytes]) -> dict[bytes, Token]:
    rows = connection.execute(select(_token).where(_token.c.hash.in_(hashes)))
    return {row.hash: _made(row) for row in rows}


def _get(connection: Connection, endpoint_id: str, token_id: str) -> Token:
    row = connection.execute(
        select(_token).where(_token.c.id == token_id, _token.c.endpoint_id == endpoint_id)
    ).one_or_none()
    if row is None:
        raise NotFound(f"endpoint {endpoint_id!r} has no token {token_id!r}")
    return _made(row)


def _made(row: Any) -> Token:
    return Token(row.id, row.hash, row.application, row.endpoint_id, Status(row.status), row.created_ms, row.updated_ms)
