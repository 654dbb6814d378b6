"""Who matches the filters that have configurations attached."""

from collections.abc import Sequence

from sqlalchemy import Connection, delete, select, update
from sqlalchemy.dialects.sqlite import insert

from kaa.core.storage.database import Storage
from kaa.core.storage.parts import parts

from ..models import Rollout, Scope
from .rollouts import add_rollouts
from .tables import config_table, member_table

Change = tuple[str, str, bool, int]
"""A filter, an endpoint, whether that matches, and since when."""


class FilterRepository:
    """Keeps who matches; one that has ceased to is kept, too, so that events count in the order of their times."""

    def __init__(self, storage: Storage) -> None:
        self._storage = storage

    async def replace_members(self, filter_id: str, endpoint_ids: Sequence[str], *, asked_ms: int) -> None:
        """Take over who matches a filter, as it was at a time, and have that told; what is known to be newer stays."""
        rows = [_row((filter_id, endpoint_id, True, asked_ms)) for endpoint_id in endpoint_ids]

        def run(connection: Connection) -> None:
            names = _attached(connection, [filter_id]).get(filter_id, [])
            if not names:
                return
            connection.execute(
                update(member_table)
                .where(member_table.c.filter_id == filter_id, member_table.c.at_ms < asked_ms)
                .values(is_member=False)
            )
            for part in parts(rows):
                _keep(connection, part)
            add_rollouts(connection, [Rollout("", name) for name in names])

        await self._storage.write(run)

    async def update_members(self, changes: Sequence[Change]) -> set[str]:
        """Take over changes of filters that have something attached, and give the endpoints concerned."""

        def run(connection: Connection) -> set[str]:
            attached = _attached(connection, list({change[0] for change in changes}))
            kept = [change for change in changes if change[0] in attached]
            _keep(connection, [_row(change) for change in kept])
            return {change[1] for change in kept}

        return await self._storage.write(run)

    async def remove_filter(self, filter_id: str) -> bool:
        """Detach everything from a filter, and have that told; whether there was anything."""

        def run(connection: Connection) -> bool:
            names = _attached(connection, [filter_id]).get(filter_id, [])
            is_filter = config_table.c.scope == Scope.FILTER, config_table.c.owner == filter_id
            connection.execute(delete(config_table).where(*is_filter))
            connection.execute(delete(member_table).where(member_table.c.filter_id == filter_id))
            add_rollouts(connection, [Rollout("", name) for name in names])
            return bool(names)

        return await self._storage.write(run)

    async def is_attached(self, filter_id: str) -> bool:
        """Whether a filter has a configuration."""
        return bool(await self._storage.read(lambda connection: _attached(connection, [filter_id])))


def forget_members(connection: Connection, filter_id: str) -> None:
    """Forget who matches a filter that has nothing attached any more: what is attached later asks anew."""
    if not _attached(connection, [filter_id]):
        connection.execute(delete(member_table).where(member_table.c.filter_id == filter_id))


def _attached(connection: Connection, filter_ids: Sequence[str]) -> dict[str, list[str]]:
    found: dict[str, list[str]] = {}
    for part in parts(filter_ids):
        query = select(config_table.c.owner, config_table.c.name)
        which = config_table.c.scope == Scope.FILTER, config_table.c.owner.in_(part)
        for row in connection.execute(query.where(*which)):
            found.setdefault(row.owner, []).append(row.name)
    return found


def _keep(connection: Connection, rows: Sequence[dict[str, object]]) -> None:
    if rows:
        query = insert(member_table)
        again = {"is_member": query.excluded.is_member, "at_ms": query.excluded.at_ms}
        is_newer = member_table.c.at_ms <= query.excluded.at_ms
        connection.execute(query.on_conflict_do_update(set_=again, where=is_newer), rows)


def _row(change: Change) -> dict[str, object]:
    filter_id, endpoint_id, is_member, at_ms = change
    return {"filter_id": filter_id, "endpoint_id": endpoint_id, "is_member": is_member, "at_ms": at_ms}
