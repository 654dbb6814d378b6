"""What goes with every change of endpoints, in the same transaction.

That is which filters they match, how many endpoints have which metadata key, and the events.
"""

from collections import Counter
from collections.abc import Sequence
from typing import Any, Protocol

from sqlalchemy import Connection, bindparam, delete
from sqlalchemy.dialects.sqlite import insert

from kaa.core.storage.outbox import Outbox
from kaa.core.subjects import Subject

from ..models import Endpoint
from .tables import key_table

Event = tuple[Subject[Any], Any]


_Key = tuple[str, str]
"""An application version and a metadata key."""

_new_count = insert(key_table)
_counting = _new_count.on_conflict_do_update(
    index_elements=["app_version", "key"], set_={"endpoints": key_table.c.endpoints + _new_count.excluded.endpoints}
)
_forgetting = delete(key_table).where(
    key_table.c.app_version == bindparam("of_version"),
    key_table.c.key == bindparam("of_key"),
    key_table.c.endpoints <= 0,
)


class Matching(Protocol):
    """Keeps up to date which filters endpoints match; called within the transaction of the change."""

    def on_changed(self, connection: Connection, after: Sequence[Endpoint]) -> list[Event]:
        """Take over endpoints, with metadata, as they now are: registered or changed; gives what is to be told."""

    def on_removed(self, connection: Connection, gone: Sequence[Endpoint]) -> list[Event]:
        """Take over that endpoints are gone; gives what is to be told."""


class Consequences:
    """Draws the consequences of changes; gives all events, for `Outbox.settled`."""

    def __init__(self, outbox: Outbox, matching: Matching) -> None:
        self._outbox, self._matching = outbox, matching

    def of_change(
        self,
        connection: Connection,
        changed: Sequence[tuple[Endpoint | None, Endpoint]],
        events: Sequence[Event],
    ) -> list[Event]:
        """Go through with endpoints that were (None: there was none) and are, with metadata, and what tells of it."""
        counts = Counter[_Key]()
        for before, after in changed:
            if before is None or _keys(before) != _keys(after):
                counts.update(_keys(after))
                counts.subtract(_keys(before) if before is not None else ())
        _count(connection, counts)
        return self._told(connection, events, self._matching.on_changed(connection, [after for _, after in changed]))

    def of_removal(self, connection: Connection, gone: Sequence[Endpoint], events: Sequence[Event]) -> list[Event]:
        """Go through with endpoints that are gone, with the metadata that they had, and what tells of it."""
        counts = Counter[_Key]()
        for one in gone:
            counts.subtract(_keys(one))
        _count(connection, counts)
        return self._told(connection, events, self._matching.on_removed(connection, gone))

    def tell(self, connection: Connection, events: Sequence[Event]) -> None:
        """Have told what has no consequences here."""
        self._outbox.add_all(connection, events)

    def _told(self, connection: Connection, events: Sequence[Event], more: Sequence[Event]) -> list[Event]:
        told = [*events, *more]
        self._outbox.add_all(connection, told)
        return told


def _keys(endpoint: Endpoint) -> set[_Key]:
    return {(endpoint.app_version, key) for key in endpoint.metadata or ()}


def _count(connection: Connection, counts: Counter[_Key]) -> None:
    changed = {key: by for key, by in counts.items() if by}
    if changed:
        rows = [{"app_version": version, "key": key, "endpoints": by} for (version, key), by in changed.items()]
        connection.execute(_counting, rows)
    if fewer := [{"of_version": version, "of_key": key} for (version, key), by in changed.items() if by < 0]:
        connection.execute(_forgetting, fewer)
