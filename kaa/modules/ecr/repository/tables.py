"""The tables, and what all that work on them share."""

from collections.abc import Sequence
from typing import Any, TypeVar

from sqlalchemy import BigInteger, Boolean, Column, Connection, Integer, LargeBinary, MetaData, String, Table, select
from sqlalchemy.dialects.sqlite import insert

from kaa.core.storage.parts import parts
from kaa.core.subjects import Subject

from ..models import Document

T = TypeVar("T")
Event = tuple[Subject[Any], Any]

_ALL = MetaData()

content_table = Table(
    "ecr_content",
    _ALL,
    Column("config_id", String, primary_key=True),
    Column("name", String, nullable=False),
    Column("content", LargeBinary, nullable=False),
)
config_table = Table(
    "ecr_config",
    _ALL,
    Column("scope", String, primary_key=True),
    Column("owner", String, primary_key=True),
    Column("app_version", String, primary_key=True),
    Column("name", String, primary_key=True),
    Column("config_id", String, nullable=False),
    Column("position", BigInteger, nullable=False),
    Column("created_ms", BigInteger, nullable=False),
    Column("updated_ms", BigInteger, nullable=False),
)
member_table = Table(
    "ecr_member",
    _ALL,
    Column("endpoint_id", String, primary_key=True),
    Column("filter_id", String, primary_key=True),
    Column("is_member", Boolean, nullable=False),
    Column("at_ms", BigInteger, nullable=False),
)
status_table = Table(
    "ecr_status",
    _ALL,
    Column("endpoint_id", String, primary_key=True),
    Column("app_version", String, primary_key=True),
    Column("name", String, primary_key=True),
    Column("config_id", String, primary_key=True),
    Column("state", String, nullable=False),
    Column("touched_ms", BigInteger, nullable=False),
    Column("dispatched_ms", BigInteger),
    Column("confirmed_ms", BigInteger),
    Column("confirmation_code", Integer),
    Column("confirmation_phrase", String),
)
told_table = Table(
    "ecr_told",
    _ALL,
    Column("endpoint_id", String, primary_key=True),
    Column("name", String, primary_key=True),
    Column("app_version", String, nullable=False),
    Column("config_id", String, nullable=False),
)
rollout_table = Table(
    "ecr_rollout",
    _ALL,
    Column("app_version", String, primary_key=True),
    Column("name", String, primary_key=True),
    Column("revision", BigInteger, nullable=False),
)


def keep_content(connection: Connection, document: Document) -> None:
    """Have a document's content there."""
    values = {"config_id": document.config_id, "name": document.name, "content": document.content}
    connection.execute(insert(content_table).values(values).on_conflict_do_nothing())


def contents(connection: Connection, config_ids: Sequence[str]) -> dict[str, bytes]:
    """Give contents by their identifiers."""
    found: dict[str, bytes] = {}
    for part in parts(config_ids):
        columns = select(content_table.c.config_id, content_table.c.content)
        found |= {row.config_id: row.content for row in connection.execute(columns.where(_is_one_of(part)))}
    return found


def names(connection: Connection, config_ids: Sequence[str]) -> dict[str, str]:
    """Give names by identifiers."""
    found: dict[str, str] = {}
    for part in parts(config_ids):
        columns = select(content_table.c.config_id, content_table.c.name)
        found |= {row.config_id: row.name for row in connection.execute(columns.where(_is_one_of(part)))}
    return found


def _is_one_of(config_ids: Sequence[str]) -> Any:
    return content_table.c.config_id.in_(config_ids)
