"""Whether a data directory that nobody uses holds together: its databases by themselves, and one with the other."""

import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path

import kaa
from kaa.core.backup.archive import DATABASE, BackupError
from kaa.core.storage.periods import period_of
from kaa.modules.epr.repository.checking import count_endpoints
from kaa.modules.epts.repository.checking import channels, counted

from .watch import Watch

_NEWER = "was written by a newer version of kaa ({}); use that version, or a newer one"


@dataclass(frozen=True, slots=True)
class Found:
    """What is in a data directory: how many endpoints, points (values) and files of points.

    `nameless` are points of series that were deleted, and not yet their points.
    """

    endpoints: int
    points: int
    files: int
    nameless: int


@dataclass(frozen=True, slots=True)
class Described:
    """What is in the database: the steps of its schemas, and how many endpoints."""

    schemas: tuple[str, ...]
    endpoints: int


def check_directory(directory: Path, watch: Watch) -> Found:
    """Check all databases of a data directory that has just been unpacked; BackupError says what is wrong."""
    watch.begin(f"checking {DATABASE}")
    if not (directory / DATABASE).exists():
        raise BackupError(f"there is no {DATABASE}")
    described = check_database(directory / DATABASE)
    with reading(directory / DATABASE) as database:
        known, highest = channels(database)
    points = files = nameless = 0
    for path in by_period(directory):
        watch.begin(f"checking {path.name}")
        with reading(path) as file:
            _check_pages(path, file)
            for channel, count in counted(file):
                if channel > highest:
                    raise BackupError(
                        f"{path.name} has points under the number {channel}, which {DATABASE} has never given: "
                        "they do not belong together"
                    )
                points += count
                nameless += 0 if channel in known else count
        files += 1
    return Found(described.endpoints, points, files, nameless)


def check_database(path: Path) -> Described:
    """Check a database of the services that nobody uses; BackupError says what is wrong."""
    with reading(path) as database:
        _check_pages(path, database)
        broken = database.execute("pragma foreign_key_check").fetchone()
        if broken is not None:
            raise BackupError(
                f"{path.name} is damaged: a row of {broken[0]} refers to one of {broken[2]} that is not there"
            )
        schemas = tuple(sorted(row[0] for row in database.execute("select version_num from core_version")))
        check_schemas(path.name, schemas)
        return Described(schemas, count_endpoints(database))


def check_schemas(what: str, schemas: tuple[str, ...]) -> None:
    """Raise BackupError if a database at these steps is of a newer version than this one."""
    newer = sorted(set(schemas) - _known_steps())
    if newer:
        raise BackupError(f"{what} {_NEWER.format(', '.join(newer))}")


def by_period(directory: Path) -> list[Path]:
    """Find the files by period, oldest first."""
    return sorted(path for path in directory.glob("*/*.db") if period_of(path) is not None)


@contextmanager
def reading(path: Path) -> Iterator[sqlite3.Connection]:
    """Read a database that nobody uses, and leave nothing beside it; BackupError if it is damaged."""
    try:
        with closing(sqlite3.connect(f"{path.absolute().as_uri()}?immutable=1", uri=True)) as connection:
            yield connection
    except sqlite3.Error as error:
        raise BackupError(f"{path.name} is damaged, or no database of kaa: {error}") from error


def _check_pages(path: Path, connection: sqlite3.Connection) -> None:
    found = [row[0] for row in connection.execute("pragma integrity_check(3)")]
    if found != ["ok"]:
        raise BackupError(f"{path.name} is damaged: {'; '.join(found)}")


def _known_steps() -> set[str]:
    """Give all steps that this version has: files `<branch>_<number>_<what>.py`."""
    steps = Path(kaa.__file__).parent.rglob("migrations/*_*.py")
    return {"_".join(step.stem.split("_")[:2]) for step in steps if not step.stem.startswith("_")}
