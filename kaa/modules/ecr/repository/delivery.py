"""What consumers ask, what endpoints report, and what they have to be told."""

from collections.abc import Collection, Sequence

from sqlalchemy import BindParameter, Connection, bindparam, delete, or_
from sqlalchemy.dialects.sqlite import insert

from kaa.core.storage.database import Storage
from kaa.core.storage.outbox import Outbox

from ..models import Asked, Reported, Rollout, State, Target
from . import rollouts
from .resolving import Accepts, effective
from .tables import Event, config_table, contents, member_table, names, status_table, told_table
from .telling import Dispatched, Tell, due, events, forget_told, note_dispatched, note_told

Found = tuple[str, bytes | None] | None
"""The identifier and the content, which is None where the endpoint has it; None where there is no configuration."""

_KEY: BindParameter[str] = bindparam("key")
_UNTIL: BindParameter[int] = bindparam("until_ms")
_FORGETTING = (
    delete(config_table).where(
        config_table.c.scope == "endpoint", config_table.c.owner == _KEY, config_table.c.updated_ms <= _UNTIL
    ),
    delete(member_table).where(member_table.c.endpoint_id == _KEY, member_table.c.at_ms <= _UNTIL),
    delete(status_table).where(status_table.c.endpoint_id == _KEY, status_table.c.touched_ms <= _UNTIL),
    delete(told_table).where(told_table.c.endpoint_id == _KEY),
)


class DeliveryRepository:
    """Finds what endpoints are to have, and keeps what they have been told and what they say."""

    def __init__(self, storage: Storage, outbox: Outbox, *, accepts: Accepts, history: int) -> None:
        self._storage, self._outbox = storage, outbox
        self._accepts, self._history = accepts, history

    async def answer(self, asked: Sequence[Asked], *, at_ms: int) -> list[Found]:
        """Find what is asked for, and note that it was told."""

        def run(connection: Connection) -> list[Found]:
            found = self._find(connection, asked)
            answered = list(zip(asked, found, strict=True))
            forget_told(connection, {(one.target.endpoint_id, one.name) for one, what in answered if what is None})
            dispatched = _of([(one, what) for one, what in answered if what is not None and what[1] is not None])
            note_dispatched(connection, dispatched, at_ms=at_ms, history=self._history)
            note_told(connection, _of([(one, what) for one, what in answered if what is not None and what[1] is None]))
            return found

        return await self._storage.write(run)

    async def look(self, asked: Sequence[Asked]) -> list[Found]:
        """Find what is asked for, and note nothing."""
        return await self._storage.read_apart(lambda connection: self._find(connection, asked))

    async def effective(self, targets: Sequence[Target]) -> dict[Target, dict[str, str]]:
        """Give the identifiers of what targets are to have, by name."""
        return await self._storage.read_apart(lambda connection: effective(connection, targets, self._accepts))

    async def names(self, config_ids: Sequence[str]) -> dict[str, str]:
        """Give the names of configurations."""
        return await self._storage.read(lambda connection: names(connection, config_ids))

    async def tell_due(
        self,
        targets: Sequence[Target],
        config_names: Collection[str] | None,
        tell: Tell,
        *,
        at_ms: int,
        most_bytes: int,
    ) -> tuple[list[Event], bool]:
        """Tell endpoints that are connected what they have not been told, as much as fits; whether that was all."""

        def run(connection: Connection) -> tuple[list[Event], bool]:
            found = due(connection, targets, self._accepts, config_names)
            made, covered = events(connection, found, tell, most_bytes=most_bytes)
            note_dispatched(connection, covered, at_ms=at_ms, history=self._history)
            self._outbox.add_all(connection, made)
            return made, len(covered) == len(found)

        return await self._storage.write(run)

    async def add_reports(self, reports: Sequence[Reported]) -> None:
        """Keep what endpoints say; of configurations that nobody knows nothing is kept."""

        def run(connection: Connection) -> None:
            known = names(connection, list({report.config_id for report in reports}))
            rows = [
                {
                    "endpoint_id": report.target.endpoint_id,
                    "app_version": report.target.app_version,
                    "name": known[report.config_id],
                    "config_id": report.config_id,
                    "state": State.APPLIED if 200 <= report.code < 300 else State.FAILED,
                    "touched_ms": report.at_ms,
                    "confirmed_ms": report.at_ms,
                    "confirmation_code": report.code,
                    "confirmation_phrase": report.phrase,
                }
                for report in reports
                if report.config_id in known
            ]
            query = insert(status_table)
            said = ("state", "touched_ms", "confirmed_ms", "confirmation_code", "confirmation_phrase")
            before = status_table.c.confirmed_ms
            is_newer = or_(before.is_(None), before <= query.excluded.confirmed_ms)
            if rows:
                again = {column: query.excluded[column] for column in said}
                connection.execute(query.on_conflict_do_update(set_=again, where=is_newer), rows)

        await self._storage.write(run)

    async def forget_endpoints(self, gone: Sequence[tuple[str, int]]) -> None:
        """Forget endpoints, as far as what is kept of them is not newer than the time given with each."""
        rows = [{"key": endpoint_id, "until_ms": at_ms} for endpoint_id, at_ms in gone]

        def run(connection: Connection) -> None:
            for statement in _FORGETTING:
                connection.execute(statement, rows)

        if rows:
            await self._storage.write(run)

    async def find_rollouts(self) -> list[Rollout]:
        """Give what is still to be told."""
        return await self._storage.read(rollouts.find_rollouts)

    async def remove_rollout(self, done: Rollout) -> None:
        """Note that all have been told."""
        await self._storage.write(lambda connection: rollouts.remove_rollout(connection, done))

    def _find(self, connection: Connection, asked: Sequence[Asked]) -> list[Found]:
        targets = list(dict.fromkeys(one.target for one in asked))
        by_target = effective(connection, targets, self._accepts, {one.name for one in asked})
        wanted = [(one, by_target[one.target].get(one.name)) for one in asked]
        bodies = contents(connection, list({found for one, found in wanted if found and found != one.config_id}))
        return [
            None if found is None else (found, None if found == one.config_id else bodies[found])
            for one, found in wanted
        ]


def _of(answered: Sequence[tuple[Asked, tuple[str, bytes | None]]]) -> list[Dispatched]:
    """Give each that was told once, though it may have asked twice."""
    return list(dict.fromkeys((one.target, one.name, found[0]) for one, found in answered))
