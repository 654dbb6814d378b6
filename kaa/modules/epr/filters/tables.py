"""The filters' tables."""

from sqlalchemy import BigInteger, Column, Integer, LargeBinary, MetaData, String, Table

_ALL = MetaData()
filter_table = Table(
    "epr_filter",
    _ALL,
    Column("id", String, primary_key=True),
    Column("application", String, nullable=False),
    Column("name", String),
    Column("description", String),
    Column("query", LargeBinary, nullable=False),
    Column("status", String, nullable=False),
    Column("matched", Integer, nullable=False),
    Column("revision", Integer, nullable=False),
    Column("created_ms", BigInteger, nullable=False),
    Column("updated_ms", BigInteger, nullable=False),
    # the endpoint that the pass has come to, in the order of time and id
    Column("passed_ms", BigInteger, nullable=False),
    Column("passed_id", String, nullable=False),
)
match_table = Table(
    "epr_filter_match",
    _ALL,
    Column("filter_id", String, primary_key=True),
    Column("endpoint_id", String, primary_key=True),
)
