"""What REST callers ask for; on threads of its own, for payloads may be large."""

from collections.abc import Sequence
from typing import Any

from sqlalchemy import Connection, func, select

from kaa.core.errors import NotFound
from kaa.core.storage.database import Storage

from ..models import Command, CommandKey, Queue
from .commands import no_such
from .tables import IDENTITY, IS_SHOWN, command, command_of

ORDERS = {
    "createdAt": command.c.key,
    "updatedAt": func.coalesce(command.c.finished_ms, command.c.created_ms),
    "commandId": command.c.command_id,
    "commandType": command.c.command_type,
    "endpointId": command.c.endpoint_id,
    "status": command.c.status,
    "statusCode": command.c.status_code,
}
"""What commands can be ordered by."""


class CommandReader:
    """Finds commands."""

    def __init__(self, storage: Storage) -> None:
        self._storage = storage

    async def get(self, key: CommandKey) -> Command:
        """Give a command; NotFound if there is none."""

        def run(connection: Connection) -> Command:
            is_it = [column == value for column, value in zip(IDENTITY, key, strict=True)]
            row = connection.execute(select(command).where(*is_it, IS_SHOWN)).one_or_none()
            if row is None:
                raise NotFound(no_such(key))
            return command_of(row)

        return await self._storage.read(run)

    async def get_last(self, queue: Queue) -> Command:
        """Give the youngest command of a queue; NotFound if there is none."""
        found = await self.find_last([queue.endpoint_id], [queue.command_type])
        if not found:
            raise NotFound(f"endpoint {queue.endpoint_id!r} has no command of type {queue.command_type!r}")
        return found[0]

    async def find_last(self, endpoint_ids: Sequence[str], types: Sequence[str]) -> list[Command]:
        """Give the youngest command of each type of each endpoint; no types are all types."""

        def run(connection: Connection) -> list[Command]:
            last = (
                select(func.max(command.c.key))
                .where(command.c.endpoint_id.in_(endpoint_ids), *_of(types), IS_SHOWN)
                .group_by(command.c.endpoint_id, command.c.command_type)
            )
            order = command.c.endpoint_id, command.c.command_type
            return [
                command_of(row)
                for row in connection.execute(select(command).where(command.c.key.in_(last)).order_by(*order))
            ]

        return await self._storage.read_apart(run)

    async def find_of(self, endpoint_id: str, types: Sequence[str], *, limit: int) -> list[Command]:
        """Give commands of an endpoint, youngest first; no types are all types."""

        def run(connection: Connection) -> list[Command]:
            of_endpoint = command.c.endpoint_id == endpoint_id, *_of(types), IS_SHOWN
            wanted = select(command).where(*of_endpoint).order_by(command.c.key.desc()).limit(limit)
            return [command_of(row) for row in connection.execute(wanted)]

        return await self._storage.read_apart(run)

    async def find_in(
        self,
        application: str,
        types: Sequence[str],
        *,
        order: Sequence[tuple[str, bool]],
        offset: int,
        limit: int,
    ) -> tuple[list[Command], int]:
        """Give one page of an application's commands, and how many there are; `order` is names, and whether upwards."""

        def run(connection: Connection) -> tuple[list[Command], int]:
            where = command.c.application == application, *_of(types), IS_SHOWN
            columns: list[Any] = [ORDERS[name].asc() if is_up else ORDERS[name].desc() for name, is_up in order]
            wanted = select(command).where(*where).order_by(*columns, command.c.key.desc()).offset(offset).limit(limit)
            total = connection.execute(select(func.count()).select_from(command).where(*where)).scalar_one()
            return [command_of(row) for row in connection.execute(wanted)], total

        return await self._storage.read_apart(run)


def _of(types: Sequence[str]) -> list[Any]:
    return [command.c.command_type.in_(types)] if types else []
