"""A site on a real socket with one instance, and one who asks it."""

import asyncio
import json
from collections.abc import AsyncIterator
from typing import Any

import aiohttp
from fakes.keys import MemoryKeys

from kaa.core.auth import KEY_HEADER, Keys, Role
from kaa.core.clock import SystemClock
from kaa.core.health import Health
from kaa.core.http import Call, HttpSettings, Route, Site
from kaa.core.ids import RandomIds
from kaa.core.metrics import Metrics


class House:
    """A site with one instance whose routes a test brings along."""

    def __init__(self, settings: HttpSettings | None = None) -> None:
        self.keys = Keys(store=MemoryKeys(), ids=RandomIds(), clock=SystemClock())
        self.health = Health()
        self.metrics = Metrics()
        self.site = Site(
            keys=self.keys,
            ids=RandomIds(),
            clock=SystemClock(),
            metrics=self.metrics,
            health=self.health,
            settings=settings,
        )
        self.calls: list[Call] = []
        self.gate = asyncio.Event()

    def mount(self, *routes: Route) -> None:
        self.site.mount("epr", routes)

    async def echo(self, call: Call) -> Any:
        self.calls.append(call)
        return call.body if call.body is not None else {"query": call.query, "path": call.path}


class Client:
    def __init__(self, session: aiohttp.ClientSession, address: tuple[str, int]) -> None:
        self.session = session
        self.host, self.port = address

    async def __call__(self, method: str, path: str, **options: Any) -> tuple[aiohttp.ClientResponse, Any]:
        async with self.session.request(method, f"http://{self.host}:{self.port}{path}", **options) as response:
            data = await response.read()
            is_json = response.content_type == "application/json" and data
            return response, json.loads(data) if is_json else data

    async def raw(self, data: bytes) -> bytes:
        reader, writer = await asyncio.open_connection(self.host, self.port)
        writer.write(data)
        try:
            return await asyncio.wait_for(reader.read(), 5)
        finally:
            writer.close()
            await writer.wait_closed()


async def opened(house: House, role: Role = Role.ADMIN) -> AsyncIterator[Client]:
    _, key = await house.keys.make(role)
    async with (
        house.site.opened("127.0.0.1", 0) as address,
        aiohttp.ClientSession(headers={KEY_HEADER: key}) as session,
    ):
        yield Client(session, address)


class Open:
    """The site of a house while the block lasts, as one who has a key of that role."""

    def __init__(self, house: House, role: Role = Role.ADMIN) -> None:
        self._steps = opened(house, role)

    async def __aenter__(self) -> Client:
        return await anext(self._steps)

    async def __aexit__(self, *_: object) -> None:
        assert await anext(self._steps, None) is None


def get(path: str, handler: Any, **more: Any) -> Route:
    return Route(method="GET", path=path, handler=handler, summary="", **more)


def post(path: str, handler: Any, **more: Any) -> Route:
    return Route(method="POST", path=path, handler=handler, summary="", **more)


async def give(value: Any) -> Any:
    return value
