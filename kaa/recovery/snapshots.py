"""A copy of the database from before a migration, put back in its place; the points stay as they are."""

import re
import sqlite3
from contextlib import closing, suppress
from dataclasses import dataclass
from pathlib import Path
from shutil import copyfile, rmtree

from kaa.core.backup.archive import DATABASE, BackupError
from kaa.core.data_dir import RESTORING
from kaa.core.files import sync
from kaa.core.lock import locked
from kaa.modules.epr.repository.checking import count_endpoints
from kaa.modules.epts.repository.checking import channels, highest, reserve

from .checking import Described, by_period, check_database
from .watch import Watch

_MAGIC = b"SQLite format 3\x00"
_NAME = re.compile(r".*-before-migration-(\d{1,15})\.db")
_BESIDE = ("-wal", "-shm")


@dataclass(frozen=True, slots=True)
class PutBack:
    """What has been done.

    `replaced` is where the database lies that was there, if there was one, and `endpoints_before` how many endpoints it
    had (None where it cannot be read); `nameless` are the numbers of series that have points and no name any more.
    """

    described: Described
    taken_ms: int
    replaced: Path | None
    endpoints_before: int | None
    nameless: int


def is_snapshot(file: Path) -> bool:
    """Whether a file is a database by itself, and no backup."""
    try:
        with file.open("rb") as source:
            return source.read(len(_MAGIC)) == _MAGIC
    except OSError as error:
        raise BackupError(f"{file} cannot be read: {error.strerror or error}") from error


def check_snapshot(file: Path, watch: Watch) -> Described:
    """Check a copy from before a migration; BackupError if it is damaged, or no such copy."""
    watch.begin(f"checking {file.name}")
    with suppress(FileNotFoundError):
        if Path(f"{file}-wal").stat().st_size:
            raise BackupError(
                f"{file} is a database that is in use, and no copy of one: {file.name}-wal lies beside it"
            )
    return check_database(file)


def put_back(file: Path, directory: Path, watch: Watch, *, now_ms: int) -> PutBack:
    """Put a copy from before a migration in place of kaa.db; what was there is kept beside it.

    Raises:
        BackupError: the copy is damaged, or no data directory is there; all is as it was.
        InUse: a kaa uses the data directory.
    """
    if not any((directory / name).exists() for name in (DATABASE, RESTORING, "backups")):
        raise BackupError(
            f"{directory} is no data directory of kaa: a copy from before a migration is put back into the one that it "
            "was made of, where its points are"
        )
    described = check_snapshot(file, watch)
    with locked(directory):
        try:
            return _put(file, directory, described, now_ms)
        except (OSError, sqlite3.Error) as error:
            raise BackupError(f"{directory} cannot be written to: {error}") from error


def _put(file: Path, directory: Path, described: Described, now_ms: int) -> PutBack:
    draft, database = directory / RESTORING, directory / DATABASE
    rmtree(draft, ignore_errors=True)
    draft.mkdir(mode=0o700)
    replaced = directory / f"kaa-replaced-{now_ms}.db"
    made = draft / DATABASE
    try:
        copyfile(file, made)
        made.chmod(0o600)
        nameless = _reserve_numbers(made, directory)
        before = _settled(database) if database.exists() else None
        sync(made)
    except BaseException:
        rmtree(draft, ignore_errors=True)
        raise
    # no server starts here until the draft is gone, whatever happens between the renames
    is_replaced = database.exists()
    for ending in (*_BESIDE, ""):
        with suppress(FileNotFoundError):
            Path(f"{database}{ending}").rename(f"{replaced}{ending}")
    made.rename(database)
    sync(directory)
    draft.rmdir()
    sync(directory)
    return PutBack(described, _taken_ms(file), replaced if is_replaced else None, before, nameless)


def _reserve_numbers(made: Path, directory: Path) -> int:
    """Have no number given anew under which points lie already; how many such numbers there are without a name."""
    used: set[int] = set()
    with closing(sqlite3.connect(made, isolation_level=None)) as database:
        _, given = channels(database)
        for path in by_period(directory):
            with closing(sqlite3.connect(path, isolation_level=None)) as points:
                top = highest(points)
                if top > given:
                    query = "select distinct channel from epts_point where channel > ?"
                    used.update(row[0] for row in points.execute(query, (given,)))
        reserve(database, max(used, default=0))
    return len(used)


def _settled(database: Path) -> int | None:
    """Write what stands in the log into the database, so that it is one file; its endpoints, if it can be read."""
    try:
        with closing(sqlite3.connect(database, isolation_level=None)) as connection:
            count = count_endpoints(connection)
            connection.execute("pragma wal_checkpoint(truncate)").fetchall()
    except sqlite3.Error:  # that may be why it is replaced
        return None
    return count


def _taken_ms(file: Path) -> int:
    named = _NAME.fullmatch(file.name)
    return int(named[1]) if named is not None else file.stat().st_mtime_ns // 1_000_000
