"""The tables."""

from sqlalchemy import BigInteger, Boolean, Column, Integer, LargeBinary, MetaData, String, Table

_ALL = MetaData()
application_table = Table(
    "tekton_application",
    _ALL,
    Column("name", String, primary_key=True),
    Column("display_name", String),
    Column("description", String),
    Column("created_ms", BigInteger, nullable=False),
    Column("updated_ms", BigInteger, nullable=False),
    Column("is_managed", Boolean, nullable=False),
)
version_table = Table(
    "tekton_version",
    _ALL,
    Column("name", String, primary_key=True),
    Column("application", String, nullable=False),
    Column("display_name", String),
    Column("description", String),
    Column("created_ms", BigInteger, nullable=False),
    Column("updated_ms", BigInteger, nullable=False),
    Column("is_managed", Boolean, nullable=False),
)
setting_table = Table(
    "tekton_setting",
    _ALL,
    Column("application", String, primary_key=True),
    Column("version", String, primary_key=True),  # "" is the application itself
    Column("instance", String, primary_key=True),
    Column("document", LargeBinary, nullable=False),
)
common_setting_table = Table(
    "tekton_common_setting",
    _ALL,
    Column("instance", String, primary_key=True),
    Column("document", LargeBinary, nullable=False),
)
revision_table = Table(
    "tekton_revision",
    _ALL,
    Column("id", Integer, primary_key=True),
    Column("revision", BigInteger, nullable=False),
)
