"""The audit log. Entries are looked for by time above all, and of one key or application within it."""

import sqlalchemy as sa
from alembic import op

revision = "core_0003"
down_revision = "core_0002"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "core_audit",
        sa.Column("id", sa.Integer, primary_key=True),
        sa.Column("at_ms", sa.BigInteger, nullable=False, index=True),
        sa.Column("key_id", sa.String),
        sa.Column("key_name", sa.String),
        sa.Column("role", sa.String),
        sa.Column("method", sa.String, nullable=False),
        sa.Column("path", sa.String, nullable=False),
        sa.Column("operation", sa.String, nullable=False),
        sa.Column("application", sa.String),
        sa.Column("status", sa.Integer, nullable=False),
        sa.Column("correlation_id", sa.String, nullable=False),
        sa.Column("before", sa.Text),
        sa.Column("is_before_cut", sa.Boolean, nullable=False),
        sa.Column("after", sa.Text),
        sa.Column("is_after_cut", sa.Boolean, nullable=False),
    )
    op.create_index("core_audit_key", "core_audit", ["key_id", "at_ms"])
    op.create_index("core_audit_application", "core_audit", ["application", "at_ms"])
