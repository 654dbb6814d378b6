"""What the tests of RCI share: an agent that runs commands, and the far end of a callback."""

import asyncio
from collections.abc import Callable
from typing import Any

from aiohttp import web
from house import House, Reply
from waiting import until

from kaa.core.errors import Refusal, Unavailable
from kaa.modules.rci.module import MODULE as RCI
from kaa.protocols import cip
from kaa.protocols.cip import CommandInvocationRequest, CommandInvocationResult

API = "/rci/api/v1"
ID = 1 << 30
TICK_MS = 250
LOCAL = ["127.0.0.1/32"]


class Agent:
    """Stands for CEX: hears of commands, and says what has become of them when the test does."""

    def __init__(self, house: House) -> None:
        self._house = house
        self.asked: list[CommandInvocationRequest] = []
        self._open: dict[int, list[asyncio.Future[Any]]] = {}
        self._is_over = False
        self.refusals: list[Refusal] = []  # what is said to the next ones at once

    async def hear(self, name: str = "cex") -> "Agent":
        """Begin to hear; everything stops with the house."""
        hearing = self._house.bus.subscribe(cip.invoke_command(name), self._on_invoke, queue=name, concurrency=256)
        await self._house._stack.enter_async_context(hearing)
        self._house._stack.callback(self._stop)
        return self

    def _stop(self) -> None:
        self._is_over = True
        for command_id in list(self._open):
            self.tell(command_id, 503, version="")

    @property
    def ids(self) -> list[int]:
        """The ids of all that was asked for, in order."""
        return [request.command_id for request in self.asked]

    async def heard(self, *ids: int) -> None:
        """Wait until these have been asked for, and nothing else."""
        await until(lambda: self.ids == list(ids))

    def tell(
        self,
        command_id: int = ID,
        status: int = 200,
        *,
        payload: bytes | None = None,
        reason: str | None = None,
        version: str = "home-v1",
    ) -> None:
        """Tell the result of a command to all who wait for it; without a version it is a refusal."""
        for future in self._open.pop(command_id):
            future.set_result((status, payload, reason, version))

    async def _on_invoke(self, request: CommandInvocationRequest) -> CommandInvocationResult:
        self.asked.append(request)
        if self.refusals:
            raise self.refusals.pop(0)
        if self._is_over:
            raise Unavailable("the test is over")
        future = asyncio.get_running_loop().create_future()
        self._open.setdefault(request.command_id, []).append(future)
        status, payload, reason, version = await future
        return CommandInvocationResult(
            correlation_id=request.correlation_id,
            timestamp_ms=self._house.clock.now_ms(),
            app_version_name=version,
            endpoint_id=request.endpoint_id,
            command_type=request.command_type,
            command_id=request.command_id,
            status_code=status,
            reason_phrase=reason,
            payload=payload,
        )


class Hook:
    """The far end of a callback; answers 204 unless it is told otherwise."""

    def __init__(self) -> None:
        self.posted: list[Any] = []
        self.tries: list[web.Request] = []
        self.statuses: list[int] = []
        self.gate: asyncio.Event | None = None  # while it is closed nobody gets an answer
        self.at_once = self.most_at_once = 0

    async def open(self, house: House, port: int = 0) -> str:
        """Begin to listen, on a port; gives the URL. It stops with the house."""
        app = web.Application()
        app.router.add_route("*", "/{where}", self._on_post)
        runner = web.AppRunner(app, shutdown_timeout=0.1)
        await runner.setup()
        house._stack.push_async_callback(runner.cleanup)
        site = web.TCPSite(runner, "127.0.0.1", port)
        await site.start()
        self.port = site._server.sockets[0].getsockname()[1]  # type: ignore[union-attr]
        return f"http://127.0.0.1:{self.port}/result"

    async def _on_post(self, request: web.Request) -> web.Response:
        self.tries.append(request)
        self.at_once += 1
        self.most_at_once = max(self.most_at_once, self.at_once)
        try:
            body = await request.json()
            if self.gate is not None:
                await self.gate.wait()
        finally:
            self.at_once -= 1
        status = self.statuses.pop(0) if self.statuses else 204
        if 200 <= status < 300:
            self.posted.append(body)
        return web.Response(status=status, headers={"Location": "/elsewhere"} if status in {302, 307} else None)


async def start(house: House, **config: Any) -> Agent:
    """Have RCI run, with an agent; callbacks may go to this machine unless it is said otherwise."""
    agent = await Agent(house).hear()
    await start_alone(house, **config)
    return agent


async def start_alone(house: House, **config: Any) -> None:
    """Have RCI run without an agent."""
    written = {name.replace("_", "-"): value for name, value in config.items()}
    await house.start(RCI, config={"allowed-callback-networks": LOCAL} | written)


def path(*parts: object, endpoint: str = "dev-1", type_: str = "switch") -> str:
    """Give the path of an endpoint's commands of a type, and what is below it."""
    return "/".join([f"{API}/endpoints/{endpoint}/commands/{type_}", *map(str, parts)])


async def post(
    house: House,
    body: Any = None,
    *,
    endpoint: str = "dev-1",
    type_: str = "switch",
    data: bytes | None = None,
    content_type: str = "application/json",
    **params: Any,
) -> Reply:
    """Post a command."""
    headers = None if data is None else {"Content-Type": content_type}
    where = path(endpoint=endpoint, type_=type_)
    return await house.call("POST", where, body, data=data, headers=headers, params=params)


async def begin(house: House, url: str, body: Any = None, **params: Any) -> int:
    """Post a command whose result is to be posted, and give its id."""
    reply = await post(house, body, callback=url, **params)
    assert (reply.status, reply.data) == (202, b""), reply
    return int(reply.headers["Location"].rpartition("/")[2])


async def command(house: House, command_id: int = ID) -> Any:
    """Give a command as GET shows it."""
    return await house.get(path(command_id))


async def move_until(house: House, condition: Callable[[], Any], *, ms: int = TICK_MS) -> None:
    """Let time go by, step by step, until the condition holds."""

    async def holds() -> bool:
        await house.clock.advance(ms)
        return bool(condition())

    await until(holds)


async def leap(house: House, ms: int) -> None:
    """Let a long time go by without what happens every moment of it, when nothing is under way."""
    await house.still()
    house.clock.set(house.clock.now_ms() + ms)
    await house.clock.advance(TICK_MS)


async def callback_is(house: House, status: str, command_id: int = ID) -> None:
    """Let time go by until the callback of a command has this status."""

    async def holds() -> bool:
        await house.clock.advance(TICK_MS)
        return bool((await command(house, command_id))["callbackStatus"] == status)

    await until(holds, what=f"the callback is {status}")
