"""A session belongs to client id and credentials: strangers may have one client id, and each a session of his own.

The primary key changes, which SQLite can only do to a new table; the sessions there are were those of nobody in
particular.
"""

import sqlalchemy as sa
from alembic import op

revision = "kpc_0002"
down_revision = "kpc_0001"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.rename_table("kpc_session", "kpc_session_before")
    op.create_table(
        "kpc_session",
        sa.Column("credentials", sa.String, primary_key=True),
        sa.Column("client_id", sa.String, primary_key=True),
        sa.Column("expiry_s", sa.Integer, nullable=False),
        sa.Column("subscriptions", sa.JSON, nullable=False),
    )
    op.execute(
        "insert into kpc_session (credentials, client_id, expiry_s, subscriptions) "
        "select '', client_id, expiry_s, subscriptions from kpc_session_before"
    )
    op.drop_table("kpc_session_before")
