"""What all writing has in common: what must be there, what may be changed, and that a change is told."""

from typing import Any

from sqlalchemy import Connection, Row, select, update

from kaa.core.errors import NotFound
from kaa.core.storage.outbox import Outbox
from kaa.core.subjects import Subject

from ..models import Scope, require_ordinary
from .tables import application_table, revision_table, version_table

Event = tuple[Subject[Any], Any]


def changed(connection: Connection, outbox: Outbox, event: Event) -> None:
    """Count the change, and have it told."""
    connection.execute(update(revision_table).values(revision=revision_table.c.revision + 1))
    outbox.add(connection, *event)


def get_row(connection: Connection, scope: Scope) -> Row[Any] | None:
    """Give the row of an application or a version, None for the scope of all; NotFound if there is none."""
    if scope.application is None:
        return None
    found = connection.execute(
        select(application_table).where(application_table.c.name == scope.application)
    ).one_or_none()
    if found is None:
        raise NotFound(f"there is no application {scope.application!r}")
    if scope.version is None:
        return found
    found = connection.execute(select(version_table).where(version_table.c.name == scope.version)).one_or_none()
    if found is None or found.application != scope.application:
        raise NotFound(f"application {scope.application!r} has no version {scope.version!r}")
    return found


def get_writable(connection: Connection, scope: Scope) -> Row[Any] | None:
    """Give the row as `get_row` does; Conflict if the configuration file has it."""
    row = get_row(connection, scope)
    if row is not None:
        require_ordinary(row, scope)
    return row
