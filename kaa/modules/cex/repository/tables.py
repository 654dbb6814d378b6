"""The tables, what is said of them again and again, and rows as models."""

from typing import Any, TypeVar

from sqlalchemy import BigInteger, Boolean, Column, Integer, LargeBinary, MetaData, String, Table

from ..models import Command, CommandKey, Status

T = TypeVar("T")

_ALL = MetaData()

command = Table(
    "cex_command",
    _ALL,
    Column("key", BigInteger().with_variant(Integer, "sqlite"), primary_key=True),
    Column("endpoint_id", String, nullable=False),
    Column("command_type", String, nullable=False),
    Column("command_id", Integer, nullable=False),
    Column("application", String, nullable=False),
    Column("status", String, nullable=False),
    Column("is_push_once", Boolean, nullable=False),
    Column("created_ms", BigInteger, nullable=False),
    Column("deliver_ms", BigInteger, nullable=False),
    Column("expires_ms", BigInteger, nullable=False),
    Column("held_ms", BigInteger),
    Column("finished_ms", BigInteger),
    Column("task_id", String),
    Column("status_code", Integer),
    Column("reason_phrase", String),
    Column("request", LargeBinary),
    Column("response", LargeBinary),
)
queue = Table(
    "cex_queue",
    _ALL,
    Column("endpoint_id", String, primary_key=True),
    Column("command_type", String, primary_key=True),
    Column("last_id", Integer, nullable=False),
    Column("is_observed", Boolean, nullable=False),
    Column("changed_ms", BigInteger, nullable=False),
)
task = Table(
    "cex_task",
    _ALL,
    Column("id", String, primary_key=True),
    Column("application", String, nullable=False),
    Column("command_type", String, nullable=False),
    Column("filter_id", String),
    Column("request", LargeBinary),
    Column("created_ms", BigInteger, nullable=False),
    Column("deliver_ms", BigInteger, nullable=False),
    Column("expires_ms", BigInteger, nullable=False),
    Column("is_push_once", Boolean, nullable=False),
    Column("left_count", Integer, nullable=False),
    Column("left_endpoints", LargeBinary, nullable=False),
)

IDENTITY = (command.c.endpoint_id, command.c.command_type, command.c.command_id)
# Said without a bound value, for only so does SQLite see that the indices of outstanding commands will do.
IS_OUTSTANDING = command.c.finished_ms.is_(None)
IS_SHOWN = command.c.status != Status.DELETED


def key_of(row: Any) -> CommandKey:
    """Give what the command of a row is known by."""
    return CommandKey(row.endpoint_id, row.command_type, row.command_id)


def command_of(row: Any) -> Command:
    """Give the command of a whole row."""
    return Command(
        key=key_of(row),
        status=Status(row.status),
        created_ms=row.created_ms,
        updated_ms=row.created_ms if row.finished_ms is None else row.finished_ms,
        deliver_ms=row.deliver_ms,
        expires_ms=row.expires_ms,
        request=row.request,
        status_code=row.status_code,
        reason_phrase=row.reason_phrase,
        response=row.response,
    )
