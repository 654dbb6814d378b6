"""Keys in their table, also those of a database that was made before keys had names."""

import asyncio
import shutil
import sqlite3
from collections.abc import Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager, closing
from pathlib import Path
from typing import Any

import pytest
from fakes.clock import FakeClock

import kaa.core
from kaa.core.auth import KEY_HEADER, Keys, Role, key_hash
from kaa.core.errors import Conflict, NotFound
from kaa.core.ids import RandomIds
from kaa.core.key_store import SqlKeyStore
from kaa.core.metrics import Metrics
from kaa.core.storage.database import Storage
from kaa.core.storage.migrations import migrate
from kaa.core.tasks import Tasks

STEPS = Path(kaa.core.__file__).parent / "migrations"

Opened = Callable[[], AbstractAsyncContextManager[Keys]]


@pytest.fixture
def opened(tmp_path: Path, tasks: Tasks, clock: FakeClock, metrics: Metrics) -> Opened:
    """Open the keys of a database at its newest version."""

    @asynccontextmanager
    async def run() -> Any:
        path = tmp_path / "kaa.db"
        await asyncio.to_thread(migrate, path, [STEPS], clock=clock)
        async with Storage(path, tasks=tasks, clock=clock, metrics=metrics).opened() as storage:
            yield Keys(store=SqlKeyStore(storage), ids=RandomIds(), clock=clock)

    return run


async def test_a_key_is_kept_with_all_that_it_has(opened: Opened) -> None:
    async with opened() as keys:
        made, key = await keys.make(Role.VIEWER, name="wall", applications=("b", "a"))
        assert await keys.get(made.id) == made
        assert await keys.all() == [made]
        caller = await keys.caller({KEY_HEADER: key})
        assert (caller.name, caller.applications) == ("wall", ("b", "a"))


async def test_the_last_admin_key_stays(opened: Opened) -> None:
    async with opened() as keys:
        first, _ = await keys.make(Role.ADMIN)
        await keys.make(Role.OPERATOR)
        with pytest.raises(Conflict):
            await keys.remove(first.id)
        second, _ = await keys.make(Role.ADMIN)
        # of two who are removed at once one stays
        removed = [asyncio.ensure_future(keys.remove(one.id)) for one in (first, second)]  # noqa: TID251  the test's own
        done, _ = await asyncio.wait(removed)
        assert sorted(type(one.exception()) for one in done if one.exception() is not None) == [Conflict]
        assert [one.role for one in await keys.all()].count(Role.ADMIN) == 1
        with pytest.raises(NotFound):
            await keys.get("nobody")
        with pytest.raises(NotFound):
            await keys.remove("nobody")


async def test_the_keys_of_an_older_database_are_those_of_all_applications(
    opened: Opened, tmp_path: Path, clock: FakeClock
) -> None:
    (tmp_path / "steps").mkdir()
    shutil.copy(STEPS / "core_0001_outbox_and_keys.py", tmp_path / "steps")
    await asyncio.to_thread(migrate, tmp_path / "kaa.db", [tmp_path / "steps"], clock=clock)
    with closing(sqlite3.connect(tmp_path / "kaa.db")) as connection, connection:
        row = ("k", key_hash("secret"), "admin", 1)
        connection.execute("insert into core_key (id, hash, role, created_ms) values (?, ?, ?, ?)", row)
    async with opened() as keys:
        caller = await keys.caller({KEY_HEADER: "secret"})
        assert (caller.id, caller.role, caller.name, caller.is_limited) == ("k", Role.ADMIN, None, False)
