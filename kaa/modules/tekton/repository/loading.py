"""Many applications with their versions and settings, compared with what there is, and taken over in one step."""

from collections.abc import Callable, Iterator, Mapping
from typing import Any

from sqlalchemy import Connection, Executable, Table, insert, select, update

from kaa.core.errors import Conflict, NotFound
from kaa.core.storage.database import Storage
from kaa.core.storage.outbox import Outbox

from ..models import Action, Change, Everything, Scope, Wanted, managed
from .applications import all_applications
from .settings import present, replace
from .tables import application_table, setting_table, version_table
from .writing import Event, changed

Step = Callable[[Connection], object]
_MOST_PROBLEMS = 100


class LoadingRepository:
    """Takes over many things at a time, and gives them all."""

    def __init__(self, storage: Storage, outbox: Outbox) -> None:
        self._storage, self._outbox = storage, outbox

    async def load(
        self, wanted: Wanted, *, event: Event, at_ms: int, may_add: bool = True, is_dry: bool = False
    ) -> list[Change]:
        """Have things as they are wanted, and say what that changes; what is not named stays as it is.

        `wanted.versions` are the applications. Either everything is taken over or nothing; if `is_dry`, nothing.

        Raises:
            Conflict: something belongs to another application, or to the configuration file.
            NotFound: something is not there, and may not be added.
        """

        def plan(connection: Connection) -> _Plan:
            made = _Plan(connection, at_ms=at_ms, may_add=may_add)
            made.take(wanted)
            made.refuse()
            return made

        def run(connection: Connection) -> list[Change]:
            made = plan(connection)
            made.apply()
            if made.changes:
                changed(connection, self._outbox, event)
            return made.changes

        if is_dry:
            return await self._storage.read_apart(lambda connection: plan(connection).changes)
        return await self._storage.write(run)

    async def manage(self, wanted: Wanted, *, event: Event, at_ms: int) -> tuple[list[Change], list[Scope]]:
        """Have the applications of the configuration file as it says, and nothing else of them; mark them.

        Gives what that changes, and which applications and versions the file does not have any more: those stay as
        they are, and are ordinary ones from now on.
        """

        def run(connection: Connection) -> tuple[list[Change], list[Scope]]:
            made = _Plan(connection, at_ms=at_ms, is_file=True)
            made.take(wanted)
            made.refuse()
            made.apply()
            released = list(_release(connection, wanted))
            if made.changes:
                changed(connection, self._outbox, event)
            return made.changes, released

        return await self._storage.write(run)

    async def find_all(self) -> Everything:
        """Give everything."""

        def run(connection: Connection) -> Everything:
            settings: dict[str, dict[str, bytes]] = {}
            for row in connection.execute(select(setting_table).order_by(setting_table.c.instance)):
                settings.setdefault(row.version or row.application, {})[row.instance] = row.document
            return Everything(present(connection, Scope()), tuple(all_applications(connection)), settings)

        return await self._storage.read_apart(run)


class _Plan:
    """What is to be done so that things are as they are wanted; `problems` say why it cannot be."""

    def __init__(self, connection: Connection, *, at_ms: int, may_add: bool = True, is_file: bool = False) -> None:
        self._connection, self._at_ms = connection, at_ms
        self._may_add, self._is_file = may_add, is_file
        self._applications = {row.name: row for row in connection.execute(select(application_table))}
        self._versions = {row.name: row for row in connection.execute(select(version_table))}
        self._settings: dict[tuple[str, str], dict[str, bytes]] = {}
        for row in connection.execute(select(setting_table)):
            self._settings.setdefault((row.application, row.version), {})[row.instance] = row.document
        self._steps: list[Step] = []
        self._missing: list[str] = []
        self._conflicts: list[str] = []
        self.changes: list[Change] = []

    def take(self, wanted: Wanted) -> None:
        self._documents(Scope(), wanted.settings, before=present(self._connection, Scope()))
        for name, application in wanted.versions.items():
            self._one(Scope(name), application)
            for version, inner in application.versions.items():
                self._one(Scope(name, version), inner)

    def refuse(self) -> None:
        """Say what is wrong, if anything is."""
        problems = self._missing + self._conflicts
        if not problems:
            return
        sentence = "\n".join(problems[:_MOST_PROBLEMS])
        if len(problems) > _MOST_PROBLEMS:
            sentence += f"\nand {len(problems) - _MOST_PROBLEMS} more"
        raise Conflict(sentence) if self._conflicts else NotFound(sentence)

    def apply(self) -> None:
        for step in self._steps:
            step(self._connection)

    def _one(self, scope: Scope, wanted: Wanted) -> None:
        is_version = scope.version is not None
        table = version_table if is_version else application_table
        name = scope.version or scope.application
        row = (self._versions if is_version else self._applications).get(name)
        if row is not None and is_version and row.application != scope.application:
            self._conflicts.append(f"{_place(scope)}: application {row.application!r} has a version {name!r} already")
            return
        if row is None and not self._may_add:
            what = f"version {name!r} of application {scope.application!r}" if is_version else f"application {name!r}"
            self._missing.append(f"{_place(scope)}: there is no {what}")
            return
        known = len(self.changes)
        self._describe(table, scope, row, wanted.fields)
        before = self._settings.get((scope.application or "", scope.version or ""), {})
        documents = (dict.fromkeys(before) if self._is_file else {}) | dict(wanted.settings)
        self._documents(scope, documents, before=before)
        owner = self._applications.get(scope.application)
        is_closed = (row is not None and row.is_managed) or (row is None and owner is not None and owner.is_managed)
        if is_closed and not self._is_file and len(self.changes) > known:
            owned = scope if row is not None else Scope(scope.application)
            self._conflicts.append(f"{_place(scope)}: {managed(owned)}")

    def _describe(self, table: Table, scope: Scope, row: Any, fields: Mapping[str, str | None]) -> None:
        name = scope.version or scope.application
        if row is None:
            values: dict[str, Any] = {"name": name, "display_name": None, "description": None, **fields}
            values |= {"created_ms": self._at_ms, "updated_ms": self._at_ms, "is_managed": self._is_file}
            if scope.version is not None:
                values["application"] = scope.application
            self._do(insert(table).values(values))
            self.changes.append(Change(Action.ADDED, scope))
            return
        changes = {column: value for column, value in fields.items() if getattr(row, column) != value}
        of_row = update(table).where(table.c.name == name)
        if changes:
            self._do(of_row.values({**changes, "updated_ms": self._at_ms}))
            self.changes.append(Change(Action.CHANGED, scope))
        if self._is_file and not row.is_managed:
            self._do(of_row.values(is_managed=True))

    def _documents(self, scope: Scope, wanted: Mapping[str, bytes | None], *, before: Mapping[str, bytes]) -> None:
        new = {name: text for name, text in wanted.items() if before.get(name) != text}
        if not new:
            return
        for name, text in new.items():
            action = Action.REMOVED if text is None else Action.CHANGED if name in before else Action.ADDED
            self.changes.append(Change(action, scope, name))
        self._steps.append(lambda connection: replace(connection, scope, new))

    def _do(self, statement: Executable) -> None:
        self._steps.append(lambda connection: connection.execute(statement))


def _release(connection: Connection, wanted: Wanted) -> Iterator[Scope]:
    """Unmark what the configuration file does not have any more."""
    for row in connection.execute(select(application_table).where(application_table.c.is_managed)).all():
        if row.name not in wanted.versions:
            of_row = update(application_table).where(application_table.c.name == row.name)
            connection.execute(of_row.values(is_managed=False))
            yield Scope(row.name)
    for row in connection.execute(select(version_table).where(version_table.c.is_managed)).all():
        owner = wanted.versions.get(row.application)
        if owner is None or row.name not in owner.versions:
            of_row = update(version_table).where(version_table.c.name == row.name)
            connection.execute(of_row.values(is_managed=False))
            yield Scope(row.application, row.name)


def _place(scope: Scope) -> str:
    place = f"applications.{scope.application}"
    return place if scope.version is None else f"{place}.versions.{scope.version.removeprefix(f'{scope.application}-')}"
