"""The site over a real socket: answers that are streamed."""

import asyncio
from collections.abc import AsyncIterator

import aiohttp
import pytest
from fakes.site import House, Open, get, give

from kaa.core.errors import NotFound
from kaa.core.http import HttpSettings, Stream


@pytest.fixture
async def house() -> House:
    return House()


async def test_a_stream_arrives_whole(house: House) -> None:
    closed = []

    async def chunks() -> AsyncIterator[bytes]:
        try:
            for part in (b"[1", b"", b",2", b"]"):
                yield part
        finally:
            closed.append(1)

    house.mount(
        get("/x", lambda _: give(Stream(chunks=chunks(), headers={"X-A": "b"}))),
        get("/none", lambda _: give(Stream(chunks=nothing(), content_type="text/csv"))),
    )
    async with Open(house) as ask:
        response, body = await ask("GET", "/epr/api/v1/x")
        assert (response.status, body, response.headers["X-A"]) == (200, [1, 2], "b")
        assert response.headers["X-Content-Type-Options"] == "nosniff"
        response, body = await ask("GET", "/epr/api/v1/none")
        assert (response.headers["Content-Type"], body) == ("text/csv", b"")
        assert (await ask("HEAD", "/epr/api/v1/x"))[1] == b""
    assert closed == [1, 1]


async def nothing() -> AsyncIterator[bytes]:
    for part in ():
        yield part


async def test_a_stream_that_fails_before_it_begins_is_an_ordinary_error(house: House) -> None:
    async def chunks() -> AsyncIterator[bytes]:
        raise NotFound("no such series")
        yield b""

    house.mount(get("/x", lambda _: give(Stream(chunks=chunks()))))
    async with Open(house) as ask:
        response, body = await ask("GET", "/epr/api/v1/x")
        assert (response.status, body) == (404, {"message": "no such series"})


@pytest.mark.parametrize("error", [ValueError("gone"), ConnectionResetError("a peer of ours"), TimeoutError()])
async def test_a_stream_that_fails_later_is_cut_so_that_nobody_takes_it_for_whole(
    house: House, error: Exception
) -> None:
    async def chunks() -> AsyncIterator[bytes]:
        yield b"[1,"
        await house.gate.wait()
        raise error

    house.mount(get("/x", lambda _: give(Stream(chunks=chunks()))))
    async with Open(house) as ask:
        url = f"http://127.0.0.1:{ask.port}/epr/api/v1/x"
        async with ask.session.get(url) as response:
            assert response.status == 200
            assert await response.content.readany() == b"[1,"
            house.gate.set()
            with pytest.raises(aiohttp.ClientError):
                await response.read()
        assert (await ask("GET", "/health"))[0].status == 200


async def test_a_stream_whose_reader_leaves_is_closed(house: House) -> None:
    closed = asyncio.Event()

    async def chunks() -> AsyncIterator[bytes]:
        try:
            while True:
                yield b"x" * 65_536
        finally:
            closed.set()

    house.mount(get("/x", lambda _: give(Stream(chunks=chunks()))))
    async with Open(house) as ask:
        async with ask.session.get(f"http://127.0.0.1:{ask.port}/epr/api/v1/x") as response:
            await response.content.readany()
            response.close()
        await asyncio.wait_for(closed.wait(), 5)


async def test_a_stream_whose_reader_stands_still_is_cut() -> None:
    house = House(HttpSettings(write_timeout_ms=50))
    closed = asyncio.Event()

    async def chunks() -> AsyncIterator[bytes]:
        try:
            while True:
                yield b"x" * (1 << 20)
        finally:
            closed.set()

    house.mount(get("/x", lambda _: give(Stream(chunks=chunks())), open=True))
    async with Open(house) as ask:
        _, writer = await asyncio.open_connection(ask.host, ask.port)
        writer.write(b"GET /epr/api/v1/x HTTP/1.1\r\nHost: h\r\n\r\n")
        await asyncio.wait_for(closed.wait(), 5)
        writer.close()
