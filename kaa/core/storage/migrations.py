"""The schema's history: Alembic, one branch a service, applied by itself at start from any earlier version.

A module keeps its steps in `migrations/`; each file names its branch (`branch_labels`) in the first step. Before
anything is changed in a database that has data a copy is laid beside it, under `backups/`; it stays if all went well.
"""

import sqlite3
from collections.abc import Sequence
from contextlib import closing, suppress
from pathlib import Path
from typing import Any

import structlog
from sqlalchemy import create_engine

from kaa.core.clock import Clock
from kaa.core.errors import StartupError

log = structlog.get_logger(__name__)

_DAMAGED = {sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB}


def migrate(path: Path, steps: Sequence[Path], *, clock: Clock) -> Path | None:
    """Bring the database to the newest version of every branch.

    Args:
        path: the database; made if it is not there.
        steps: the directories of steps, one a branch.
        clock: dates the copy.

    Returns:
        The copy that was made before, if one was.

    Raises:
        StartupError: the database is damaged, cannot be copied, or was written by a newer version, or a step failed; it
            is as it was.
    """
    if is_newest(path, steps):
        return None
    # imported only where there is something to do: it is large, and a server that runs has no use for it
    from alembic.config import Config  # noqa: PLC0415
    from alembic.runtime.environment import EnvironmentContext  # noqa: PLC0415
    from alembic.script import ScriptDirectory  # noqa: PLC0415
    from alembic.util import CommandError  # noqa: PLC0415

    config = Config()
    config.set_main_option("script_location", str(Path(__file__).parent / "alembic"))
    config.set_main_option("path_separator", "newline")
    config.set_main_option("version_locations", "\n".join(map(str, steps)))
    script = ScriptDirectory.from_config(config)
    present = tuple(_versions(path))
    try:
        # what is to be done is known before anything is; several heads are a tuple, whatever its type says
        script._upgrade_revs("heads", present)  # type: ignore[arg-type]  # noqa: SLF001
    except CommandError as error:
        raise StartupError(
            f"{path} was written by a newer version of kaa, or its history is broken: {error}; "
            "install that version, or restore a backup"
        ) from error
    copy = _copy(path, clock) if present else None
    engine = create_engine(f"sqlite:///{path}")
    try:
        with (
            engine.connect() as connection,
            EnvironmentContext(
                config,
                script,
                fn=lambda revision, _: script._upgrade_revs("heads", revision),  # noqa: SLF001
            ) as environment,
        ):
            # SQLite takes part in DDL transactions, the driver only if BEGIN is said to it
            raw: Any = connection.connection.dbapi_connection
            raw.isolation_level = None
            environment.configure(connection=connection, transactional_ddl=True, version_table="core_version")
            connection.exec_driver_sql("begin immediate")
            environment.run_migrations()
            connection.exec_driver_sql("commit")
    # whatever a step stumbles over: nothing of it has been committed
    except Exception as error:
        if copy is not None:
            copy.unlink()
        raise StartupError(f"{path} could not be migrated, and is as it was: {error}") from error
    finally:
        engine.dispose()
    log.info("database_migrated", path=str(path), to=sorted(script.get_heads()), backup=str(copy) if copy else None)
    return copy


def is_newest(path: Path, steps: Sequence[Path]) -> bool:
    """Whether the database has the newest step of every branch."""
    present = _versions(path)
    return bool(present) and present == set(map(_newest, steps))


def _versions(path: Path) -> set[str]:
    if not path.exists():
        return set()
    try:
        with closing(sqlite3.connect(path)) as connection:
            table = "select 1 from sqlite_master where name = 'core_version'"
            if connection.execute(table).fetchone() is None:  # an empty database
                return set()
            return {row[0] for row in connection.execute("select version_num from core_version")}
    except sqlite3.Error as error:
        raise StartupError(f"{path} cannot be read: {error}; {_advice(path, error)}") from error


def _advice(path: Path, error: sqlite3.Error) -> str:
    if (error.sqlite_errorcode & 0xFF) in _DAMAGED:
        return f"put a backup in its place ({path.parent / 'backups'} may have one), or move it away to begin anew"
    return "see that the disk works, that kaa may read and write there, and that no other program has it open"


def last_backup_s(directory: Path) -> float:
    """Give when the newest copy in a data directory was made, in seconds since 1970; 0 if there is none."""
    return max((file.stat().st_mtime for file in (directory / "backups").glob("*.db")), default=0.0)


def _newest(steps: Path) -> str:
    """Give the newest step of a branch: its file is the last by name, `<branch>_<number>_<what>.py`."""
    last = max(step.stem for step in steps.glob("*_*.py") if not step.stem.startswith("_"))
    return "_".join(last.split("_")[:2])


def _copy(path: Path, clock: Clock) -> Path:
    directory = path.parent / "backups"
    copy = directory / f"{path.stem}-before-migration-{clock.now_ms()}.db"
    try:
        directory.mkdir(exist_ok=True)
        with closing(sqlite3.connect(path)) as source, closing(sqlite3.connect(copy)) as target:
            source.backup(target)
    except (OSError, sqlite3.Error) as error:
        with suppress(OSError):
            copy.unlink()
        raise StartupError(
            f"{path} could not be copied to {copy} before its migration: {error}; see that the disk works and has "
            "room, and that kaa may write there"
        ) from error
    return copy
