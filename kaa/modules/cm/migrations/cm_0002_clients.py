"""What clients connect with: user names with the hashes of their passwords, and certificates by issuer and serial.

One table for both: they live and die alike, and are told apart by the columns that the other kind leaves empty. A
password is hashed slowly, for people choose some of them; the parameters stand in front of the hash. Of a certificate
that was made here the private key is not kept.
"""

import sqlalchemy as sa
from alembic import op

revision = "cm_0002"
down_revision = "cm_0001"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "cm_client",
        sa.Column("id", sa.String, primary_key=True),
        sa.Column("kind", sa.String, nullable=False),
        sa.Column("status", sa.String, nullable=False),
        sa.Column("created_ms", sa.BigInteger, nullable=False),
        sa.Column("updated_ms", sa.BigInteger, nullable=False),
        sa.Column("last_use_ms", sa.BigInteger),
        sa.Column("username", sa.String, unique=True),
        sa.Column("password_hash", sa.String),
        sa.Column("common_name", sa.String),
        sa.Column("issuer", sa.String),
        sa.Column("serial", sa.String),
        sa.Column("not_after_ms", sa.BigInteger),
        sa.UniqueConstraint("issuer", "serial"),
    )
    op.create_index("cm_client_by_time", "cm_client", ["kind", "created_ms", "id"])
