"""Batches of registrations, relations, and how many endpoints have which metadata key.

A batch is one row: its items are written once and read as a whole, and of what becomes of them only the failures need
to be noted, and how far it has come. Its tokens lie in a column of their own, because they are taken away when they
have been read. A reserved id may belong to a batch: then it is the batch that completes it or gives it back, also after
a restart.

The keys are counted as endpoints change, because to look into the metadata of a hundred thousand takes too long.
"""

import sqlalchemy as sa
from alembic import op

revision = "epr_0003"
down_revision = "epr_0002"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "epr_batch",
        sa.Column("id", sa.String, primary_key=True),
        sa.Column("application", sa.String, nullable=False),
        sa.Column("app_version", sa.String, nullable=False),
        sa.Column("begun_ms", sa.BigInteger, nullable=False),
        sa.Column("ended_ms", sa.BigInteger),
        sa.Column("progress", sa.Integer, nullable=False),
        sa.Column("items", sa.LargeBinary, nullable=False),
        sa.Column("failures", sa.LargeBinary, nullable=False),
        sa.Column("tokens", sa.LargeBinary),
    )
    op.create_index("epr_batch_by_end", "epr_batch", ["ended_ms"])
    op.add_column("epr_registration", sa.Column("batch_id", sa.String))
    op.create_table(
        "epr_relation",
        sa.Column("type", sa.String, primary_key=True),
        sa.Column("from_id", sa.String, primary_key=True),
        sa.Column("to_id", sa.String, primary_key=True),
        sqlite_with_rowid=False,
    )
    op.create_index("epr_relation_by_from", "epr_relation", ["from_id"])
    op.create_index("epr_relation_by_to", "epr_relation", ["to_id"])
    op.create_table(
        "epr_metadata_key",
        sa.Column("app_version", sa.String, primary_key=True),
        sa.Column("key", sa.String, primary_key=True),
        sa.Column("endpoints", sa.BigInteger, nullable=False),
        sqlite_with_rowid=False,
    )
    op.execute(
        "insert into epr_metadata_key (app_version, key, endpoints) "
        "select app_version, found.key, count(*) from epr_endpoint, json_each(cast(metadata as text)) as found "
        "group by app_version, found.key"
    )
