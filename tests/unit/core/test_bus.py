"""The bus within one process: the semantics of NATS, with objects and with every hop encoded."""

import asyncio
import dataclasses
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest
from fakes.clock import FakeClock
from fakes.ids import CountedIds
from structlog.contextvars import get_contextvars
from waiting import until

from kaa.core.bus import expect, unreachable
from kaa.core.bus.memory import MemoryBus
from kaa.core.errors import Conflict, NotFound, ProtocolError, TimedOut, Unavailable
from kaa.core.messages import Int, Long, message
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


def subject(name: str) -> Subject[Said]:
    return Subject(name, Said)


ASK: RequestSubject[Said, Heard] = RequestSubject("service.ask", Said, Heard, "test.heard")


def said(text: str, **more: Any) -> Said:
    return Said(**({"correlation_id": IDS.correlation_id(), "timestamp_ms": 0, "text": text} | more))


def heard(request: Said, text: str = "") -> Heard:
    return Heard(correlation_id=request.correlation_id, timestamp_ms=0, text=text or request.text, status_code=200)


class Listener:
    """Keeps what it hears; while `gate` is shut it takes nothing more."""

    def __init__(self) -> None:
        self.texts: list[str] = []
        self.messages: list[Said] = []
        self.gate = asyncio.Event()
        self.gate.set()

    async def __call__(self, message: Said) -> None:
        self.messages.append(message)
        self.texts.append(message.text)
        await self.gate.wait()


@pytest.fixture(params=[False, True], ids=["objects", "wired"])
async def bus(
    request: pytest.FixtureRequest, clock: FakeClock, tasks: Tasks, metrics: Metrics
) -> AsyncIterator[MemoryBus]:
    made = MemoryBus(replica="r1", clock=clock, tasks=tasks, metrics=metrics, queue_size=4, is_wired=request.param)
    yield made
    await made.close()


def counted(metrics: Metrics, name: str) -> float:
    lines = (line.rsplit(b" ", 1) for line in metrics.render().splitlines() if line.startswith(name.encode()))
    return sum(float(value) for _, value in lines)


class TestWhoHears:
    async def test_everybody_who_listens_does(self, bus: MemoryBus) -> None:
        one, other = Listener(), Listener()
        async with bus.subscribe(subject("a.b"), one, queue="one"), bus.subscribe(subject("a.b"), other, queue="other"):
            bus.publish(subject("a.b"), said("x"))
            await until(lambda: one.texts == other.texts == ["x"])

    async def test_of_a_queue_group_one_member_does_and_they_take_turns(self, bus: MemoryBus) -> None:
        members = [Listener() for _ in range(3)]
        async with (
            bus.subscribe(subject("a"), members[0], queue="group"),
            bus.subscribe(subject("a"), members[1], queue="group"),
            bus.subscribe(subject("*"), members[2], queue="group"),
        ):
            for n in range(6):
                bus.publish(subject("a"), said(str(n)))
            await until(lambda: sum(len(one.texts) for one in members) == 6)
        assert [len(one.texts) for one in members] == [2, 2, 2]

    async def test_a_star_hears_one_level_and_the_arrow_all_below(self, bus: MemoryBus) -> None:
        star, arrow, exact = Listener(), Listener(), Listener()
        async with (
            bus.subscribe(subject("a.*"), star, queue="star"),
            bus.subscribe(subject("a.>"), arrow, queue="arrow"),
            bus.subscribe(subject("a.b"), exact, queue="exact"),
        ):
            for name in ("a.b", "a.c", "a.b.c", "b.a"):
                bus.publish(subject(name), said(name))
            await until(lambda: len(arrow.texts) == 3)
        assert (star.texts, arrow.texts, exact.texts) == (["a.b", "a.c"], ["a.b", "a.c", "a.b.c"], ["a.b"])

    async def test_whoever_comes_later_hears_what_is_said_from_then_on(self, bus: MemoryBus) -> None:
        listener = Listener()
        bus.publish(subject("a"), said("before"))
        async with bus.subscribe(subject("a"), listener, queue="q"):
            bus.publish(subject("a"), said("while"))
        bus.publish(subject("a"), said("after"))
        assert listener.texts == ["while"]

    async def test_whether_anybody_does_can_be_asked(self, bus: MemoryBus) -> None:
        assert not bus.is_heard(subject("a.b"))
        async with bus.subscribe(subject("a.*"), Listener(), queue="q"):
            assert bus.is_heard(subject("a.b"))
            assert not bus.is_heard(subject("b"))
        assert not bus.is_heard(subject("a.b"))

    async def test_those_who_answer_are_known_by_name(self, bus: MemoryBus) -> None:
        answering = Subject("a.*", Said, Heard)
        async with (
            bus.subscribe(answering, Listener(), queue="epr"),
            bus.subscribe(answering, Listener(), queue="cm"),
            bus.subscribe(subject("a.b"), Listener(), queue="curious"),
        ):
            assert bus.listeners(Subject("a.b", Said, Heard)) == {"epr", "cm"}
            assert bus.listeners(Subject("b", Said, Heard)) == frozenset()

    async def test_nobody_publishes_to_a_pattern(self, bus: MemoryBus) -> None:
        for name in ("a.*", ">"):
            with pytest.raises(ValueError):
                bus.publish(subject(name), said("x"))

    async def test_what_is_no_subject_is_not_listened_to(self, bus: MemoryBus) -> None:
        with pytest.raises(ProtocolError):
            async with bus.subscribe(subject("a..b"), Listener(), queue="q"):
                pass


class TestOrder:
    async def test_messages_come_in_the_order_in_which_they_were_published(self, bus: MemoryBus) -> None:
        listener = Listener()
        async with bus.subscribe(subject("a.>"), listener, queue="q"):
            for n in range(4):
                bus.publish(subject(f"a.{n % 2}"), said(str(n)))
            await until(lambda: len(listener.texts) == 4)
        assert listener.texts == ["0", "1", "2", "3"]

    async def test_one_at_a_time_is_in_a_handler(self, bus: MemoryBus) -> None:
        listener = Listener()
        listener.gate.clear()
        async with bus.subscribe(subject("a"), listener, queue="q"):
            for n in range(3):
                bus.publish(subject("a"), said(str(n)))
            await until(lambda: listener.texts == ["0"])
            await _turns()
            assert listener.texts == ["0"]
            listener.gate.set()
        assert listener.texts == ["0", "1", "2"]

    async def test_with_concurrency_so_many_are_and_they_enter_in_order(self, bus: MemoryBus) -> None:
        listener = Listener()
        listener.gate.clear()
        async with bus.subscribe(subject("a"), listener, queue="q", concurrency=3):
            for n in range(4):
                bus.publish(subject("a"), said(str(n)))
            await until(lambda: len(listener.texts) == 3)
            await _turns()
            assert listener.texts == ["0", "1", "2"]
            listener.gate.set()
        assert listener.texts == ["0", "1", "2", "3"]

    async def test_what_is_queued_when_a_listener_leaves_is_still_dealt_with(self, bus: MemoryBus) -> None:
        listener = Listener()
        async with bus.subscribe(subject("a"), listener, queue="q"):
            for n in range(4):
                bus.publish(subject("a"), said(str(n)))
        assert listener.texts == ["0", "1", "2", "3"]


class TestBatches:
    async def test_all_that_is_queued_comes_at_once(self, bus: MemoryBus) -> None:
        batches: list[list[str]] = []

        async def on_batch(batch: list[Said]) -> None:
            batches.append([one.text for one in batch])

        async with bus.subscribe_batches(subject("a"), on_batch, queue="q"):
            await _turns()
            for n in range(3):
                bus.publish(subject("a"), said(str(n)))
        assert batches == [["0", "1", "2"]]

    async def test_but_not_more_than_is_wanted(self, bus: MemoryBus) -> None:
        batches: list[list[str]] = []

        async def on_batch(batch: list[Said]) -> None:
            batches.append([one.text for one in batch])

        async with bus.subscribe_batches(subject("a"), on_batch, queue="q", max_batch=2):
            for n in range(4):
                bus.publish(subject("a"), said(str(n)))
        assert batches == [["0", "1"], ["2", "3"]]

    async def test_each_message_gets_its_own_reply_and_none_where_there_is_none(self, bus: MemoryBus) -> None:
        replies = Listener()

        async def on_batch(batch: list[Said]) -> list[Said | None]:
            return [None if one.text == "1" else said(f"re {one.text}") for one in batch]

        async with (
            bus.subscribe(subject("replies"), replies, queue="q"),
            bus.subscribe_batches(Subject("a", Said, Said), on_batch, queue="q"),
        ):
            for n in range(3):
                bus.publish(subject("a"), said(str(n)), reply_to=subject("replies"))
            await until(lambda: len(replies.texts) == 2)
        assert replies.texts == ["re 0", "re 2"]

    async def test_a_refusal_is_for_all_of_a_batch(self, bus: MemoryBus) -> None:
        async def on_batch(batch: list[Said]) -> None:
            raise Conflict("not now")

        async with bus.subscribe_batches(ASK, on_batch, queue="q"), asyncio.TaskGroup() as group:
            asked = [group.create_task(bus.request(ASK, said(str(n)))) for n in range(3)]
        assert [task.result().status_code for task in asked] == [409, 409, 409]


class TestRequests:
    async def test_one_is_answered(self, bus: MemoryBus) -> None:
        async def on_ask(request: Said) -> Heard:
            return heard(request, f"re {request.text}")

        async with bus.subscribe(ASK, on_ask, queue="q"):
            reply = await bus.request(ASK, said("x"))
        assert (reply.text, reply.status_code) == ("re x", 200)
        assert expect(reply) is reply

    async def test_many_at_once_each_get_their_own_answer_in_whatever_order(self, bus: MemoryBus) -> None:
        gates = {str(n): asyncio.Event() for n in range(3)}

        async def on_ask(request: Said) -> Heard:
            await gates[request.text].wait()
            return heard(request)

        async with bus.subscribe(ASK, on_ask, queue="q", concurrency=3), asyncio.TaskGroup() as group:
            asked = [group.create_task(bus.request(ASK, said(text))) for text in gates]
            for text in ("2", "0", "1"):
                gates[text].set()
                await asked[int(text)]
        assert [task.result().text for task in asked] == ["0", "1", "2"]

    async def test_one_to_nobody_fails_at_once(self, bus: MemoryBus) -> None:
        with pytest.raises(Unavailable):
            await bus.request(ASK, said("x"))

    def test_who_is_refused_reads_of_services_and_not_of_subjects(self) -> None:
        assert unreachable(Subject("kaa.v1.service.cm.ecap.ask", Said)) == "the service cm cannot be reached"
        assert "kaa.v1" not in unreachable(Subject("kaa.v1.events.cm.endpoint.token.revoked", Said))

    async def test_a_refusal_is_an_answer_with_its_status_and_sentence(self, bus: MemoryBus) -> None:
        async def on_ask(request: Said) -> Heard:
            raise NotFound("there is no such thing")

        async with bus.subscribe(ASK, on_ask, queue="q"):
            reply = await bus.request(ASK, said("x"))
        assert (reply.status_code, reply.reason_phrase, reply.text) == (404, "there is no such thing", "x")
        with pytest.raises(NotFound):
            expect(reply)

    async def test_any_other_error_is_500_without_details_and_ends_nothing(
        self, bus: MemoryBus, metrics: Metrics
    ) -> None:
        async def on_ask(request: Said) -> Heard:
            if request.text == "bad":
                raise RuntimeError("the password is swordfish")
            return heard(request)

        async with bus.subscribe(ASK, on_ask, queue="q"):
            reply = await bus.request(ASK, said("bad"))
            assert (reply.status_code, reply.reason_phrase) == (500, "internal error")
            assert (await bus.request(ASK, said("good"))).status_code == 200
        assert counted(metrics, "kaa_bus_failure_total") == 1

    async def test_who_does_not_answer_in_time_is_not_waited_for(self, bus: MemoryBus, clock: FakeClock) -> None:
        late = asyncio.Event()

        async def on_ask(request: Said) -> Heard:
            await late.wait()
            return heard(request)

        async with bus.subscribe(ASK, on_ask, queue="q"), asyncio.TaskGroup() as group:

            async def ask() -> None:
                with pytest.raises(TimedOut):
                    await bus.request(ASK, said("x"), timeout_ms=5_000)

            asking = group.create_task(ask())
            await clock.advance(4_999)
            assert not asking.done()
            await clock.advance(1)
            await asking
            late.set()
        assert clock.waiting() == 0

    async def test_who_stops_waiting_leaves_nothing_behind(self, bus: MemoryBus, clock: FakeClock) -> None:
        async def on_ask(request: Said) -> None:
            """Say nothing."""

        async with bus.subscribe(ASK, on_ask, queue="q"):
            with pytest.raises(TimeoutError):
                async with asyncio.timeout(0.01):
                    await bus.request(ASK, said("x"))
        assert (clock.waiting(), bus._requests._waiting) == (0, {})

    async def test_replies_go_to_the_replica_and_are_named_after_their_type(self, bus: MemoryBus) -> None:
        listener = Listener()

        async def on_ask(request: Said) -> Heard:
            return heard(request)

        reply_to = Subject("kaa.v1.replica.r1.test.heard", Heard)
        async with bus.subscribe(ASK, on_ask, queue="q"), bus.subscribe(reply_to, listener, queue="spy"):
            await bus.request(ASK, said("x"))
            await until(lambda: listener.texts == ["x"])

    async def test_a_message_to_nobody_that_wants_an_answer_gets_one(self, bus: MemoryBus) -> None:
        replies: list[Heard] = []

        async def on_reply(reply: Heard) -> None:
            replies.append(reply)

        to = Subject("replies", Heard)
        async with bus.subscribe(to, on_reply, queue="q"):
            bus.publish(ASK, said("x"), reply_to=to)
            await until(lambda: replies)
        assert (replies[0].status_code, replies[0].text) == (503, "x")


class TestSlowConsumers:
    @asynccontextmanager
    async def slow(self, bus: MemoryBus, listened: Subject[Said]) -> AsyncIterator[Listener]:
        """A listener that stands still with one message in its hands and four in its queue."""
        listener = Listener()
        listener.gate.clear()
        async with bus.subscribe(listened, listener, queue="slow"):
            bus.publish(listened, said("0"))
            await until(lambda: listener.texts == ["0"])
            for n in range(1, 5):
                bus.publish(listened, said(str(n)))
            yield listener
            listener.gate.set()

    async def test_what_its_queue_cannot_hold_is_dropped_and_counted(self, bus: MemoryBus, metrics: Metrics) -> None:
        async with self.slow(bus, subject("a")) as listener:
            assert bus.depths() == {"a → slow": (4, 4)}
            for n in range(5, 8):
                bus.publish(subject("a"), said(str(n)))
            assert bus.depths() == {"a → slow": (4, 4)}
        assert listener.texts == ["0", "1", "2", "3", "4"]
        assert counted(metrics, "kaa_bus_overflow_total") == 3

    async def test_nobody_else_misses_anything(self, bus: MemoryBus) -> None:
        fast = Listener()
        async with bus.subscribe(subject("a"), fast, queue="fast"), self.slow(bus, subject("a")) as listener:
            await until(lambda: len(fast.texts) == 5)
            for n in range(5, 8):
                bus.publish(subject("a"), said(str(n)))
            await until(lambda: len(fast.texts) == 8)
        assert len(listener.texts) == 5

    async def test_a_request_is_refused_at_once(self, bus: MemoryBus) -> None:
        async with self.slow(bus, ASK):
            reply = await bus.request(ASK, said("5"))
        assert (reply.status_code, "slow" in (reply.reason_phrase or "")) == (503, True)

    async def test_when_it_has_caught_up_it_hears_again(self, bus: MemoryBus) -> None:
        async with self.slow(bus, subject("a")) as listener:
            bus.publish(subject("a"), said("5"))
            listener.gate.set()
            await until(lambda: len(listener.texts) == 5)
            bus.publish(subject("a"), said("6"))
        assert listener.texts == ["0", "1", "2", "3", "4", "6"]


class TestExpiry:
    async def test_a_message_that_has_outlived_its_time_is_not_delivered(
        self, bus: MemoryBus, clock: FakeClock, metrics: Metrics
    ) -> None:
        listener, now = Listener(), clock.now_ms()
        async with bus.subscribe(subject("a"), listener, queue="q"):
            bus.publish(subject("a"), said("late", timestamp_ms=now - 100, timeout_ms=100))
            bus.publish(subject("a"), said("just", timestamp_ms=now - 99, timeout_ms=100))
            bus.publish(subject("a"), said("ever", timestamp_ms=0))
        assert listener.texts == ["just", "ever"]
        assert counted(metrics, "kaa_bus_expired_total") == 1

    async def test_it_may_outlive_it_in_the_queue(self, bus: MemoryBus, clock: FakeClock) -> None:
        listener = Listener()
        listener.gate.clear()
        async with bus.subscribe(subject("a"), listener, queue="q"):
            bus.publish(subject("a"), said("0"))
            bus.publish(subject("a"), said("1", timestamp_ms=clock.now_ms(), timeout_ms=50))
            await clock.advance(50)
            listener.gate.set()
        assert listener.texts == ["0"]

    async def test_a_batch_keeps_those_that_have_not(self, bus: MemoryBus) -> None:
        batches: list[list[str]] = []

        async def on_batch(batch: list[Said]) -> list[None]:
            batches.append([one.text for one in batch])
            return [None for _ in batch]

        async with bus.subscribe_batches(subject("a"), on_batch, queue="q"):
            for text, timeout_ms in (("a", 0), ("b", 1), ("c", 0)):
                bus.publish(subject("a"), said(text, timeout_ms=timeout_ms))
        assert batches == [["a", "c"]]


class TestHandlers:
    async def test_one_that_fails_goes_on_with_the_next_message(self, bus: MemoryBus, metrics: Metrics) -> None:
        heard_texts: list[str] = []

        async def on_message(message: Said) -> None:
            heard_texts.append(message.text)
            raise ValueError(message.text)

        async with bus.subscribe(subject("a"), on_message, queue="q"):
            for text in ("0", "1"):
                bus.publish(subject("a"), said(text))
        assert heard_texts == ["0", "1"]
        assert counted(metrics, "kaa_bus_failure_total") == 2

    async def test_what_one_logs_carries_the_messages_correlation_id(self, bus: MemoryBus) -> None:
        seen: list[Any] = []

        async def on_message(message: Said) -> None:
            seen.append(get_contextvars().get("correlation_id"))

        async with bus.subscribe(subject("a"), on_message, queue="q"):
            bus.publish(subject("a"), said("x", correlation_id="c-77"))
        assert seen == ["c-77"]
        assert "correlation_id" not in get_contextvars()

    async def test_one_may_publish_and_ask(self, bus: MemoryBus) -> None:
        listener = Listener()

        async def on_ask(request: Said) -> Heard:
            return heard(request, "answer")

        async def on_message(message: Said) -> None:
            bus.publish(subject("b"), said((await bus.request(ASK, said("?"))).text))

        async with (
            bus.subscribe(ASK, on_ask, queue="q"),
            bus.subscribe(subject("b"), listener, queue="q"),
            bus.subscribe(subject("a"), on_message, queue="q"),
        ):
            bus.publish(subject("a"), said("x"))
            await until(lambda: listener.texts == ["answer"])


class TestWhatAMessageIs:
    async def _heard(self, bus: MemoryBus) -> tuple[Said, list[Said]]:
        one, other, sent = Listener(), Listener(), said("x")
        async with bus.subscribe(subject("a"), one, queue="1"), bus.subscribe(subject("a"), other, queue="2"):
            bus.publish(subject("a"), sent)
        return sent, one.messages + other.messages

    async def test_what_is_heard_is_what_was_said(self, bus: MemoryBus) -> None:
        sent, messages = await self._heard(bus)
        assert messages == [sent, sent]

    async def test_on_the_wired_bus_everybody_gets_a_frozen_one_of_his_own(self, bus: MemoryBus) -> None:
        if not bus._is_wired:
            pytest.skip("objects pass as they are")
        sent, messages = await self._heard(bus)
        assert len({id(one) for one in (sent, *messages)}) == 3
        for one in messages:
            with pytest.raises(dataclasses.FrozenInstanceError):
                one.text = "other"  # type: ignore[misc]

    async def test_on_the_wired_bus_what_has_no_bytes_is_found_out(self, bus: MemoryBus) -> None:
        if not bus._is_wired:
            pytest.skip("objects pass as they are")
        async with bus.subscribe(subject("a"), Listener(), queue="q"):
            with pytest.raises(TypeError):
                bus.publish(subject("a"), said(5))  # type: ignore[arg-type]

    async def test_on_the_other_one_the_object_itself_passes(self, bus: MemoryBus) -> None:
        if bus._is_wired:
            pytest.skip("every hop is encoded")
        sent, messages = await self._heard(bus)
        assert all(one is sent for one in messages)


async def _turns() -> None:
    for _ in range(10):
        await asyncio.sleep(0)
