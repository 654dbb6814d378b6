"""Settings by instance: of a version, of an application, of all applications."""

from collections.abc import Callable, Collection, Mapping
from typing import Any

from sqlalchemy import ColumnElement, Connection, Table, delete, insert, select

from kaa.core.storage.database import Storage
from kaa.core.storage.outbox import Outbox
from kaa.protocols.names import ApplicationName, AppVersionName

from ..models import InstanceSettings, Scope
from .tables import application_table, common_setting_table, revision_table, setting_table, version_table
from .writing import Event, changed, get_row, get_writable

Check = Callable[[Mapping[str, bytes]], None]


class SettingsRepository:
    """Keeps documents by instance; every change takes its event along and a revision of its own."""

    def __init__(self, storage: Storage, outbox: Outbox) -> None:
        self._storage, self._outbox = storage, outbox

    async def find(self, scope: Scope) -> dict[str, bytes]:
        """Give the documents of a scope by instance; NotFound if there is no such thing."""

        def run(connection: Connection) -> dict[str, bytes]:
            get_row(connection, scope)
            return present(connection, scope)

        return await self._storage.read(run)

    async def update(
        self, scope: Scope, documents: Mapping[str, bytes | None], *, check: Check, event: Event
    ) -> dict[str, bytes]:
        """Put documents by instance (None takes one away) in one step, and give all that there are then.

        `check` is shown what there was, in the same transaction, and may refuse; what changes nothing is not told.
        """

        def run(connection: Connection) -> dict[str, bytes]:
            get_writable(connection, scope)
            before = present(connection, scope)
            check(before)
            new = {name: text for name, text in documents.items() if before.get(name) != text}
            if new:
                replace(connection, scope, new)
                changed(connection, self._outbox, event)
            return present(connection, scope)

        return await self._storage.write(run)

    async def get_for_instances(
        self, instances: Collection[str], application: str | None
    ) -> dict[str, InstanceSettings]:
        """Give what instances are told of one application, or of all; one that is not there is left out."""

        def run(connection: Connection) -> dict[str, InstanceSettings]:
            names = select(application_table.c.name)
            versions = select(version_table.c.application, version_table.c.name).order_by(version_table.c.name)
            settings = select(setting_table).where(setting_table.c.instance.in_(instances))
            if application is not None:
                names = names.where(application_table.c.name == application)
                versions = versions.where(version_table.c.application == application)
                settings = settings.where(setting_table.c.application == application)
            there: dict[ApplicationName, list[AppVersionName | None]] = {
                row.name: [None] for row in connection.execute(names.order_by(application_table.c.name))
            }
            for row in connection.execute(versions):
                there[row.application].append(row.name)
            documents: dict[str, dict[ApplicationName, dict[AppVersionName | None, bytes | None]]] = {
                instance: {name: dict.fromkeys(found) for name, found in there.items()} for instance in instances
            }
            for row in connection.execute(settings):
                documents[row.instance][row.application][row.version or None] = row.document
            revision = connection.execute(select(revision_table.c.revision)).scalar_one()
            common = present(connection, Scope())
            return {one: InstanceSettings(revision, documents[one], common.get(one)) for one in instances}

        return await self._storage.read(run)


def present(connection: Connection, scope: Scope) -> dict[str, bytes]:
    """Give the documents of a scope, by instance, in order."""
    table, where, _ = _place(scope)
    rows = connection.execute(select(table.c.instance, table.c.document).where(*where).order_by(table.c.instance))
    return {row.instance: row.document for row in rows}


def replace(connection: Connection, scope: Scope, documents: Mapping[str, bytes | None]) -> None:
    """Put documents by instance; None takes one away."""
    table, where, values = _place(scope)
    connection.execute(delete(table).where(*where, table.c.instance.in_(documents)))
    kept = [{**values, "instance": name, "document": text} for name, text in documents.items() if text is not None]
    if kept:
        connection.execute(insert(table), kept)


def _place(scope: Scope) -> tuple[Table, tuple[ColumnElement[bool], ...], dict[str, Any]]:
    if scope.application is None:
        return common_setting_table, (), {}
    values = {"application": scope.application, "version": scope.version or ""}
    where = (setting_table.c.application == values["application"], setting_table.c.version == values["version"])
    return setting_table, where, values
