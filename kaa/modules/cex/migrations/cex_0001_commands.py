"""Commands, the queues that they stand in, and tasks that make many.

A command is outstanding while `finished_ms` is null, and the indices that serve devices hold outstanding commands only:
what has piled up behind them costs nothing. One that was deleted stays as a row without payloads until its retention
ends, so that whoever names it again does not have it run again. A queue is all commands of one type for one endpoint;
it has a row from the first id that was given out, or the first time that the device would rather not be disturbed.
A task holds the endpoints that its commands have still to be made for.
"""

import sqlalchemy as sa
from alembic import op

revision = "cex_0001"
down_revision = None
branch_labels = ("cex",)
depends_on = None


def upgrade() -> None:
    op.create_table(
        "cex_command",
        sa.Column("key", sa.BigInteger().with_variant(sa.Integer, "sqlite"), primary_key=True),
        sa.Column("endpoint_id", sa.String, nullable=False),
        sa.Column("command_type", sa.String, nullable=False),
        sa.Column("command_id", sa.Integer, nullable=False),
        sa.Column("application", sa.String, nullable=False),
        sa.Column("status", sa.String, nullable=False),
        sa.Column("is_push_once", sa.Boolean, nullable=False),
        sa.Column("created_ms", sa.BigInteger, nullable=False),
        sa.Column("deliver_ms", sa.BigInteger, nullable=False),
        sa.Column("expires_ms", sa.BigInteger, nullable=False),
        sa.Column("held_ms", sa.BigInteger),
        sa.Column("finished_ms", sa.BigInteger),
        sa.Column("task_id", sa.String),
        sa.Column("status_code", sa.Integer),
        sa.Column("reason_phrase", sa.String),
        sa.Column("request", sa.LargeBinary),
        sa.Column("response", sa.LargeBinary),
    )
    identity = ["endpoint_id", "command_type", "command_id"]
    op.create_index("cex_command_by_identity", "cex_command", identity, unique=True)
    op.create_index("cex_command_by_age", "cex_command", ["endpoint_id", "command_type", "key"])
    op.create_index("cex_command_by_application", "cex_command", ["application", "key"])
    outstanding, held = sa.text("finished_ms is null"), sa.text("held_ms is not null")
    finished, of_task = sa.text("finished_ms is not null"), sa.text("task_id is not null")
    for name, columns, where in (
        ("outstanding", ["endpoint_id", "command_type", "key"], outstanding),
        ("by_expiry", ["expires_ms"], outstanding),
        ("held", ["held_ms"], held),
        ("finished", ["finished_ms"], finished),
        ("by_task", ["task_id", "status", "key"], of_task),
    ):
        op.create_index(f"cex_command_{name}", "cex_command", columns, sqlite_where=where, postgresql_where=where)
    op.create_table(
        "cex_queue",
        sa.Column("endpoint_id", sa.String, primary_key=True),
        sa.Column("command_type", sa.String, primary_key=True),
        sa.Column("last_id", sa.Integer, nullable=False),
        sa.Column("is_observed", sa.Boolean, nullable=False),
        sa.Column("changed_ms", sa.BigInteger, nullable=False),
    )
    op.create_table(
        "cex_task",
        sa.Column("id", sa.String, primary_key=True),
        sa.Column("application", sa.String, nullable=False),
        sa.Column("command_type", sa.String, nullable=False),
        sa.Column("filter_id", sa.String),
        sa.Column("request", sa.LargeBinary),
        sa.Column("created_ms", sa.BigInteger, nullable=False),
        sa.Column("deliver_ms", sa.BigInteger, nullable=False),
        sa.Column("expires_ms", sa.BigInteger, nullable=False),
        sa.Column("is_push_once", sa.Boolean, nullable=False),
        sa.Column("left_count", sa.Integer, nullable=False),
        sa.Column("left_endpoints", sa.LargeBinary, nullable=False),
    )
    op.create_index("cex_task_by_application", "cex_task", ["application", "created_ms", "id"])
