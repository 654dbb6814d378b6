"""The audit log in its table: kept, found, cleaned, and what becomes of it when the disk fails."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from fakes.clock import FakeClock
from waiting import until

import kaa.core
from kaa.core.audit import AuditLog, AuditStore
from kaa.core.audit.models import Wanted
from kaa.core.auth import Caller, Role
from kaa.core.errors import StorageFull
from kaa.core.http.auditing import Change
from kaa.core.metrics import Metrics
from kaa.core.storage.database import Storage
from kaa.core.storage.migrations import migrate
from kaa.core.tasks import Tasks

HOUR_MS = 3_600_000
STEPS = Path(kaa.core.__file__).parent / "migrations"


class Shaky(AuditStore):
    """A store whose disk may be full."""

    is_full = False

    async def add(self, entries: Any) -> None:
        if self.is_full:
            raise StorageFull("the disk is full")
        await super().add(entries)


@pytest.fixture
async def store(tmp_path: Path, tasks: Tasks, clock: FakeClock, metrics: Metrics) -> AsyncIterator[Shaky]:
    path = tmp_path / "kaa.db"
    await asyncio.to_thread(migrate, path, [STEPS], clock=clock)
    async with Storage(path, tasks=tasks, clock=clock, metrics=metrics).opened() as storage:
        yield Shaky(storage)


@pytest.fixture
def audit(store: Shaky, clock: FakeClock, metrics: Metrics) -> AuditLog:
    return AuditLog(store, retention_ms=24 * HOUR_MS, clock=clock, metrics=metrics)


def change(path: str) -> Change:
    caller = Caller(id="k", role=Role.OPERATOR, name="ci")
    return Change(caller=caller, method="PUT", path=path, operation="Put it", status=200, correlation_id="c")


async def paths(store: AuditStore, *, offset: int = 0, limit: int = 1_000, **wanted: Any) -> list[str]:
    return [one.path async for part in store.find(Wanted(**wanted), offset=offset, limit=limit) for one in part]


async def test_entries_come_newest_first_in_any_portion(store: Shaky, audit: AuditLog, clock: FakeClock) -> None:
    for number in range(120):
        await audit.record(change(f"/{number:03}"))
        await clock.advance(1)
    newest_first = [f"/{number:03}" for number in reversed(range(120))]
    assert await paths(store) == newest_first
    assert await paths(store, offset=45, limit=60) == newest_first[45:105]
    assert await paths(store, limit=0) == []
    assert await paths(store, path="/01") == newest_first[100:110]
    assert await store.count(Wanted(path="/01")) == 10
    middle = clock.now_ms() - 60
    assert await paths(store, from_ms=middle) == newest_first[:60]
    assert await paths(store, to_ms=middle) == newest_first[60:]


async def test_a_prefix_is_taken_as_it_is(store: Shaky, audit: AuditLog) -> None:
    for path in ("/a%20b", "/a_b", "/axb"):
        await audit.record(change(path))
    assert await paths(store, path="/a_") == ["/a_b"]
    assert await paths(store, path="/a%") == ["/a%20b"]


async def test_what_is_older_than_the_retention_is_removed(
    store: Shaky, audit: AuditLog, clock: FakeClock, tasks: Tasks
) -> None:
    await audit.record(change("/old"))
    await clock.advance(23 * HOUR_MS)
    await audit.record(change("/new"))
    keeping = tasks.spawn(audit.keep(), name="audit log")
    await until(clock.waiting)
    assert await paths(store) == ["/new", "/old"]
    await clock.advance(HOUR_MS)

    async def is_cleaned() -> bool:
        await clock.advance(60_000)
        return await paths(store) == ["/new"]

    await until(is_cleaned)
    await tasks.stop(keeping)


async def test_what_could_not_be_written_is_written_with_the_next(store: Shaky, audit: AuditLog) -> None:
    store.is_full = True
    await audit.record(change("/a"))
    await audit.record(change("/b"))
    assert audit.problem() is not None
    assert await paths(store) == []
    store.is_full = False
    await audit.record(change("/c"))
    assert audit.problem() is None
    assert sorted(await paths(store)) == ["/a", "/b", "/c"]


async def test_what_could_not_be_written_is_tried_again_without_a_next(
    store: Shaky, audit: AuditLog, clock: FakeClock, tasks: Tasks
) -> None:
    store.is_full = True
    await audit.record(change("/a"))
    keeping = tasks.spawn(audit.keep(), name="audit log")
    await until(clock.waiting)
    store.is_full = False

    async def is_written() -> bool:
        await clock.advance(60_000)
        return await paths(store) == ["/a"]

    await until(is_written)
    await tasks.stop(keeping)


async def test_what_waits_is_bounded_and_what_is_lost_counted(store: Shaky, audit: AuditLog, metrics: Metrics) -> None:
    store.is_full = True
    for number in range(1_003):
        await audit.record(change(f"/{number}"))
    assert b"kaa_audit_lost_total 3.0" in metrics.render()
    store.is_full = False
    await audit.flush()
    assert await store.count(Wanted()) == 1_000
    assert await paths(store, path="/2") != []
    assert "/2" not in await paths(store)
