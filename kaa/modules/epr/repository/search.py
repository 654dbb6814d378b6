"""Finding endpoints: by what they are, by the filters that they match, and by queries on their metadata."""

from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import Any

from pydantic_core import from_json
from sqlalchemy import ColumnElement, Connection, Select, func, select

from kaa.core.endpoint_query import Query
from kaa.core.errors import NotFound
from kaa.core.storage.database import Storage

from ..filters.repository import check_active, filters_of, matched_by
from ..filters.sql import where
from ..models import Endpoint, Included, Wanted
from .tables import BARE, endpoint_of, endpoint_table

_AT_A_TIME = 1_000
_ORDER = (endpoint_table.c.created_ms, endpoint_table.c.id)


class SearchRepository:
    """Finds endpoints, oldest first.

    What SQL can tell is told by it; the rest is decided row by row, on a thread of its own.
    """

    def __init__(self, storage: Storage) -> None:
        self._storage = storage

    async def get(self, endpoint_id: str, included: Included) -> Endpoint:
        """Give an endpoint; NotFound if there is none of that id."""

        def run(connection: Connection) -> Endpoint:
            found = connection.execute(_select(included).where(endpoint_table.c.id == endpoint_id)).one_or_none()
            if found is None:
                raise NotFound(f"there is no endpoint {endpoint_id!r}")
            return _completed(connection, [endpoint_of(found)], included)[0]

        return await self._storage.read(run)

    async def find(self, wanted: Wanted, *, offset: int, limit: int, included: Included) -> tuple[list[Endpoint], int]:
        """Give one page, and how many there are in all.

        Raises:
            NotFound: there is no such filter.
            Conflict: it is not yet known who matches it.
        """
        limits, left = _limits(wanted)

        def run(connection: Connection) -> tuple[list[Endpoint], int]:
            if wanted.filter_id is not None:
                check_active(connection, wanted.filter_id, application=wanted.application)
            if left is None and wanted.id_pattern is None:
                rows = connection.execute(
                    _select(included).where(*limits).order_by(*_ORDER).offset(offset).limit(limit)
                )
                return _completed(connection, [endpoint_of(row) for row in rows], included), _counted(
                    connection, limits
                )
            ids = list(_decided(connection, limits, left, wanted.id_pattern))
            return _by_id(connection, ids[offset : offset + limit], included), len(ids)

        is_short = left is None and wanted.query is None and wanted.id_pattern is None and not included.metadata
        return await (self._storage.read if is_short else self._storage.read_apart)(run)

    async def count(self, wanted: Wanted) -> int:
        """Count endpoints of an application, or of a version."""
        limits, _ = _limits(wanted)
        return await self._storage.read(lambda connection: _counted(connection, limits))


def _limits(wanted: Wanted) -> tuple[list[ColumnElement[bool]], Query | None]:
    """Give the conditions that SQL can tell, and what is left of the query."""
    limits: list[ColumnElement[bool]] = []
    if wanted.ids:
        limits.append(endpoint_table.c.id.in_(wanted.ids))
    if wanted.application is not None:
        limits.append(endpoint_table.c.application == wanted.application)
    if wanted.app_version is not None:
        limits.append(endpoint_table.c.app_version == wanted.app_version)
    if wanted.filter_id is not None:
        limits.append(matched_by(wanted.filter_id))
    if wanted.query is None:
        return limits, None
    limit, left = where(wanted.query)
    return limits if limit is None else [*limits, limit], left


def _decided(
    connection: Connection, limits: Sequence[ColumnElement[bool]], query: Query | None, id_pattern: Any
) -> Iterator[str]:
    """Give the ids of those that match, in order."""
    columns = [endpoint_table.c.id]
    if query is not None:
        columns += [endpoint_table.c.app_version, endpoint_table.c.metadata]
    rows = connection.execution_options(yield_per=_AT_A_TIME).execute(select(*columns).where(*limits).order_by(*_ORDER))
    for row in rows:
        if id_pattern is not None and id_pattern.search(row.id) is None:
            continue
        if query is None or query.matches(row.app_version, from_json(row.metadata)):
            yield row.id


def _by_id(connection: Connection, ids: Sequence[str], included: Included) -> list[Endpoint]:
    rows = connection.execute(_select(included).where(endpoint_table.c.id.in_(ids)).order_by(*_ORDER))
    return _completed(connection, [endpoint_of(row) for row in rows], included)


def _select(included: Included) -> Select[Any]:
    return select(*(endpoint_table.c if included.metadata else BARE))


def _completed(connection: Connection, found: list[Endpoint], included: Included) -> list[Endpoint]:
    if not included.filters:
        return found
    filters = filters_of(connection, [one.id for one in found])
    return [replace(one, filters=filters[one.id]) for one in found]


def _counted(connection: Connection, limits: Sequence[ColumnElement[bool]]) -> int:
    return int(connection.execute(select(func.count()).select_from(endpoint_table).where(*limits)).scalar_one())
