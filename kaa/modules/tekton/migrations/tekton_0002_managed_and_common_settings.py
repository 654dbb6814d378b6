"""Applications of the configuration file, and settings for all applications.

What the file has is marked, so that it is changed there and nowhere else. The settings for all applications have a
table of their own: those of an application refer to its row.
"""

import sqlalchemy as sa
from alembic import op

revision = "tekton_0002"
down_revision = "tekton_0001"
branch_labels = None
depends_on = None


def upgrade() -> None:
    for table in ("tekton_application", "tekton_version"):
        op.add_column(table, sa.Column("is_managed", sa.Boolean, nullable=False, server_default=sa.false()))
    op.create_table(
        "tekton_common_setting",
        sa.Column("instance", sa.String, primary_key=True),
        sa.Column("document", sa.LargeBinary, nullable=False),
    )
