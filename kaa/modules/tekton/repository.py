"""Tekton's tables."""

from collections.abc import Collection, Mapping
from typing import Any

from sqlalchemy import (
    BigInteger,
    Column,
    Connection,
    Integer,
    LargeBinary,
    MetaData,
    String,
    Table,
    delete,
    insert,
    select,
    update,
)
from sqlalchemy.exc import IntegrityError

from kaa.core.errors import Conflict, NotFound
from kaa.core.storage.database import Storage
from kaa.core.storage.outbox import Outbox
from kaa.core.subjects import Subject
from kaa.protocols.names import ApplicationName, AppVersionName

from .models import Application, InstanceSettings, Version

Event = tuple[Subject[Any], Any]

_ALL = MetaData()
_application = Table(
    "tekton_application",
    _ALL,
    Column("name", String, primary_key=True),
    Column("display_name", String),
    Column("description", String),
    Column("created_ms", BigInteger, nullable=False),
    Column("updated_ms", BigInteger, nullable=False),
)
_version = Table(
    "tekton_version",
    _ALL,
    Column("name", String, primary_key=True),
    Column("application", String, nullable=False),
    Column("display_name", String),
    Column("description", String),
    Column("created_ms", BigInteger, nullable=False),
    Column("updated_ms", BigInteger, nullable=False),
)
_setting = Table(
    "tekton_setting",
    _ALL,
    Column("application", String, primary_key=True),
    Column("version", String, primary_key=True),  # "" is the application itself
    Column("instance", String, primary_key=True),
    Column("document", LargeBinary, nullable=False),
)
_revision = Table(
    "tekton_revision",
    _ALL,
    Column("id", Integer, primary_key=True),
    Column("revision", BigInteger, nullable=False),
)


class CatalogueRepository:
    """Keeps applications, versions and settings; every change takes its event along and a revision of its own."""

    def __init__(self, storage: Storage, outbox: Outbox) -> None:
        self._storage, self._outbox = storage, outbox

    async def add_application(self, made: Application, event: Event) -> None:
        """Keep a new application; Conflict if the name is taken."""

        def run(connection: Connection) -> None:
            values = {name: getattr(made, name) for name in _application.c.keys()}  # noqa: SIM118  not a dict
            try:
                connection.execute(insert(_application).values(values))
            except IntegrityError as error:
                raise Conflict(f"name: there is an application {made.name!r} already") from error
            self._changed(connection, event)

        await self._storage.write(run)

    async def add_version(self, made: Version, event: Event) -> None:
        """Keep a new version; NotFound without its application, Conflict if any application has that version."""

        def run(connection: Connection) -> None:
            _check_application(connection, made.application)
            owner = connection.execute(select(_version.c.application).where(_version.c.name == made.name)).scalar()
            if owner is not None:
                raise Conflict(f"nameSuffix: application {owner!r} has a version {made.name!r} already")
            values = {name: getattr(made, name) for name in _version.c.keys()}  # noqa: SIM118  not a dict
            connection.execute(insert(_version).values(values))
            self._changed(connection, event)

        await self._storage.write(run)

    async def find_applications(self) -> list[Application]:
        """Give all, by name, with their versions."""

        def run(connection: Connection) -> list[Application]:
            versions: dict[str, list[Version]] = {}
            for row in connection.execute(select(_version).order_by(_version.c.name)):
                versions.setdefault(row.application, []).append(Version(**row._mapping))  # noqa: SLF001  its public name
            rows = connection.execute(select(_application).order_by(_application.c.name))
            return [Application(**row._mapping, versions=tuple(versions.get(row.name, ()))) for row in rows]  # noqa: SLF001

        return await self._storage.read(run)

    async def get_application(self, name: str) -> Application:
        """Give one, with its versions; NotFound if there is none of that name."""

        def run(connection: Connection) -> Application:
            row = connection.execute(select(_application).where(_application.c.name == name)).one_or_none()
            if row is None:
                raise NotFound(f"there is no application {name!r}")
            rows = connection.execute(select(_version).where(_version.c.application == name).order_by(_version.c.name))
            return Application(**row._mapping, versions=tuple(Version(**v._mapping) for v in rows))  # noqa: SLF001

        return await self._storage.read(run)

    async def find_settings(
        self, application: str, version: str | None, instances: Collection[str]
    ) -> dict[str, bytes]:
        """Give the documents by instance, of those named or, if none is, of all; NotFound if there is no such thing."""

        def run(connection: Connection) -> dict[str, bytes]:
            _check(connection, application, version)
            found = select(_setting.c.instance, _setting.c.document).where(
                _setting.c.application == application, _setting.c.version == (version or "")
            )
            if instances:
                found = found.where(_setting.c.instance.in_(instances))
            return {row.instance: row.document for row in connection.execute(found.order_by(_setting.c.instance))}

        return await self._storage.read(run)

    async def update_settings(
        self, application: str, version: str | None, documents: Mapping[str, bytes | None], event: Event
    ) -> bool:
        """Put documents by instance (None takes one away) in one step; whether that changed anything."""

        def run(connection: Connection) -> bool:
            _check(connection, application, version)
            place = {"application": application, "version": version or ""}
            of_place = (_setting.c.application == application, _setting.c.version == (version or ""))
            rows = connection.execute(select(_setting.c.instance, _setting.c.document).where(*of_place))
            present = {row.instance: row.document for row in rows}
            changed = {name: text for name, text in documents.items() if present.get(name) != text}
            if not changed:
                return False
            connection.execute(delete(_setting).where(*of_place, _setting.c.instance.in_(changed)))
            kept = [place | {"instance": name, "document": text} for name, text in changed.items() if text is not None]
            if kept:
                connection.execute(insert(_setting), kept)
            self._changed(connection, event)
            return True

        return await self._storage.write(run)

    async def get_instance_settings(self, instance: str, application: str | None) -> InstanceSettings:
        """Give what an instance is told of one application, or of all; an application that is not there is left out."""

        def run(connection: Connection) -> InstanceSettings:
            names = select(_application.c.name)
            versions = select(_version.c.application, _version.c.name).order_by(_version.c.name)
            settings = select(_setting).where(_setting.c.instance == instance)
            if application is not None:
                names = names.where(_application.c.name == application)
                versions = versions.where(_version.c.application == application)
                settings = settings.where(_setting.c.application == application)
            documents: dict[ApplicationName, dict[AppVersionName | None, bytes | None]] = {
                row.name: {None: None} for row in connection.execute(names.order_by(_application.c.name))
            }
            for row in connection.execute(versions):
                documents[row.application][row.name] = None
            for row in connection.execute(settings):
                documents[row.application][row.version or None] = row.document
            return InstanceSettings(connection.execute(select(_revision.c.revision)).scalar_one(), documents)

        return await self._storage.read(run)

    def _changed(self, connection: Connection, event: Event) -> None:
        connection.execute(update(_revision).values(revision=_revision.c.revision + 1))
        self._outbox.add(connection, *event)


def _check(connection: Connection, application: str, version: str | None) -> None:
    _check_application(connection, application)
    if version is None:
        return
    owner = connection.execute(select(_version.c.application).where(_version.c.name == version)).scalar()
    if owner != application:
        raise NotFound(f"application {application!r} has no version {version!r}")


def _check_application(connection: Connection, name: str) -> None:
    if connection.execute(select(_application.c.name).where(_application.c.name == name)).scalar() is None:
        raise NotFound(f"there is no application {name!r}")
