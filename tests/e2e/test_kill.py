"""An acknowledgement means stored: the server is killed under load, and what it had acknowledged is there."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field

import aiomqtt
import pytest
from hosts import KaaProcess, Place, Thing, off_loop
from mqtt_clients import V5, V311, Aiomqtt, Device, Gmqtt, Paho, opened
from waiting import until

from kaa.core.clock import SystemClock

IN_FLIGHT = 20
PER_ROUND = 250
BASE_MS = SystemClock().now_ms() - 3_600_000  # within the retention

# each sample has a time of its own, so that one that is sent again is the same point, and none is counted twice
SETTINGS = {
    "time-series": {
        "auto-extract": False,
        "names": {"count": {"values": [{"path": "n"}]}},
        "timestamp": {"path": "at", "fallback-strategy": "fail"},
    }
}


@dataclass(slots=True)
class Journal:
    """What a client has sent, and what has been acknowledged to it: the proof."""

    thing: Thing
    sent: int = 0
    acknowledged: set[int] = field(default_factory=set)

    def next_sample(self) -> bytes:
        number, self.sent = self.sent, self.sent + 1
        return b'{"n": %d, "at": %d}' % (number, BASE_MS + number)


class Load:
    """A client that keeps a window of messages under way until it is told to stop."""

    def __init__(self, journal: Journal, device: Device) -> None:
        self.journal, self.device = journal, device
        self._room = asyncio.Semaphore(IN_FLIGHT)
        self._is_over = asyncio.Event()

    async def run(self) -> None:
        while not self._is_over.is_set():
            await self._room.acquire()
            number = self.journal.sent
            done = self.device.send(self.journal.thing.topic(), self.journal.next_sample(), 1)
            done.add_done_callback(lambda done, number=number: self._settled(done, number))
            await asyncio.sleep(0)  # a turn of the loop, no more: the other clients are on it, too

    def _settled(self, done: "asyncio.Future[int | None]", number: int) -> None:
        if done.cancelled() or done.exception() is not None:
            self._is_over.set()  # its connection is gone; what was not acknowledged was not promised
        else:
            self.journal.acknowledged.add(number)
        self._room.release()

    async def finish(self) -> None:
        """Send no more, and wait until all that was sent is acknowledged."""
        self._is_over.set()
        await until(
            lambda: len(self.journal.acknowledged) == self.journal.sent,
            what=f"{self.journal.sent} acknowledged to {type(self.device).__name__}",
            within_s=30,
        )


@asynccontextmanager
async def under_load(load: Load) -> AsyncIterator[Load]:
    async with asyncio.TaskGroup() as group:
        task = group.create_task(load.run())
        try:
            yield load
        finally:
            task.cancel()


async def stored(place: Place, thing: Thing) -> list[int]:
    return [int(value) for value in await place.rest.values(thing, "count")]


async def rounds(server: KaaProcess, number: int) -> None:
    """Kill the server that often under load, and look each time for all that was promised."""
    await off_loop(server.start)
    async with AsyncExitStack() as stack:
        async with server.visited() as place:
            application = await place.rest.application(SETTINGS)
            things = [await place.rest.thing(application) for _ in range(6 + number)]
        keeping: list[Load] = []
        for library, version in ((Paho, V311), (Paho, V5), (Gmqtt, V311), (Gmqtt, V5)):
            device = library(server.mqtt, version, keeps_session=True)
            await stack.enter_async_context(opened(device))
            keeping.append(await stack.enter_async_context(under_load(Load(Journal(things.pop()), device))))
        forgetful: list[Journal] = []
        for _ in range(number):
            await kill_once(server, keeping, forgetful, things.pop())
            async with server.visited() as place:
                for journal in (*forgetful, *(load.journal for load in keeping)):
                    promised = frozenset(journal.acknowledged)
                    assert promised - set(await stored(place, journal.thing)) == set()
        # a client that keeps its session sends the rest again, until all are there, and none twice
        for load in keeping:
            await load.finish()
            assert load.device.inbox.empty(), "nothing was refused: a success without a request id is silent"
            assert load.device.sessions_present == [False, *[True] * number]
        async with server.visited() as place:
            for load in keeping:
                assert await stored(place, load.journal.thing) == list(range(load.journal.sent))


async def kill_once(server: KaaProcess, keeping: list[Load], forgetful: list[Journal], thing: Thing) -> None:
    journal = Journal(thing)
    forgetful.append(journal)
    device = Aiomqtt(server.mqtt, V5)
    try:
        async with opened(device), under_load(Load(journal, device)):
            journals = [journal, *(load.journal for load in keeping)]
            goals = [len(one.acknowledged) + PER_ROUND for one in journals]
            await until(
                lambda: all(len(one.acknowledged) >= goal for one, goal in zip(journals, goals, strict=True)),
                what="enough is acknowledged to everybody",
                within_s=30,
            )
            assert any(one.sent > len(one.acknowledged) for one in journals), "nothing was under way"
            await off_loop(server.kill)
    except aiomqtt.MqttError:
        pass  # that is how it learns of the end
    await off_loop(server.start)


async def test_what_was_acknowledged_outlives_kill_9(process: Callable[..., KaaProcess]) -> None:
    await rounds(process(), 3)


@pytest.mark.soak
async def test_what_was_acknowledged_outlives_twenty_times_kill_9(process: Callable[..., KaaProcess]) -> None:
    await rounds(process(), 20)
