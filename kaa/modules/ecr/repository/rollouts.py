"""What has changed for so many that they are told by and by."""

from collections.abc import Iterable

from sqlalchemy import Connection, delete, select
from sqlalchemy.dialects.sqlite import insert

from ..models import Rollout
from .tables import rollout_table


def add_rollouts(connection: Connection, wanted: Iterable[Rollout]) -> None:
    """Have these told; one that is under way begins anew."""
    query = insert(rollout_table)
    again = query.on_conflict_do_update(set_={"revision": rollout_table.c.revision + 1})
    rows = [{"app_version": one.app_version, "name": one.name, "revision": 1} for one in dict.fromkeys(wanted)]
    if rows:
        connection.execute(again, rows)


def find_rollouts(connection: Connection) -> list[Rollout]:
    """Give those that are left."""
    return [Rollout(row.app_version, row.name, row.revision) for row in connection.execute(select(rollout_table))]


def remove_rollout(connection: Connection, done: Rollout) -> None:
    """Note that one is done, unless it was wanted again meanwhile."""
    connection.execute(
        delete(rollout_table).where(
            rollout_table.c.app_version == done.app_version,
            rollout_table.c.name == done.name,
            rollout_table.c.revision == done.revision,
        )
    )
