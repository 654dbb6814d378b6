"""The bus over a real NATS server: the semantics of the one within the process, for others too."""

import asyncio
import socket
from collections.abc import AsyncIterator, Iterator
from contextlib import AsyncExitStack
from typing import Any

import nats
import pytest
from fakes.clock import FakeClock
from fakes.ids import CountedIds
from nats.aio.client import Client
from nats_server import NatsServer
from waiting import until

from kaa.core.bus import expect
from kaa.core.bus.nats import NatsBus
from kaa.core.errors import Conflict, StartupError, TimedOut, Unavailable
from kaa.core.messages import Int, Long, decode, encode, message
from kaa.core.metrics import Metrics
from kaa.core.subjects import RequestSubject, Subject
from kaa.core.tasks import Tasks

IDS = CountedIds()


@message("org.kaa.test")
class Said:
    correlation_id: str
    timestamp_ms: Long
    timeout_ms: Long = 0
    text: str


@message("org.kaa.test")
class Heard:
    correlation_id: str
    timestamp_ms: Long
    text: str
    status_code: Int
    reason_phrase: None | str = None


ASK: RequestSubject[Said, Heard] = RequestSubject("service.ask", Said, Heard, "test.heard")
TOLD: Subject[Said] = Subject("events.told", Said, Heard)
ANSWERS: Subject[Heard] = Subject("kaa.v1.replica.r1.test.answers", Heard)


def subject(name: str) -> Subject[Said]:
    return Subject(name, Said)


def said(text: str, **more: Any) -> Said:
    return Said(**({"correlation_id": IDS.correlation_id(), "timestamp_ms": 0, "text": text} | more))


def heard(request: Said, text: str = "") -> Heard:
    return Heard(correlation_id=request.correlation_id, timestamp_ms=0, text=text or request.text, status_code=200)


@pytest.fixture(scope="module")
def server() -> Iterator[NatsServer]:
    made = NatsServer().start()
    yield made
    made.release()


class Buses:
    """Processes on one NATS server, as far as a bus can tell."""

    def __init__(self, url: str, clock: FakeClock, tasks: Tasks) -> None:
        self._url, self._clock, self._tasks = url, clock, tasks
        self.stack = AsyncExitStack()
        self.metrics = Metrics()

    async def make(self, replica: str = "r1", *, queue_size: int = 1_000) -> NatsBus:
        metrics = self.metrics = Metrics()
        made = NatsBus(
            self._url, replica=replica, clock=self._clock, tasks=self._tasks, metrics=metrics, queue_size=queue_size
        )
        return await self.stack.enter_async_context(made.opened())

    async def listen(self, bus: NatsBus, to: Subject[Any], queue: str = "q") -> list[Any]:
        """Gather what is heard."""
        found: list[Any] = []

        async def on_batch(batch: list[Any]) -> None:
            found.extend(batch)

        await self.stack.enter_async_context(bus.subscribe_batches(to, on_batch, queue=queue))
        return found

    async def answer(self, bus: NatsBus, to: Subject[Any], handler: Any, queue: str = "q") -> None:
        await self.stack.enter_async_context(bus.subscribe(to, handler, queue=queue))


@pytest.fixture
async def buses(server: NatsServer, clock: FakeClock, tasks: Tasks) -> AsyncIterator[Buses]:
    made = Buses(server.url, clock, tasks)
    async with made.stack:
        yield made


@pytest.fixture
async def stranger(server: NatsServer) -> AsyncIterator[Client]:
    """A client of NATS with nothing of ours."""
    client = await nats.connect(server.url)
    yield client
    await client.close()


def texts(found: list[Any]) -> list[str]:
    return [one.text for one in found]


class TestWhoHears:
    async def test_everybody_who_listens_does_in_this_process_and_in_others(self, buses: Buses) -> None:
        one, other = await buses.make("r1"), await buses.make("r2")
        here = await buses.listen(one, subject("a.b"), "one")
        there = await buses.listen(other, subject("a.b"), "other")
        one.publish(subject("a.b"), said("x"))
        await until(lambda: texts(here) == texts(there) == ["x"])

    async def test_of_a_queue_group_one_member_does_wherever_it_is(self, buses: Buses) -> None:
        one, other = await buses.make("r1"), await buses.make("r2")
        found = [await buses.listen(bus, subject("a"), "group") for bus in (one, other)]
        for n in range(40):
            one.publish(subject("a"), said(str(n)))
        await until(lambda: sum(map(len, found)) == 40)
        assert all(found)

    async def test_a_star_hears_one_level_and_the_arrow_all_below(self, buses: Buses) -> None:
        bus = await buses.make()
        star, arrow = await buses.listen(bus, subject("a.*"), "s"), await buses.listen(bus, subject("a.>"), "t")
        for name in ("a.b", "b.a", "a.b.c"):
            bus.publish(subject(name), said(name))
        await until(lambda: texts(arrow) == ["a.b", "a.b.c"])
        assert texts(star) == ["a.b"]

    async def test_messages_come_in_the_order_in_which_they_were_published(self, buses: Buses) -> None:
        bus = await buses.make()
        found = await buses.listen(bus, subject("a"))
        for n in range(500):
            bus.publish(subject("a"), said(str(n)))
        await until(lambda: len(found) == 500)
        assert texts(found) == [str(n) for n in range(500)]

    async def test_those_who_answer_here_are_known_by_name(self, buses: Buses) -> None:
        bus = await buses.make()
        await buses.listen(bus, TOLD, "epr")
        assert bus.listeners(TOLD) == {"epr"}
        assert bus.is_heard(subject("by.whomever"))

    async def test_nobody_publishes_to_a_pattern(self, buses: Buses) -> None:
        bus = await buses.make()
        with pytest.raises(ValueError, match="pattern"):
            bus.publish(subject("a.*"), said("x"))


class TestRequests:
    async def test_one_is_answered_from_another_process(self, buses: Buses) -> None:
        one, other = await buses.make("r1"), await buses.make("r2")

        async def answer(request: Said) -> Heard:
            return heard(request, request.text.upper())

        await buses.answer(other, ASK, answer)
        assert (await one.request(ASK, said("x"))).text == "X"

    async def test_many_at_once_each_get_their_own_answer(self, buses: Buses) -> None:
        bus = await buses.make()

        async def answer(request: Said) -> Heard:
            return heard(request)

        await buses.answer(bus, ASK, answer)
        async with asyncio.TaskGroup() as group:
            asked = [group.create_task(bus.request(ASK, said(str(n)))) for n in range(100)]
        assert [task.result().text for task in asked] == [str(n) for n in range(100)]

    async def test_one_to_nobody_fails_at_once(self, buses: Buses) -> None:
        bus = await buses.make()
        with pytest.raises(Unavailable):
            await bus.request(ASK, said("x"))

    async def test_a_refusal_is_an_answer_with_its_status_and_sentence(self, buses: Buses) -> None:
        bus = await buses.make()

        async def refuse(_: Said) -> Heard:
            raise Conflict("it is taken")

        await buses.answer(bus, ASK, refuse)
        with pytest.raises(Conflict, match="it is taken"):
            expect(await bus.request(ASK, said("x")))

    async def test_who_does_not_answer_in_time_is_not_waited_for(self, buses: Buses, clock: FakeClock) -> None:
        bus = await buses.make()
        taken = await buses.listen(bus, ASK)

        async def ask() -> None:
            with pytest.raises(TimedOut):
                await bus.request(ASK, said("x"), timeout_ms=500)

        async with asyncio.TaskGroup() as group:
            group.create_task(ask())
            await until(lambda: bool(taken))
            await clock.advance(501)

    async def test_a_message_to_nobody_that_wants_an_answer_gets_one_and_only_that_one(self, buses: Buses) -> None:
        bus = await buses.make()
        answers = await buses.listen(bus, ANSWERS, "r1")
        first, second = said("one"), said("two")
        bus.publish(TOLD, first, reply_to=ANSWERS)
        bus.publish(subject("elsewhere"), said("x"), reply_to=ANSWERS)
        bus.publish(TOLD, second, reply_to=ANSWERS)
        await until(lambda: len(answers) == 2)
        assert [(a.correlation_id, a.status_code) for a in answers] == [
            (first.correlation_id, 503),
            (second.correlation_id, 503),
        ]

    async def test_every_listener_answers_an_event_that_wants_it(self, buses: Buses) -> None:
        one, other = await buses.make("r1"), await buses.make("r2")
        answers = await buses.listen(one, ANSWERS, "r1")

        async def answer(request: Said) -> Heard:
            return heard(request)

        await buses.answer(one, TOLD, answer, "one")
        await buses.answer(other, TOLD, answer, "other")
        one.publish(TOLD, said("x"), reply_to=ANSWERS)
        await until(lambda: texts(answers) == ["x", "x"])


class TestStrangers:
    async def test_they_hear_plain_avro_and_may_answer(self, buses: Buses, stranger: Client) -> None:
        bus = await buses.make()

        async def answer(found: Any) -> None:
            request = decode(Said, found.data)
            await found.respond(encode(heard(request, "from afar")))

        await stranger.subscribe(ASK.name, cb=answer)
        await stranger.flush()
        assert (await bus.request(ASK, said("x"))).text == "from afar"

    async def test_junk_of_theirs_is_counted_and_ends_nothing(self, buses: Buses, stranger: Client) -> None:
        bus = await buses.make()
        found = await buses.listen(bus, subject("a"))
        await stranger.publish("a", b"\xff\xff\xff")
        await stranger.publish("a", encode(said("good")))
        await until(lambda: texts(found) == ["good"])
        assert b"kaa_bus_unreadable_total 1.0" in buses.metrics.render()

    async def test_a_message_larger_than_the_server_takes_is_refused(self, buses: Buses) -> None:
        bus = await buses.make()
        answers = await buses.listen(bus, ANSWERS, "r1")
        await buses.listen(bus, TOLD)
        bus.publish(TOLD, said("x" * 2_000_000), reply_to=ANSWERS)
        await until(lambda: [a.status_code for a in answers] == [503])


class TestSlowConsumers:
    async def test_what_a_queue_cannot_hold_is_refused_and_the_rest_heard(self, buses: Buses) -> None:
        bus = await buses.make(queue_size=16)
        answers = await buses.listen(bus, ANSWERS, "r1")
        gate = asyncio.Event()
        done: list[Said] = []

        async def slow(request: Said) -> Heard:
            await gate.wait()
            done.append(request)
            return heard(request)

        await buses.answer(bus, TOLD, slow)
        for n in range(3):
            for m in range(10):
                bus.publish(TOLD, said(f"{n} {m}"), reply_to=ANSWERS)
            await until(lambda: bus.depths()["nats"][0] == 0)
        await until(lambda: any(a.status_code == 503 for a in answers))
        gate.set()
        await until(lambda: len(done) + len([a for a in answers if a.status_code == 503]) == 30)


class TestTheConnection:
    async def test_a_server_that_is_not_there_ends_the_start_with_its_address(
        self, clock: FakeClock, tasks: Tasks, metrics: Metrics, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        with socket.socket() as taken:
            taken.bind(("127.0.0.1", 0))
            port = taken.getsockname()[1]
        monkeypatch.setattr("kaa.core.bus.nats._CONNECT_S", 0.2)
        bus = NatsBus(f"nats://user:secret@127.0.0.1:{port}", replica="r", clock=clock, tasks=tasks, metrics=metrics)
        with pytest.raises(StartupError, match=f"127.0.0.1:{port}") as caught:
            async with bus.opened():
                pass
        assert "secret" not in str(caught.value)

    async def test_while_it_is_away_answers_are_refused_and_afterwards_all_is_heard_again(
        self, clock: FakeClock, tasks: Tasks
    ) -> None:
        server = NatsServer().start()
        buses = Buses(server.url, clock, tasks)
        try:
            async with buses.stack:
                bus = await buses.make()
                found = await buses.listen(bus, subject("a"))
                answers = await buses.listen(bus, ANSWERS, "r1")

                async def answer(request: Said) -> Heard:
                    return heard(request)

                await buses.answer(bus, ASK, answer)
                server.stop()
                await until(lambda: bus.problem() is not None)
                with pytest.raises(Unavailable):
                    await bus.request(ASK, said("x"))
                bus.publish(TOLD, said("x"), reply_to=ANSWERS)
                await until(lambda: [a.status_code for a in answers] == [503])
                bus.publish(subject("a"), said("held back"))
                server.start()
                await until(lambda: bus.problem() is None)
                assert (await bus.request(ASK, said("again"))).text == "again"
                await until(lambda: texts(found) == ["held back"])
        finally:
            server.release()
