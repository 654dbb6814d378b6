"""What endpoints run and are offered."""

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from pydantic_core import from_json, to_json
from sqlalchemy import ColumnElement, Connection, bindparam, delete, func, insert, select, update

from kaa.core.storage.database import Storage
from kaa.core.storage.outbox import Outbox

from ..models import Installation, Report, Rollout, Status
from ..semver import key_of
from .tables import Event, endpoint_table, gone_table, revision_of, rollout_table

_PART = 500  # as many variables as any SQLite takes in a statement
_FEW = 50
_GONE_MS = 86_400_000


@dataclass(frozen=True, slots=True)
class Change:
    """What an endpoint has become, and the event that tells of its offer; `is_new` if nothing was known of it."""

    installation: Installation
    is_new: bool
    event: Event | None = None


class EndpointRepository:
    """Keeps what endpoints run; an offer takes the event that tells of it along."""

    def __init__(self, storage: Storage, outbox: Outbox) -> None:
        self._storage, self._outbox = storage, outbox

    async def find(self, endpoint_ids: Collection[str]) -> dict[str, Installation]:
        """Give what is known of these, by their ids."""
        ids = list(endpoint_ids)

        def run(connection: Connection) -> dict[str, Installation]:
            found = {}
            for at in range(0, len(ids), _PART):
                query = select(endpoint_table).where(endpoint_table.c.endpoint_id.in_(ids[at : at + _PART]))
                found.update({row.endpoint_id: _made(row) for row in connection.execute(query)})
            return found

        return await (self._storage.read(run) if len(ids) <= _FEW else self._storage.read_apart(run))

    async def find_running(self, application: str, keys: Sequence[str], *, after: str, limit: int) -> list[str]:
        """Give ids of endpoints that run one of these versions, in order, from behind one on."""
        table = endpoint_table
        query = (
            select(table.c.endpoint_id)
            .where(table.c.application == application, table.c.endpoint_id > after)
            .order_by(table.c.endpoint_id)
            .limit(limit)
        )

        def run(connection: Connection) -> list[str]:
            found: set[str] = set()
            for at in range(0, len(keys), _PART):
                part = query.where(table.c.version_key.in_(keys[at : at + _PART]))
                found.update(connection.execute(part).scalars())
            return sorted(found)[:limit]

        return await self._storage.read(run)

    async def save(
        self, changes: Sequence[Change], *, revisions: Mapping[str, int], rollout: Rollout | None = None
    ) -> bool:
        """Keep changes, and how far a roll-out has come; False, and nothing is kept, if a revision is another by now.

        A report of an endpoint that has been deleted meanwhile is dropped.
        """

        def run(connection: Connection) -> bool:
            if any(revision_of(connection, name) != revision for name, revision in revisions.items()):
                return False
            gone = _gone(connection, [c.installation for c in changes if c.is_new])
            kept = [c for c in changes if c.installation.endpoint_id not in gone]
            table = endpoint_table
            for at in range(0, len(kept), _PART):
                part = kept[at : at + _PART]
                ids = [change.installation.endpoint_id for change in part]
                connection.execute(delete(table).where(table.c.endpoint_id.in_(ids)))
                connection.execute(insert(table), [_row(change.installation) for change in part])
            self._outbox.add_all(connection, [change.event for change in kept if change.event is not None])
            if rollout is not None:
                reached = update(rollout_table).where(rollout_table.c.id == rollout.id).values(after=rollout.after)
                connection.execute(reached)
            return True

        return await self._storage.write(run)

    async def remove(self, gone: Mapping[str, int], *, now_ms: int) -> None:
        """Forget endpoints that were deleted, each at its time; one that reported later has its id anew, and stays."""
        rows = [{"endpoint_id": endpoint_id, "gone_ms": at_ms} for endpoint_id, at_ms in gone.items()]
        keys = [{"key": endpoint_id, "until_ms": at_ms} for endpoint_id, at_ms in gone.items()]
        forgotten = delete(endpoint_table).where(
            endpoint_table.c.endpoint_id == bindparam("key"), endpoint_table.c.reported_ms <= bindparam("until_ms")
        )
        gone_before = delete(gone_table).where(gone_table.c.endpoint_id == bindparam("key"))

        def run(connection: Connection) -> None:
            connection.execute(forgotten, keys)
            connection.execute(gone_before, keys)
            connection.execute(insert(gone_table), rows)
            connection.execute(delete(gone_table).where(gone_table.c.gone_ms < now_ms - _GONE_MS))

        await self._storage.write(run)

    async def find_page(
        self,
        application: str,
        *,
        endpoint_ids: Collection[str],
        versions: Collection[str],
        statuses: Collection[Status],
        offset: int,
        limit: int,
    ) -> tuple[list[Installation], int]:
        """Give one page of an application's endpoints by id, and how many there are in all."""
        table = endpoint_table
        limits: list[ColumnElement[bool]] = [table.c.application == application]
        if endpoint_ids:
            limits.append(table.c.endpoint_id.in_(endpoint_ids))
        if versions:
            limits.append(table.c.version_key.in_([key_of(version) for version in versions]))
        if statuses:
            limits.append(table.c.status.in_(statuses))
        page = select(table).where(*limits).order_by(table.c.endpoint_id).offset(offset).limit(limit)
        count = select(func.count()).select_from(table).where(*limits)

        def run(connection: Connection) -> tuple[list[Installation], int]:
            return [_made(row) for row in connection.execute(page)], connection.execute(count).scalar_one()

        return await self._storage.read_apart(run)

    async def find_versions(self, application: str) -> list[tuple[str, str]]:
        """Give the id and the version of every endpoint that has reported one."""
        table = endpoint_table
        query = select(table.c.endpoint_id, table.c.version_key).where(
            table.c.application == application, table.c.version_key.is_not(None)
        )
        return await self._storage.read_apart(
            lambda connection: [(row[0], row[1]) for row in connection.execute(query)]
        )

    async def split_by_previous(
        self, application: str, key: str, is_taken: Callable[[str | None], bool], *, limit: int
    ) -> tuple[int, int, list[tuple[str, str | None]]]:
        """Count the endpoints that run a version by whether the version that they came from is taken.

        Gives the number of those for which it is, the number of the others, and the first of these with their ids.
        """
        table = endpoint_table
        query = (
            select(table.c.endpoint_id, table.c.previous)
            .where(table.c.application == application, table.c.version_key == key)
            .order_by(table.c.endpoint_id)
        )

        def run(connection: Connection) -> tuple[int, int, list[tuple[str, str | None]]]:
            taken, others, first = 0, 0, list[tuple[str, str | None]]()
            for endpoint_id, previous in connection.execute(query):
                if is_taken(previous):
                    taken += 1
                    continue
                others += 1
                if len(first) < limit:
                    first.append((endpoint_id, previous))
            return taken, others, first

        return await self._storage.read_apart(run)


def _gone(connection: Connection, new: Sequence[Installation]) -> set[str]:
    gone = set()
    reported = {one.endpoint_id: one.last.at_ms for one in new if one.last is not None}
    ids = list(reported)
    for at in range(0, len(ids), _PART):
        rows = connection.execute(select(gone_table).where(gone_table.c.endpoint_id.in_(ids[at : at + _PART])))
        gone |= {row.endpoint_id for row in rows if reported[row.endpoint_id] <= row.gone_ms}
    return gone


def _row(one: Installation) -> dict[str, Any]:
    last, result = one.last, one.result
    return {
        "endpoint_id": one.endpoint_id,
        "application": one.application,
        "app_version": one.app_version,
        "app_version_ms": one.app_version_ms,
        "version": one.version,
        "version_key": None if one.version is None else key_of(one.version),
        "version_ms": one.version_ms,
        "previous": one.previous,
        "reported_ms": 0 if last is None else last.at_ms,
        "offered": one.offered,
        "offered_ms": one.offered_ms,
        "told": one.told,
        "last": None if last is None else to_json(last),
        "result": None if result is None else to_json(result),
        "status": one.status,
    }


def _made(row: Any) -> Installation:
    return Installation(
        endpoint_id=row.endpoint_id,
        application=row.application,
        app_version=row.app_version,
        app_version_ms=row.app_version_ms,
        version=row.version,
        version_ms=row.version_ms,
        previous=row.previous,
        offered=row.offered,
        offered_ms=row.offered_ms,
        told=row.told,
        last=_report(row.last),
        result=_report(row.result),
    )


def _report(text: bytes | None) -> Report | None:
    return None if text is None else Report(**from_json(text))
