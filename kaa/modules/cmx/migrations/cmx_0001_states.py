"""What is known of endpoints and their configurations, by the instance that delivers them.

`sent_id` is what has been sent since the endpoint last said what it has: until it says so again nobody knows which of
the two it has.
"""

import sqlalchemy as sa
from alembic import op

revision = "cmx_0001"
down_revision = None
branch_labels = ("cmx",)
depends_on = None


def upgrade() -> None:
    op.create_table(
        "cmx_state",
        sa.Column("instance", sa.String, primary_key=True),
        sa.Column("endpoint_id", sa.String, primary_key=True),
        sa.Column("name", sa.String, primary_key=True),
        sa.Column("applied_id", sa.String),
        sa.Column("sent_id", sa.String),
        sa.Column("observe", sa.Boolean),
        sa.Column("updated_ms", sa.BigInteger, nullable=False),
    )
