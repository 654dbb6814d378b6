"""Configurations at their places."""

from collections.abc import Callable, Sequence
from typing import Any

from sqlalchemy import ColumnElement, Connection, delete, func, select
from sqlalchemy.dialects.sqlite import insert

from kaa.core.errors import NotFound
from kaa.core.storage.database import Storage
from kaa.core.storage.outbox import Outbox
from kaa.core.storage.parts import parts
from kaa.protocols.names import AppVersionName, EndpointId

from ..models import Configuration, Document, Place, Rollout, Scope, Target
from .filters import forget_members
from .resolving import Accepts
from .rollouts import add_rollouts
from .tables import Event, config_table, content_table, keep_content
from .telling import Tell, due, events, note_dispatched, note_pending

Check = Callable[[str | None], None]
"""Refuses a change of what has that identifier now; None is "nothing"."""


class ConfigurationRepository:
    """Keeps configurations; a change takes what has to be told along."""

    def __init__(self, storage: Storage, outbox: Outbox, *, accepts: Accepts, history: int) -> None:
        self._storage, self._outbox = storage, outbox
        self._accepts, self._history = accepts, history

    async def get(self, place: Place) -> Configuration:
        """Give the configuration at a place; NotFound if there is none."""

        def run(connection: Connection) -> Configuration:
            row = _row(connection, place)
            if row is None:
                raise _missing(place)
            return _made(row)

        return await self._storage.read(run)

    async def find(self, scope: Scope, owner: str, app_version: str) -> list[Configuration]:
        """Give the configurations at an endpoint for a version, or at a version, by name."""
        query = _with_content().where(
            config_table.c.scope == scope, config_table.c.owner == owner, config_table.c.app_version == app_version
        )

        def run(connection: Connection) -> list[Configuration]:
            return [_made(row) for row in connection.execute(query.order_by(config_table.c.name))]

        return await self._storage.read_apart(run)

    async def put(
        self,
        place: Place,
        document: Document,
        *,
        check: Check,
        at_ms: int,
        target: Target | None = None,
        is_present: bool = False,
        tell: Tell | None = None,
        rollouts: Sequence[Rollout] = (),
    ) -> tuple[Configuration, list[Event]]:
        """Keep a configuration at a place, and give it with the events that tell of it.

        The same content again changes nothing. `target` is the endpoint as it is, if the place is an endpoint's;
        `rollouts` are what others have to be told.
        """

        def run(connection: Connection) -> tuple[Configuration, list[Event]]:
            row = _row(connection, place)
            check(None if row is None else row.config_id)
            if row is not None and row.config_id == document.config_id:
                return _made(row), []
            created_ms = at_ms if row is None else row.created_ms
            keep_content(connection, document)
            _keep(connection, [place], document, at_ms)
            told = list[Event]()
            if place.scope is Scope.ENDPOINT:
                for_version = Target(EndpointId(place.owner), AppVersionName(place.app_version))
                pending = due(connection, [for_version], self._accepts, [place.name])
                note_pending(connection, pending, at_ms=at_ms, history=self._history)
            if target is not None and tell is not None:
                told = self._tell(connection, target, place.name, tell, is_present=is_present, at_ms=at_ms)
            add_rollouts(connection, rollouts)
            made = Configuration(document.config_id, document.name, document.content, created_ms, at_ms)
            return made, told

        return await self._storage.write(run)

    async def put_many(
        self, targets: Sequence[Target], document: Document, *, at_ms: int, rollouts: Sequence[Rollout]
    ) -> None:
        """Keep one configuration at many endpoints, in one step; they are told by the rollouts.

        Where it stands already nothing changes.
        """

        def run(connection: Connection) -> None:
            there = _having(connection, targets, document.config_id)
            changed = [one for one in targets if (one.endpoint_id, one.app_version) not in there]
            if not changed:
                return
            keep_content(connection, document)
            places = [Place(Scope.ENDPOINT, one.endpoint_id, one.app_version, document.name) for one in changed]
            _keep(connection, places, document, at_ms)
            pending = due(connection, changed, self._accepts, [document.name])
            note_pending(connection, pending, at_ms=at_ms, history=self._history)
            add_rollouts(connection, rollouts)

        await self._storage.write(run)

    async def remove(
        self,
        place: Place,
        *,
        check: Check,
        at_ms: int,
        target: Target | None = None,
        is_present: bool = False,
        tell: Tell | None = None,
        rollouts: Sequence[Rollout] = (),
    ) -> list[Event]:
        """Delete the configuration at a place, and give the events that tell what applies now."""

        def run(connection: Connection) -> list[Event]:
            row = _row(connection, place)
            if row is None:
                raise _missing(place)
            check(row.config_id)
            connection.execute(delete(config_table).where(*_at(place)))
            if place.scope is Scope.FILTER:
                forget_members(connection, place.owner)
            add_rollouts(connection, rollouts)
            if target is None or tell is None:
                return []
            return self._tell(connection, target, place.name, tell, is_present=is_present, at_ms=at_ms)

        return await self._storage.write(run)

    def _tell(
        self, connection: Connection, target: Target, name: str, tell: Tell, *, is_present: bool, at_ms: int
    ) -> list[Event]:
        made, covered = events(connection, due(connection, [target], self._accepts, [name]), tell)
        if is_present:
            note_dispatched(connection, covered, at_ms=at_ms, history=self._history)
        self._outbox.add_all(connection, made)
        return made


def _keep(connection: Connection, places: Sequence[Place], document: Document, at_ms: int) -> None:
    query = insert(config_table)
    again = {column: query.excluded[column] for column in ("config_id", "position", "updated_ms")}
    is_same = config_table.c.config_id == query.excluded.config_id
    connection.execute(
        query.on_conflict_do_update(set_=again, where=~is_same),
        [
            {
                "scope": place.scope,
                "owner": place.owner,
                "app_version": place.app_version,
                "name": place.name,
                "config_id": document.config_id,
                "position": _next_position(connection) if place.scope is Scope.FILTER else 0,
                "created_ms": at_ms,
                "updated_ms": at_ms,
            }
            for place in places
        ],
    )


def _having(connection: Connection, targets: Sequence[Target], config_id: str) -> set[tuple[str, str]]:
    """Give those of the targets that have a configuration as their own; its identifier tells its name."""
    found: set[tuple[str, str]] = set()
    for ids in parts([one.endpoint_id for one in targets]):
        rows = connection.execute(
            select(config_table.c.owner, config_table.c.app_version).where(
                config_table.c.scope == Scope.ENDPOINT,
                config_table.c.owner.in_(ids),
                config_table.c.config_id == config_id,
            )
        )
        found |= {(row.owner, row.app_version) for row in rows}
    return found


def _next_position(connection: Connection) -> int:
    """Give the place on top of all filters."""
    newest = select(func.coalesce(func.max(config_table.c.position), 0)).where(config_table.c.scope == Scope.FILTER)
    return int(connection.execute(newest).scalar_one()) + 1


def _at(place: Place) -> list[ColumnElement[bool]]:
    return [
        config_table.c.scope == place.scope,
        config_table.c.owner == place.owner,
        config_table.c.app_version == place.app_version,
        config_table.c.name == place.name,
    ]


def _with_content() -> Any:
    return select(config_table, content_table.c.content).join(
        content_table, content_table.c.config_id == config_table.c.config_id
    )


def _row(connection: Connection, place: Place) -> Any:
    return connection.execute(_with_content().where(*_at(place))).one_or_none()


def _made(row: Any) -> Configuration:
    return Configuration(row.config_id, row.name, row.content, row.created_ms, row.updated_ms)


def _missing(place: Place) -> NotFound:
    whose = {
        Scope.ENDPOINT: f"endpoint {place.owner!r} has for application version {place.app_version!r}",
        Scope.FILTER: f"filter {place.owner!r} has",
        Scope.VERSION: f"application version {place.app_version!r} has",
    }[place.scope]
    return NotFound(f"{whose} no configuration {place.name!r}")
