"""How commands come to be, within a transaction."""

from collections.abc import Sequence
from typing import Any

from sqlalchemy import Connection, bindparam, func, insert, select, tuple_, update

from kaa.core.errors import Conflict
from kaa.protocols.names import EndpointId

from ..models import CommandKey, CommandType, Limits, Made, Order, Status
from .tables import IDENTITY, IS_OUTSTANDING, command, key_of, queue

FIRST_FOREIGN_ID = 1 << 30
"""From here on ids belong to callers of 12/CIP."""
TOO_MANY = "too many commands are outstanding for the endpoint"


def make(
    connection: Connection, order: Order, endpoint_ids: Sequence[EndpointId], limits: Limits
) -> tuple[list[Made], list[CommandKey]]:
    """Make a command for each endpoint; gives them, and those that were over their endpoint's limits from the start.

    The latter are kept as expired, so that a task tells of them.
    """
    kept, full = allotted(connection, order, endpoint_ids, limits)
    queues = _queues(connection, order.command_type, endpoint_ids)
    keys = _free_keys(connection, order.command_type, {one: row.last_id for one, row in queues.items()}, endpoint_ids)
    made = [Made(keys[one], one not in queues or queues[one].is_observed) for one in kept]
    refused = [keys[one] for one in full]
    insert_all(connection, order, [one.key for one in made], refused)
    _count_up(connection, order, list(keys.values()), known=set(queues))
    return made, refused


def allotted(
    connection: Connection, order: Order, endpoint_ids: Sequence[EndpointId], limits: Limits
) -> tuple[list[EndpointId], list[EndpointId]]:
    """Tell the endpoints that may get one more command from those that have too many outstanding."""
    columns = (
        command.c.endpoint_id,
        func.count().label("commands"),
        func.coalesce(func.sum(func.length(command.c.request)), 0).label("size"),
    )
    found = connection.execute(
        select(*columns).where(command.c.endpoint_id.in_(endpoint_ids), IS_OUTSTANDING).group_by(command.c.endpoint_id)
    )
    size = len(order.payload or b"")
    full = {
        row.endpoint_id for row in found if row.commands >= limits.commands or row.size + size > limits.payload_bytes
    }
    return [one for one in endpoint_ids if one not in full], [one for one in endpoint_ids if one in full]


def insert_all(
    connection: Connection, order: Order, keys: Sequence[CommandKey], refused: Sequence[CommandKey] = ()
) -> None:
    """Write the rows of new commands, and those of commands that could not be."""
    common = {
        "application": order.application,
        "status": Status.PENDING,
        "is_push_once": order.is_push_once,
        "created_ms": order.created_ms,
        "deliver_ms": order.deliver_ms,
        "expires_ms": order.expires_ms,
        "held_ms": order.deliver_ms if order.deliver_ms > order.created_ms else None,
        "finished_ms": None,
        "task_id": order.task_id,
        "status_code": None,
        "reason_phrase": None,
        "request": order.payload,
    }
    over = {
        "status": Status.EXPIRED,
        "held_ms": None,
        "finished_ms": order.created_ms,
        "status_code": 429,
        "reason_phrase": TOO_MANY,
    }
    rows = [common | key._asdict() for key in keys] + [common | over | key._asdict() for key in refused]
    if rows:
        connection.execute(insert(command), rows)


def is_observed(connection: Connection, key: CommandKey) -> bool:
    """Whether the endpoint wants commands of that type pushed, which it does unless it has said otherwise."""
    row = _queues(connection, key.command_type, [key.endpoint_id]).get(key.endpoint_id)
    return row is None or row.is_observed


def _queues(connection: Connection, type_: CommandType, endpoint_ids: Sequence[EndpointId]) -> dict[EndpointId, Any]:
    found = connection.execute(
        select(queue.c.endpoint_id, queue.c.last_id, queue.c.is_observed).where(
            queue.c.endpoint_id.in_(endpoint_ids), queue.c.command_type == type_
        )
    )
    return {row.endpoint_id: row for row in found}


def _free_keys(
    connection: Connection, type_: CommandType, last: dict[EndpointId, int], endpoint_ids: Sequence[EndpointId]
) -> dict[EndpointId, CommandKey]:
    """Give each endpoint the next id that no caller of 12/CIP has taken for its own."""
    keys = {one: CommandKey(one, type_, last.get(one, 0) + 1) for one in endpoint_ids}
    looked_at = list(keys.values())
    while looked_at:
        taken = {key_of(row) for row in connection.execute(select(*IDENTITY).where(tuple_(*IDENTITY).in_(looked_at)))}
        looked_at = [key._replace(command_id=key.command_id + 1) for key in looked_at if key in taken]
        keys |= {key.endpoint_id: key for key in looked_at}
    for key in keys.values():
        if key.command_id >= FIRST_FOREIGN_ID:
            raise Conflict(f"endpoint {key.endpoint_id!r} has no ids left for commands of type {type_!r}")
    return keys


def _count_up(connection: Connection, order: Order, keys: Sequence[CommandKey], *, known: set[EndpointId]) -> None:
    new = [
        {
            "endpoint_id": key.endpoint_id,
            "command_type": key.command_type,
            "last_id": key.command_id,
            "is_observed": True,
            "changed_ms": order.created_ms,
        }
        for key in keys
        if key.endpoint_id not in known
    ]
    if new:
        connection.execute(insert(queue), new)
    old = [{"at": key.endpoint_id, "last": key.command_id} for key in keys if key.endpoint_id in known]
    if old:
        connection.execute(
            update(queue)
            .where(queue.c.endpoint_id == bindparam("at"), queue.c.command_type == order.command_type)
            .values(last_id=bindparam("last"), changed_ms=order.created_ms),
            old,
        )
