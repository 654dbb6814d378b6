"""Backups of a server that runs, over REST: streamed to whoever asks, one at a time."""

import asyncio
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from threading import Event

import structlog
from prometheus_client import Gauge

from kaa.core.auth import Role
from kaa.core.clock import Clock
from kaa.core.errors import Conflict, StorageFull, Unavailable
from kaa.core.http import Call, Route, Stream
from kaa.core.storage.budget import Budget
from kaa.core.storage.readers import step_back

from .archive import BackupError
from .cut import Cut

log = structlog.get_logger(__name__)

SIZE_HEADER = "Kaa-Backup-Size"
"""Of the answer: how many bytes there are to be backed up, about what the answer will have."""


class Backups:
    """Makes backups of this server's data directory."""

    def __init__(
        self, directory: Path, *, budget: Budget, clock: Clock, made: Gauge, fault: Callable[[], str | None]
    ) -> None:
        """Take what is needed; `fault` says what is wrong with the storage, for it recovers only if nobody reads.

        `made` is set to when the last one was made, in seconds since 1970.
        """
        self._directory, self._budget, self._clock, self._made, self._fault = directory, budget, clock, made, fault
        self._is_busy = False

    async def take(self) -> "Taken":
        """Begin a backup: all that was acknowledged before is in it.

        Raises:
            Conflict: another one is being made.
            StorageFull: there is no room for the copies.
            Unavailable: the storage fails.
        """
        if self._is_busy:
            raise Conflict("a backup is being made; one at a time is")
        self._is_busy = True
        now_ms = self._clock.now_ms()
        taken = Taken(
            self._directory,
            now_ms=now_ms,
            check=self._check,
            on_made=lambda: self._made.set(now_ms / 1000),
            on_end=self._end,
        )
        try:
            self._check()
            cut = await taken.begin()
            await self._check_room(cut.copied_bytes)
        except BackupError as error:
            await taken.aclose()
            raise Unavailable(str(error)) from error
        except BaseException:
            await taken.aclose()
            raise
        log.info("backup_begun", size_bytes=cut.size_bytes)
        return taken

    async def _check_room(self, size_bytes: int) -> None:
        await self._budget.look()
        if size_bytes >= self._budget.usage.left_bytes:
            raise StorageFull(
                f"a backup needs copies of files within the data directory, of up to {size_bytes} bytes at a time: "
                "more than the storage may still take; delete data or add disk"
            )

    def _check(self) -> None:
        if (fault := self._fault()) is not None:
            raise BackupError(f"the storage is failing ({fault})")

    def _end(self) -> None:
        self._is_busy = False


class Taken:
    """The bytes of a backup, made on a thread of its own while they are taken; to be closed, whatever happens."""

    def __init__(
        self,
        directory: Path,
        *,
        now_ms: int,
        check: Callable[[], None],
        on_made: Callable[[], None],
        on_end: Callable[[], None],
    ) -> None:
        self._directory, self._now_ms, self._look = directory, now_ms, check
        self._on_made, self._on_end = on_made, on_end
        self._thread = ThreadPoolExecutor(1, "backup", initializer=step_back)
        self._is_over = Event()
        self._cut: Cut | None = None
        self._chunks: Iterator[bytes] = iter(())
        self._is_closed = False

    async def begin(self) -> Cut:
        """Take the moment."""

        def run() -> Cut:
            self._cut = Cut(self._directory, now_ms=self._now_ms, check=self._check)
            self._chunks = self._cut.chunks()
            return self._cut

        return await asyncio.get_running_loop().run_in_executor(self._thread, run)

    @property
    def size_bytes(self) -> int:
        """How much there is to be backed up."""
        return self._cut.size_bytes if self._cut is not None else 0

    def __aiter__(self) -> "Taken":
        return self

    async def __anext__(self) -> bytes:
        try:
            chunk = await asyncio.get_running_loop().run_in_executor(self._thread, next, self._chunks, None)
        except BackupError as error:
            raise Unavailable(str(error)) from error
        if chunk is None:
            await self.aclose()  # first: who sees the end may ask for another one
            self._on_made()
            log.info("backup_made")
            raise StopAsyncIteration
        return chunk

    async def aclose(self) -> None:
        """End it, and let go of all that it holds."""
        if self._is_closed:
            return
        self._is_closed = True
        self._is_over.set()

        def run() -> None:
            try:
                self._chunks = iter(())  # a generator that is under way ends here
                if self._cut is not None:
                    self._cut.close()
            finally:
                loop.call_soon_threadsafe(self._on_end)

        loop = asyncio.get_running_loop()
        ending = loop.run_in_executor(self._thread, run)
        self._thread.shutdown(wait=False)
        await ending

    def _check(self) -> None:
        if self._is_over.is_set():
            raise BackupError("it was broken off")
        self._look()


def routes(backups: Backups) -> list[Route]:
    """List what is answered below `/backup/api/v1`."""

    async def post_backup(_: Call) -> Stream:
        taken = await backups.take()
        return Stream(chunks=taken, content_type="application/x-tar", headers={SIZE_HEADER: str(taken.size_bytes)})

    return [
        Route(
            method="POST",
            path="/backups",
            handler=post_backup,
            summary="A backup of the whole server, secrets included, as a tar; for `kaa restore`. Needs an admin's key",
            returns=bytes,
            gives=("application/x-tar",),
            errors=(Conflict, StorageFull, Unavailable),
            means={409: "Another backup is being made"},
            writes=True,
            needs=Role.ADMIN,  # it holds every secret
        )
    ]
