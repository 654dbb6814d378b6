"""Rules that every test is held to: no task outlives it, nothing in it blocks the loop, and it does not hang.

`tests/` is on the import path, so that any test may say `from fakes.clock import FakeClock`.
"""

import asyncio
import gc
import inspect
import os
import shutil
import signal
import threading
import time
from asyncio.events import Handle
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import pytest
import structlog
from _pytest.runner import runtestprotocol

LONGEST_STEP_S = 0.1
SAMPLE_S = 0.01
LONGEST_TEST_S = 120
_TURNS = 50
_ATTEMPTS = 3
_IN_MEMORY, _ENOUGH_BYTES = Path("/dev/shm"), 2 << 30


class LoopWatch:
    """Notes every step of an event loop that took too much of its thread's CPU time.

    CPU time, for wall time is the machine's: on a busy one every step takes long now and then. A guest is charged for
    what its host takes away, so even that is tried again before it counts. To ask for it is a system call, so it is
    asked for now and then, and where a step was long by the clock. The garbage collector's share is left out: it goes
    through all that pytest has kept so far. `is_on` is for a test that has to do something heavy itself.
    """

    def __init__(self) -> None:
        self.is_on = True
        self.slow: list[str] = []
        self._local = _OfThread()

    def install(self) -> None:
        """Have every handle of asyncio's own loop measured."""
        run, wall, watch, local = Handle._run, time.perf_counter, self, self._local

        def measured(handle: Handle) -> None:
            begun = wall()
            if begun > local.stale_at:
                local.stale_at, local.cpu, local.collecting = begun + SAMPLE_S, time.thread_time(), 0.0
            run(handle)
            if wall() - begun > LONGEST_STEP_S and watch.is_on:
                spent = time.thread_time() - local.cpu - local.collecting
                if spent > LONGEST_STEP_S + SAMPLE_S:
                    watch.slow.append(f"{spent * 1000:.0f} ms in {handle!r}")

        Handle._run = measured  # type: ignore[method-assign]
        gc.callbacks.append(self._on_collection)

    def _on_collection(self, phase: str, _: object) -> None:
        local = self._local
        if phase == "start":
            local.collection_began = time.thread_time()
        else:
            local.collecting += time.thread_time() - local.collection_began


class _OfThread(threading.local):
    """When the CPU time was asked for last, what it was, and what collections have taken of it since."""

    stale_at = cpu = collecting = collection_began = 0.0


@pytest.fixture(autouse=True)
def plain_log() -> None:
    """Log as plainly as the server does: unasked, structlog draws every local variable, for 100 ms and more."""
    structlog.configure(
        processors=[
            structlog.contextvars.merge_contextvars,
            structlog.processors.add_log_level,
            structlog.dev.ConsoleRenderer(colors=False, exception_formatter=structlog.dev.plain_traceback),
        ]
    )


_watch = LoopWatch()
_watch.install()


@pytest.fixture
def loop_watch() -> LoopWatch:
    return _watch


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption(
        "--bus", choices=["memory", "nats"], default="memory", help="what the end-to-end tests' servers speak over"
    )


def pytest_configure(config: pytest.Config) -> None:
    """Keep what tests write in memory, where there is enough: none is about how long a disk takes to answer an fsync.

    What a test kills loses nothing by it: the system keeps what a process has written, whatever becomes of the process.
    """
    if config.option.basetemp is None and _IN_MEMORY.is_dir() and shutil.disk_usage(_IN_MEMORY).free > _ENOUGH_BYTES:
        os.environ.setdefault("PYTEST_DEBUG_TEMPROOT", str(_IN_MEMORY))  # noqa: TID251  pytest's own door to it


def pytest_collection_finish() -> None:
    """Keep the collector from walking through all the tests again and again, as the server does after its start."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(50_000, 20, 20)


def pytest_runtest_protocol(item: pytest.Item, nextitem: pytest.Item | None) -> bool:
    """Run a test that blocked the loop again: what blocks it does so every time, a busy machine does not."""
    item.ihook.pytest_runtest_logstart(nodeid=item.nodeid, location=item.location)
    for attempt in range(_ATTEMPTS):
        reports = runtestprotocol(item, log=False, nextitem=nextitem)
        if not _watch.slow or any(report.failed for report in reports if report.when != "teardown"):
            break
        if attempt < _ATTEMPTS - 1:
            item._initrequest()  # type: ignore[attr-defined]  its fixtures are made anew
    for report in reports:
        item.ihook.pytest_runtest_logreport(report=report)
    item.ihook.pytest_runtest_logfinish(nodeid=item.nodeid, location=item.location)
    return True


@pytest.fixture(autouse=True)
def nothing_blocks_the_loop() -> Iterator[None]:
    _watch.is_on = True
    _watch.slow.clear()
    yield
    if _watch.slow:
        pytest.fail("the loop was blocked: " + "; ".join(_watch.slow), pytrace=False)


@pytest.fixture(autouse=True)
def it_does_not_hang(request: pytest.FixtureRequest) -> Iterator[None]:
    """End a test that waits for something that never comes; one marked `soak` may take its time."""
    if request.node.get_closest_marker("soak"):
        yield
        return

    def on_alarm(*_: object) -> None:
        pytest.fail(f"not done after {LONGEST_TEST_S} s")

    before = signal.signal(signal.SIGALRM, on_alarm)
    signal.alarm(LONGEST_TEST_S)
    yield
    signal.alarm(0)
    signal.signal(signal.SIGALRM, before)


@pytest.fixture(autouse=True)
def no_task_outlives_its_test(request: pytest.FixtureRequest) -> None:
    function: Any = getattr(request, "function", None)
    if function is not None and inspect.iscoroutinefunction(inspect.unwrap(function)):
        request.getfixturevalue("no_task_is_left")


@pytest.fixture
async def no_task_is_left() -> AsyncIterator[None]:
    before = asyncio.all_tasks()
    yield
    for _ in range(_TURNS):  # what has been told to end may need some turns of the loop
        left = [task for task in asyncio.all_tasks() - before if task is not asyncio.current_task()]
        if not left:
            return
        await asyncio.sleep(0)
    for task in left:
        task.cancel()
    await asyncio.wait(left)
    names = sorted(f"{task.get_name()} ({getattr(task.get_coro(), '__qualname__', '?')})" for task in left)
    pytest.fail("tasks outlived the test: " + ", ".join(names), pytrace=False)
