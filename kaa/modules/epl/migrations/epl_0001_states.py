"""Whether each endpoint is connected, and the points that have still to be told.

What has not been told yet stands in the tables, so that neither a restart nor a service that is away loses it: the
metadata by a mark on the state (the last one counts), the points one by one (all count).
"""

import sqlalchemy as sa
from alembic import op

revision = "epl_0001"
down_revision = None
branch_labels = ("epl",)
depends_on = None


def upgrade() -> None:
    op.create_table(
        "epl_state",
        sa.Column("endpoint_id", sa.String, primary_key=True),
        sa.Column("app_version", sa.String, nullable=False),
        sa.Column("is_connected", sa.Boolean, nullable=False),
        sa.Column("at_ms", sa.BigInteger, nullable=False),
        sa.Column("heard_ms", sa.BigInteger, nullable=False),
        sa.Column("is_told", sa.Boolean, nullable=False),
    )
    op.create_index("epl_state_untold", "epl_state", ["at_ms"], sqlite_where=sa.text("not is_told"))
    op.create_table(
        "epl_point",
        sa.Column("id", sa.BigInteger().with_variant(sa.Integer, "sqlite"), primary_key=True, autoincrement=True),
        sa.Column("endpoint_id", sa.String, nullable=False, index=True),
        sa.Column("app_version", sa.String, nullable=False),
        sa.Column("is_connected", sa.Boolean, nullable=False),
        sa.Column("at_ms", sa.BigInteger, nullable=False),
    )
