"""Endpoints, and those that are being registered.

A registration that is not complete has a row in a table of its own: nothing that reads endpoints needs to leave it
out, and the indices that serve lists hold endpoints only. Each index ends with what a list is ordered by, so that a
page and a count are read off an index.
"""

import sqlalchemy as sa
from alembic import op

revision = "epr_0001"
down_revision = None
branch_labels = ("epr",)
depends_on = None


def upgrade() -> None:
    op.create_table(
        "epr_endpoint",
        sa.Column("id", sa.String, primary_key=True),
        sa.Column("application", sa.String, nullable=False),
        sa.Column("app_version", sa.String, nullable=False),
        sa.Column("version_since_ms", sa.BigInteger, nullable=False),
        sa.Column("created_ms", sa.BigInteger, nullable=False),
        sa.Column("metadata", sa.LargeBinary, nullable=False),
        sa.Column("metadata_updated_ms", sa.BigInteger),
    )
    op.create_index("epr_endpoint_by_time", "epr_endpoint", ["created_ms", "id"])
    op.create_index("epr_endpoint_by_application", "epr_endpoint", ["application", "created_ms", "id"])
    op.create_index("epr_endpoint_by_version", "epr_endpoint", ["app_version", "created_ms", "id"])
    op.create_table(
        "epr_registration",
        sa.Column("id", sa.String, primary_key=True),
        sa.Column("app_version", sa.String, nullable=False),
        sa.Column("begun_ms", sa.BigInteger, nullable=False),
    )
