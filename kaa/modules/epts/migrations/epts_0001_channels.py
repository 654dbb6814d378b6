"""Channels: one number for each value of each series of each endpoint, under which its points are stored."""

import sqlalchemy as sa
from alembic import op

revision = "epts_0001"
down_revision = None
branch_labels = ("epts",)
depends_on = None


def upgrade() -> None:
    op.create_table(
        "epts_channel",
        sa.Column("id", sa.Integer, primary_key=True, autoincrement=True),
        sa.Column("application", sa.String, nullable=False),
        sa.Column("endpoint_id", sa.String, nullable=False),
        sa.Column("series", sa.String, nullable=False),
        sa.Column("value_name", sa.String, nullable=False),
        sqlite_autoincrement=True,  # a number is never given twice: points of a deleted series must not come back
    )
    op.create_index(
        "epts_channel_name", "epts_channel", ["endpoint_id", "application", "series", "value_name"], unique=True
    )
    op.create_index("epts_channel_series", "epts_channel", ["application", "series", "value_name"])
