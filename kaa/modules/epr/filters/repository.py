"""What is kept of filters.

For those who list endpoints: `matched_by`, `check_active` and `filters_of` work within their own transactions.
"""

from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import fields
from typing import Any

from pydantic_core import from_json, to_json
from sqlalchemy import ColumnElement, Connection, func, insert, select, update
from sqlalchemy.exc import IntegrityError

from kaa.core.errors import Conflict, NotFound
from kaa.core.storage.database import Storage
from kaa.core.storage.outbox import Outbox
from kaa.core.storage.parts import parts

from ..events import Event
from ..repository.tables import endpoint_table
from .models import Filter, Status, is_same_query
from .tables import filter_table, match_table
from .telling import Telling

Change = Callable[[Filter], Filter]
"""Gives what becomes of a filter, or refuses. It runs within the transaction."""

_IS_THERE = filter_table.c.status != Status.DELETED
_COLUMNS = [filter_table.c[one.name] for one in fields(Filter)]
_FROM_THE_BEGINNING = {"passed_ms": -1, "passed_id": ""}


class FilterRepository:
    """Keeps filters; a change takes the event that tells of it along."""

    def __init__(self, storage: Storage, outbox: Outbox, tell: Telling) -> None:
        self._storage, self._outbox, self._tell = storage, outbox, tell

    async def add(self, made: Filter, *, at_most: int) -> Event:
        """Keep a new filter; Conflict if its name is taken, or the application has as many as it may."""

        def run(connection: Connection) -> Event:
            count = select(func.count()).where(filter_table.c.application == made.application, _IS_THERE)
            if connection.execute(count).scalar_one() >= at_most:
                raise Conflict(f"the application {made.application!r} has {at_most} filters, as many as it may")
            with _unique(made):
                connection.execute(insert(filter_table).values(_values(made) | _FROM_THE_BEGINNING))
            return self._told(connection, self._tell.pending(made))

        return await self._storage.write(run)

    async def get(self, application: str, filter_id: str) -> Filter:
        """Give a filter; NotFound if the application has none of that id."""
        return await self._storage.read(lambda connection: _get(connection, application, filter_id))

    async def find(self, application: str, *, name: str | None, offset: int, limit: int) -> tuple[list[Filter], int]:
        """Give one page of an application's filters, oldest first, and how many there are in all."""
        wanted = [filter_table.c.application == application, _IS_THERE]
        if name is not None:
            wanted.append(filter_table.c.name == name)

        def run(connection: Connection) -> tuple[list[Filter], int]:
            order = (filter_table.c.created_ms, filter_table.c.id)
            rows = connection.execute(select(*_COLUMNS).where(*wanted).order_by(*order).offset(offset).limit(limit))
            found = [_made(row) for row in rows]
            return found, connection.execute(select(func.count()).where(*wanted)).scalar_one()

        # a thousand queries of 16 KiB would be read on the loop
        return await self._storage.read_apart(run)

    async def update(self, application: str, filter_id: str, change: Change) -> tuple[Filter, Event | None]:
        """Change a filter, and have its pass begin anew if it has become pending; NotFound if there is none."""

        def run(connection: Connection) -> tuple[Filter, Event | None]:
            before = _get(connection, application, filter_id)
            after = change(before)
            if after is before:
                return before, None
            is_anew = not is_same_query(after, before)
            values = _values(after) | (_FROM_THE_BEGINNING if is_anew else {})
            with _unique(after):
                connection.execute(update(filter_table).where(filter_table.c.id == filter_id).values(values))
            return after, self._told(connection, self._tell.pending(after)) if is_anew else None

        return await self._storage.write(run)

    async def remove(self, application: str, filter_id: str, check: Callable[[Filter], None]) -> Event:
        """Delete a filter unless the check refuses; its matches are cleared away later. NotFound if there is none."""

        def run(connection: Connection) -> Event:
            gone = _get(connection, application, filter_id)
            check(gone)
            # the name is free at once
            values = {"status": Status.DELETED, "name": None}
            connection.execute(update(filter_table).where(filter_table.c.id == filter_id).values(values))
            return self._told(connection, self._tell.deleted(gone))

        return await self._storage.write(run)

    async def find_by_endpoint(self, endpoint_id: str) -> list[str]:
        """Give the ids of the filters that an endpoint matches; NotFound if there is no such endpoint."""

        def run(connection: Connection) -> list[str]:
            is_it = endpoint_table.c.id == endpoint_id
            if connection.execute(select(endpoint_table.c.id).where(is_it)).one_or_none() is None:
                raise NotFound(f"there is no endpoint {endpoint_id!r}")
            return filters_of(connection, [endpoint_id])[endpoint_id]

        return await self._storage.read(run)

    async def find_endpoints(self, filter_id: str) -> dict[str, tuple[str, ...]]:
        """Give the ids of the endpoints that match a filter, by version; refuses as `check_active` does."""

        def run(connection: Connection) -> dict[str, tuple[str, ...]]:
            check_active(connection, filter_id)
            rows = connection.execute(
                select(endpoint_table.c.app_version, endpoint_table.c.id)
                .join(match_table, match_table.c.endpoint_id == endpoint_table.c.id)
                .where(match_table.c.filter_id == filter_id)
            )
            found = defaultdict(list)
            for version, endpoint_id in rows:
                found[version].append(endpoint_id)
            return {version: tuple(sorted(ids)) for version, ids in sorted(found.items())}

        return await self._storage.read_apart(run)

    async def find_by_id(self, filter_ids: Sequence[str]) -> dict[str, str]:
        """Give the applications of filters, those that there are, by id."""
        columns = filter_table.c.id, filter_table.c.application

        def run(connection: Connection) -> dict[str, str]:
            found: dict[str, str] = {}
            for part in parts(filter_ids):
                wanted = select(*columns).where(filter_table.c.id.in_(part), _IS_THERE)
                found.update((row.id, row.application) for row in connection.execute(wanted))
            return found

        return await self._storage.read(run)

    def _told(self, connection: Connection, event: Event) -> Event:
        self._outbox.add(connection, *event)
        return event


def matched_by(filter_id: str) -> ColumnElement[bool]:
    """Give the condition on the rows of `epr_endpoint` that they match a filter, which must be active."""
    return endpoint_table.c.id.in_(select(match_table.c.endpoint_id).where(match_table.c.filter_id == filter_id))


def check_active(connection: Connection, filter_id: str, *, application: str | None = None) -> None:
    """Refuse a filter that endpoints cannot be listed by.

    Raises:
        NotFound: there is none of that id, or not in that application.
        Conflict: it is not yet known who matches it.
    """
    wanted = [filter_table.c.id == filter_id, _IS_THERE]
    if application is not None:
        wanted.append(filter_table.c.application == application)
    status = connection.execute(select(filter_table.c.status).where(*wanted)).scalar()
    if status is None:
        raise NotFound(f"there is no filter {filter_id!r}")
    if status != Status.ACTIVE:
        raise Conflict(f"the filter {filter_id!r} is pending: it is not yet known who matches it")


def filters_of(connection: Connection, endpoint_ids: Sequence[str]) -> dict[str, list[str]]:
    """Give the ids of the active filters that each of the endpoints matches, in order."""
    found: dict[str, list[str]] = {one: [] for one in endpoint_ids}
    for part in parts(endpoint_ids):
        rows = connection.execute(
            select(match_table.c.endpoint_id, match_table.c.filter_id)
            .join(filter_table, filter_table.c.id == match_table.c.filter_id)
            .where(match_table.c.endpoint_id.in_(part), filter_table.c.status == Status.ACTIVE)
            .order_by(match_table.c.endpoint_id, match_table.c.filter_id)
        )
        for endpoint_id, filter_id in rows:
            found[endpoint_id].append(filter_id)
    return found


@contextmanager
def _unique(named: Filter) -> Iterator[None]:
    try:
        yield
    except IntegrityError as error:
        raise Conflict(f"name: the application {named.application!r} has a filter {named.name!r} already") from error


def _get(connection: Connection, application: str, filter_id: str) -> Filter:
    is_it = (filter_table.c.id == filter_id, filter_table.c.application == application)
    row = connection.execute(select(*_COLUMNS).where(*is_it, _IS_THERE)).one_or_none()
    if row is None:
        raise NotFound(f"the application {application!r} has no filter {filter_id!r}")
    return _made(row)


def _made(row: Any) -> Filter:
    return Filter(**{**row._mapping, "query": from_json(row.query), "status": Status(row.status)})  # noqa: SLF001  its public name


def _values(made: Filter) -> dict[str, Any]:
    return {column.name: getattr(made, column.name) for column in _COLUMNS} | {"query": to_json(made.query)}
