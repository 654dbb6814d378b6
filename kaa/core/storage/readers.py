"""Threads that read, apart from the loop: some for short work, some for streams, which last as long as their takers."""

import asyncio
import os
import sqlite3
import threading
from collections.abc import AsyncIterator, Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, contextmanager, suppress
from typing import TypeVar

from kaa.core.errors import Unavailable
from kaa.core.storage.faults import storage_refusal

T = TypeVar("T")

_THREADS = 4
_NICE = 10
_CHUNKS_AHEAD = 4
_MOST_STREAMS = 16


class Readers:
    """Runs work that reads; a slow taker of a stream holds up other streams, at most, and no short work."""

    def __init__(self, name: str) -> None:
        self._short = ThreadPoolExecutor(_THREADS, f"{name} reader", initializer=step_back)
        self._long = ThreadPoolExecutor(_THREADS, f"{name} streamer", initializer=step_back)
        self._streams = 0
        self._connections: set[sqlite3.Connection] = set()
        self._is_closing = False

    async def read(self, work: Callable[[], T]) -> T:
        """Run off the loop."""
        try:
            return await asyncio.get_running_loop().run_in_executor(self._short, work)
        except sqlite3.Error as error:
            raise storage_refusal(error) or error from error

    async def stream(self, chunks: Callable[[], Iterator[bytes]]) -> AsyncIterator[bytes]:
        """Run a generator off the loop and hand on what it yields; it waits when the taker is slow.

        Raises:
            Unavailable: so many streams are under way that this one would only wait.
        """
        if self._streams >= _MOST_STREAMS:
            raise Unavailable("too many long reads are under way; try again later")
        loop = asyncio.get_running_loop()
        ready: asyncio.Queue[bytes | BaseException | None] = asyncio.Queue()
        room = threading.Semaphore(_CHUNKS_AHEAD)
        is_over = threading.Event()

        def run() -> None:
            end: BaseException | None = None
            try:
                for chunk in chunks():
                    while not room.acquire(timeout=1):
                        if is_over.is_set() or self._is_closing:
                            return
                    if is_over.is_set() or self._is_closing:
                        return
                    loop.call_soon_threadsafe(ready.put_nowait, chunk)
            # it is the taker's error, and raised there
            except BaseException as error:  # noqa: BLE001
                end = error
            with suppress(RuntimeError):  # the loop may be gone
                loop.call_soon_threadsafe(ready.put_nowait, end)

        self._streams += 1
        try:
            reading = loop.run_in_executor(self._long, run)
            while (chunk := await ready.get()) is not None:
                if isinstance(chunk, BaseException):
                    raise storage_refusal(chunk) or chunk
                yield chunk
                room.release()
            await reading
        finally:
            self._streams -= 1
            is_over.set()
            room.release()

    @contextmanager
    def using(self, connection: sqlite3.Connection) -> Iterator[sqlite3.Connection]:
        """Read with a connection while the block lasts, and close it; a read under way ends when the readers close."""
        with closing(connection):
            self._connections.add(connection)
            try:
                yield connection
            finally:
                self._connections.discard(connection)

    def close(self) -> None:
        """End what is under way, and take no more."""
        self._is_closing = True
        for connection in list(self._connections):
            with suppress(sqlite3.ProgrammingError):  # it has just been closed
                connection.interrupt()
        for pool in (self._short, self._long):
            pool.shutdown(wait=False, cancel_futures=True)


def step_back() -> None:
    """Let telemetry have the processor first: a long read may take a little longer."""
    with suppress(OSError, AttributeError):  # where threads have no priority of their own
        os.setpriority(os.PRIO_PROCESS, threading.get_native_id(), _NICE)
