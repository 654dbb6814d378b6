"""The data directory of a server that does not run: what an operator may do to it all the same."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar
from urllib.parse import quote

from kaa.app import migration_steps
from kaa.core.audit import AuditLog, AuditStore
from kaa.core.auth import Caller, KeyRecord, Keys
from kaa.core.clock import SystemClock
from kaa.core.errors import StartupError
from kaa.core.http.auditing import Change, Shown, shown
from kaa.core.http.render import to_json
from kaa.core.ids import RandomIds
from kaa.core.key_api import NewKey, key_view
from kaa.core.key_store import SqlKeyStore
from kaa.core.log import configure
from kaa.core.metrics import Metrics
from kaa.core.storage.database import Storage
from kaa.core.storage.migrating import migrate_apart
from kaa.core.tasks import Tasks

T = TypeVar("T")


_WHO = Caller(id="", role=None, name="command line")


@dataclass(frozen=True, slots=True)
class _Place:
    keys: Keys
    audit: AuditLog
    ids: RandomIds


def add_key(directory: Path, new: NewKey) -> tuple[KeyRecord, str]:
    """Make a key; the directory must be locked, here and below."""

    async def work(place: _Place) -> tuple[KeyRecord, str]:
        made, key = await place.keys.make(new.role, name=new.name, applications=new.applications or ())
        await _record(place, "POST", "", "Make a key for REST", 201, after=_shown(made))
        return made, key

    return _run(directory, work)


def find_keys(directory: Path) -> list[KeyRecord]:
    """Give every key, oldest first."""
    return _run(directory, lambda place: place.keys.all())


def remove_key(directory: Path, key_id: str) -> None:
    """Remove a key; NotFound if there is none, Conflict if it is the last of an admin."""

    async def work(place: _Place) -> None:
        gone = await place.keys.get(key_id)
        await place.keys.remove(key_id)
        await _record(place, "DELETE", f"/{quote(key_id)}", "Delete a key for REST", 204, before=_shown(gone))

    _run(directory, work)


async def _record(
    place: _Place,
    method: str,
    path: str,
    operation: str,
    status: int,
    *,
    before: Shown = Shown(),  # noqa: B008  frozen
    after: Shown = Shown(),  # noqa: B008  frozen
) -> None:
    change = Change(
        caller=_WHO,
        method=method,
        path=f"/keys/api/v1/keys{path}",
        operation=operation,
        status=status,
        correlation_id=place.ids.correlation_id(),
        before=before,
        after=after,
    )
    await place.audit.record(change)
    if (problem := place.audit.problem()) is not None:
        raise StartupError(f"the key was changed, but {problem}")


def _shown(record: KeyRecord) -> Shown:
    return shown(to_json(key_view(record)))


def _run(directory: Path, work: Callable[[_Place], Awaitable[T]]) -> T:
    configure("warning", "auto")  # what a command says is its answer, and nothing else

    async def run() -> T:
        async with _opened(directory) as place:
            return await work(place)

    return asyncio.run(run())


@asynccontextmanager
async def _opened(directory: Path) -> AsyncIterator[_Place]:
    clock, ids, path = SystemClock(), RandomIds(), directory / "kaa.db"
    migrate_apart(path, migration_steps(), clock=clock, level="warning", format_="auto")
    metrics = Metrics()
    storage = Storage(path, tasks=Tasks(), clock=clock, metrics=metrics)
    async with storage.opened():
        keys = Keys(store=SqlKeyStore(storage), ids=ids, clock=clock)
        # the first start of a server makes an admin key if there is none at all, and there will be one
        await keys.ensure_admin_key(directory / "admin.key")
        audit = AuditLog(AuditStore(storage), retention_ms=0, clock=clock, metrics=metrics)  # it cleans nothing here
        yield _Place(keys, audit, ids)
