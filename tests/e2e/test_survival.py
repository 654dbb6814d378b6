"""What the server has said yes to outlives kill -9: endpoints, commands, configurations and results."""

import asyncio
import json
from abc import ABC, abstractmethod
from collections import defaultdict
from collections.abc import Awaitable, Callable, Iterable
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from typing import Any, Generic, TypeVar

import aiohttp
import pytest
from hosts import KaaProcess, Rest, Thing, off_loop
from mqtt_clients import V5, Paho, opened
from waiting import until

T = TypeVar("T")

LOST = (aiohttp.ClientError, OSError)
CROWD = 220  # more than are told of a change in one go
PATIENCE_S = 30.0


@dataclass(slots=True)
class Deed(Generic[T]):
    """What is done again and again until the server dies, and what of it the server has said yes to: the proof."""

    do: Callable[[int], Awaitable[T]]
    enough: int = 20
    at_once: int = 4
    most: int = 100
    begun: int = 0
    done: list[T] = field(default_factory=list)

    async def run(self) -> None:
        try:
            while self.begun < self.most:
                number, self.begun = self.begun, self.begun + 1
                self.done.append(await self.do(number))
        except LOST:
            return  # what was not said yes to was not promised


class Gateway(Paho):
    """Speaks for many things, connects again by itself, and keeps what it is told, by token and topic."""

    def __init__(self, server: KaaProcess, things: Iterable[Thing]) -> None:
        super().__init__(server.mqtt, V5, keeps_session=True)
        self.things = {thing.token: thing for thing in things}
        self.told: dict[tuple[str, str], list[Any]] = defaultdict(list)

    async def tell(self, thing: Thing, extension: str, path: str, body: object) -> None:
        """Publish, and wait for the acknowledgement, which must be a good one."""
        code = await self.send(thing.topic(path, extension=extension), json.dumps(body).encode(), 1)
        assert code is not None
        assert code < 0x80, f"{extension} refused it: {code:#x}"

    async def appear(self, times: int = 1) -> None:
        """Have every thing say something, once the gateway has connected that often, and forget what they heard."""
        await until(lambda: len(self.sessions_present) == times, what="the gateway is back")
        await asyncio.sleep(0)  # what has come before is sorted in a turn of the loop
        self.listen()
        self.told.clear()
        async with asyncio.TaskGroup() as group:
            for thing in self.things.values():
                group.create_task(self.tell(thing, "dcx", "json", {"here": 1}))

    def listen(self) -> None:
        """Sort what has come."""
        while not self.inbox.empty():
            message = self.inbox.get_nowait()
            _, _, _, token, path = message.topic.split("/", 4)
            assert not path.endswith("/error"), message
            if message.payload:
                self.told[token, path.removesuffix("/status")].append(json.loads(message.payload))

    def heard(self, thing: Thing, path: str = "config/json") -> list[Any]:
        """Give all that a thing has been told there since it appeared."""
        self.listen()
        return self.told[thing.token, path]

    def commands(self, thing: Thing, type_: str) -> dict[int, Any]:
        """Give the payloads of the commands that a thing has been sent, by their ids."""
        return {one["id"]: one.get("payload") for part in self.heard(thing, f"command/{type_}") for one in part}


Batch = tuple[str, list[Thing]]
Accepted = tuple[str, int]
"""A command: where it can be read, and which it is."""


async def registered_later(rest: Rest, application: str, names: Iterable[str]) -> Batch:
    """Have things registered by a batch, and give its id with them; each has a token after its name."""
    things = [Thing(application, f"{application}-v1", name, f"token-{name}") for name in names]
    items = [{"endpointId": thing.endpoint_id, "endpointToken": thing.token} for thing in things]
    wanted = {"appVersion": {"name": f"{application}-v1"}, "endpoints": items}
    return (await rest.send("POST", "/epr/api/v1/endpoints/batch", wanted))["taskId"], things


async def are_made(rest: Rest, batch: Batch) -> None:
    """Wait until a batch has made all of its things."""
    task_id, things = batch
    path = "/epr/api/v1/endpoints/batch/status"

    async def has_ended() -> bool:
        found = await rest.get(path, appName=things[0].application, taskId=task_id)
        assert found["failedCount"] == 0, found["failed"]
        return bool(found["state"] == "DONE" and found["createdCount"] == len(things))

    await until(has_ended, within_s=PATIENCE_S)


async def accepted(rest: Rest, thing: Thing, number: int) -> Accepted:
    """Have a command taken in, without waiting for its result."""
    path = f"/cex/api/v1/endpoints/{thing.endpoint_id}/commands/count"
    reply = await rest.call("POST", path, {"number": number}, params={"awaitTimeout": 0})
    assert reply.status == 202
    return reply.headers["Location"].removeprefix(rest.url), number


def id_of(location: str) -> int:
    return int(location.rpartition("/")[2])


def configuration_of(thing: Thing) -> str:
    return f"/ecr/api/v1/endpoints/{thing.endpoint_id}/app-versions/{thing.version}"


class Story(ABC):
    """What goes on before a kill, and what must be found after it; with an application of its own."""

    def __init__(self, server: KaaProcess, stack: AsyncExitStack, round_: int) -> None:
        self.server, self.stack, self.round = server, stack, round_
        self.rest: Rest
        self.application = ""

    @abstractmethod
    async def begin(self) -> list[Deed[Any]]:
        """Make what is needed, and give what is to go on."""

    async def last(self) -> None:  # noqa: B027  most have nothing to do then
        """Do what is to be done just before the kill."""

    @abstractmethod
    async def check(self) -> None:
        """Look for all that was promised."""

    async def things(self, number: int) -> list[Thing]:
        return [await self.rest.thing(self.application) for _ in range(number)]

    async def gateway(self, things: Iterable[Thing]) -> Gateway:
        """Connect things; they live through the kill."""
        device = await self.stack.enter_async_context(opened(Gateway(self.server, things)))
        await device.appear()
        return device


class Endpoints(Story):
    """Endpoints that are registered, one by one and by batches, are there, and their tokens open the door."""

    async def begin(self) -> list[Deed[Any]]:
        self.single = Deed(lambda _: self.rest.thing(self.application))
        # each is soon said yes to, and worked off after that
        self.batches = Deed(self._registers, enough=3, at_once=1, most=6)
        return [self.single, self.batches]

    async def _registers(self, number: int) -> Batch:
        names = [f"{self.application}-{number}-{at}" for at in range(40)]
        return await registered_later(self.rest, self.application, names)

    async def check(self) -> None:
        things = list(self.single.done)
        for batch in self.batches.done:
            await are_made(self.rest, batch)
            things += batch[1]
        found = await self.rest.get("/epr/api/v1/endpoints", applicationName=self.application, limit=1000)
        assert {thing.endpoint_id for thing in things} <= {one["endpointId"] for one in found["content"]}
        await self.gateway(things)  # which is refused nothing


class Commands(Story):
    """Commands that are accepted are there, and reach the endpoint when it connects."""

    async def begin(self) -> list[Deed[Any]]:
        [self.thing] = await self.things(1)
        ids = [self.thing.endpoint_id]
        path = "/cex/api/v1/endpoints/commands/all/batch/by-endpoints"
        self.single = Deed(lambda number: accepted(self.rest, self.thing, number))
        self.tasks = Deed(lambda _: self.rest.send("POST", path, {"endpointIds": ids}), enough=3, at_once=1, most=6)
        return [self.single, self.tasks]

    async def check(self) -> None:
        for location, number in self.single.done:
            found = await self.rest.get(location)
            assert (found["status"], found["requestPayload"]) == ("PENDING", {"number": number})
        wanted = [("count", id_of(location), {"number": number}) for location, number in self.single.done]
        for task in self.tasks.done:
            path = f"/cex/api/v1/endpoints/commands/batch/tasks/{task['taskId']}"
            [one] = (await self.rest.get(path, appName=self.application))["pending"]
            assert one["endpointId"] == self.thing.endpoint_id
            wanted.append(("all", one["commandId"], None))
        device = await self.gateway([self.thing])
        for type_, command_id, payload in wanted:
            await until(lambda at=command_id, type_=type_: at in device.commands(self.thing, type_))
            assert device.commands(self.thing, type_)[command_id] == payload


class Configurations(Story):
    """Configurations are there, those that come back are sent them, and pushes go on."""

    async def begin(self) -> list[Deed[Any]]:
        self.device = await self.gateway(await self.things(3))
        self.deeds = [(thing, self._configured(thing)) for thing in self.device.things.values()]
        return [deed for _, deed in self.deeds]

    def _configured(self, thing: Thing) -> Deed[Any]:
        path = configuration_of(thing)
        return Deed(lambda number: self.rest.send("PUT", path, {"number": number}), enough=6, at_once=1)

    async def check(self) -> None:
        await self.device.appear(2)
        for thing, deed in self.deeds:
            now = json.loads((await self.rest.get(configuration_of(thing)))["config"])
            # the one that was under way may have been stored, and the answer lost
            assert len(deed.done) - 1 <= now["number"] < deed.begun
            await until(lambda t=thing, now=now: now in [one["config"] for one in self.device.heard(t)])
            new = {"new": True}
            await self.rest.send("PUT", configuration_of(thing), new)
            await until(lambda t=thing, new=new: self.device.heard(t)[-1]["config"] == new)


class Default(Story):
    """A default that was being told to many is told to the rest, and to nobody who has confirmed it."""

    async def begin(self) -> list[Deed[Any]]:
        batch = await registered_later(self.rest, self.application, [f"{self.application}-{at}" for at in range(CROWD)])
        await are_made(self.rest, batch)
        self.device = await self.gateway(batch[1])
        return []

    async def last(self) -> None:
        path = f"/ecr/api/v1/app-versions/{self.application}-v1"
        self.config_id = (await self.rest.send("PUT", path, {"a": "default"}))["configId"]
        # kill at once, when some have it, when nearly all have it
        early = self.round % 3 * (CROWD - 50) // 2
        await until(lambda: len(self._told()) >= early, within_s=PATIENCE_S)
        self.confirmed = self._told()[:early]
        async with asyncio.TaskGroup() as group:
            for thing in self.confirmed:
                told = self.device.tell(thing, "cmx", "applied/json", {"configId": self.config_id})
                group.create_task(told)

    async def check(self) -> None:
        await self.device.appear(2)
        wanted = self.device.things.keys() - {one.token for one in self.confirmed}
        await until(lambda: len(self._told()) >= len(wanted), what="the rest is told", within_s=PATIENCE_S)
        assert {one.token for one in self._told()} == wanted

    def _told(self) -> list[Thing]:
        """Give those that have been told the default since they appeared."""
        things = self.device.things.values()
        return [one for one in things if any(told["configId"] == self.config_id for told in self.device.heard(one))]


class Results(Story):
    """What endpoints have confirmed is known: results of commands, applied configurations, installed software."""

    async def begin(self) -> list[Deed[Any]]:
        self.device = await self.gateway(await self.things(1))
        [self.thing] = self.device.things.values()
        self.software = f"/otao/api/v1/applications/{self.application}/software"
        await self.rest.send("POST", self.software, {"version": "1.0.0", "rolloutStrategy": "general"})
        self.installed = Deed(self._installs, enough=6, at_once=1)
        self.applied = Deed(self._applies, enough=6, at_once=1)
        self.executed = Deed(self._executes)
        return [self.installed, self.applied, self.executed]

    async def _installs(self, number: int) -> int:
        await self._confirms("cmx_ota", "applied/json", {"configId": f"1.0.{number}", "statusCode": 200})
        return number

    async def _applies(self, number: int) -> str:
        made = await self.rest.send("PUT", configuration_of(self.thing), {"number": number})
        await self._confirms("cmx", "applied/json", {"configId": made["configId"], "statusCode": 200})
        return str(made["configId"])

    async def _executes(self, number: int) -> Accepted:
        command = await accepted(self.rest, self.thing, number)
        result = {"id": id_of(command[0]), "statusCode": 200, "payload": {"counted": number}}
        await self._confirms("cex", "result/count", [result])
        return command

    async def _confirms(self, extension: str, path: str, body: object) -> None:
        await self.device.tell(self.thing, extension, path, body)

    async def check(self) -> None:
        for location, number in self.executed.done:
            found = await self.rest.get(location)
            assert (found["status"], found["statusCode"]) == ("EXECUTED", 200)
            assert found["responsePayload"] == {"counted": number}
        endpoint_id = self.thing.endpoint_id
        for config_id in self.applied.done:
            found = await self.rest.get("/ecr/api/v1/statuses", endpointId=endpoint_id, configId=config_id)
            assert [one["status"] for one in found["content"]] == ["APPLIED"]
        [status] = (await self.rest.get(f"{self.software}/statuses", endpointId=endpoint_id))["content"]
        # the one that was under way may have been stored, and the acknowledgement lost
        assert int(status["version"].removeprefix("1.0.")) in range(self.installed.done[-1], self.installed.begun)


STORIES: tuple[type[Story], ...] = (Endpoints, Commands, Configurations, Default, Results)


async def kill_once(server: KaaProcess, told: Iterable[type[Story]], round_: int) -> None:
    """Kill the server when enough of everything is done and more is under way, start it again, and look."""
    async with AsyncExitStack() as stack:
        stories = [story(server, stack, round_) for story in told]
        deeds: list[Deed[Any]] = []
        async with server.visited() as place:
            for story in stories:
                story.rest, story.application = place.rest, await place.rest.application()
                deeds += await story.begin()
            async with asyncio.TaskGroup() as group:
                tasks = [group.create_task(deed.run()) for deed in deeds for _ in range(deed.at_once)]
                are_done = lambda: all(len(deed.done) >= deed.enough for deed in deeds)  # noqa: E731  it is asked again and again
                await until(are_done, what="enough of everything is done", within_s=PATIENCE_S)
                for story in stories:
                    await story.last()
                assert not tasks or not all(task.done() for task in tasks), "nothing was under way"
                await off_loop(server.kill)
                for task in tasks:
                    task.cancel()
        await off_loop(server.start)
        async with server.visited() as place, asyncio.TaskGroup() as group:
            for story in stories:
                story.rest = place.rest
                group.create_task(story.check(), name=type(story).__name__)


@pytest.mark.parametrize("round_", range(3))
async def test_what_was_said_yes_to_outlives_kill_9(process: Callable[..., KaaProcess], round_: int) -> None:
    server = process()
    await off_loop(server.start)
    await kill_once(server, STORIES, round_)


@pytest.mark.soak
@pytest.mark.parametrize("story", STORIES)
async def test_nothing_of_a_story_is_lost_in_twenty_kills(process: Callable[..., KaaProcess], story: Any) -> None:
    server = process()
    await off_loop(server.start)
    for round_ in range(20):
        await kill_once(server, [story], round_)
