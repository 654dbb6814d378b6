"""What has been promised to endpoints and is not done yet."""

from collections.abc import Collection

from pydantic_core import from_json, to_json
from sqlalchemy import Connection, delete, insert, select

from kaa.core.storage.database import Storage

from ..models import Rollout
from .tables import rollout_table


class RolloutRepository:
    """Keeps roll-outs until every endpoint that they concern has been looked at."""

    def __init__(self, storage: Storage) -> None:
        self._storage = storage

    async def find(self) -> list[Rollout]:
        """Give all, the oldest first."""
        query = select(rollout_table).order_by(rollout_table.c.id)

        def run(connection: Connection) -> list[Rollout]:
            found = []
            for row in connection.execute(query):
                keys, changed = from_json(row.scope)
                found.append(Rollout(row.id, row.application, tuple(keys), changed, row.revision, row.after))
            return found

        return await self._storage.read(run)

    async def remove(self, rollout_id: int) -> None:
        """Forget one that is done."""

        def run(connection: Connection) -> None:
            connection.execute(delete(rollout_table).where(rollout_table.c.id == rollout_id))

        await self._storage.write(run)


def add_rollout(
    connection: Connection, application: str, keys: Collection[str], *, changed: str | None, revision: int
) -> None:
    """Note one, in the transaction of what makes it due; it takes the place of an earlier one of the same scope."""
    table, scope = rollout_table, to_json([sorted(keys), changed])
    connection.execute(delete(table).where(table.c.application == application, table.c.scope == scope))
    connection.execute(insert(table).values(application=application, scope=scope, revision=revision, after=""))
