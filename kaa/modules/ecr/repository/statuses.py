"""The history: what became of configurations at endpoints."""

from collections.abc import Sequence
from typing import Any

from sqlalchemy import ColumnElement, Connection, delete, exists, func, select

from kaa.core.storage.database import Storage

from ..models import SORTABLE, State, Status, StatusesWanted
from .tables import config_table, content_table, status_table

_SWEPT = 500

_ORDERS = dict(
    zip(
        SORTABLE,
        status_table.c[
            "config_id",
            "endpoint_id",
            "app_version",
            "name",
            "state",
            "dispatched_ms",
            "confirmed_ms",
            "confirmation_code",
        ],
        strict=True,
    )
)


class StatusRepository:
    """Reads the history, and clears away the contents that nothing names any more."""

    def __init__(self, storage: Storage) -> None:
        self._storage = storage

    async def find(
        self, wanted: StatusesWanted, *, order: Sequence[tuple[str, bool]], offset: int, limit: int
    ) -> tuple[list[Status], int]:
        """Give one page, and how many there are; by the columns given (True is descending), then the newest first."""
        limits = _limits(wanted)
        columns = [_ORDERS[name].desc() if is_descending else _ORDERS[name] for name, is_descending in order]
        rest = (status_table.c.touched_ms.desc(), *status_table.primary_key.columns)

        def run(connection: Connection) -> tuple[list[Status], int]:
            query = select(status_table, content_table.c.content).join(
                content_table, content_table.c.config_id == status_table.c.config_id
            )
            rows = connection.execute(query.where(*limits).order_by(*columns, *rest).offset(offset).limit(limit))
            total = connection.execute(select(func.count()).select_from(status_table).where(*limits)).scalar_one()
            return [_made(row) for row in rows], total

        return await self._storage.read_apart(run)

    async def sweep(self) -> bool:
        """Delete some of the contents that nothing names; whether there may be more."""
        unused = (
            select(content_table.c.config_id)
            .where(
                ~exists().where(config_table.c.config_id == content_table.c.config_id),
                ~exists().where(status_table.c.config_id == content_table.c.config_id),
            )
            .limit(_SWEPT)
        )
        found = await self._storage.read_apart(lambda connection: list(connection.scalars(unused)))
        if not found:
            return False
        # looked at again where nobody writes meanwhile: one of them may have been used again
        query = delete(content_table).where(
            content_table.c.config_id.in_(found),
            ~exists().where(config_table.c.config_id == content_table.c.config_id),
            ~exists().where(status_table.c.config_id == content_table.c.config_id),
        )

        def run(connection: Connection) -> None:
            connection.execute(query)

        await self._storage.write(run)
        return len(found) == _SWEPT


def _limits(wanted: StatusesWanted) -> list[ColumnElement[bool]]:
    given = {
        status_table.c.endpoint_id: wanted.endpoint_id,
        status_table.c.app_version: wanted.app_version,
        status_table.c.config_id: wanted.config_id,
        status_table.c.name: wanted.name,
        status_table.c.state: wanted.state,
    }
    return [column == value for column, value in given.items() if value is not None]


def _made(row: Any) -> Status:
    return Status(
        endpoint_id=row.endpoint_id,
        app_version=row.app_version,
        name=row.name,
        config_id=row.config_id,
        state=State(row.state),
        content=row.content,
        dispatched_ms=row.dispatched_ms,
        confirmed_ms=row.confirmed_ms,
        confirmation_code=row.confirmation_code,
        confirmation_phrase=row.confirmation_phrase,
    )
