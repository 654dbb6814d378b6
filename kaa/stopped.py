"""The data directory of a server that does not run: what an operator may do to it all the same."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import TypeVar

from kaa.app import migration_steps
from kaa.core.auth import KeyRecord, Keys
from kaa.core.clock import SystemClock
from kaa.core.ids import RandomIds
from kaa.core.key_api import NewKey
from kaa.core.key_store import SqlKeyStore
from kaa.core.log import configure
from kaa.core.metrics import Metrics
from kaa.core.storage.database import Storage
from kaa.core.storage.migrating import migrate_apart
from kaa.core.tasks import Tasks

T = TypeVar("T")


def add_key(directory: Path, new: NewKey) -> tuple[KeyRecord, str]:
    """Make a key; the directory must be locked, here and below."""
    return _run(directory, lambda keys: keys.make(new.role, name=new.name, applications=new.applications or ()))


def find_keys(directory: Path) -> list[KeyRecord]:
    """Give every key, oldest first."""
    return _run(directory, Keys.all)


def remove_key(directory: Path, key_id: str) -> None:
    """Remove a key; NotFound if there is none, Conflict if it is the last of an admin."""
    _run(directory, lambda keys: keys.remove(key_id))


def _run(directory: Path, work: Callable[[Keys], Awaitable[T]]) -> T:
    configure("warning", "auto")  # what a command says is its answer, and nothing else

    async def run() -> T:
        async with _opened(directory) as keys:
            return await work(keys)

    return asyncio.run(run())


@asynccontextmanager
async def _opened(directory: Path) -> AsyncIterator[Keys]:
    clock, ids, path = SystemClock(), RandomIds(), directory / "kaa.db"
    migrate_apart(path, migration_steps(), clock=clock, level="warning", format_="auto")
    storage = Storage(path, tasks=Tasks(), clock=clock, metrics=Metrics())
    async with storage.opened():
        keys = Keys(store=SqlKeyStore(storage), ids=ids, clock=clock)
        # the first start of a server makes an admin key if there is none at all, and there will be one
        await keys.ensure_admin_key(directory / "admin.key")
        yield keys
