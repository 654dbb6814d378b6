"""The channels, in the database of the services."""

from collections.abc import Collection, Iterable, Iterator, Sequence
from typing import Any, TypeVar

from sqlalchemy import Column, Connection, Integer, MetaData, Row, Select, String, Table, delete, select
from sqlalchemy.dialects.sqlite import insert

from kaa.core.storage.database import Storage
from kaa.core.storage.parts import parts
from kaa.protocols.names import EndpointId, SeriesName

from ..models import Channel, ChannelId

Name = tuple[str, str, str, str]
"""Application, endpoint id, series, name of the value."""

_channel = Table(
    "epts_channel",
    MetaData(),
    Column("id", Integer, primary_key=True),
    Column("application", String, nullable=False),
    Column("endpoint_id", String, nullable=False),
    Column("series", String, nullable=False),
    Column("value_name", String, nullable=False),
)
_PIECE = 1_000

T = TypeVar("T")


class ChannelRepository:
    """Finds and makes channels."""

    def __init__(self, storage: Storage) -> None:
        self._storage = storage

    async def of_endpoints(self, endpoint_ids: Collection[str]) -> list[Channel]:
        """Find the channels of endpoints."""
        return await self._storage.read(lambda c: _of_endpoints(c, endpoint_ids))

    async def ensure(self, wanted: Iterable[Name]) -> list[Channel]:
        """Give the channels of these names, making those that are not there."""
        rows = [
            {"application": application, "endpoint_id": endpoint_id, "series": series, "value_name": value_name}
            for application, endpoint_id, series, value_name in wanted
        ]

        def run(connection: Connection) -> list[Channel]:
            if rows:
                connection.execute(insert(_channel).on_conflict_do_nothing(), rows)
            return _of_endpoints(connection, {row["endpoint_id"] for row in rows})

        return await self._storage.write(run)

    async def find(
        self,
        application: str,
        *,
        series: Sequence[str] | None = None,
        endpoint_ids: Sequence[str] | None = None,
    ) -> list[Channel]:
        """Find the channels of an application, by endpoint and series."""
        c = _channel.c

        def run(connection: Connection) -> list[Channel]:
            query = _select().where(c.application == application).order_by(c.endpoint_id, c.series, c.value_name)
            if series is not None:
                query = query.where(c.series.in_(series))
            if endpoint_ids is None:
                return [_model(row) for row in _rows(connection, query)]
            # SQLite orders text by its bytes, Python by its code points, and UTF-8 makes them the same order
            some = parts(sorted(set(endpoint_ids)))
            return [_model(row) for part in some for row in _rows(connection, query.where(c.endpoint_id.in_(part)))]

        return await self._storage.read_apart(run)

    async def names(self, applications: Sequence[str]) -> list[tuple[str, str, str]]:
        """Find application, series and value name of all that has ever been stored."""
        c = _channel.c
        query = select(c.application, c.series, c.value_name).where(c.application.in_(applications)).distinct()
        return await self._storage.read_apart(lambda connection: [tuple(row) for row in connection.execute(query)])

    async def ids_of(self, application: str) -> list[ChannelId]:
        """Find the numbers of an application's channels."""
        query = select(_channel.c.id).where(_channel.c.application == application)
        return await self._storage.read_apart(lambda connection: [row.id for row in _rows(connection, query)])

    async def remove(self, ids: Sequence[ChannelId]) -> None:
        """Remove channels, whose points are gone."""

        def run(connection: Connection) -> None:
            for part in parts(ids):
                connection.execute(delete(_channel).where(_channel.c.id.in_(part)))

        await self._storage.write(run)


def _of_endpoints(connection: Connection, endpoint_ids: Collection[str]) -> list[Channel]:
    found: list[Channel] = []
    for part in parts(sorted(endpoint_ids)):
        found += [_model(row) for row in connection.execute(_select().where(_channel.c.endpoint_id.in_(part)))]
    return found


def _rows(connection: Connection, query: Select[Any]) -> Iterator[Row[Any]]:
    """Yield rows by the piece: fetching is in C, and a thread that fetches all at once holds the interpreter."""
    for piece in connection.execution_options(yield_per=_PIECE).execute(query).partitions():
        yield from piece


def _select() -> Select[tuple[int, str, str, str, str]]:
    c = _channel.c
    return select(c.id, c.application, c.endpoint_id, c.series, c.value_name)


def _model(row: Row[tuple[int, str, str, str, str]]) -> Channel:
    return Channel(
        ChannelId(row.id), row.application, EndpointId(row.endpoint_id), SeriesName(row.series), row.value_name
    )
