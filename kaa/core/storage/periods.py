"""Tables in files of their own by period: retention deletes files, and the tree that is written to stays small.

A file is named by its span of time (UTC): `20261116T0000-20261123T0000.db`. One thread writes: it takes all the jobs
that have queued up, runs them within one transaction a file, commits, and tells the loop once. A commit is thus one
hop between the threads. Readers open connections of their own.
"""

import asyncio
import itertools
import queue
import sqlite3
import threading
from collections import OrderedDict
from collections.abc import AsyncIterator, Callable, Iterator, Mapping
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TypeVar, cast

import structlog

from kaa.core.errors import Unavailable
from kaa.core.metrics import Metrics
from kaa.core.storage.faults import storage_refusal
from kaa.core.storage.readers import Readers

log = structlog.get_logger(__name__)

T = TypeVar("T")
Work = Callable[[sqlite3.Connection], None]

_NAME = "%Y%m%dT%H%M"
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MAX_OPEN = 4
_MAX_JOBS = 64
_BUSY_MS = 10_000
_PRAGMAS = (
    "auto_vacuum=incremental",  # counts for a new file only, and before anything is written to it
    "journal_mode=wal",
    "synchronous=full",
    f"busy_timeout={_BUSY_MS}",
    "cache_size=-65536",
    "wal_autocheckpoint=4000",
    "journal_size_limit=67108864",
)


@dataclass(frozen=True, slots=True, order=True)
class Period:
    """A half-open span of time, milliseconds since 1970."""

    start_ms: int
    end_ms: int

    @property
    def file_name(self) -> str:
        """The name of its file."""
        return f"{_stamp(self.start_ms)}-{_stamp(self.end_ms)}.db"


def _stamp(at_ms: int) -> str:
    return (_EPOCH + timedelta(milliseconds=at_ms)).strftime(_NAME)


def period_of(file: Path) -> Period | None:
    """Give the period that a file is named by; None if it is another file."""
    try:
        start, end = (datetime.strptime(part, _NAME).replace(tzinfo=UTC) for part in file.stem.split("-"))
    except ValueError:
        return None
    return Period(*(int((at - _EPOCH).total_seconds() * 1000) for at in (start, end)))


@dataclass(slots=True, eq=False)
class _Job:
    work: Mapping[Period, Work]
    done: "asyncio.Future[None]"
    is_one_statement: bool
    error: BaseException | None = None


class PeriodFiles:
    """The files of one directory, each with the same tables."""

    def __init__(self, directory: Path, *, schema: str, period_ms: int, metrics: Metrics) -> None:
        self.directory = directory
        self.last_error: str | None = None
        self.period_ms = period_ms
        self._schema = schema
        self._periods: list[Period] = []
        self._jobs: queue.SimpleQueue[_Job | Callable[[], None] | None] = queue.SimpleQueue()
        self._open: OrderedDict[Period, sqlite3.Connection] = OrderedDict()
        self._suspect: set[Period] = set()
        self._is_closing = True
        self._readers = Readers(directory.name)
        self._commits = metrics.counter("kaa_points_commits_total", "Transactions of the files of points")
        self._seconds = metrics.histogram(
            "kaa_points_commit_seconds", "From the first row of a transaction to its commit"
        )
        metrics.gauge_from("kaa_points_queued", "Pieces of work that wait for the writer of points", self._jobs.qsize)

    @asynccontextmanager
    async def opened(self) -> AsyncIterator["PeriodFiles"]:
        """Write and read while the block lasts; what is queued at its end is still committed."""
        self.directory.mkdir(parents=True, exist_ok=True)
        self._periods = sorted(p for file in self.directory.glob("*.db") if (p := period_of(file)) is not None)
        loop = asyncio.get_running_loop()
        writer = threading.Thread(target=self._run, args=(loop,), name="periods writer", daemon=True)
        writer.start()
        self._is_closing = False
        try:
            yield self
        finally:
            self._is_closing = True  # the writer's thread takes nothing that comes after the None
            self._readers.close()
            self._jobs.put(None)
            await loop.run_in_executor(None, writer.join)

    def periods(self) -> list[Period]:
        """Give the periods that have a file, oldest first."""
        return list(self._periods)

    def period_at(self, at_ms: int) -> Period:
        """Give the period that holds a time; its file is made when it is first written to."""
        for period in reversed(self._periods):
            if period.start_ms <= at_ms < period.end_ms:
                return period
        start = at_ms // self.period_ms * self.period_ms
        end = start + self.period_ms
        for other in self._periods:  # of another length: the new one takes what they leave free
            if other.end_ms <= at_ms:
                start = max(start, other.end_ms)
            elif other.start_ms > at_ms:
                end = min(end, other.start_ms)
        return Period(start, end)

    async def write(self, work: Mapping[Period, Work], *, is_one_statement: bool = False) -> None:
        """Run each piece of work on its period's file, and return after the commits.

        Work that is a single statement is a transaction by itself, and says so: that is one call of SQLite instead of
        three, and each call is a moment at which a busy loop makes the writer wait for the interpreter.

        Raises:
            StorageFull: the disk is full.
            Unavailable: the disk fails.
        """
        self._check_open()
        job = _Job(work, asyncio.get_running_loop().create_future(), is_one_statement)
        self._jobs.put(job)
        await job.done

    async def read(self, work: Callable[[], T]) -> T:
        """Run off the loop, on a reader's thread."""
        return await self._readers.read(work)

    def stream(self, chunks: Callable[[], Iterator[bytes]]) -> AsyncIterator[bytes]:
        """Run a generator on a thread for streams and hand on what it yields; it waits when the taker is slow."""
        return self._readers.stream(chunks)

    @contextmanager
    def reading(self, period: Period) -> Iterator[sqlite3.Connection]:
        """Read a period's file, an empty one if it has been deleted meanwhile; for use on a reader's thread."""
        with self._readers.using(self._read_only(period)) as connection:
            yield connection

    def _read_only(self, period: Period) -> sqlite3.Connection:
        file = self.directory / period.file_name
        try:
            # closed by whoever reads, maybe on another of the readers' threads
            connection = sqlite3.connect(
                f"file:{file}?mode=rw", uri=True, isolation_level=None, check_same_thread=False
            )
            try:
                connection.execute("pragma query_only=on")
                connection.execute("pragma busy_timeout=10000")
                if connection.execute("select 1 from sqlite_master").fetchone() is not None:  # opens the log, too
                    return connection
            except BaseException:
                connection.close()
                raise
            connection.close()  # a crash has left it without its tables
        except sqlite3.OperationalError:
            if file.exists():
                raise
        empty = sqlite3.connect(":memory:", isolation_level=None, check_same_thread=False)
        empty.executescript(self._schema)
        return empty

    async def remove(self, period: Period) -> None:
        """Delete a period's file; Unavailable if the disk does not let it go."""
        self._check_open()
        loop = asyncio.get_running_loop()
        done: asyncio.Future[OSError | None] = loop.create_future()

        def run() -> None:
            failed = None
            try:
                self._close(period)
                file = self.directory / period.file_name
                for path in (file, Path(f"{file}-wal"), Path(f"{file}-shm")):
                    path.unlink(missing_ok=True)
                self._periods = [p for p in self._periods if p != period]
            except OSError as error:  # the caller's, not the end of the thread
                failed = error
            loop.call_soon_threadsafe(_tell, done, failed)

        self._jobs.put(run)
        if (error := await done) is not None:
            raise storage_refusal(error) or error from error

    async def shrink(self, period: Period) -> None:
        """Give back what deletions have left free in a period's file."""
        self._check_open()
        loop = asyncio.get_running_loop()
        done: asyncio.Future[OSError | None] = loop.create_future()

        def run() -> None:
            try:
                if period in self._periods:  # it may have been deleted meanwhile
                    connection = self._connection(period)
                    connection.executescript("pragma incremental_vacuum")  # execute() would take one step of it
                    # whoever reads for long, as a backup does, is not waited for: others want to write
                    connection.execute("pragma busy_timeout=0")
                    connection.execute("pragma wal_checkpoint(truncate)").fetchall()
                    connection.execute(f"pragma busy_timeout={_BUSY_MS}")
            except sqlite3.Error as error:  # it is done again after the next deletion
                log.warning("period_not_shrunk", period=period.file_name, error=str(error))
                self._close(period)
            loop.call_soon_threadsafe(_tell, done, None)

        self._jobs.put(run)
        await done

    def _check_open(self) -> None:
        if self._is_closing:
            raise Unavailable("the storage is closing; nothing was stored")

    # below: the writer's thread

    def _run(self, loop: asyncio.AbstractEventLoop) -> None:
        while True:
            taken = [self._jobs.get()]
            while len(taken) < _MAX_JOBS and not self._jobs.empty():
                taken.append(self._jobs.get())
            for are_writes, group in itertools.groupby(taken, lambda job: isinstance(job, _Job)):
                if are_writes:
                    batch = cast("list[_Job]", list(group))
                    self._commit(batch)
                    loop.call_soon_threadsafe(_finish, batch)
                    continue
                for call in group:
                    if call is None:
                        for period in list(self._open):
                            self._close(period)
                        return
                    cast("Callable[[], None]", call)()

    def _commit(self, batch: list[_Job]) -> None:
        try:
            self._transact(batch)
        # whatever it was, each job is tried alone and gets its own error
        except Exception as error:  # noqa: BLE001
            if len(batch) > 1:
                for job in batch:
                    self._commit([job])
                return
            batch[0].error = storage_refusal(error) or error
            self.last_error = str(error)
        else:
            self.last_error = None

    def _transact(self, batch: list[_Job]) -> None:
        touched = dict.fromkeys(period for job in batch for period in job.work)
        for period in touched:
            connection = self._connection(period)
            jobs = [job for job in batch if period in job.work]
            is_transaction = len(jobs) == 1 and jobs[0].is_one_statement
            try:
                with self._seconds.time():
                    if not is_transaction:
                        connection.execute("begin immediate")
                    for job in jobs:
                        job.work[period](connection)
                    if not is_transaction:
                        connection.execute("commit")
            except BaseException:
                # after a failed write the connection's state is not to be relied on
                self._close(period)
                self._suspect.add(period)
                raise
            self._commits.inc()

    def _connection(self, period: Period) -> sqlite3.Connection:
        connection = self._open.get(period)
        if connection is not None:
            self._open.move_to_end(period)
            return connection
        if len(self._open) >= _MAX_OPEN:
            self._close(next(iter(self._open)))
        connection = sqlite3.connect(self.directory / period.file_name, isolation_level=None, check_same_thread=False)
        try:
            for pragma in _PRAGMAS:
                connection.execute(f"pragma {pragma}")
            if period in self._suspect:
                _settle_log(connection)
            connection.executescript(self._schema)
        except BaseException:
            connection.close()
            if period not in self._periods:  # a file without its tables would be in the way
                (self.directory / period.file_name).unlink(missing_ok=True)
            raise
        self._suspect.discard(period)
        self._open[period] = connection
        if period not in self._periods:
            self._periods = sorted([*self._periods, period])
        return connection

    def _close(self, period: Period) -> None:
        connection = self._open.pop(period, None)
        if connection is None:
            return
        try:
            if connection.in_transaction:
                connection.rollback()
            connection.close()
        except sqlite3.Error as error:
            log.warning("period_close_failed", period=period.file_name, error=str(error))


def _settle_log(connection: sqlite3.Connection) -> None:
    """Write into the file what stands in the log, and begin the log anew.

    After a failed fsync what was written may be in the memory of the system only, and taken for written; what is
    appended behind it would be lost with it.
    """
    is_busy, *_ = connection.execute("pragma wal_checkpoint(truncate)").fetchone()
    if is_busy:
        raise Unavailable("the storage is recovering from a failed write; try again")


def _tell(done: "asyncio.Future[OSError | None]", failed: OSError | None) -> None:
    if not done.done():
        done.set_result(failed)


def _finish(batch: list[_Job]) -> None:
    for job in batch:
        if job.done.done():
            continue
        if job.error is not None:
            job.done.set_exception(job.error)
        else:
            job.done.set_result(None)
