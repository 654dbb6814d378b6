"""Tasks: commands that are made together, a thousand at a time."""

from collections.abc import AsyncIterator, Sequence
from typing import Any

from pydantic_core import from_json, to_json
from sqlalchemy import Connection, asc, delete, desc, func, insert, select, update

from kaa.core.errors import NotFound
from kaa.core.storage.database import Storage
from kaa.protocols.names import EndpointId

from ..models import CommandKey, Limits, Made, Order, Spreading, Status, Task, TaskId
from .making import make
from .tables import IDENTITY, IS_SHOWN, command, key_of, task

ORDERS = {
    "commandType": task.c.command_type,
    "filterId": task.c.filter_id,
    "createdAt": task.c.created_ms,
    "taskId": task.c.id,
}
"""What tasks can be ordered by."""
_PAGE = 5_000
_BARE = [column for column in task.c if column.name != "left_endpoints"]


class TaskRepository:
    """Keeps tasks."""

    def __init__(self, storage: Storage, limits: Limits) -> None:
        self._storage, self._limits = storage, limits

    async def add(
        self,
        order: Order,
        filter_id: str | None,
        first: Sequence[EndpointId],
        left: Sequence[EndpointId],
    ) -> list[Made]:
        """Keep a new task with its first commands, and the endpoints for which the others have still to be made."""

        def run(connection: Connection) -> list[Made]:
            values = {
                "id": order.task_id,
                "application": order.application,
                "command_type": order.command_type,
                "filter_id": filter_id,
                "request": order.payload,
                "created_ms": order.created_ms,
                "deliver_ms": order.deliver_ms,
                "expires_ms": order.expires_ms,
                "is_push_once": order.is_push_once,
                "left_count": len(left),
                "left_endpoints": to_json(list(left)),
            }
            connection.execute(insert(task).values(values))
            return make(connection, order, first, self._limits)[0] if first else []

        return await self._storage.write(run)

    async def spread(self, order: Order, endpoint_ids: Sequence[EndpointId], *, left: int) -> list[Made]:
        """Make more commands of a task, and note how many endpoints are left after them."""

        def run(connection: Connection) -> list[Made]:
            values = {"left_count": left} | ({} if left else {"left_endpoints": b"[]"})
            connection.execute(update(task).where(task.c.id == order.task_id).values(values))
            return make(connection, order, endpoint_ids, self._limits)[0] if endpoint_ids else []

        return await self._storage.write(run)

    async def find_unfinished(self) -> list[Spreading]:
        """Give the tasks whose commands have not all been made, oldest first."""

        def run(connection: Connection) -> list[Spreading]:
            rows = connection.execute(select(task).where(task.c.left_count > 0).order_by(task.c.created_ms))
            return [Spreading(_order(row), from_json(row.left_endpoints)[-row.left_count :]) for row in rows]

        return await self._storage.read_apart(run)

    async def check(self, application: str, task_id: str) -> None:
        """Raise NotFound if the application has no such task; one without endpoints belongs to all."""
        owner = await self._storage.read(
            lambda connection: connection.execute(select(task.c.application).where(task.c.id == task_id)).scalar()
        )
        if owner is None or owner not in {application, ""}:
            raise NotFound(f"application {application!r} has no task {task_id!r}")

    async def find(
        self,
        application: str,
        *,
        command_type: str | None,
        filter_id: str | None,
        order: str,
        is_ascending: bool,
        offset: int,
        limit: int,
    ) -> tuple[list[Task], int]:
        """Give one page of an application's tasks, and how many there are."""

        def run(connection: Connection) -> tuple[list[Task], int]:
            where = [task.c.application == application]
            if command_type is not None:
                where.append(task.c.command_type == command_type)
            if filter_id is not None:
                where.append(task.c.filter_id == filter_id)
            way = asc if is_ascending else desc
            wanted = select(*_BARE).where(*where).order_by(way(ORDERS[order]), way(task.c.id))
            rows = connection.execute(wanted.offset(offset).limit(limit)).all()
            counts = _counts(connection, [row.id for row in rows])
            total = connection.execute(select(func.count()).select_from(task).where(*where)).scalar_one()
            return [_made(row, counts.get(row.id, {})) for row in rows], total

        return await self._storage.read_apart(run)

    async def commands(self, task_id: str, status: Status) -> AsyncIterator[list[CommandKey]]:
        """Give the commands of a task that have come so far, page by page."""
        after = 0

        def run(connection: Connection) -> list[Any]:
            where = command.c.task_id == task_id, command.c.status == status, command.c.key > after
            wanted = select(command.c.key, *IDENTITY).where(*where).order_by(command.c.key).limit(_PAGE)
            return list(connection.execute(wanted))

        while rows := await self._storage.read_apart(run):
            yield [key_of(row) for row in rows]
            after = rows[-1].key

    async def remove_old(self, *, before_ms: int) -> None:
        """Delete tasks from before a time that have no commands left."""

        def run(connection: Connection) -> None:
            has_commands = select(command.c.key).where(command.c.task_id == task.c.id).exists()
            connection.execute(delete(task).where(task.c.created_ms < before_ms, task.c.left_count == 0, ~has_commands))

        await self._storage.write(run)


def _counts(connection: Connection, task_ids: Sequence[str]) -> dict[str, dict[Status, int]]:
    counts: dict[str, dict[Status, int]] = {}
    columns = command.c.task_id, command.c.status
    wanted = select(*columns, func.count().label("commands")).where(command.c.task_id.in_(task_ids), IS_SHOWN)
    for row in connection.execute(wanted.group_by(*columns)):
        counts.setdefault(row.task_id, {})[Status(row.status)] = row.commands
    return counts


def _made(row: Any, counts: dict[Status, int]) -> Task:
    pending = counts.get(Status.PENDING, 0) + row.left_count
    return Task(
        TaskId(row.id),
        row.filter_id,
        row.command_type,
        row.request,
        row.created_ms,
        counts | {Status.PENDING: pending},
    )


def _order(row: Any) -> Order:
    return Order(
        application=row.application,
        command_type=row.command_type,
        payload=row.request,
        created_ms=row.created_ms,
        deliver_ms=row.deliver_ms,
        expires_ms=row.expires_ms,
        is_push_once=row.is_push_once,
        task_id=TaskId(row.id),
    )
