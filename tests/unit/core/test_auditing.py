"""What a change leaves behind: states without secrets, before the answer goes out, and whatever the log does."""

import json
from typing import Any

import pytest
from fakes.site import House, Open, get, give, post

from kaa.core.errors import Conflict, NotFound, Unavailable
from kaa.core.http import Answer, Call, PageQuery, Route, Stream
from kaa.core.http.auditing import LONGEST_BYTES, Change, hidden, is_secret, shown


class Auditor:
    """Keeps changes in a list."""

    def __init__(self) -> None:
        self.changes: list[Change] = []

    async def record(self, change: Change) -> None:
        self.changes.append(change)


@pytest.fixture
async def house() -> House:
    made = House()
    made.site._auditor = Auditor()
    return made


def changes(house: House) -> list[Change]:
    auditor = house.site._auditor
    assert isinstance(auditor, Auditor)
    return auditor.changes


def route(method: str, path: str, handler: Any, **more: Any) -> Route:
    return Route(method=method, path=path, handler=handler, summary=f"{method} it", **more)


class Thing:
    """A state that is read, written and deleted."""

    def __init__(self) -> None:
        self.state: Any = {"size": 1}

    async def read(self, _: Call) -> Any:
        if self.state is None:
            raise NotFound("there is none")
        return self.state

    async def write(self, call: Call) -> None:
        if call.body == "refuse":
            raise Conflict("no")
        self.state = call.body

    async def delete(self, _: Call) -> Answer:
        self.state = None
        return Answer(status=204)

    def routes(self, path: str = "/things/{name}") -> list[Route]:
        return [
            get(path, self.read),
            route("PUT", path, self.write, body=Any),
            route("DELETE", path, self.delete, status=204),
        ]


async def test_put_and_delete_leave_what_a_get_gives_before_and_after(house: House) -> None:
    house.mount(*Thing().routes())
    async with Open(house) as ask:
        await ask("PUT", "/epr/api/v1/things/a%20b", data='{"size": 2}', headers={"Correlation-ID": "c-1"})
        await ask("DELETE", "/epr/api/v1/things/a%20b")
        await ask("PUT", "/epr/api/v1/things/a%20b", data='{"size": 3}')
    put, gone, anew = changes(house)
    assert (put.method, put.path, put.operation, put.status) == ("PUT", "/epr/api/v1/things/a%20b", "PUT it", 200)
    assert put.correlation_id == "c-1"
    assert (put.before.text, put.after.text) == ('{"size":1}', '{"size":2}')
    assert (gone.status, gone.before.text, gone.after.text) == (204, '{"size":2}', None)
    assert (anew.before.text, anew.after.text) == (None, '{"size":3}')
    assert put.caller.role == "admin"


async def test_a_post_leaves_its_answer(house: House) -> None:
    house.mount(post("/things", lambda _: give({"id": 7, "token": "hunter2"}), status=201))
    async with Open(house) as ask:
        _, body = await ask("POST", "/epr/api/v1/things")
        assert body == {"id": 7, "token": "hunter2"}
    [change] = changes(house)
    assert (change.status, change.before.text, change.after.text) == (201, None, '{"id":7,"token":"***"}')


async def test_what_is_refused_read_or_open_or_says_so_leaves_nothing(house: House) -> None:
    thing = Thing()
    house.mount(
        *thing.routes(),
        post("/search", house.echo, writes=False),
        post("/open", house.echo, open=True),
        post("/points", house.echo, audited=False),
    )
    async with Open(house) as ask:
        assert (await ask("PUT", "/epr/api/v1/things/a", data='"refuse"'))[0].status == 409
        assert (await ask("PUT", "/epr/api/v1/things/a", data="{"))[0].status == 400
        for path in ("search", "open", "points"):
            assert (await ask("POST", f"/epr/api/v1/{path}"))[0].status == 200
        assert (await ask("GET", "/epr/api/v1/things/a"))[0].status == 200
    assert changes(house) == []


async def test_the_entry_is_there_before_the_answer(house: House) -> None:
    order: list[str] = []

    class Slow(Auditor):
        async def record(self, change: Change) -> None:
            await super().record(change)
            order.append("recorded")

    async def chunks() -> Any:
        order.append("answered")
        yield b"[]"

    async def stream(_: Call) -> Stream:
        return Stream(chunks=chunks())

    house.site._auditor = Slow()
    house.mount(post("/stream", stream))
    async with Open(house) as ask:
        await ask("POST", "/epr/api/v1/stream")
    assert order == ["recorded", "answered"]


async def test_a_get_that_fails_stands_in_nobodys_way(house: House) -> None:
    async def broken(_: Call) -> None:
        raise RuntimeError("a bug")

    async def away(_: Call) -> None:
        raise Unavailable("nobody is there")

    house.mount(
        get("/a", broken), post("/b", house.echo), route("PUT", "/a", house.echo, body=Any),
        get("/c", away), route("PUT", "/c", house.echo, body=Any),
        get("/d", house.echo, query=PageQuery), route("PUT", "/d", house.echo, body=Any),
    )  # fmt: skip
    async with Open(house) as ask:
        for path in ("a", "c", "d?limit=none"):
            assert (await ask("PUT", f"/epr/api/v1/{path}", data="1"))[0].status == 200
    assert [(one.before.text, one.after.text) for one in changes(house)] == [(None, None)] * 3


async def test_a_value_whose_name_is_in_the_path_is_hidden_by_it(house: House) -> None:
    thing = Thing()
    thing.state = "hunter2"
    house.mount(*thing.routes("/metadata/{key}"))
    async with Open(house) as ask:
        await ask("PUT", "/epr/api/v1/metadata/wifi-password", data='"hunter3"')
        await ask("PUT", "/epr/api/v1/metadata/room", data='"kitchen"')
    secret, open_ = changes(house)
    assert (secret.before.text, secret.after.text) == ('"***"', '"***"')
    assert open_.after.text == '"kitchen"'


async def test_a_long_stream_is_not_read_to_its_end(house: House) -> None:
    given = 0

    async def chunks() -> Any:
        nonlocal given
        for _ in range(1_000):
            given += 1
            yield b"x" * 10_000

    async def stream(_: Call) -> Stream:
        return Stream(chunks=chunks())

    house.mount(get("/x", stream), route("DELETE", "/x", lambda _: give(None)))
    async with Open(house) as ask:
        await ask("DELETE", "/epr/api/v1/x")
    [change] = changes(house)
    assert (change.before.text, change.before.is_cut) == (None, True)
    assert given < 100


def test_secrets_are_known_by_their_names() -> None:
    for name in (
        "password", "Password", "token", "endpointToken", "endpoint_token", "access-token", "privateKey", "private_key",
        "key", "apiKey", "x-api-key", "clientSecret", "Authorization", "wifi-password",
    ):  # fmt: skip
        assert is_secret(name), name
    for name in ("keys", "tokenId", "endpointTokenId", "name", "commonName", "monkey", "certificate"):
        assert not is_secret(name), name


def test_secrets_are_hidden_however_deep_they_lie() -> None:
    told = {"a": [{"token": "t", "b": {"password": {"of": "x"}, "key": None}}], "keys": ["k"]}
    assert hidden(told) == {"a": [{"token": "***", "b": {"password": "***", "key": None}}], "keys": ["k"]}


def test_what_is_long_is_cut_and_says_so() -> None:
    whole = shown(json.dumps("x" * (LONGEST_BYTES - 2)).encode())
    assert (len(whole.text or ""), whole.is_cut) == (LONGEST_BYTES, False)
    cut = shown(json.dumps("ä" * LONGEST_BYTES).encode())
    assert cut.is_cut
    assert len((cut.text or "").encode()) in {LONGEST_BYTES, LONGEST_BYTES - 1}


def test_a_secret_at_the_edge_of_the_cut_is_hidden() -> None:
    long = shown(json.dumps({"pad": "x" * (LONGEST_BYTES - 30), "password": "hunter2" * 10}).encode())
    assert "hunter" not in (long.text or "")


async def test_what_the_answer_tells_is_not_read_once_more(house: House) -> None:
    reads = 0

    async def read(_: Call) -> dict[str, Any]:
        nonlocal reads
        reads += 1
        return {"size": 1}

    async def write(_: Call) -> dict[str, Any]:
        return {"size": 2}

    told = dict[str, Any]
    house.mount(get("/x", read, returns=told), route("PUT", "/x", write, body=Any, returns=told))
    async with Open(house) as ask:
        await ask("PUT", "/epr/api/v1/x", data="1")
    [change] = changes(house)
    assert (change.before.text, change.after.text, reads) == ('{"size":1}', '{"size":2}', 1)


async def test_a_log_that_breaks_makes_no_failure_of_a_change(house: House) -> None:
    class Broken(Auditor):
        async def record(self, change: Change) -> None:
            raise RuntimeError("a bug")

    house.site._auditor = Broken()
    house.mount(post("/x", lambda _: give({"a": 1}), status=201))
    async with Open(house) as ask:
        response, body = await ask("POST", "/epr/api/v1/x")
        assert (response.status, body) == (201, {"a": 1})
