"""Endpoint filters, and who matches each of them.

A match is nothing but its key, so it lies in the key's own tree; the index gives the filters of an endpoint. How far
the first pass over the endpoints has come is kept with the filter: it goes on from there after a restart.
"""

import sqlalchemy as sa
from alembic import op

revision = "epr_0002"
down_revision = "epr_0001"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "epr_filter",
        sa.Column("id", sa.String, primary_key=True),
        sa.Column("application", sa.String, nullable=False),
        sa.Column("name", sa.String),
        sa.Column("description", sa.String),
        sa.Column("query", sa.LargeBinary, nullable=False),
        sa.Column("status", sa.String, nullable=False),
        sa.Column("matched", sa.Integer, nullable=False),
        sa.Column("revision", sa.Integer, nullable=False),
        sa.Column("created_ms", sa.BigInteger, nullable=False),
        sa.Column("updated_ms", sa.BigInteger, nullable=False),
        sa.Column("passed_ms", sa.BigInteger, nullable=False),
        sa.Column("passed_id", sa.String, nullable=False),
    )
    op.create_index("epr_filter_by_name", "epr_filter", ["application", "name"], unique=True)
    op.create_table(
        "epr_filter_match",
        sa.Column("filter_id", sa.String, primary_key=True),
        sa.Column("endpoint_id", sa.String, primary_key=True),
        sqlite_with_rowid=False,
    )
    op.create_index("epr_filter_match_by_endpoint", "epr_filter_match", ["endpoint_id", "filter_id"])
