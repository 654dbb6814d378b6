"""The refusals that operators read, and the sessions that clients want kept (they must be told the truth)."""

import sqlalchemy as sa
from alembic import op

revision = "kpc_0001"
down_revision = None
branch_labels = ("kpc",)
depends_on = None


def upgrade() -> None:
    op.create_table(
        "kpc_refusal",
        sa.Column("id", sa.Integer, primary_key=True, autoincrement=True),
        sa.Column("at_ms", sa.Integer, nullable=False),
        sa.Column("endpoint_id", sa.String, nullable=True),
        sa.Column("token_hash", sa.String, nullable=True),
        sa.Column("topic", sa.String, nullable=False),
        sa.Column("status_code", sa.Integer, nullable=False),
        sa.Column("reason", sa.String, nullable=False),
        sa.Column("payload", sa.LargeBinary, nullable=False),
        sa.Column("payload_size", sa.Integer, nullable=False),
        sqlite_autoincrement=True,  # a trimmed number is not given again, so that pages do not repeat
    )
    op.create_index("kpc_refusal_endpoint", "kpc_refusal", ["endpoint_id", "id"])
    op.create_table(
        "kpc_session",
        sa.Column("client_id", sa.String, primary_key=True),
        sa.Column("expiry_s", sa.Integer, nullable=False),
        sa.Column("subscriptions", sa.JSON, nullable=False),
    )
