"""Endpoint tokens, by their hash.

The hash is SHA-256 over application and token: a token is unique within its application, so one unique index says
whose a token is and that nobody else has it. A fast hash is enough for a random secret.
"""

import sqlalchemy as sa
from alembic import op

revision = "cm_0001"
down_revision = None
branch_labels = ("cm",)
depends_on = None


def upgrade() -> None:
    op.create_table(
        "cm_token",
        sa.Column("id", sa.String, primary_key=True),
        sa.Column("hash", sa.LargeBinary(32), nullable=False, unique=True),
        sa.Column("application", sa.String, nullable=False),
        sa.Column("endpoint_id", sa.String, nullable=False),
        sa.Column("status", sa.String, nullable=False),
        sa.Column("created_ms", sa.BigInteger, nullable=False),
        sa.Column("updated_ms", sa.BigInteger, nullable=False),
    )
    op.create_index("cm_token_by_endpoint", "cm_token", ["endpoint_id", "created_ms", "id"])
