"""Applications and their versions."""

from collections.abc import Callable, Mapping
from typing import Any

from sqlalchemy import Connection, delete, insert, select, update
from sqlalchemy.exc import IntegrityError

from kaa.core.errors import Conflict
from kaa.core.storage.database import Storage
from kaa.core.storage.outbox import Outbox

from ..models import Application, Scope, Version
from .tables import application_table, setting_table, version_table
from .writing import Event, changed, get_row, get_writable

Check = Callable[[Application], None]
CheckVersion = Callable[[Version], None]


class CatalogueRepository:
    """Keeps applications and versions; every change takes its event along and a revision of its own.

    What the configuration file has is refused with Conflict. A `check` is shown the state before the change, in its
    transaction, and may refuse it.
    """

    def __init__(self, storage: Storage, outbox: Outbox) -> None:
        self._storage, self._outbox = storage, outbox

    async def add_application(self, made: Application, event: Event) -> None:
        """Keep a new application; Conflict if the name is taken."""

        def run(connection: Connection) -> None:
            values = {name: getattr(made, name) for name in application_table.c.keys()}  # noqa: SIM118  not a dict
            try:
                connection.execute(insert(application_table).values(values))
            except IntegrityError as error:
                raise Conflict(f"name: there is an application {made.name!r} already") from error
            changed(connection, self._outbox, event)

        await self._storage.write(run)

    async def add_version(self, made: Version, event: Event) -> None:
        """Keep a new version; NotFound without its application, Conflict if any application has that version."""

        def run(connection: Connection) -> None:
            get_writable(connection, Scope(made.application))
            owned = select(version_table.c.application).where(version_table.c.name == made.name)
            owner = connection.execute(owned).scalar()
            if owner is not None:
                raise Conflict(f"nameSuffix: application {owner!r} has a version {made.name!r} already")
            values = {name: getattr(made, name) for name in version_table.c.keys()}  # noqa: SIM118  not a dict
            connection.execute(insert(version_table).values(values))
            changed(connection, self._outbox, event)

        await self._storage.write(run)

    async def find_applications(self) -> list[Application]:
        """Give all, by name, with their versions."""
        return await self._storage.read(all_applications)

    async def get_application(self, name: str) -> Application:
        """Give one, with its versions; NotFound if there is none of that name."""
        return await self._storage.read(lambda connection: _application(connection, name))

    async def update_application(
        self, name: str, changes: Mapping[str, str | None], *, at_ms: int, check: Check, event: Event
    ) -> Application:
        """Change the columns named, and give the application as it is then; what changes nothing is not told."""

        def run(connection: Connection) -> Application:
            get_writable(connection, Scope(name))
            before = _application(connection, name)
            check(before)
            if all(getattr(before, column) == value for column, value in changes.items()):
                return before
            values = {**changes, "updated_ms": at_ms}
            connection.execute(update(application_table).where(application_table.c.name == name).values(values))
            changed(connection, self._outbox, event)
            return _application(connection, name)

        return await self._storage.write(run)

    async def update_version(
        self, scope: Scope, changes: Mapping[str, str | None], *, at_ms: int, check: CheckVersion, event: Event
    ) -> Version:
        """Change the columns named, and give the version as it is then; what changes nothing is not told."""

        def run(connection: Connection) -> Version:
            before = _version(get_writable(connection, scope))
            check(before)
            if all(getattr(before, column) == value for column, value in changes.items()):
                return before
            values = {**changes, "updated_ms": at_ms}
            connection.execute(update(version_table).where(version_table.c.name == scope.version).values(values))
            changed(connection, self._outbox, event)
            return _version(get_row(connection, scope))

        return await self._storage.write(run)

    async def remove_application(self, name: str, *, check: Check, event: Event) -> None:
        """Delete an application with its versions and all their settings."""

        def run(connection: Connection) -> None:
            get_writable(connection, Scope(name))
            before = _application(connection, name)
            check(before)
            connection.execute(delete(setting_table).where(setting_table.c.application == name))
            connection.execute(delete(version_table).where(version_table.c.application == name))
            connection.execute(delete(application_table).where(application_table.c.name == name))
            changed(connection, self._outbox, event)

        await self._storage.write(run)

    async def remove_version(self, scope: Scope, *, check: CheckVersion, event: Event) -> None:
        """Delete a version with its settings."""

        def run(connection: Connection) -> None:
            check(_version(get_writable(connection, scope)))
            of_version = (setting_table.c.application == scope.application, setting_table.c.version == scope.version)
            connection.execute(delete(setting_table).where(*of_version))
            connection.execute(delete(version_table).where(version_table.c.name == scope.version))
            changed(connection, self._outbox, event)

        await self._storage.write(run)


def all_applications(connection: Connection) -> list[Application]:
    """Give all, by name, with their versions."""
    versions: dict[str, list[Version]] = {}
    for row in connection.execute(select(version_table).order_by(version_table.c.name)):
        versions.setdefault(row.application, []).append(_version(row))
    rows = connection.execute(select(application_table).order_by(application_table.c.name))
    return [Application(**row._mapping, versions=tuple(versions.get(row.name, ()))) for row in rows]  # noqa: SLF001


def _application(connection: Connection, name: str) -> Application:
    row = get_row(connection, Scope(name))
    assert row is not None
    mine = select(version_table).where(version_table.c.application == name).order_by(version_table.c.name)
    return Application(**row._mapping, versions=tuple(map(_version, connection.execute(mine))))  # noqa: SLF001


def _version(row: Any) -> Version:
    return Version(**row._mapping)  # noqa: SLF001  its public name
