"""The metadata of endpoints."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace

from pydantic_core import to_json
from sqlalchemy import Connection, bindparam, select, update

from kaa.core.errors import NotFound, Refusal
from kaa.core.storage.database import Storage
from kaa.core.storage.parts import parts
from kaa.protocols.names import EndpointId

from ..metadata import Difference, check, difference, tag_of
from ..models import Change, Endpoint, Metadata
from .consequences import Consequences, Event
from .tables import endpoint_of, endpoint_table, key_table

_MAX_KEYS_FOUND = 10_000

Tell = Callable[[Endpoint, Difference], Event]

_write = (
    update(endpoint_table)
    .where(endpoint_table.c.id == bindparam("of"))
    .values(metadata=bindparam("kept"), metadata_updated_ms=bindparam("at_ms"))
)


class MetadataRepository:
    """Keeps metadata; a change takes the events that tell of it along, and what changes nothing is no change."""

    def __init__(self, storage: Storage, consequences: Consequences) -> None:
        self._storage, self._consequences = storage, consequences

    async def get(self, endpoint_id: str) -> Metadata:
        """Give an endpoint's metadata; NotFound if there is no such endpoint."""

        def run(connection: Connection) -> Metadata:
            return _get(_rows(connection, [endpoint_id]), endpoint_id)[1]

        return await self._storage.read(run)

    async def find_keys(self, versions: Sequence[str]) -> dict[str, list[str]]:
        """Give the keys that there are, by version and in order; at most ten thousand."""
        wanted = select(key_table.c.app_version, key_table.c.key).where(key_table.c.app_version.in_(versions))
        ordered = wanted.order_by(key_table.c.app_version, key_table.c.key).limit(_MAX_KEYS_FOUND)

        def run(connection: Connection) -> dict[str, list[str]]:
            found: dict[str, list[str]] = {}
            for version, key in connection.execute(ordered):
                found.setdefault(version, []).append(key)
            return found

        return await self._storage.read_apart(run)

    async def update(self, endpoint_id: str, change: Change, *, at_ms: int, tell: Tell) -> tuple[Metadata, list[Event]]:
        """Change an endpoint's metadata; gives it as it is now, and what is told.

        Raises:
            NotFound: there is no such endpoint.
            InvalidInput: it would be more than can be kept; so may what the change raises.
        """

        def run(connection: Connection) -> tuple[Metadata, list[Event]]:
            before, metadata = _get(_rows(connection, [endpoint_id]), endpoint_id)
            step = _Step(before, metadata, change, at_ms)
            return step.now, self._apply(connection, [step], tell)

        return await self._storage.write(run)

    async def update_all(
        self, changes: Mapping[EndpointId, Change], *, at_ms: int, tell: Tell
    ) -> Mapping[EndpointId, Refusal]:
        """Change the metadata of many endpoints in one step; gives those that were left alone, and why."""

        def run(connection: Connection) -> Mapping[EndpointId, Refusal]:
            rows = _rows(connection, list(changes))
            steps, left = [], {}
            for endpoint_id, change in changes.items():
                try:
                    steps.append(_Step(*_get(rows, endpoint_id), change, at_ms))
                except Refusal as no:
                    left[endpoint_id] = no
            self._apply(connection, steps, tell)
            return left

        return await self._storage.write(run)

    def _apply(self, connection: Connection, steps: Sequence["_Step"], tell: Tell) -> list[Event]:
        changed = [step for step in steps if step.difference]
        if not changed:
            return []
        for part in parts(changed):
            rows = [{"of": step.after.id, "kept": step.kept, "at_ms": step.after.metadata_updated_ms} for step in part]
            connection.execute(_write, rows)
        return self._consequences.of_change(
            connection,
            [(step.before, step.after) for step in changed],
            [tell(step.after, step.difference) for step in changed],
        )


class _Step:
    """One endpoint's metadata before and after a change."""

    __slots__ = ("after", "before", "difference", "kept", "now")

    def __init__(self, before: Endpoint, metadata: Metadata, change: Change, at_ms: int) -> None:
        values = change(metadata)
        self.before, self.after, self.now = before, before, metadata
        self.kept = b""
        self.difference = difference(metadata.values, values)
        if self.difference:
            check(values)
            self.kept = to_json(values)
            self.after = replace(before, metadata=values, metadata_updated_ms=at_ms)
            self.now = Metadata(before.app_version, values, tag_of(self.kept))


def _rows(connection: Connection, ids: Sequence[str]) -> dict[str, tuple[Endpoint, Metadata]]:
    found = (
        row
        for part in parts(ids)
        for row in connection.execute(select(endpoint_table).where(endpoint_table.c.id.in_(part)))
    )
    made = ((endpoint_of(row), row.metadata) for row in found)
    return {one.id: (one, Metadata(one.app_version, one.metadata or {}, tag_of(kept))) for one, kept in made}


def _get(rows: Mapping[str, tuple[Endpoint, Metadata]], endpoint_id: str) -> tuple[Endpoint, Metadata]:
    found = rows.get(endpoint_id)
    if found is None:
        raise NotFound(f"there is no endpoint {endpoint_id!r}")
    return found
