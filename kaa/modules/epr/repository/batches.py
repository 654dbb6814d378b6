"""Batches of registrations."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from pydantic_core import from_json, to_json
from sqlalchemy import Connection, delete, insert, select, update

from kaa.core.errors import NotFound
from kaa.core.storage.database import Storage
from kaa.protocols.names import EndpointId

from ..models import Batch, BatchItem, Endpoint
from .consequences import Consequences, Event
from .registrations import complete, give_back, reserve
from .tables import batch_table

_TAKEN = "endpointId: there is an endpoint of that id already"
_LATE = "the registration has taken too long"


class BatchRepository:
    """Keeps batches; what they reserve, make and give back goes with them."""

    def __init__(self, storage: Storage, consequences: Consequences) -> None:
        self._storage, self._consequences = storage, consequences

    async def add(self, batch: Batch) -> None:
        """Keep a new batch and reserve its ids; those that are taken are failures from the start."""

        def run(connection: Connection) -> None:
            wanted = {one.endpoint_id: at for at, one in enumerate(batch.items) if at not in batch.failures}
            taken = reserve(connection, list(wanted), batch.app_version, at_ms=batch.begun_ms, batch_id=batch.id)
            failures = {**batch.failures, **{wanted[one]: _TAKEN for one in taken}}
            connection.execute(insert(batch_table).values(_values(replace(batch, failures=failures))))

        await self._storage.write(run)

    async def get(self, batch_id: str) -> Batch:
        """Give a batch; NotFound if there is none of that id."""
        return await self._storage.read_apart(lambda connection: _get(connection, batch_id))

    async def find_running(self) -> list[str]:
        """Give the ids of those that have not ended, oldest first."""
        wanted = select(batch_table.c.id).where(batch_table.c.ended_ms.is_(None))

        def run(connection: Connection) -> list[str]:
            return list(connection.scalars(wanted.order_by(batch_table.c.begun_ms, batch_table.c.id)))

        return await self._storage.read(run)

    async def advance(
        self,
        batch: Batch,
        made: Sequence[tuple[Endpoint, Event]],
        undone: Mapping[EndpointId, Event | None],
    ) -> list[Event]:
        """Bring a batch to another state in one step; gives what is told.

        Args:
            batch: as it is to be; of what it holds, only progress, failures and end may have changed.
            made: the endpoints that it has come to, each with the event that tells of it.
            undone: the reserved ids to be given back, each with the event that tells of it, if one does.
        """
        values = {"progress": batch.progress, "ended_ms": batch.ended_ms}

        def run(connection: Connection) -> list[Event]:
            kept = {one.id for one in complete(connection, [one for one, _ in made])}
            give_back(connection, undone, self._consequences)
            late = {one.id for one, _ in made} - kept
            failures = {at: _LATE for at, one in enumerate(batch.items) if one.endpoint_id in late}
            failures |= batch.failures
            changed = update(batch_table).where(batch_table.c.id == batch.id)
            connection.execute(changed.values(values | {"failures": to_json(failures)}))
            told = [(one, event) for one, event in made if one.id in kept]
            return self._consequences.of_change(
                connection, [(None, one) for one, _ in told], [event for _, event in told]
            )

        return await self._storage.write(run)

    async def take_tokens(self, batch_id: str) -> Sequence[str]:
        """Give the tokens of a batch that has ended, and keep them no longer; empty if they have been taken."""
        of_it = batch_table.c.id == batch_id, batch_table.c.ended_ms.is_not(None)

        def run(connection: Connection) -> Sequence[str]:
            kept = connection.execute(select(batch_table.c.tokens).where(*of_it)).scalar()
            connection.execute(update(batch_table).where(*of_it).values(tokens=None))
            return _list(kept)

        return await self._storage.write(run)

    async def remove_ended(self, *, before_ms: int) -> None:
        """Forget those that ended before a time."""

        def run(connection: Connection) -> None:
            connection.execute(delete(batch_table).where(batch_table.c.ended_ms < before_ms))

        await self._storage.write(run)


def _values(batch: Batch) -> dict[str, Any]:
    values = {column.name: getattr(batch, column.name) for column in batch_table.c}
    return values | {
        "items": to_json([{"id": one.endpoint_id, "metadata": one.metadata} for one in batch.items]),
        "failures": to_json(batch.failures),
        "tokens": to_json(batch.tokens),
    }


def _get(connection: Connection, batch_id: str) -> Batch:
    row: Any = connection.execute(select(batch_table).where(batch_table.c.id == batch_id)).one_or_none()
    if row is None:
        raise NotFound(f"there is no batch {batch_id!r}")
    values: Mapping[str, Any] = row._mapping  # noqa: SLF001  its public name
    return Batch(
        **{
            **values,
            "items": tuple(BatchItem(one["id"], one["metadata"]) for one in from_json(row.items)),
            "failures": {int(at): reason for at, reason in from_json(row.failures).items()},
            "tokens": _list(row.tokens),
        }
    )


def _list(kept: bytes | None) -> Sequence[str]:
    return () if kept is None else tuple(from_json(kept))
