"""Software versions, what endpoints run and are offered, and what is being rolled out.

Versions are found by a key that is the version without its build metadata: SemVer counts two that differ in nothing
else as the same. `otao_application.revision` changes with whatever may change what endpoints are offered, and each
offer is stored only under the revision it was worked out from. `otao_rollout` holds what has been promised and not
done yet, so that a restart takes it up; `otao_gone` keeps the report of a deleted endpoint from bringing it back.
"""

import sqlalchemy as sa
from alembic import op

revision = "otao_0001"
down_revision = None
branch_labels = ("otao",)
depends_on = None


def upgrade() -> None:
    op.create_table(
        "otao_application",
        sa.Column("name", sa.String, primary_key=True),
        sa.Column("revision", sa.BigInteger, nullable=False),
        sa.Column("dates_until_ms", sa.BigInteger, nullable=False),
    )
    op.create_table(
        "otao_software",
        sa.Column("application", sa.String, primary_key=True),
        sa.Column("key", sa.String, primary_key=True),
        sa.Column("version", sa.String, nullable=False),
        sa.Column("id", sa.String, nullable=False),
        sa.Column("specification", sa.LargeBinary),
        sa.Column("metadata", sa.LargeBinary),
        sa.Column("rules", sa.LargeBinary, nullable=False),
        sa.Column("created_ms", sa.BigInteger, nullable=False),
        sa.Column("updated_ms", sa.BigInteger, nullable=False),
    )
    op.create_table(
        "otao_endpoint",
        sa.Column("endpoint_id", sa.String, primary_key=True),
        sa.Column("application", sa.String, nullable=False),
        sa.Column("app_version", sa.String, nullable=False),
        sa.Column("app_version_ms", sa.BigInteger, nullable=False),
        sa.Column("version", sa.String),
        sa.Column("version_key", sa.String),
        sa.Column("version_ms", sa.BigInteger),
        sa.Column("previous", sa.String),
        sa.Column("reported_ms", sa.BigInteger, nullable=False),
        sa.Column("offered", sa.String),
        sa.Column("offered_ms", sa.BigInteger),
        sa.Column("told", sa.BigInteger, nullable=False),
        sa.Column("last", sa.LargeBinary),
        sa.Column("result", sa.LargeBinary),
        sa.Column("status", sa.String, nullable=False),
    )
    op.create_index("otao_endpoint_by_version", "otao_endpoint", ["application", "version_key", "endpoint_id"])
    op.create_index("otao_endpoint_by_application", "otao_endpoint", ["application", "endpoint_id"])
    op.create_table(
        "otao_rollout",
        sa.Column("id", sa.Integer, primary_key=True, autoincrement=True),
        sa.Column("application", sa.String, nullable=False),
        sa.Column("scope", sa.LargeBinary, nullable=False),
        sa.Column("revision", sa.BigInteger, nullable=False),
        sa.Column("after", sa.String, nullable=False),
        sqlite_autoincrement=True,  # a number is never given twice: who writes of a finished one must not meet another
    )
    op.create_table(
        "otao_gone",
        sa.Column("endpoint_id", sa.String, primary_key=True),
        sa.Column("gone_ms", sa.BigInteger, nullable=False, index=True),
    )
