"""What endpoints have been told, and what they still have to be."""

from collections.abc import Callable, Collection, Sequence

from sqlalchemy import Connection, and_, bindparam, delete, select
from sqlalchemy.dialects.sqlite import insert

from kaa.core.storage.parts import parts

from ..models import State, Target
from .resolving import Accepts, effective
from .tables import Event, contents, status_table, told_table

Dispatched = tuple[Target, str, str]
"""An endpoint, the name of a configuration, and its identifier."""

Tell = Callable[[Target, str, bytes], Event]
"""Makes the event that an endpoint is to have that configuration."""


def told(connection: Connection, endpoint_ids: Sequence[str]) -> dict[tuple[str, str], tuple[str, str]]:
    """Give what endpoints were told last: version and identifier by endpoint and name."""
    found: dict[tuple[str, str], tuple[str, str]] = {}
    for part in parts(endpoint_ids):
        for row in connection.execute(select(told_table).where(told_table.c.endpoint_id.in_(part))):
            found[row.endpoint_id, row.name] = (row.app_version, row.config_id)
    return found


def due(
    connection: Connection,
    targets: Sequence[Target],
    accepts: Accepts,
    names: Collection[str] | None,
) -> list[Dispatched]:
    """Find what the targets are to have and have not been told."""
    known = told(connection, [target.endpoint_id for target in targets])
    return [
        (target, name, config_id)
        for target, configurations in effective(connection, targets, accepts, names).items()
        for name, config_id in configurations.items()
        if known.get((target.endpoint_id, name)) != (target.app_version, config_id)
    ]


def events(
    connection: Connection, found: Sequence[Dispatched], tell: Tell, *, most_bytes: int | None = None
) -> tuple[list[Event], list[Dispatched]]:
    """Make the events for what is due, as many as fit, and give those that they are for."""
    bodies = contents(connection, list({config_id for _, _, config_id in found}))
    size, made, covered = 0, list[Event](), list[Dispatched]()
    for one in found:
        target, _, config_id = one
        content = bodies[config_id]
        size += len(content)
        if most_bytes is not None and made and size > most_bytes:
            break
        made.append(tell(target, config_id, content))
        covered.append(one)
    return made, covered


def note_pending(connection: Connection, found: Sequence[Dispatched], *, at_ms: int, history: int) -> None:
    """Note that endpoints are to have something that they have not been told."""
    rows = [_key(one) | {"state": State.PENDING, "touched_ms": at_ms} for one in found]
    query = insert(status_table)
    again = {"state": query.excluded.state, "touched_ms": query.excluded.touched_ms}
    if rows:
        connection.execute(query.on_conflict_do_update(set_=again), rows)
        _prune(connection, found, history)


def note_dispatched(connection: Connection, found: Sequence[Dispatched], *, at_ms: int, history: int) -> None:
    """Note that endpoints have been told."""
    if not found:
        return
    known = told(connection, list({target.endpoint_id for target, _, _ in found}))
    query = insert(status_table)
    again = {
        "state": query.excluded.state,
        "touched_ms": query.excluded.touched_ms,
        "dispatched_ms": query.excluded.dispatched_ms,
    }
    rows = [_key(one) | {"state": State.DISPATCHED, "touched_ms": at_ms, "dispatched_ms": at_ms} for one in found]
    connection.execute(query.on_conflict_do_update(set_=again), rows)
    fresh = [one for one in found if known.get((one[0].endpoint_id, one[1])) != (one[0].app_version, one[2])]
    note_told(connection, fresh)
    _prune(connection, fresh, history)


def note_told(connection: Connection, found: Sequence[Dispatched]) -> None:
    """Note what endpoints know to be theirs."""
    if not found:
        return
    query = insert(told_table)
    again = {"app_version": query.excluded.app_version, "config_id": query.excluded.config_id}
    connection.execute(query.on_conflict_do_update(set_=again), [_key(one) for one in found])


def forget_told(connection: Connection, gone: Collection[tuple[str, str]]) -> None:
    """Note that endpoints know that there is nothing by a name: what comes there later is news again."""
    if not gone:
        return
    which = told_table.c.endpoint_id == bindparam("of_endpoint"), told_table.c.name == bindparam("of_name")
    connection.execute(delete(told_table).where(*which), [{"of_endpoint": one, "of_name": name} for one, name in gone])


def _key(one: Dispatched) -> dict[str, object]:
    target, name, config_id = one
    return {
        "endpoint_id": target.endpoint_id,
        "app_version": target.app_version,
        "name": name,
        "config_id": config_id,
    }


def _prune(connection: Connection, found: Sequence[Dispatched], history: int) -> None:
    """Forget what is oldest of a history that has grown too long."""
    if not found:
        return
    which = and_(
        status_table.c.endpoint_id == bindparam("of_endpoint"),
        status_table.c.app_version == bindparam("of_version"),
        status_table.c.name == bindparam("of_name"),
    )
    oldest = (
        select(status_table.c.config_id)
        .where(which)
        # the minus keeps SQLite from the index by version and time: it spares a sort, and reads the whole version
        .order_by(-status_table.c.touched_ms, status_table.c.config_id)
        .limit(-1)
        .offset(history)
    )
    query = delete(status_table).where(which, status_table.c.config_id.in_(oldest))
    rows = {(target.endpoint_id, target.app_version, name) for target, name, _ in found}
    connection.execute(query, [{"of_endpoint": e, "of_version": v, "of_name": n} for e, v, n in rows])
