"""RCI's table."""

from collections.abc import Mapping
from typing import Any

from sqlalchemy import (
    BigInteger,
    Column,
    Connection,
    Integer,
    LargeBinary,
    MetaData,
    String,
    Table,
    delete,
    func,
    insert,
    select,
    update,
)

from kaa.core.errors import NotFound, TooMany
from kaa.core.storage.database import Storage

from .models import FIRST_ID, CallbackStatus, Command, NewCommand, Outcome, Status

_command = Table(
    "rci_command",
    MetaData(),
    Column("key", BigInteger().with_variant(Integer, "sqlite"), primary_key=True),
    Column("endpoint_id", String, nullable=False),
    Column("command_type", String, nullable=False),
    Column("status", String, nullable=False),
    Column("created_ms", BigInteger, nullable=False),
    Column("expires_ms", BigInteger, nullable=False),
    Column("finished_ms", BigInteger),
    Column("status_code", Integer),
    Column("reason_phrase", String),
    Column("request", LargeBinary),
    Column("response", LargeBinary),
    Column("callback", String),
    Column("callback_status", String),
    Column("posts", Integer, nullable=False),
    Column("post_ms", BigInteger),
    sqlite_autoincrement=True,
)
# Said without a bound value, for only so does SQLite see that the index of pending commands will do.
_IS_PENDING = _command.c.finished_ms.is_(None)


class CommandRepository:
    """Keeps commands; at most so many pending ones."""

    def __init__(self, storage: Storage, *, most_pending: int) -> None:
        self._storage, self._most_pending = storage, most_pending

    async def add(self, order: NewCommand) -> int:
        """Keep a new command and give its number; TooMany if too many are pending."""

        def run(connection: Connection) -> int:
            pending = connection.execute(select(func.count()).select_from(_command).where(_IS_PENDING)).scalar_one()
            if pending >= self._most_pending:
                raise TooMany(f"{pending} commands wait for their results already; try again later")
            values = {
                "endpoint_id": order.endpoint_id,
                "command_type": order.command_type,
                "status": Status.PENDING,
                "created_ms": order.created_ms,
                "expires_ms": order.expires_ms,
                "request": order.payload,
                "callback": order.callback,
                "callback_status": None if order.callback is None else CallbackStatus.PENDING,
                "posts": 0,
            }
            key: int = connection.execute(insert(_command).values(values)).inserted_primary_key[0]  # type: ignore[index]
            return key

        return await self._storage.write(run)

    async def finish(self, outcomes: Mapping[int, Outcome], *, at_ms: int) -> None:
        """Keep what has become of commands; those that have a callback are due to be posted."""

        def run(connection: Connection) -> None:
            for key, outcome in outcomes.items():
                is_it = _command.c.key == key, _IS_PENDING
                values = {
                    "status": outcome.status,
                    "status_code": outcome.status_code,
                    "reason_phrase": outcome.reason_phrase,
                    "response": outcome.payload,
                    "finished_ms": at_ms,
                }
                connection.execute(update(_command).where(*is_it).values(values))
            has_callback = _command.c.key.in_(list(outcomes)), _command.c.callback_status == CallbackStatus.PENDING
            connection.execute(update(_command).where(*has_callback).values(post_ms=at_ms))

        await self._storage.write(run)

    async def get(self, endpoint_id: str, command_type: str, command_id: int) -> Command:
        """Give a command; NotFound if there is none."""

        def run(connection: Connection) -> Command:
            row = connection.execute(
                select(_command).where(
                    _command.c.endpoint_id == endpoint_id,
                    _command.c.command_type == command_type,
                    _command.c.key == command_id - FIRST_ID + 1,
                )
            ).one_or_none()
            if row is None:
                raise NotFound(
                    f"endpoint {endpoint_id!r} has no command {command_id} of type {command_type!r} from here"
                )
            return _made(row)

        return await self._storage.read(run)

    async def find_pending(self) -> list[Command]:
        """Give the commands that have no result yet, oldest first."""
        wanted = select(_command).where(_IS_PENDING).order_by(_command.c.key)
        return await self._storage.read_apart(lambda connection: list(map(_made, connection.execute(wanted))))

    async def find_to_post(self, *, at_ms: int, limit: int) -> tuple[list[Command], int | None]:
        """Give commands whose results are due to be posted, and the time at which the next one is."""

        def run(connection: Connection) -> tuple[list[Command], int | None]:
            due = select(_command).where(_command.c.post_ms <= at_ms).order_by(_command.c.post_ms).limit(limit)
            found = list(map(_made, connection.execute(due)))
            later = select(func.min(_command.c.post_ms)).where(_command.c.post_ms > at_ms)
            return found, connection.execute(later).scalar()

        return await self._storage.read_apart(run)

    async def note_post(self, key: int, status: CallbackStatus, *, next_ms: int | None) -> None:
        """Keep what has become of an attempt to post a result, and when the next one is."""

        def run(connection: Connection) -> None:
            values = {"callback_status": status, "posts": _command.c.posts + 1, "post_ms": next_ms}
            connection.execute(update(_command).where(_command.c.key == key).values(values))

        await self._storage.write(run)

    async def remove_finished(self, *, before_ms: int, most: int) -> int:
        """Delete commands that were finished before a time and are not to be posted, so many at a time."""

        def run(connection: Connection) -> int:
            is_old = _command.c.finished_ms < before_ms, _command.c.post_ms.is_(None)
            old = select(_command.c.key).where(*is_old).limit(most)
            return connection.execute(delete(_command).where(_command.c.key.in_(old))).rowcount

        return await self._storage.write(run)


def _made(row: Any) -> Command:
    return Command(
        key=row.key,
        order=NewCommand(row.endpoint_id, row.command_type, row.request, row.created_ms, row.expires_ms, row.callback),
        outcome=Outcome(Status(row.status), row.status_code, row.reason_phrase, row.response),
        updated_ms=row.created_ms if row.finished_ms is None else row.finished_ms,
        callback_status=None if row.callback_status is None else CallbackStatus(row.callback_status),
        posts=row.posts,
    )
