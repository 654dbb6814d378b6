"""The outbox, for events that must not be lost, and the REST keys."""

import sqlalchemy as sa
from alembic import op

revision = "core_0001"
down_revision = None
branch_labels = ("core",)
depends_on = None


def upgrade() -> None:
    op.create_table(
        "core_outbox",
        sa.Column("correlation_id", sa.String, primary_key=True),
        sa.Column("instance", sa.String, nullable=False, index=True),
        sa.Column("subject", sa.String, nullable=False),
        sa.Column("message", sa.LargeBinary, nullable=False),
        sa.Column("created_ms", sa.Integer, nullable=False),
    )
    op.create_table(
        "core_key",
        sa.Column("id", sa.String, primary_key=True),
        sa.Column("hash", sa.String, nullable=False, unique=True),
        sa.Column("role", sa.String, nullable=False),
        sa.Column("created_ms", sa.Integer, nullable=False),
    )
