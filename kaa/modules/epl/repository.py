"""EPL's tables."""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace
from typing import Any

from sqlalchemy import (
    BigInteger,
    Boolean,
    Column,
    Connection,
    Integer,
    MetaData,
    String,
    Table,
    bindparam,
    delete,
    insert,
    select,
    update,
)

from kaa.core.storage.database import Storage
from kaa.protocols.names import AppVersionName, EndpointId

from .models import Point, State

_metadata = MetaData()

_state = Table(
    "epl_state",
    _metadata,
    Column("endpoint_id", String, primary_key=True),
    Column("app_version", String, nullable=False),
    Column("is_connected", Boolean, nullable=False),
    Column("at_ms", BigInteger, nullable=False),
    Column("heard_ms", BigInteger, nullable=False),
    Column("is_told", Boolean, nullable=False),
)

_point = Table(
    "epl_point",
    _metadata,
    Column("id", Integer, primary_key=True, autoincrement=True),
    Column("endpoint_id", String, nullable=False),
    Column("app_version", String, nullable=False),
    Column("is_connected", Boolean, nullable=False),
    Column("at_ms", BigInteger, nullable=False),
)

_columns = [_state.c[name] for name in ("endpoint_id", "app_version", "is_connected", "at_ms", "heard_ms")]
_same = _state.c.endpoint_id == bindparam("key")


class StateRepository:
    """Keeps the last state of each endpoint, and what has still to be told."""

    def __init__(self, storage: Storage) -> None:
        self._storage = storage

    async def advance(
        self, states: Sequence[State], *, has_series: Callable[[AppVersionName], bool]
    ) -> list[EndpointId]:
        """Take over what was heard, in that order, as far as it is news, and note what is to be told.

        Returns:
            The endpoints of which two events of one time say the contrary; the later one was believed.
        """

        def run(connection: Connection) -> list[EndpointId]:
            before = {state.endpoint_id: state for state in _find(connection, {s.endpoint_id for s in states})}
            now, points, doubts = dict(before), [], []
            for state in states:
                old = now.get(state.endpoint_id)
                if old is None or state.heard_ms >= old.heard_ms:
                    if old is not None and _is_same(old, state):
                        now[state.endpoint_id] = replace(old, heard_ms=state.heard_ms)
                        continue
                    if old is not None and state.heard_ms == old.heard_ms:
                        doubts.append(state.endpoint_id)
                    now[state.endpoint_id] = state
                    if has_series(state.app_version):
                        points.append(state)
            _keep(connection, before, now)
            if points:
                connection.execute(insert(_point), [_row(point, _point) for point in points])
            return doubts

        return await self._storage.write(run)

    async def find(self, endpoint_ids: Iterable[EndpointId]) -> list[State]:
        """Give those that there are."""
        wanted = set(endpoint_ids)
        return await self._storage.read(lambda connection: _find(connection, wanted))

    async def find_after(self, endpoint_id: str, limit: int) -> list[State]:
        """Give a page of all, by id, behind one."""
        query = select(*_columns).where(_state.c.endpoint_id > endpoint_id).order_by(_state.c.endpoint_id).limit(limit)
        return await self._storage.read(lambda connection: [_made(row) for row in connection.execute(query)])

    async def find_untold(self, limit: int) -> list[State]:
        """Give a page of those whose metadata does not say so yet, the oldest first."""
        query = select(*_columns).where(_state.c.is_told.is_(False)).order_by(_state.c.at_ms).limit(limit)
        return await self._storage.read(lambda connection: [_made(row) for row in connection.execute(query)])

    async def mark_told(self, states: Sequence[State]) -> None:
        """Note that the metadata says so, of those that are as they were."""
        as_it_was = _state.c.at_ms == bindparam("was_ms"), _state.c.is_connected == bindparam("was_connected")
        change = update(_state).where(_same, *as_it_was).values(is_told=True)
        rows = [{"key": s.endpoint_id, "was_ms": s.at_ms, "was_connected": s.is_connected} for s in states]

        def run(connection: Connection) -> None:
            if rows:
                connection.execute(change, rows)

        await self._storage.write(run)

    async def remove(self, gone: Sequence[tuple[EndpointId, int]]) -> None:
        """Forget endpoints, each as far as it was heard of up to a time."""
        rows = [{"key": endpoint_id, "until_ms": until_ms} for endpoint_id, until_ms in gone]
        state = delete(_state).where(_same, _state.c.at_ms <= bindparam("until_ms"))
        points = delete(_point).where(_point.c.endpoint_id == bindparam("key"), _point.c.at_ms <= bindparam("until_ms"))

        def run(connection: Connection) -> None:
            if rows:
                connection.execute(state, rows)
                connection.execute(points, rows)

        await self._storage.write(run)

    async def find_points(self, limit: int) -> list[Point]:
        """Give a page of the points that have still to be told, in order."""
        query = select(_point).order_by(_point.c.id).limit(limit)

        def run(connection: Connection) -> list[Point]:
            rows = connection.execute(query)
            return [Point(r.id, r.endpoint_id, r.app_version, r.is_connected, r.at_ms) for r in rows]

        return await self._storage.read(run)

    async def remove_points(self, ids: Sequence[int]) -> None:
        """Forget points."""

        def run(connection: Connection) -> None:
            if ids:
                connection.execute(delete(_point).where(_point.c.id.in_(ids)))

        await self._storage.write(run)


def _is_same(one: State, other: State) -> bool:
    return one.is_connected == other.is_connected and one.app_version == other.app_version


def _keep(connection: Connection, before: dict[EndpointId, State], now: dict[EndpointId, State]) -> None:
    new, moved, heard = [], [], []
    for key, state in now.items():
        old = before.get(key)
        if old is None:
            new.append({**_row(state, _state), "is_told": False})
        elif (state.at_ms, state.is_connected, state.app_version) != (old.at_ms, old.is_connected, old.app_version):
            moved.append({"key": key, **{f"new_{column.name}": getattr(state, column.name) for column in _columns}})
        elif state.heard_ms != old.heard_ms:
            heard.append({"key": key, "now_ms": state.heard_ms})
    if new:
        connection.execute(insert(_state), new)
    if moved:
        values: dict[str, Any] = {column.name: bindparam(f"new_{column.name}") for column in _columns}
        connection.execute(update(_state).where(_same).values(**values, is_told=False), moved)
    if heard:
        connection.execute(update(_state).where(_same).values(heard_ms=bindparam("now_ms")), heard)


def _find(connection: Connection, endpoint_ids: set[EndpointId]) -> list[State]:
    return [_made(row) for row in connection.execute(select(*_columns).where(_state.c.endpoint_id.in_(endpoint_ids)))]


def _row(state: State, table: Table) -> dict[str, Any]:
    return {column.name: getattr(state, column.name) for column in table.c if hasattr(state, column.name)}


def _made(row: Any) -> State:
    return State(row.endpoint_id, row.app_version, row.is_connected, row.at_ms, row.heard_ms)
