"""Commands that were asked for over HTTP, and the callbacks that are to have their results.

A command's id is made of its row's number, which is never given out twice. `post_ms` is the time of the next attempt to
post a result, and null where nothing is to be posted.
"""

import sqlalchemy as sa
from alembic import op

revision = "rci_0001"
down_revision = None
branch_labels = ("rci",)
depends_on = None


def upgrade() -> None:
    op.create_table(
        "rci_command",
        sa.Column("key", sa.BigInteger().with_variant(sa.Integer, "sqlite"), primary_key=True),
        sa.Column("endpoint_id", sa.String, nullable=False),
        sa.Column("command_type", sa.String, nullable=False),
        sa.Column("status", sa.String, nullable=False),
        sa.Column("created_ms", sa.BigInteger, nullable=False),
        sa.Column("expires_ms", sa.BigInteger, nullable=False),
        sa.Column("finished_ms", sa.BigInteger),
        sa.Column("status_code", sa.Integer),
        sa.Column("reason_phrase", sa.String),
        sa.Column("request", sa.LargeBinary),
        sa.Column("response", sa.LargeBinary),
        sa.Column("callback", sa.String),
        sa.Column("callback_status", sa.String),
        sa.Column("posts", sa.Integer, nullable=False),
        sa.Column("post_ms", sa.BigInteger),
        sqlite_autoincrement=True,
    )
    pending, to_post = sa.text("finished_ms is null"), sa.text("post_ms is not null")
    finished = sa.text("finished_ms is not null")
    for name, column, where in (
        ("pending", "key", pending),
        ("to_post", "post_ms", to_post),
        ("finished", "finished_ms", finished),
    ):
        op.create_index(f"rci_command_{name}", "rci_command", [column], sqlite_where=where, postgresql_where=where)
