"""Configurations, who is to have them, and what became of them.

Contents lie in a table of their own, by their identifier: a thousand endpoints with one configuration keep it once, and
the history names what it speaks of after the configuration has been replaced.

`ecr_told` holds the last configuration that an endpoint was told, by name; `ecr_rollout` what is still to be told to
those that are connected.
"""

import sqlalchemy as sa
from alembic import op

revision = "ecr_0001"
down_revision = None
branch_labels = ("ecr",)
depends_on = None


def upgrade() -> None:
    op.create_table(
        "ecr_content",
        sa.Column("config_id", sa.String, primary_key=True),
        sa.Column("name", sa.String, nullable=False),
        sa.Column("content", sa.LargeBinary, nullable=False),
    )
    op.create_table(
        "ecr_config",
        sa.Column("scope", sa.String, primary_key=True),
        sa.Column("owner", sa.String, primary_key=True),
        sa.Column("app_version", sa.String, primary_key=True),
        sa.Column("name", sa.String, primary_key=True),
        sa.Column("config_id", sa.String, nullable=False),
        sa.Column("position", sa.BigInteger, nullable=False),
        sa.Column("created_ms", sa.BigInteger, nullable=False),
        sa.Column("updated_ms", sa.BigInteger, nullable=False),
    )
    op.create_index("ecr_config_by_content", "ecr_config", ["config_id"])
    op.create_table(
        "ecr_member",
        sa.Column("endpoint_id", sa.String, primary_key=True),
        sa.Column("filter_id", sa.String, primary_key=True),
        sa.Column("is_member", sa.Boolean, nullable=False),
        sa.Column("at_ms", sa.BigInteger, nullable=False),
    )
    op.create_index("ecr_member_by_filter", "ecr_member", ["filter_id"])
    op.create_table(
        "ecr_status",
        sa.Column("endpoint_id", sa.String, primary_key=True),
        sa.Column("app_version", sa.String, primary_key=True),
        sa.Column("name", sa.String, primary_key=True),
        sa.Column("config_id", sa.String, primary_key=True),
        sa.Column("state", sa.String, nullable=False),
        sa.Column("touched_ms", sa.BigInteger, nullable=False),
        sa.Column("dispatched_ms", sa.BigInteger),
        sa.Column("confirmed_ms", sa.BigInteger),
        sa.Column("confirmation_code", sa.Integer),
        sa.Column("confirmation_phrase", sa.String),
    )
    op.create_index("ecr_status_by_content", "ecr_status", ["config_id"])
    op.create_index("ecr_status_by_version", "ecr_status", ["app_version", "touched_ms"])
    op.create_table(
        "ecr_told",
        sa.Column("endpoint_id", sa.String, primary_key=True),
        sa.Column("name", sa.String, primary_key=True),
        sa.Column("app_version", sa.String, nullable=False),
        sa.Column("config_id", sa.String, nullable=False),
    )
    op.create_table(
        "ecr_rollout",
        sa.Column("app_version", sa.String, primary_key=True),
        sa.Column("name", sa.String, primary_key=True),
        sa.Column("revision", sa.BigInteger, nullable=False),
    )
    op.create_table(
        "ecr_system",
        sa.Column("id", sa.String, primary_key=True),
        sa.Column("level", sa.String, nullable=False),
        sa.Column("level_id", sa.String, nullable=False),
        sa.Column("name", sa.String, nullable=False),
        sa.Column("display_name", sa.String),
        sa.Column("content", sa.LargeBinary, nullable=False),
        sa.Column("created_ms", sa.BigInteger, nullable=False),
        sa.Column("updated_ms", sa.BigInteger, nullable=False),
        sa.UniqueConstraint("level", "level_id", "name"),
    )
