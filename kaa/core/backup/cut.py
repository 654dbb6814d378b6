"""One moment of a data directory that goes on being written to, as the bytes of a backup.

Points are stored under numbers that kaa.db knows, and kaa.db forgets what it had to hand on once the points are
stored: so all of them have to be of one moment. While nobody may write to kaa.db, which is for some milliseconds, a
read transaction is begun on each file; from then on each shows that moment, however long its copying takes. What is
being written to is copied first, because a log cannot be begun anew while somebody reads from before it. A file in tls
is there before kaa.db refers to it, and is read after.
"""

import os
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from shutil import rmtree

from kaa.core.storage.periods import period_of

from .archive import ADMIN_KEY, CHUNK, DATABASE, TLS, BackupError, Writer, is_part

DRAFT = ".backup"
"""Below the data directory: where files are copied to before they are handed on."""

_STEP_PAGES = 256
_BUSY_MS = 10_000
_SYNC_BYTES = 4 << 20
_LARGEST_SMALL = 4 << 20
_NOT_OURS = frozenset({DRAFT, "backups", "kaa.lock", "server.json", ".server.json.new", ".admin.key.new"})
_BESIDE = ("-wal", "-shm", "-journal")


@dataclass(slots=True)
class _Source:
    """A database within the read transaction that shows the moment."""

    name: str
    connection: sqlite3.Connection
    is_written: bool
    size_bytes: int = 0


class Cut:
    """A moment of a data directory; for use on one thread, and to be closed."""

    def __init__(self, directory: Path, *, now_ms: int, check: Callable[[], None] = lambda: None) -> None:
        """Take the moment.

        Args:
            directory: the data directory.
            now_ms: what time it is.
            check: asked at every step of the copying; what it raises ends it.

        Raises:
            BackupError: there is nothing to be backed up, or it cannot be read.
        """
        self._directory, self._now_ms, self._check = directory, now_ms, check
        self._draft = directory / DRAFT
        self._sources: list[_Source] = []
        self.left_out: tuple[str, ...] = ()
        if not (directory / DATABASE).is_file():
            raise BackupError(f"{directory} is no data directory of kaa: it has no {DATABASE}")
        try:
            self._begin()
            files = [(path.relative_to(directory).as_posix(), path.stat().st_size) for path in _small(directory)]
            self.left_out = tuple(_left_out(directory))
        except (OSError, sqlite3.Error) as error:
            self.close()
            raise BackupError(f"{directory} cannot be read: {error}") from error
        except BaseException:
            self.close()
            raise
        sizes = [source.size_bytes for source in self._sources]
        written = sum(source.size_bytes for source in self._sources if source.is_written)
        self.copied_bytes = max(written, *sizes)
        """What is needed besides in the data directory while it is copied."""
        self.size_bytes = sum(sizes) + sum(size for _, size in files)
        """How much there is; the backup is larger by its headers."""

    def close(self) -> None:
        """Let go of the moment, and leave nothing behind."""
        while self._sources:
            self._sources.pop().connection.close()
        clear(self._directory)

    def chunks(self) -> Iterator[bytes]:
        """Yield the bytes of the backup.

        Raises:
            BackupError: the disk fails, or what `check` raises.
        """
        writer = Writer(self._now_ms)
        schemas = [row[0] for row in self._sources[0].connection.execute("select version_num from core_version")]
        try:
            clear(self._directory)
            self._draft.mkdir(mode=0o700)
            # first all that is written to: its log must not grow for as long as somebody far away takes to read this
            copies = [(source, self._copy(source)) for source in self._sources[:] if source.is_written]
            for source, draft in copies:
                yield from writer.part(source.name, source.size_bytes, self._content(draft))
            for source in self._sources[:]:
                yield from writer.part(source.name, source.size_bytes, self._content(self._copy(source)))
            for path in _small(self._directory):
                data = path.read_bytes()
                yield from writer.part(path.relative_to(self._directory).as_posix(), len(data), [data])
        except (OSError, sqlite3.Error) as error:
            raise BackupError(f"the backup cannot go on: {error}") from error
        finally:
            self.close()
        yield from writer.end(kaa=_version(), schemas=sorted(schemas), left_out=self.left_out)

    def _begin(self) -> None:
        """Open all, and then begin to read from each while nobody may write to kaa.db."""
        database = _open(self._directory / DATABASE)
        assert database is not None
        self._sources.append(_Source(DATABASE, database, is_written=True))
        for path in _by_period(self._directory):
            connection = _open(path)
            if connection is not None:
                name = path.relative_to(self._directory).as_posix()
                self._sources.append(_Source(name, connection, is_written=_has_log(path)))
        holder = _open(self._directory / DATABASE)
        assert holder is not None
        with closing(holder):
            holder.execute("begin immediate")
            for source in self._sources:
                source.connection.execute("begin")
                source.connection.execute("select 1 from sqlite_master").fetchall()
            holder.execute("rollback")
        for source in self._sources:
            [pages] = source.connection.execute("pragma page_count").fetchone()
            [page_bytes] = source.connection.execute("pragma page_size").fetchone()
            source.size_bytes = pages * page_bytes

    def _copy(self, source: _Source) -> Path:
        """Copy a database by SQLite's own means, and let go of it."""
        draft = self._draft / source.name.replace("/", "-")
        descriptor = os.open(draft, os.O_RDWR | os.O_CREAT | os.O_EXCL, 0o600)
        try:
            unsynced = 0

            def stepped(_status: int, _remaining: int, _total: int) -> None:
                nonlocal unsynced
                self._check()
                unsynced += _STEP_PAGES * 4096
                if unsynced >= _SYNC_BYTES:
                    # by and by: an fsync of telemetry would have to wait for all that the system has yet to write
                    os.fdatasync(descriptor)
                    unsynced = 0

            with closing(source.connection), closing(sqlite3.connect(draft, isolation_level=None)) as target:
                for pragma in ("journal_mode=off", "synchronous=off", "cache_size=-4096"):
                    target.execute(f"pragma {pragma}")
                source.connection.backup(target, pages=_STEP_PAGES, progress=stepped, sleep=0.01)
        finally:
            os.close(descriptor)
        self._sources.remove(source)
        return draft

    def _content(self, draft: Path) -> Iterator[bytes]:
        """Yield a copy, and delete it."""
        with draft.open("rb") as copy:
            draft.unlink()
            while chunk := copy.read(CHUNK):
                self._check()
                yield chunk


def clear(directory: Path) -> None:
    """Delete what an interrupted backup has left in a data directory."""
    rmtree(directory / DRAFT, ignore_errors=True)


def _open(path: Path) -> sqlite3.Connection | None:
    """Open a database; None if it has been deleted meanwhile."""
    try:
        # used by whoever copies, maybe on another thread than this
        connection = sqlite3.connect(
            f"{path.as_uri()}?mode=rw", uri=True, isolation_level=None, check_same_thread=False
        )
        connection.execute(f"pragma busy_timeout={_BUSY_MS}")
        connection.execute("pragma cache_size=-1024")
    except sqlite3.OperationalError:
        if path.exists():
            raise
        return None
    return connection


def _has_log(path: Path) -> bool:
    try:
        return Path(f"{path}-wal").stat().st_size > 0
    except FileNotFoundError:
        return False


def _by_period(directory: Path) -> list[Path]:
    """Find the files by period, the newest first: they are written to."""
    found = [path for path in directory.glob("*/*.db") if period_of(path) is not None and path.parent.name != TLS]
    return sorted(found, key=lambda path: path.name, reverse=True)


def _small(directory: Path) -> list[Path]:
    """Find what is no database."""
    found = [path for path in (directory / ADMIN_KEY, *sorted((directory / TLS).rglob("*"))) if path.is_file()]
    return [path for path in found if _is_kept(directory, path)]


def _is_kept(directory: Path, path: Path) -> bool:
    name = path.relative_to(directory).as_posix()
    if any(part.startswith(".") for part in name.split("/")):  # the draft of whoever writes it just now
        return False
    if not is_part(name):
        raise BackupError(f"{path} cannot be in a backup: its name is too long or too strange; rename it")
    if path.stat().st_size > _LARGEST_SMALL:
        raise BackupError(f"{path} is larger than any certificate or key; move it out of the data directory")
    return True


def _left_out(directory: Path) -> Iterator[str]:
    """Name what lies in the data directory and is not in its backup: what others have put there."""
    ours = {*_NOT_OURS, DATABASE, ADMIN_KEY, TLS, *(DATABASE + ending for ending in _BESIDE)}
    for path in sorted(directory.iterdir()):
        if path.name in ours:
            continue
        if not path.is_dir():
            yield path.name
            continue
        inside = sorted(path.iterdir())
        strange = [one for one in inside if not _is_of_period(one)]
        if strange and strange == inside:
            yield f"{path.name}/"
        else:
            yield from (f"{path.name}/{one.name}" for one in strange)


def _is_of_period(path: Path) -> bool:
    for ending in _BESIDE:
        path = path.with_name(path.name.removesuffix(ending))
    return path.suffix == ".db" and period_of(path) is not None


def _version() -> str:
    try:
        return version("kaa")
    except PackageNotFoundError:  # run from its folder, without having been installed
        return "unknown"
