"""The software versions of each application."""

from collections.abc import Callable, Collection, Iterable, Sequence
from dataclasses import replace
from typing import Any

import structlog
from sqlalchemy import Connection, delete, insert, select, update

from kaa.core.endpoint_query import parse
from kaa.core.errors import Conflict, InvalidInput, NotFound
from kaa.core.storage.database import Storage

from ..catalogue import Catalogue, Release, find_circle
from ..models import Rules, Software, Strategy
from ..semver import key_of
from .rollouts import add_rollout
from .tables import application_table, rules_from_json, rules_to_json, software_table

log = structlog.get_logger(__name__)

MAX_SOFTWARE = 500

Edit = Callable[[Software], Software]
Check = Callable[[Software], None]


class SoftwareRepository:
    """Keeps software versions; a change goes with the roll-out that it makes due, in one step.

    A change gives the catalogue as it is afterwards. What a `check` raises undoes all.
    """

    def __init__(self, storage: Storage) -> None:
        self._storage = storage

    async def load(self, application: str) -> Catalogue:
        """Give the catalogue of an application."""
        return await self._storage.read_apart(lambda connection: _catalogue(connection, application))

    async def load_all(self) -> dict[str, Catalogue]:
        """Give the catalogues of all applications that have one."""

        def run(connection: Connection) -> dict[str, Catalogue]:
            names = connection.execute(select(application_table.c.name)).scalars().all()
            return {name: _catalogue(connection, name) for name in names}

        return await self._storage.read_apart(run)

    async def get(self, application: str, version: str) -> Software:
        """Give one version; NotFound if there is none."""
        return await self._storage.read(lambda connection: _get(connection, application, version))

    async def find(self, application: str, keys: Collection[str]) -> dict[str, Software]:
        """Give those of these versions that there are, by their keys."""
        table = software_table
        query = select(table).where(table.c.application == application, table.c.key.in_(keys))

        def run(connection: Connection) -> dict[str, Software]:
            return {row.key: _made(row) for row in connection.execute(query)}

        return await self._storage.read_apart(run)

    async def add(self, software: Software, *, at_ms: int) -> Catalogue:
        """Keep a new version; Conflict if there is one like it, too many, or a circle in the graph."""

        def run(connection: Connection) -> Catalogue:
            table = software_table
            present = _rules(connection, software.application)
            if software.key in present:
                raise Conflict(f"version: application {software.application!r} has {software.key} already")
            if len(present) >= MAX_SOFTWARE:
                raise Conflict(f"application {software.application!r} has {MAX_SOFTWARE} versions; delete one first")
            _check_graph(software, present)
            connection.execute(
                insert(table).values(application=software.application, key=software.key, **_row(software))
            )
            return _changed(connection, software.application, [software.rules], changed=software.key, at_ms=at_ms)

        return await self._storage.write(run)

    async def update(
        self, application: str, version: str, edit: Edit, *, check: Check | None = None, at_ms: int
    ) -> tuple[Software, Catalogue | None]:
        """Replace a version by what `edit` makes of it; gives no catalogue where nothing has changed.

        Raises:
            NotFound: there is no such version.
            Conflict: there would be a circle in the graph.
        """

        def run(connection: Connection) -> tuple[Software, Catalogue | None]:
            present = _get(connection, application, version)
            if check is not None:
                check(present)
            edited = edit(present)
            if edited.is_like(present):
                return present, None
            edited = replace(edited, updated_ms=at_ms)
            _check_graph(edited, _rules(connection, application))
            table = software_table
            which = table.c.application == application, table.c.key == present.key
            connection.execute(update(table).where(*which).values(**_row(edited)))
            rules = [present.rules, edited.rules]
            back = [] if present.rules.rollback is edited.rules.rollback is None else [present.key]
            again = _rolled_back_to(connection, application, edited.key)
            changed = edited.key if edited.specification != present.specification else None
            catalogue = _changed(connection, application, rules, keys=[*back, *again], changed=changed, at_ms=at_ms)
            return edited, catalogue

        return await self._storage.write(run)

    async def remove(self, application: str, version: str, *, check: Check, at_ms: int) -> Catalogue:
        """Delete a version; what comes next for others may change by it. NotFound if there is none."""

        def run(connection: Connection) -> Catalogue:
            present = _get(connection, application, version)
            check(present)
            table = software_table
            connection.execute(delete(table).where(table.c.application == application, table.c.key == present.key))
            again = _rolled_back_to(connection, application, present.key)
            return _changed(connection, application, [present.rules], keys=again, at_ms=at_ms)

        return await self._storage.write(run)

    async def touch(
        self, application: str, keys: Iterable[str], *, at_ms: int, dates_until_ms: int | None = None
    ) -> Catalogue:
        """Have the endpoints that run one of these versions looked at again: something beside the versions changed."""

        def run(connection: Connection) -> Catalogue:
            return _changed(connection, application, [], keys=keys, at_ms=at_ms, dates_until_ms=dates_until_ms)

        return await self._storage.write(run)


def _changed(
    connection: Connection,
    application: str,
    rules: Sequence[Rules],
    *,
    keys: Iterable[str] = (),
    changed: str | None = None,
    at_ms: int,
    dates_until_ms: int | None = None,
) -> Catalogue:
    """Count the change, note whom it concerns, and give the catalogue as it is now."""
    table = application_table
    row = connection.execute(select(table).where(table.c.name == application)).one_or_none()
    revision = 1 if row is None else row.revision + 1
    if row is None:
        connection.execute(insert(table).values(name=application, revision=revision, dates_until_ms=at_ms))
    else:
        until = row.dates_until_ms if dates_until_ms is None else dates_until_ms
        new = {"revision": revision, "dates_until_ms": until}
        connection.execute(update(table).where(table.c.name == application).values(**new))
    concerned = {key_of(version) for one in rules for version in one.upgradable_from} | set(keys)
    if concerned:
        add_rollout(connection, application, concerned, changed=changed, revision=revision)
    return _catalogue(connection, application)


def _check_graph(software: Software, present: dict[str, Rules]) -> None:
    sources = {key: frozenset(map(key_of, rules.upgradable_from)) for key, rules in present.items()}
    sources[software.key] = frozenset(map(key_of, software.rules.upgradable_from))
    circle = find_circle(software.key, sources)
    if circle is not None:
        raise Conflict(f"upgradableFrom: {' → '.join(circle)} leads back to where it began")


def _rolled_back_to(connection: Connection, application: str, key: str) -> list[str]:
    """Give the versions that are being taken back, and may be to this one."""
    return [
        taken
        for taken, rules in _rules(connection, application).items()
        if rules.rollback is not None and key in map(key_of, rules.downgradable_to)
    ]


def _rules(connection: Connection, application: str) -> dict[str, Rules]:
    table = software_table
    rows = connection.execute(select(table.c.key, table.c.rules).where(table.c.application == application))
    return {row.key: rules_from_json(row.rules) for row in rows}


def _catalogue(connection: Connection, application: str) -> Catalogue:
    table, about = software_table, application_table
    row = connection.execute(select(about).where(about.c.name == application)).one_or_none()
    if row is None:
        return Catalogue()
    rows = connection.execute(select(table.c.version, table.c.rules).where(table.c.application == application))
    releases = [_release(version, rules_from_json(rules)) for version, rules in rows]
    return Catalogue(releases, revision=row.revision, dates_until_ms=row.dates_until_ms)


def _release(version: str, rules: Rules) -> Release:
    if rules.compatible_with is None:
        return Release(version, rules)
    try:
        return Release(version, rules, parse(rules.compatible_with))
    except InvalidInput as no:  # understood when it was written; nobody gets what may not fit
        log.error("compatibility_not_understood", version=version, reason=no.reason)  # noqa: TRY400
        return Release(version, replace(rules, strategy=Strategy.SUSPENDED))


def _get(connection: Connection, application: str, version: str) -> Software:
    table = software_table
    row = connection.execute(
        select(table).where(table.c.application == application, table.c.key == key_of(version))
    ).one_or_none()
    if row is None:
        raise NotFound(f"application {application!r} has no software version {version[:80]!r}")
    return _made(row)


def _row(software: Software) -> dict[str, Any]:
    return {
        "version": software.version,
        "id": software.id,
        "specification": software.specification,
        "metadata": software.metadata,
        "rules": rules_to_json(software.rules),
        "created_ms": software.created_ms,
        "updated_ms": software.updated_ms,
    }


def _made(row: Any) -> Software:
    return Software(
        application=row.application,
        version=row.version,
        id=row.id,
        specification=row.specification,
        metadata=row.metadata,
        rules=rules_from_json(row.rules),
        created_ms=row.created_ms,
        updated_ms=row.updated_ms,
    )
