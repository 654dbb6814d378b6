"""Commands: how they are made, offered and finished."""

from collections.abc import Mapping, Sequence
from typing import Any

from sqlalchemy import (
    ColumnElement,
    Connection,
    Select,
    and_,
    bindparam,
    delete,
    func,
    insert,
    or_,
    select,
    tuple_,
    update,
)

from kaa.core.errors import Conflict, NotFound, TooMany
from kaa.core.storage.database import Storage
from kaa.core.storage.parts import parts

from ..models import Command, CommandKey, Limits, Made, Order, Outcome, Outstanding, Queue, Status
from .making import TOO_MANY, allotted, insert_all, is_observed, make
from .tables import IDENTITY, IS_OUTSTANDING, IS_SHOWN, command, command_of, key_of, queue

_KEYS = 500  # each is three values of a statement
_IDS = 10_000


class CommandRepository:
    """Keeps commands."""

    def __init__(self, storage: Storage, limits: Limits) -> None:
        self._storage, self._limits = storage, limits

    async def add(self, order: Order, endpoint_id: str) -> Made:
        """Make a command and number it; TooMany if the endpoint has too many outstanding."""

        def run(connection: Connection) -> Made:
            made, _ = make(connection, order, [endpoint_id], self._limits)  # type: ignore[list-item]
            if not made:
                raise TooMany(f"{TOO_MANY}: at most {self._limits.commands}, of {self._limits.payload_bytes} bytes")
            return made[0]

        return await self._storage.write(run)

    async def add_named(self, order: Order, key: CommandKey) -> Made | Command:
        """Make a command under an id that its caller has chosen, or give the one that is there.

        Raises:
            Conflict: the one that is there has another payload.
            TooMany: the endpoint has too many outstanding.
        """

        def run(connection: Connection) -> Made | Command:
            row = connection.execute(select(command).where(*_is(key))).one_or_none()
            if row is not None:
                if row.request != order.payload and row.status != Status.DELETED:
                    raise Conflict(f"command {key.command_id} of type {key.command_type!r} has another payload already")
                return command_of(row)
            kept, _ = allotted(connection, order, [key.endpoint_id], self._limits)
            if not kept:
                raise TooMany(f"{TOO_MANY}: at most {self._limits.commands}, of {self._limits.payload_bytes} bytes")
            insert_all(connection, order, [key])
            return Made(key, is_observed(connection, key))

        return await self._storage.write(run)

    async def finish(self, outcomes: Mapping[CommandKey, Outcome], *, at_ms: int) -> dict[CommandKey, int]:
        """Take results; gives the commands that were waiting for one, with the time of their delivery.

        Others are left as they are.
        """

        def run(connection: Connection) -> dict[CommandKey, int]:
            done: dict[CommandKey, int] = {}
            for part in parts(list(outcomes), _KEYS):
                found = connection.execute(
                    select(command.c.key, command.c.deliver_ms, *IDENTITY).where(
                        tuple_(*IDENTITY).in_(part), *_is_offered(at_ms)
                    )
                ).all()
                changes = []
                for row in found:
                    key = key_of(row)
                    outcome = outcomes[key]
                    done[key] = row.deliver_ms
                    changes.append(
                        {
                            "row": row.key,
                            "code": outcome.status_code,
                            "reason": outcome.reason_phrase,
                            "answer": outcome.payload,
                        }
                    )
                if changes:
                    connection.execute(_FINISH.values(status=Status.EXECUTED, finished_ms=at_ms), changes)
            return done

        return await self._storage.write(run)

    async def find_outstanding(
        self, queues: Sequence[Queue], *, at_ms: int
    ) -> tuple[dict[Queue, list[Outstanding]], set[Queue]]:
        """Give what those who ask may have, oldest first, and the queues that are not observed."""

        def run(connection: Connection) -> tuple[dict[Queue, list[Outstanding]], set[Queue]]:
            offered: dict[Queue, list[Outstanding]] = {}
            muted: set[Queue] = set()
            for part in parts(queues, _KEYS):
                columns = (command.c.endpoint_id, command.c.command_type)
                for row in connection.execute(_offer(at_ms).where(tuple_(*columns).in_(part))):
                    found = Outstanding(key_of(row), row.request)
                    offered.setdefault(found.key.queue, []).append(found)
                columns = (queue.c.endpoint_id, queue.c.command_type)
                is_muted = queue.c.is_observed.is_(False), tuple_(*columns).in_(part)
                muted.update(Queue(*row) for row in connection.execute(select(*columns).where(*is_muted)))
            return offered, muted

        return await self._storage.read(run)

    async def find_to_push(self, endpoint_ids: Sequence[str], *, at_ms: int) -> list[Outstanding]:
        """Give all that endpoints which have come may have and want pushed, oldest first."""
        wanted = (
            _offer(at_ms)
            .outerjoin(
                queue,
                and_(queue.c.endpoint_id == command.c.endpoint_id, queue.c.command_type == command.c.command_type),
            )
            .where(or_(queue.c.is_observed.is_(None), queue.c.is_observed.is_(True)))
        )

        def run(connection: Connection) -> list[Outstanding]:
            found = (connection.execute(wanted.where(command.c.endpoint_id.in_(p))) for p in parts(endpoint_ids, _IDS))
            return [Outstanding(key_of(row), row.request) for rows in found for row in rows]

        return await self._storage.read_apart(run)

    async def observe(self, changes: Mapping[Queue, bool], *, at_ms: int, most: int) -> set[Queue]:
        """Keep which queues are observed; gives those of endpoints that would have more than `most` unobserved."""

        def run(connection: Connection) -> set[Queue]:
            refused = set()
            for one, is_wanted in changes.items():
                where = queue.c.endpoint_id == one.endpoint_id, queue.c.command_type == one.command_type
                change = update(queue).where(*where).values(is_observed=is_wanted, changed_ms=at_ms)
                if connection.execute(change).rowcount:
                    continue
                of_endpoint = select(func.count()).where(queue.c.endpoint_id == one.endpoint_id, ~queue.c.is_observed)
                if connection.execute(of_endpoint).scalar_one() >= most:
                    refused.add(one)
                    continue
                values = {"last_id": 0, "is_observed": is_wanted, "changed_ms": at_ms}
                connection.execute(insert(queue).values(one._asdict() | values))
            return refused

        return await self._storage.write(run)

    async def expire(self, *, at_ms: int, most: int) -> list[CommandKey]:
        """End commands whose time is over, so many at a time."""

        def run(connection: Connection) -> list[CommandKey]:
            late = select(command.c.key, *IDENTITY).where(IS_OUTSTANDING, command.c.expires_ms <= at_ms).limit(most)
            rows = connection.execute(late).all()
            change = update(command).where(command.c.key.in_([row.key for row in rows]))
            connection.execute(change.values(status=Status.EXPIRED, finished_ms=at_ms, held_ms=None))
            return [key_of(row) for row in rows]

        return await self._storage.write(run)

    async def release(self, *, at_ms: int, most: int) -> list[tuple[Outstanding, bool]]:
        """Let go of commands that were held back until now; with each, whether its endpoint wants it pushed."""

        def run(connection: Connection) -> list[tuple[Outstanding, bool]]:
            of_queue = queue.c.endpoint_id == command.c.endpoint_id, queue.c.command_type == command.c.command_type
            rows = connection.execute(
                select(command.c.key, *IDENTITY, command.c.request, queue.c.is_observed)
                .outerjoin(queue, and_(*of_queue))
                .where(command.c.held_ms <= at_ms)
                .order_by(command.c.held_ms, command.c.key)
                .limit(most)
            ).all()
            change = update(command).where(command.c.key.in_([row.key for row in rows])).values(held_ms=None)
            connection.execute(change)
            return [(Outstanding(key_of(row), row.request), row.is_observed is not False) for row in rows]

        return await self._storage.write(run)

    async def next_due_ms(self) -> int | None:
        """Give the time at which the next command is over, or to be let go; None if there is none."""

        def run(connection: Connection) -> int | None:
            over = connection.execute(select(func.min(command.c.expires_ms)).where(IS_OUTSTANDING)).scalar()
            due = connection.execute(select(func.min(command.c.held_ms)).where(command.c.held_ms.is_not(None))).scalar()
            return min((one for one in (over, due) if one is not None), default=None)

        return await self._storage.read(run)

    async def remove(self, key: CommandKey, *, at_ms: int) -> None:
        """Delete a command; what is left of it is that its id is taken. NotFound if there is none."""

        def run(connection: Connection) -> None:
            gone = {"status": Status.DELETED, "finished_ms": at_ms, "held_ms": None, "request": None, "response": None}
            if not connection.execute(update(command).where(*_is(key), IS_SHOWN).values(gone)).rowcount:
                raise NotFound(no_such(key))

        await self._storage.write(run)

    async def remove_of(self, endpoints: Mapping[str, int]) -> None:
        """Delete all that was there of endpoints at the time at which each was deleted."""

        def run(connection: Connection) -> None:
            when = [{"gone": one, "until": at_ms} for one, at_ms in endpoints.items()]
            for table, since in ((command, command.c.created_ms), (queue, queue.c.changed_ms)):
                of_endpoint = table.c.endpoint_id == bindparam("gone"), since <= bindparam("until")
                connection.execute(delete(table).where(*of_endpoint), when)

        await self._storage.write(run)

    async def remove_finished(self, *, before_ms: int, most: int) -> int:
        """Delete commands that were finished before a time, so many at a time; gives how many."""

        def run(connection: Connection) -> int:
            old = select(command.c.key).where(command.c.finished_ms < before_ms).limit(most)
            return connection.execute(delete(command).where(command.c.key.in_(old))).rowcount

        return await self._storage.write(run)


def no_such(key: CommandKey) -> str:
    """Say that a command is not there."""
    return f"endpoint {key.endpoint_id!r} has no command {key.command_id} of type {key.command_type!r}"


_FINISH = (
    update(command)
    .where(command.c.key == bindparam("row"))
    .values(status_code=bindparam("code"), reason_phrase=bindparam("reason"), response=bindparam("answer"))
)


def _is(key: CommandKey) -> list[ColumnElement[bool]]:
    return [column == value for column, value in zip(IDENTITY, key, strict=True)]


def _is_offered(at_ms: int) -> tuple[ColumnElement[bool], ...]:
    return IS_OUTSTANDING, command.c.deliver_ms <= at_ms, command.c.expires_ms > at_ms


def _offer(at_ms: int) -> Select[Any]:
    """Select what devices may have: a command that is pushed once is not among it."""
    offered = select(*IDENTITY, command.c.request).where(*_is_offered(at_ms), ~command.c.is_push_once)
    return offered.order_by(command.c.key)
