"""The tables, and how rows become models."""

from typing import Any

from pydantic_core import from_json, to_json
from sqlalchemy import BigInteger, Column, Connection, Integer, LargeBinary, MetaData, String, Table, select

from kaa.core.subjects import Subject

from ..models import Rollback, Rules, Strategy, Target

Event = tuple[Subject[Any], Any]

_ALL = MetaData()
application_table = Table(
    "otao_application",
    _ALL,
    Column("name", String, primary_key=True),
    Column("revision", BigInteger, nullable=False),
    Column("dates_until_ms", BigInteger, nullable=False),
)
software_table = Table(
    "otao_software",
    _ALL,
    Column("application", String, primary_key=True),
    Column("key", String, primary_key=True),
    Column("version", String, nullable=False),
    Column("id", String, nullable=False),
    Column("specification", LargeBinary),
    Column("metadata", LargeBinary),
    Column("rules", LargeBinary, nullable=False),
    Column("created_ms", BigInteger, nullable=False),
    Column("updated_ms", BigInteger, nullable=False),
)
endpoint_table = Table(
    "otao_endpoint",
    _ALL,
    Column("endpoint_id", String, primary_key=True),
    Column("application", String, nullable=False),
    Column("app_version", String, nullable=False),
    Column("app_version_ms", BigInteger, nullable=False),
    Column("version", String),
    Column("version_key", String),
    Column("version_ms", BigInteger),
    Column("previous", String),
    Column("reported_ms", BigInteger, nullable=False),
    Column("offered", String),
    Column("offered_ms", BigInteger),
    Column("told", BigInteger, nullable=False),
    Column("last", LargeBinary),
    Column("result", LargeBinary),
    Column("status", String, nullable=False),
)
rollout_table = Table(
    "otao_rollout",
    _ALL,
    Column("id", Integer, primary_key=True, autoincrement=True),
    Column("application", String, nullable=False),
    Column("scope", LargeBinary, nullable=False),
    Column("revision", BigInteger, nullable=False),
    Column("after", String, nullable=False),
)
gone_table = Table(
    "otao_gone",
    _ALL,
    Column("endpoint_id", String, primary_key=True),
    Column("gone_ms", BigInteger, nullable=False),
)


def revision_of(connection: Connection, application: str) -> int:
    """Give an application's revision; 0 before the first change."""
    table = application_table
    found = connection.execute(select(table.c.revision).where(table.c.name == application)).scalar_one_or_none()
    return found or 0


def rules_to_json(rules: Rules) -> bytes:
    """Write rules down."""
    return to_json(
        {
            "strategy": rules.strategy,
            "upgradableFrom": rules.upgradable_from,
            "downgradableTo": rules.downgradable_to,
            "targets": [[target.filter_id, target.rollout_ms] for target in rules.targets],
            "compatibleWith": rules.compatible_with,
            "rollback": None if rules.rollback is None else [rules.rollback.to, rules.rollback.since_ms],
        }
    )


def rules_from_json(text: bytes) -> Rules:
    """Read rules that were written down."""
    written = from_json(text)
    return Rules(
        strategy=Strategy(written["strategy"]),
        upgradable_from=tuple(written["upgradableFrom"]),
        downgradable_to=tuple(written["downgradableTo"]),
        targets=tuple(Target(*target) for target in written["targets"]),
        compatible_with=written["compatibleWith"],
        rollback=None if written["rollback"] is None else Rollback(*written["rollback"]),
    )
