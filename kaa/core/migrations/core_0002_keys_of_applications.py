"""REST keys have a name, and may be limited to applications (a JSON array; null is all of them)."""

import sqlalchemy as sa
from alembic import op

revision = "core_0002"
down_revision = "core_0001"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("core_key", sa.Column("name", sa.String))
    op.add_column("core_key", sa.Column("applications", sa.String))
