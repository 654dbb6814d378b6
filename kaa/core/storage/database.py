"""kaa.db: SQLite in WAL mode with `synchronous=FULL`, through SQLAlchemy Core.

One writer takes all the work that has queued up while it was committing, runs each piece within its own savepoint of
one transaction, commits once, and only then gives the results back: so what `write` has returned is on the disk, and
the batch grows with the load by itself. The writer has a thread of its own, one hop a batch. Readers have threads and
connections of their own, one hop a read; they never wait for the writer, and short ones not for long ones.
"""

import asyncio
import sqlite3
from collections import deque
from collections.abc import AsyncIterator, Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager, closing, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar, cast

import structlog
from sqlalchemy import Connection, Engine, StaticPool, create_engine, event
from sqlalchemy.exc import DBAPIError

from kaa.core.clock import Clock, Timer
from kaa.core.errors import Refusal, Unavailable
from kaa.core.metrics import Metrics
from kaa.core.storage.faults import storage_refusal
from kaa.core.storage.readers import Readers
from kaa.core.tasks import Tasks

log = structlog.get_logger(__name__)

T = TypeVar("T")

_MAX_BATCH = 256
_MAX_QUEUED = 10_000
_READERS = 4
_PROBE_MS = 3_000
_SETTLE_MS = 1_000
_BUSY_MS = 10_000
_PRAGMAS = (
    "journal_mode=wal",
    "synchronous=full",
    "foreign_keys=on",
    f"busy_timeout={_BUSY_MS}",
    "temp_store=memory",
)


@dataclass(slots=True, eq=False)
class _Job:
    work: Callable[[Connection], Any]
    done: "asyncio.Future[Any]"
    result: Any = None
    error: BaseException | None = None
    after_commit: list[Callable[[], None]] = field(default_factory=list)


class Storage:
    """The database of the services."""

    def __init__(self, path: Path, *, tasks: Tasks, clock: Clock, metrics: Metrics) -> None:
        self.path, self.metrics = path, metrics
        self._tasks, self._clock = tasks, clock
        self._queue: deque[_Job] = deque()
        self._has_work = asyncio.Event()
        self._is_closing = False
        self._is_suspect = False
        self._probe_timer: Timer | None = None
        self.last_error: str | None = None
        self._commits = metrics.counter("kaa_storage_commits_total", "Transactions of kaa.db")
        self._writes = metrics.counter("kaa_storage_writes_total", "Pieces of work in them")
        self._seconds = metrics.histogram(
            "kaa_storage_commit_seconds", "From the first statement of a transaction to its commit"
        )
        metrics.gauge_from(
            "kaa_storage_queued", "Pieces of work that wait for the writer of kaa.db", lambda: len(self._queue)
        )
        own = {"check_same_thread": False}  # made on the loop's thread at times, used on the writer's alone
        # no engine may say in a traceback what was to be stored
        self._writer = create_engine(f"sqlite:///{path}", poolclass=StaticPool, connect_args=own, hide_parameters=True)
        _prepare(self._writer, is_reader=False)
        self._thread = ThreadPoolExecutor(max_workers=1, thread_name_prefix="storage writer")
        self._readers = create_engine(
            f"sqlite:///{path}", pool_size=2 * _READERS, max_overflow=0, connect_args=own, hide_parameters=True
        )
        _prepare(self._readers, is_reader=True)
        self._short = ThreadPoolExecutor(_READERS, thread_name_prefix="storage reader")
        self._apart = Readers(path.stem)

    @asynccontextmanager
    async def opened(self) -> AsyncIterator["Storage"]:
        """Write and read while the block lasts; at its end what is queued is still committed."""
        loop = self._tasks.spawn(self._run(), name="storage writer")
        try:
            yield self
        finally:
            self._is_closing = True
            if self._probe_timer is not None:
                self._probe_timer.cancel()
            self._has_work.set()
            with suppress(asyncio.CancelledError):
                await loop
            self._apart.close()
            # what is still read, for one who waits no longer, is short
            await asyncio.get_running_loop().run_in_executor(self._thread, self._short.shutdown)
            self._readers.dispose()
            self._thread.shutdown()
            self._writer.dispose()

    async def write(self, work: Callable[[Connection], T]) -> T:
        """Run within a transaction, and return after its commit.

        Args:
            work: gets a synchronous connection, on the writer's thread. What it raises undoes what it did and nothing
                else, and is raised here. It may be run twice, must not wait for anything but the database, and gives
                back plain values.

        Raises:
            StorageFull: the disk is full.
            Unavailable: the disk fails, or too much is queued.
        """
        if len(self._queue) >= _MAX_QUEUED or self._is_closing:
            raise Unavailable("the storage has more to write than it can; try again later")
        job = _Job(work, asyncio.get_running_loop().create_future())
        self._queue.append(job)
        self._has_work.set()
        return cast("T", await job.done)

    async def read(self, work: Callable[[Connection], T]) -> T:
        """Run on a connection that sees what has been committed and can change nothing, on a thread of the readers'."""
        reading = asyncio.get_running_loop().run_in_executor(self._short, self._read, work)
        try:
            return await reading
        except DBAPIError as error:
            raise storage_refusal(error) or error from error

    async def read_apart(self, work: Callable[[Connection], T]) -> T:
        """Do what `read` does where neither telemetry nor a short read may wait for it: for what may give much."""
        try:
            return await self._apart.read(lambda: self._read(work))
        except DBAPIError as error:
            raise storage_refusal(error) or error from error

    def _read(self, work: Callable[[Connection], T]) -> T:
        with self._readers.connect() as connection:
            return work(connection)

    def after_commit(self, connection: Connection, callback: Callable[[], None]) -> None:
        """Call back when the piece of work that is running on the connection has been committed."""
        cast("_Job", connection.info["job"]).after_commit.append(callback)

    async def _run(self) -> None:
        while True:
            await self._has_work.wait()
            if not self._queue:
                if self._is_closing:
                    return
                self._has_work.clear()
                continue
            batch = [self._queue.popleft() for _ in range(min(len(self._queue), _MAX_BATCH))]
            await self._commit(batch)

    async def _commit(self, batch: list[_Job]) -> None:
        try:
            await self._transact(batch)
        # whatever it was, each piece of work is tried alone and gets its own error
        except Exception as error:  # noqa: BLE001
            if len(batch) > 1 and not isinstance(error, Refusal):  # a refusal has come before any of it
                log.warning("batch_failed_trying_one_by_one", size=len(batch), error=repr(error))
                for job in batch:
                    await self._commit([job])
                return
            self._remember(error)
            for job in batch:
                job.error = storage_refusal(error) or error
        else:
            self.last_error = None
        for job in batch:
            _finish(job)

    async def _transact(self, batch: list[_Job]) -> None:
        await asyncio.get_running_loop().run_in_executor(self._thread, self._apply, batch)
        self._commits.inc()
        self._writes.inc(len(batch))

    def _apply(self, batch: list[_Job]) -> None:
        """Run and commit, on the writer's thread."""
        try:
            with self._seconds.time():
                self._apply_with_connection(batch)
        except (DBAPIError, sqlite3.Error, Refusal):
            # After a failed write neither the connection nor the log is to be relied on: what stands in the log may
            # be in the memory of the system only, and what is appended behind it would be lost with it.
            self._is_suspect = True
            self._writer.dispose()
            raise

    def _apply_with_connection(self, batch: list[_Job]) -> None:
        if self._is_suspect:
            self._settle_log()
            self._is_suspect = False
        with self._writer.connect() as connection, connection.begin():
            for job in batch:
                job.result, job.error = None, None
                job.after_commit.clear()
                connection.info["job"] = job
                try:
                    with connection.begin_nested():
                        job.result = job.work(connection)
                # a piece of work that fails undoes itself only; its error is its caller's
                except Exception as error:
                    if isinstance(error, DBAPIError) and storage_refusal(error) is not None:
                        raise
                    job.error = error
                    job.after_commit.clear()

    def _settle_log(self) -> None:
        """Have the log written into the file and begun anew; Unavailable while a reader is in the way."""
        with closing(self._writer.raw_connection()) as raw, closing(raw.cursor()) as cursor:
            cursor.execute(f"pragma busy_timeout={_SETTLE_MS}")
            # SQLite reports a reader in the way here, not by an error
            is_busy, *_ = cursor.execute("pragma wal_checkpoint(truncate)").fetchone()
            cursor.execute(f"pragma busy_timeout={_BUSY_MS}")
        if is_busy:
            raise Unavailable("the storage is recovering from a failed write; try again")

    def _remember(self, error: Exception) -> None:
        if storage_refusal(error) is not None:
            self.last_error = str(getattr(error, "orig", error))
            log.error("storage_failed", error=self.last_error)
            if self._probe_timer is None and not self._is_closing:
                self._probe_timer = self._clock.call_later(_PROBE_MS, self._probe)

    def _probe(self) -> None:
        """Write something, so that a disk that works again is noticed without traffic; what fails asks again."""
        self._probe_timer = None
        if self.last_error is None or self._is_closing:
            return
        job = _Job(_touch, asyncio.get_running_loop().create_future())
        job.done.add_done_callback(asyncio.Future.exception)  # it has been remembered
        self._queue.append(job)
        self._has_work.set()


def _finish(job: _Job) -> None:
    if job.error is None:
        for callback in job.after_commit:
            callback()
    if job.done.done():
        return
    if job.error is not None:
        job.done.set_exception(job.error)
    else:
        job.done.set_result(job.result)


def _touch(connection: Connection) -> None:
    """Have a page written that is as it was; a transaction that changes nothing does not reach the disk."""
    version = connection.exec_driver_sql("pragma user_version").scalar_one()
    connection.exec_driver_sql(f"pragma user_version = {version}")


def _prepare(engine: Engine, *, is_reader: bool) -> None:
    """Have every connection set up, and every transaction begun in so many words."""
    pragmas = (*_PRAGMAS, "query_only=on") if is_reader else _PRAGMAS

    @event.listens_for(engine, "connect")
    def on_connect(connection: Any, _: object) -> None:
        # the driver begins transactions by itself, and not where it should; BEGIN is said below
        connection.isolation_level = None
        cursor = connection.cursor()
        for pragma in pragmas:
            cursor.execute(f"pragma {pragma}")
        cursor.close()

    @event.listens_for(engine, "begin")
    def on_begin(connection: Connection) -> None:
        connection.exec_driver_sql("begin" if is_reader else "begin immediate")
