"""The endpoints' tables, and how their rows become models."""

from collections.abc import Mapping
from typing import Any, TypeVar

from pydantic_core import from_json
from sqlalchemy import BigInteger, Column, Integer, LargeBinary, MetaData, String, Table

from ..models import Endpoint

T = TypeVar("T")


tables = MetaData()

endpoint_table = Table(
    "epr_endpoint",
    tables,
    Column("id", String, primary_key=True),
    Column("application", String, nullable=False),
    Column("app_version", String, nullable=False),
    Column("version_since_ms", BigInteger, nullable=False),
    Column("created_ms", BigInteger, nullable=False),
    Column("metadata", LargeBinary, nullable=False),
    Column("metadata_updated_ms", BigInteger),
)
registration_table = Table(
    "epr_registration",
    tables,
    Column("id", String, primary_key=True),
    Column("app_version", String, nullable=False),
    Column("begun_ms", BigInteger, nullable=False),
    Column("batch_id", String),
)
batch_table = Table(
    "epr_batch",
    tables,
    Column("id", String, primary_key=True),
    Column("application", String, nullable=False),
    Column("app_version", String, nullable=False),
    Column("begun_ms", BigInteger, nullable=False),
    Column("ended_ms", BigInteger),
    Column("progress", Integer, nullable=False),
    Column("items", LargeBinary, nullable=False),
    Column("failures", LargeBinary, nullable=False),
    Column("tokens", LargeBinary),
)
relation_table = Table(
    "epr_relation",
    tables,
    Column("type", String, primary_key=True),
    Column("from_id", String, primary_key=True),
    Column("to_id", String, primary_key=True),
)
key_table = Table(
    "epr_metadata_key",
    tables,
    Column("app_version", String, primary_key=True),
    Column("key", String, primary_key=True),
    Column("endpoints", BigInteger, nullable=False),
)

BARE = [column for column in endpoint_table.c if column.name != "metadata"]
"""An endpoint without its metadata."""


def endpoint_of(row: Any) -> Endpoint:
    """Make an endpoint of a row, with its metadata if the row has it."""
    values: Mapping[str, Any] = row._mapping  # noqa: SLF001  its public name
    text = values.get("metadata")
    return Endpoint(**{**values, "metadata": None if text is None else from_json(text)})
