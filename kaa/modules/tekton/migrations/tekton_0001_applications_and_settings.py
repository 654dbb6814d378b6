"""Applications, their versions, and the settings of each instance for them.

The name of a version is the primary key of its table, for a device's topic carries nothing else to tell it by. A
setting of the application itself has "" for its version: a null would not take part in the primary key.
"""

import sqlalchemy as sa
from alembic import op

revision = "tekton_0001"
down_revision = None
branch_labels = ("tekton",)
depends_on = None


def upgrade() -> None:
    op.create_table(
        "tekton_application",
        sa.Column("name", sa.String, primary_key=True),
        sa.Column("display_name", sa.String),
        sa.Column("description", sa.String),
        sa.Column("created_ms", sa.BigInteger, nullable=False),
        sa.Column("updated_ms", sa.BigInteger, nullable=False),
    )
    op.create_table(
        "tekton_version",
        sa.Column("name", sa.String, primary_key=True),
        sa.Column("application", sa.String, sa.ForeignKey("tekton_application.name"), nullable=False, index=True),
        sa.Column("display_name", sa.String),
        sa.Column("description", sa.String),
        sa.Column("created_ms", sa.BigInteger, nullable=False),
        sa.Column("updated_ms", sa.BigInteger, nullable=False),
    )
    op.create_table(
        "tekton_setting",
        sa.Column("application", sa.String, sa.ForeignKey("tekton_application.name"), primary_key=True),
        sa.Column("version", sa.String, primary_key=True),
        sa.Column("instance", sa.String, primary_key=True, index=True),
        sa.Column("document", sa.LargeBinary, nullable=False),
    )
    revisions = op.create_table(
        "tekton_revision",
        sa.Column("id", sa.Integer, primary_key=True),
        sa.Column("revision", sa.BigInteger, nullable=False),
    )
    op.bulk_insert(revisions, [{"id": 1, "revision": 0}])
