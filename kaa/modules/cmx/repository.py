"""CMX's table."""

from collections.abc import Callable, Sequence
from typing import Any, TypeVar

from sqlalchemy import (
    BigInteger,
    BindParameter,
    Boolean,
    Column,
    Connection,
    MetaData,
    String,
    Table,
    and_,
    bindparam,
    delete,
    or_,
    select,
    update,
)
from sqlalchemy.dialects.sqlite import insert

from kaa.core.storage.database import Storage
from kaa.core.storage.outbox import Outbox
from kaa.core.storage.parts import parts
from kaa.core.subjects import Subject

from .models import Key, Said, State

T = TypeVar("T")
Event = tuple[Subject[Any], Any]


_state = Table(
    "cmx_state",
    MetaData(),
    Column("instance", String, primary_key=True),
    Column("endpoint_id", String, primary_key=True),
    Column("name", String, primary_key=True),
    Column("applied_id", String),
    Column("sent_id", String),
    Column("observe", Boolean),
    Column("updated_ms", BigInteger, nullable=False),
)


class StateRepository:
    """Keeps what one instance knows of endpoints; a change takes the events that tell of it along."""

    def __init__(self, storage: Storage, outbox: Outbox, *, instance: str) -> None:
        self._storage, self._outbox, self._instance = storage, outbox, instance

    async def find(self, endpoint_ids: Sequence[str]) -> dict[Key, State]:
        """Give what is known of endpoints."""
        return await self._storage.read_apart(lambda connection: self._find(connection, endpoint_ids))

    async def note_said(self, said: Sequence[Said], events: Sequence[Event], *, at_ms: int) -> None:
        """Keep what endpoints say on their own account, and the events that tell of it."""
        applied = [(one.key, one.applied_id) for one in said if one.applied_id is not None]
        observed = [self._row(one.key, at_ms, observe=one.observe) for one in said if one.observe is not None]

        def run(connection: Connection) -> None:
            self._apply(connection, applied, at_ms)
            if observed:
                connection.execute(self._observed(), observed)
            self._outbox.add_all(connection, events)

        await self._storage.write(run)

    async def note_answered(
        self,
        current: Sequence[tuple[Key, str]],
        sent: Sequence[tuple[Key, str]],
        *,
        tell: Callable[[Key, str], Event] | None = None,
        at_ms: int,
    ) -> None:
        """Keep that endpoints have what they say they have, and what others are being sent.

        `tell` makes the event for one that has not said so before.
        """

        def run(connection: Connection) -> None:
            known = self._find(connection, list({key[0] for key, _ in current}))
            fresh = [(key, config_id) for key, config_id in current if known.get(key, State()).known_id != config_id]
            fresh = list(dict.fromkeys(fresh))
            self._apply(connection, fresh, at_ms)
            if sent:
                rows = [self._bound(key) | {"sending_id": config_id} for key, config_id in sent]
                connection.execute(self._sent(), rows)
            if tell is not None:
                self._outbox.add_all(connection, [tell(*one) for one in fresh])

        await self._storage.write(run)

    async def forget(self, gone: Sequence[tuple[str, int]]) -> None:
        """Forget endpoints, as far as what is known of them is not newer than the time given with each."""
        statement = delete(_state).where(
            _state.c.instance == self._instance,
            _state.c.endpoint_id == bindparam("key"),
            _state.c.updated_ms <= bindparam("until_ms"),
        )
        rows = [{"key": endpoint_id, "until_ms": at_ms} for endpoint_id, at_ms in gone]
        if rows:
            await self._storage.write(lambda connection: connection.execute(statement, rows))

    def _find(self, connection: Connection, endpoint_ids: Sequence[str]) -> dict[Key, State]:
        found: dict[Key, State] = {}
        for part in parts(endpoint_ids):
            which = _state.c.instance == self._instance, _state.c.endpoint_id.in_(part)
            for row in connection.execute(select(_state).where(*which)):
                found[row.endpoint_id, row.name] = State(row.applied_id, row.sent_id, row.observe)
        return found

    def _apply(self, connection: Connection, applied: Sequence[tuple[Key, str]], at_ms: int) -> None:
        if applied:
            rows = [self._row(key, at_ms, applied_id=config_id) for key, config_id in applied]
            connection.execute(self._applied(), rows)

    def _applied(self) -> Any:
        query = insert(_state)
        again = {"applied_id": query.excluded.applied_id, "sent_id": None, "updated_ms": query.excluded.updated_ms}
        is_news = or_(_state.c.applied_id.is_distinct_from(query.excluded.applied_id), _state.c.sent_id.is_not(None))
        return query.on_conflict_do_update(set_=again, where=is_news)

    def _observed(self) -> Any:
        query = insert(_state)
        again = {"observe": query.excluded.observe, "updated_ms": query.excluded.updated_ms}
        is_news = _state.c.observe.is_distinct_from(query.excluded.observe)
        return query.on_conflict_do_update(set_=again, where=is_news)

    def _sent(self) -> Any:
        """Note what is sent where something else is known; where nothing is there is nothing to be unsure of."""
        sending: BindParameter[str] = bindparam("sending_id")
        return (
            update(_state)
            .where(
                and_(
                    _state.c.instance == self._instance,
                    _state.c.endpoint_id == bindparam("of_endpoint"),
                    _state.c.name == bindparam("of_name"),
                    or_(_state.c.applied_id != sending, _state.c.sent_id.is_not(None)),
                    _state.c.sent_id.is_distinct_from(sending),
                )
            )
            .values(sent_id=sending)
        )

    def _row(self, key: Key, at_ms: int, **values: object) -> dict[str, object]:
        return {"instance": self._instance, "endpoint_id": key[0], "name": key[1], "updated_ms": at_ms, **values}

    def _bound(self, key: Key) -> dict[str, object]:
        return {"of_endpoint": key[0], "of_name": key[1]}
