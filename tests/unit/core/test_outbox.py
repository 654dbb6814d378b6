"""The outbox: what was told is told until everybody that matters has heard it."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack
from itertools import pairwise
from pathlib import Path
from typing import Any, Self

import pytest
from fakes.clock import FakeClock
from fakes.ids import CountedIds
from sqlalchemy import Connection
from waiting import until

from kaa.core.bus.memory import MemoryBus
from kaa.core.errors import Conflict
from kaa.core.messages import Int, Long, message
from kaa.core.metrics import Metrics
from kaa.core.storage.database import Storage
from kaa.core.storage.outbox import Outbox
from kaa.core.subjects import Subject
from kaa.core.tasks import Tasks
from kaa.protocols.x_outbox import EventProcessed, event_processed


@message("org.kaa.test")
class Gone:
    correlation_id: str
    timestamp_ms: Long
    what: str
    count: Int = 0


EVERY = Subject("events.epr.gone.*", Gone, EventProcessed)
GONE = Subject("events.epr.gone.now", Gone, EventProcessed)
IDS = CountedIds()


class Listener:
    """Hears events and answers with the statuses given, then with 200; None is no answer."""

    def __init__(self, name: str, *statuses: int | None) -> None:
        self.name, self.heard = name, list[str]()
        self._statuses = list(statuses)

    async def __call__(self, event: Gone) -> EventProcessed | None:
        self.heard.append(event.what)
        status = self._statuses.pop(0) if self._statuses else 200
        if status is None:
            return None
        return EventProcessed(
            correlation_id=event.correlation_id,
            timestamp_ms=0,
            receiver_service_instance_name=self.name,
            status_code=status,
            reason_phrase="as the test says",
        )


class Run:
    """One run of a process: bus, database and outboxes, on a directory that outlives it."""

    def __init__(self, directory: Path, clock: FakeClock, *, is_wired: bool) -> None:
        self.clock, self._directory, self._is_wired = clock, directory, is_wired

    async def __aenter__(self) -> Self:
        self.tasks, self.metrics = Tasks(), Metrics()
        self.bus = MemoryBus(
            replica="r1", clock=self.clock, tasks=self.tasks, metrics=self.metrics, is_wired=self._is_wired
        )
        self._stack = AsyncExitStack()
        self._stack.push_async_callback(self.bus.close)
        self.storage = await self._stack.enter_async_context(
            Storage(self._directory / "kaa.db", tasks=self.tasks, clock=self.clock, metrics=self.metrics).opened()
        )

        def create(connection: Connection) -> None:
            connection.exec_driver_sql(
                "create table if not exists core_outbox (correlation_id text primary key, instance text, subject text,"
                " message blob, created_ms integer)"
            )

        await self.storage.write(create)
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._stack.aclose()
        assert self.tasks.alive() == []

    async def outbox(
        self, instance: str = "epr", *, listeners: frozenset[str] | None = None, is_started: bool = True
    ) -> Outbox:
        made = await self._stack.enter_async_context(
            Outbox(
                instance,
                [EVERY],
                reply_to=event_processed("r1"),
                bus=self.bus,
                storage=self.storage,
                clock=self.clock,
                tasks=self.tasks,
                listeners=listeners,
            ).opened()
        )
        if is_started:
            await made.start()
        return made

    async def listen(self, listener: Listener, subject: Subject[Gone] = EVERY) -> Listener:
        await self._stack.enter_async_context(self.bus.subscribe(subject, listener, queue=listener.name))
        return listener

    async def tell(self, outbox: Outbox, *whats: str) -> list[str]:
        """Write events in one transaction; give their identities."""

        def run(connection: Connection) -> list[str]:
            return [outbox.add(connection, GONE, gone(what)) for what in whats]

        return await self.storage.write(run)

    async def quiet(self) -> None:
        """Wait until all that was published has been heard."""
        await until(lambda: not any(subscription.is_busy for subscription in self.bus._subscriptions))

    async def rows(self) -> int:
        query = "select count(*) from core_outbox"
        return await self.storage.read(lambda connection: connection.exec_driver_sql(query).scalar_one())

    async def is_empty(self) -> bool:
        return await self.rows() == 0


def gone(what: str) -> Gone:
    return Gone(correlation_id=IDS.correlation_id(), timestamp_ms=0, what=what)


@pytest.fixture(params=[False, True], ids=["objects", "wired"])
async def new_run(request: pytest.FixtureRequest, tmp_path: Path, clock: FakeClock) -> Callable[[], Run]:
    return lambda: Run(tmp_path, clock, is_wired=request.param)


@pytest.fixture
async def run(new_run: Callable[[], Run]) -> AsyncIterator[Run]:
    async with new_run() as made:
        yield made


class TestTelling:
    async def test_an_event_is_heard_after_the_commit_and_forgotten_when_it_was_answered(self, run: Run) -> None:
        outbox, listener = await run.outbox(), await run.listen(Listener("cm"))
        told = await run.tell(outbox, "a", "b")
        assert await outbox.settled(told)
        assert listener.heard == ["a", "b"]
        await until(run.is_empty)

    async def test_one_of_a_transaction_that_failed_is_not_told(self, run: Run) -> None:
        outbox, listener = await run.outbox(), await run.listen(Listener("cm"))

        def fail(connection: Connection) -> None:
            outbox.add(connection, GONE, gone("never"))
            raise Conflict("no")

        with pytest.raises(Conflict):
            await run.storage.write(fail)
        await outbox.settled(await run.tell(outbox, "a"))
        assert listener.heard == ["a"]

    async def test_where_nobody_listens_it_is_told_all_the_same_and_not_kept(self, run: Run) -> None:
        outbox = await run.outbox()
        curious = await run.listen(Listener("curious"), Subject(EVERY.name, Gone))
        assert await outbox.settled(await run.tell(outbox, "a"))
        await until(lambda: curious.heard == ["a"])
        await until(run.is_empty)

    async def test_all_who_listen_are_waited_for(self, run: Run, clock: FakeClock) -> None:
        outbox, prompt = await run.outbox(), await run.listen(Listener("cm"))
        slow = await run.listen(Listener("ecr", None))
        told = await run.tell(outbox, "a")
        await run.quiet()
        assert not await outbox.settled(told, timeout_ms=20)
        assert (prompt.heard, slow.heard) == (["a"], ["a"])
        assert await run.rows() == 1
        await clock.advance(1_000)
        assert await outbox.settled(told)
        assert slow.heard == ["a", "a"]
        await until(run.is_empty)

    async def test_those_named_are_waited_for_whoever_listens(self, run: Run, clock: FakeClock) -> None:
        outbox = await run.outbox(listeners=frozenset({"cm"}))
        other = await run.listen(Listener("ecr"))
        told = await run.tell(outbox, "a")
        await run.quiet()
        assert not await outbox.settled(told, timeout_ms=20)
        await run.listen(Listener("cm"))
        await clock.advance(1_000)
        assert await outbox.settled(told)
        await run.quiet()
        assert other.heard == ["a", "a"]

    async def test_nothing_is_waited_for_that_is_not_under_way(self, run: Run) -> None:
        assert await (await run.outbox()).settled(["unknown"])
        assert await (await run.outbox("cm")).settled([])

    async def test_outboxes_of_one_replica_do_not_take_each_others_answers(self, run: Run) -> None:
        outboxes = [await run.outbox(name) for name in ("epr", "cm", "tekton")]
        await run.listen(Listener("ecr"))
        for _ in range(3):
            for outbox in outboxes:
                assert await outbox.settled(await run.tell(outbox, "a"))
        await until(run.is_empty)


class TestTellingAgain:
    async def test_it_is_told_again_with_growing_pauses_until_it_is_answered(self, run: Run, clock: FakeClock) -> None:
        outbox, deaf = await run.outbox(), await run.listen(Listener("cm", *[None] * 5))
        began, told = clock.monotonic_ms(), await run.tell(outbox, "a")
        at: list[int] = []
        while len(deaf.heard) < 6:
            before = len(deaf.heard)
            await clock.advance(500)
            await run.quiet()
            at += [clock.monotonic_ms() - began] * (len(deaf.heard) - before)
        pauses = [later - earlier for earlier, later in pairwise(at)]
        assert pauses == sorted(pauses)
        assert at[-1] >= 15_000
        assert await outbox.settled(told)

    async def test_the_pause_grows_to_a_minute_and_no_further(self, run: Run, clock: FakeClock) -> None:
        outbox, deaf = await run.outbox(), await run.listen(Listener("cm", *[None] * 1000))
        await run.tell(outbox, "a")
        await clock.advance(200_000)
        await run.quiet()
        before = len(deaf.heard)
        await clock.advance(600_000)
        await run.quiet()
        assert 9 <= len(deaf.heard) - before <= 10

    async def test_who_could_not_do_it_now_is_told_again(self, run: Run, clock: FakeClock) -> None:
        outbox, busy = await run.outbox(), await run.listen(Listener("cm", 503, 500))
        told = await run.tell(outbox, "a")
        await run.quiet()
        assert not await outbox.settled(told, timeout_ms=20)
        await clock.advance(1_000)
        await run.quiet()
        await clock.advance(2_000)
        assert await outbox.settled(told)
        assert busy.heard == ["a", "a", "a"]

    async def test_who_refuses_it_for_good_is_not(self, run: Run, clock: FakeClock) -> None:
        outbox, refusing = await run.outbox(), await run.listen(Listener("cm", 404))
        assert await outbox.settled(await run.tell(outbox, "a"))
        await clock.advance(60_000)
        assert refusing.heard == ["a"]
        await until(run.is_empty)

    async def test_an_answer_twice_or_from_a_stranger_does_no_harm(self, run: Run) -> None:
        outbox, deaf = await run.outbox(), await run.listen(Listener("cm", None, None))
        [told] = await run.tell(outbox, "a")

        def answer(name: str) -> None:
            fields = {"timestamp_ms": 0, "receiver_service_instance_name": name, "status_code": 200}
            run.bus.publish(event_processed("r1"), EventProcessed(correlation_id=told, **fields))

        answer("stranger")
        await run.quiet()
        assert not await outbox.settled([told], timeout_ms=20)
        answer("cm")
        answer("cm")
        assert await outbox.settled([told])
        assert deaf.heard == ["a"]


class TestTheNextRun:
    async def test_tells_what_the_last_one_has_left_with_the_same_identity(self, new_run: Callable[[], Run]) -> None:
        async with new_run() as first:
            outbox = await first.outbox()
            await first.listen(Listener("cm", *[None] * 5))
            told = await first.tell(outbox, "a", "b")
        seen: list[Any] = []

        async with new_run() as second:

            async def on_event(event: Gone) -> EventProcessed:
                seen.append(event)
                fields = {"timestamp_ms": 0, "receiver_service_instance_name": "cm", "status_code": 200}
                return EventProcessed(correlation_id=event.correlation_id, **fields)

            async with second.bus.subscribe(EVERY, on_event, queue="cm"):
                await second.outbox()
                await until(second.is_empty)
        assert [(event.what, event.correlation_id) for event in seen] == [("a", told[0]), ("b", told[1])]

    async def test_leaves_alone_what_another_instance_has_left(self, new_run: Callable[[], Run]) -> None:
        async with new_run() as first:
            outbox = await first.outbox("epr")
            await first.listen(Listener("ecr", *[None] * 5))
            await first.tell(outbox, "a")
        async with new_run() as second:
            listener = await second.listen(Listener("ecr"))
            other = await second.outbox("cm")
            await other.settled(await second.tell(other, "b"))
            assert listener.heard == ["b"]
            assert await second.rows() >= 1

    async def test_what_is_added_before_everybody_listens_waits_until_then(self, run: Run) -> None:
        outbox = await run.outbox(is_started=False)
        await run.tell(outbox, "early")
        assert await run.rows() == 1
        listener = await run.listen(Listener("cm"))
        assert listener.heard == []
        await outbox.start()
        await until(run.is_empty)
        assert listener.heard == ["early"]

    async def test_an_event_that_nobody_knows_any_more_stops_nothing(self, new_run: Callable[[], Run]) -> None:
        async with new_run() as first:
            row = "insert into core_outbox values ('c', 'epr', 'events.epr.something.old', x'00', 0)"
            await first.storage.write(lambda connection: connection.exec_driver_sql(row) and None)
            outbox, listener = await first.outbox(), await first.listen(Listener("cm"))
            assert await outbox.settled(await first.tell(outbox, "a"))
            assert listener.heard == ["a"]

    async def test_one_whose_bytes_cannot_be_read_stops_nothing(self, new_run: Callable[[], Run]) -> None:
        async with new_run() as first:
            row = "insert into core_outbox values ('c', 'epr', 'events.epr.gone.now', x'ffff', 0)"
            await first.storage.write(lambda connection: connection.exec_driver_sql(row) and None)
            outbox, listener = await first.outbox(), await first.listen(Listener("cm"))
            assert await outbox.settled(await first.tell(outbox, "a"))
            assert listener.heard == ["a"]

    async def test_thousands_are_told_and_forgotten(self, run: Run) -> None:
        outbox, listener = await run.outbox(), await run.listen(Listener("cm"))
        for _ in range(3):
            told = await run.tell(outbox, *(str(n) for n in range(900)))
            await until(lambda told=told: outbox.settled(told))
        assert len(listener.heard) == 2_700
        await until(run.is_empty)
        await asyncio.sleep(0)
