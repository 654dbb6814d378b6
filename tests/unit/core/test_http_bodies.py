"""The site over a real socket: bodies, and what is none."""

import gzip
import json
from collections.abc import AsyncIterator
from typing import Any

import pytest
from fakes.site import KEY_HEADER, House, Open, post

from kaa.core.http import Answer, Call, Camel, HttpSettings


class Version(Camel):
    name: str


class Registration(Camel):
    app_version: Version


@pytest.fixture
async def house() -> House:
    return House()


async def test_a_missing_field_is_named_with_its_place(house: House) -> None:
    house.mount(post("/x", house.echo, body=Registration))
    async with Open(house) as ask:
        response, body = await ask("POST", "/epr/api/v1/x", json={"appVersion": {}})
        assert (response.status, body) == (400, {"message": "body.appVersion.name: field required"})


async def test_the_content_type_of_a_body_does_not_matter_if_it_parses(house: House) -> None:
    house.mount(post("/x", house.echo, body=dict[str, Any]))
    async with Open(house) as ask:
        for kind in (
            "application/json",
            "text/plain",
            "application/x-www-form-urlencoded",
            "application/json; charset=x",
        ):
            response, body = await ask("POST", "/epr/api/v1/x", data=b'{"a": 1}', headers={"Content-Type": kind})
            assert (response.status, body) == (200, {"a": 1})
        response, _ = await ask("POST", "/epr/api/v1/x", data={"a": "1"})
        assert response.status == 400
        answer = await ask.raw(
            b"POST /epr/api/v1/x HTTP/1.1\r\nHost: h\r\nConnection: close\r\nContent-Length: 2\r\n"
            + f"{KEY_HEADER}: {ask.session.headers[KEY_HEADER]}\r\n\r\n{{}}".encode()
        )
        assert answer.startswith(b"HTTP/1.1 200")


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"  ",
        b"{",
        b'{"a": NaN}',
        b'{"a": -Infinity}',
        b'{"a": 1e999}',
        b'{"a": [[-1e400]]}',
        b'{"a": ' + b"9" * 400 + b".0}",
        b'{"a": "\\ud800"}',
        b'{"a": "\\udc00x"}',
        b'{"a": "\\ud800\\ud800"}',
        b'{"\\udfff": 1}',
        b'{"a": "\xff"}',
        b'{"a": "\xed\xa0\x80"}',
        b"\xef\xbb\xbf{}",
        b'{"a": ' + b"9" * 5000 + b"}",
        b'{"a":' * 100_000,
        b"[" * 100_000 + b"]" * 100_000,
        b'{"a": "\x01"}',
        b"{'a': 1}",
        b'{"a": 1} x',
        b"[1]",
    ],
)
async def test_what_is_no_json_is_400(house: House, data: bytes) -> None:
    house.mount(post("/x", house.echo, body=dict[str, Any]))
    async with Open(house) as ask:
        response, body = await ask("POST", "/epr/api/v1/x", data=data, headers={"Content-Type": "application/json"})
        assert response.status == 400
        assert body["message"].startswith("body: ")
        assert len(body["message"]) < 300


async def test_nan_and_large_exponents_inside_strings_are_only_text(house: House) -> None:
    house.mount(post("/x", house.echo, body=Any))
    async with Open(house) as ask:
        _, body = await ask("POST", "/epr/api/v1/x", data=b'["NaN", "1e999", 1e100, 1e-999]')
        assert body == ["NaN", "1e999", 1e100, 0.0]


async def test_a_body_that_may_be_absent_may_be_absent(house: House) -> None:
    async def describe(call: Call) -> str:
        return repr(call.body)

    house.mount(post("/x", describe, body=dict[str, Any], body_optional=True))
    async with Open(house) as ask:
        assert (await ask("POST", "/epr/api/v1/x"))[1] == "None"
        assert (await ask("POST", "/epr/api/v1/x", data=b"{}"))[1] == "{}"
        assert (await ask("POST", "/epr/api/v1/x", data=b"{"))[0].status == 400


async def test_a_body_of_bytes_comes_as_it_is(house: House) -> None:
    async def back(call: Call) -> Answer:
        return Answer(body=call.body, headers={"Content-Type": "text/csv"})

    house.mount(post("/x", back, body=bytes, content_types=("text/csv",)))
    async with Open(house) as ask:
        response, body = await ask("POST", "/epr/api/v1/x", data=b"a;b\xff")
        assert (response.headers["Content-Type"], body) == ("text/csv", b"a;b\xff")


async def test_a_body_over_the_limit_is_413_announced_or_not(house: House) -> None:
    house.mount(post("/x", house.echo, body=Any, max_body_bytes=1000))

    async def chunks() -> AsyncIterator[bytes]:
        for _ in range(20):
            yield b" " * 100

    async with Open(house) as ask:
        assert (await ask("POST", "/epr/api/v1/x", data=b'"' + b"x" * 998 + b'"'))[0].status == 200
        response, body = await ask("POST", "/epr/api/v1/x", data=b"x" * 1001)
        assert (response.status, body) == (413, {"message": "body: more than 1000 bytes"})
        assert (await ask("POST", "/epr/api/v1/x", data=chunks()))[0].status == 413


async def test_a_small_body_that_unpacks_to_a_huge_one_is_413(house: House) -> None:
    house.mount(post("/x", house.echo, body=Any))
    headers = {"Content-Encoding": "gzip"}
    async with Open(house) as ask:
        response, _ = await ask("POST", "/epr/api/v1/x", data=gzip.compress(b" " * (8 << 20)), headers=headers)
        assert response.status == 413
        response, body = await ask("POST", "/epr/api/v1/x", data=b"not gzip at all", headers=headers)
        assert response.status == 400
        assert body["message"]


async def test_a_body_that_does_not_arrive_is_given_up() -> None:
    house = House(HttpSettings(body_timeout_ms=50))
    house.mount(post("/x", house.echo, body=Any, open=True))
    async with Open(house) as ask:
        answer = await ask.raw(b"POST /epr/api/v1/x HTTP/1.1\r\nHost: h\r\nContent-Length: 9\r\n\r\n{")
        assert answer.startswith(b"HTTP/1.1 400 ")


async def test_100_continue_is_said_only_to_one_with_a_key(house: House) -> None:
    house.mount(post("/x", house.echo, body=Any), post("/open", house.echo, body=Any, open=True))
    rest = b"HTTP/1.1\r\nHost: h\r\nExpect: 100-continue\r\nConnection: close\r\nContent-Length: 2\r\n\r\n{}"
    async with Open(house) as ask:
        assert (await ask.raw(b"POST /epr/api/v1/x " + rest)).startswith(b"HTTP/1.1 401")
        answer = await ask.raw(b"POST /epr/api/v1/open " + rest)
        assert answer.startswith(b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK")


@pytest.mark.parametrize(
    "data",
    [
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03\r\n\r\n",
        b"GET / HTTP/9\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: h\r\nA" + b"a" * 20_000 + b": x\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: h\r\n" + b"".join(b"A%d: x\r\n" % n for n in range(200)) + b"\r\n",
        b"GET /" + b"a" * 100_000 + b" HTTP/1.1\r\n\r\n",
        b"POST /epr HTTP/1.1\r\nHost: h\r\nContent-Length: -5\r\n\r\n",
        b"POST /epr HTTP/1.1\r\nHost: h\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n",
    ],
)
async def test_what_is_no_http_is_answered_in_json(house: House, data: bytes) -> None:
    async with Open(house) as ask:
        head, _, body = (await ask.raw(data)).partition(b"\r\n\r\n")
        assert head.startswith((b"HTTP/1.1 400 ", b"HTTP/1.0 400 "))
        assert b"application/json" in head
        assert json.loads(body)["message"]
