"""The site over a real socket: answers, errors, access, queries."""

import asyncio
from datetime import UTC, datetime
from typing import Any

import aiohttp
import pytest
from aiohttp import web
from fakes.site import KEY_HEADER, House, Open, get, give, post
from pydantic import Field

from kaa.core.auth import Role
from kaa.core.errors import Conflict, InvalidInput, StorageFull
from kaa.core.health import Problem
from kaa.core.http import Answer, Call, Camel, Page, PageQuery


class Thing(Camel):
    app_name: str
    size: int = 0
    made: datetime | None = None
    tags: tuple[str, ...] = ()


class Wanted(PageQuery):
    endpoint_id: tuple[str, ...] = ()
    names: list[str] | None = Field(default=None, alias="name")
    text: str | None = None


@pytest.fixture
async def house() -> House:
    return House()


async def test_a_model_goes_out_by_wire_names_with_the_headers_of_every_answer(house: House) -> None:
    made = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)
    house.mount(get("/things/{thing}", lambda call: give(Thing(app_name=call.path["thing"], made=made)), returns=Thing))
    async with Open(house) as ask:
        response, body = await ask("GET", "/epr/api/v1/things/a%20b")
        assert response.status == 200
        assert body == {"appName": "a b", "size": 0, "made": "2026-01-02T03:04:05Z", "tags": []}
        assert response.headers["Content-Type"] == "application/json"
        assert response.headers["X-Content-Type-Options"] == "nosniff"
        assert response.headers["Correlation-ID"]


async def test_what_is_not_finite_goes_out_as_null(house: House) -> None:
    house.mount(get("/x", lambda _: give([float("nan"), float("inf"), Thing(app_name="a")])))
    async with Open(house) as ask:
        assert (await ask("GET", "/epr/api/v1/x"))[1][:2] == [None, None]


@pytest.mark.parametrize(
    ("sent", "back"),
    [("abc-1", "abc-1"), ("x" * 300, "x" * 128), ("a\tb\u00e9c", "abc")],
)
async def test_a_correlation_id_comes_back_bounded_and_printable(house: House, sent: str, back: str) -> None:
    async with Open(house) as ask:
        response, _ = await ask("GET", "/health", headers={"Correlation-ID": sent})
        assert response.headers["Correlation-ID"] == back


async def test_a_correlation_id_is_made_where_none_comes(house: House) -> None:
    house.mount(get("/x", house.echo))
    async with Open(house) as ask:
        one, _ = await ask("GET", "/epr/api/v1/x")
        other, _ = await ask("GET", "/epr/api/v1/x", headers={"Correlation-ID": "\t"})
        made = {one.headers["Correlation-ID"], other.headers["Correlation-ID"]}
        assert len(made) == 2
        assert made == {call.correlation_id for call in house.calls}


async def test_a_refusal_is_its_status_and_sentence(house: House) -> None:
    async def refuse(_: Call) -> None:
        raise StorageFull("the storage has reached its reserve")

    house.mount(get("/x", refuse))
    async with Open(house) as ask:
        response, body = await ask("GET", "/epr/api/v1/x")
        assert (response.status, body) == (507, {"message": "the storage has reached its reserve"})
        assert response.headers["Content-Type"] == "application/json"


async def test_a_bug_is_500_with_the_correlation_id_and_nothing_else(house: House) -> None:
    async def broken(_: Call) -> None:
        raise ValueError("the password is hunter2")

    async def not_json(_: Call) -> object:
        return object()

    async def bad_model(_: Call) -> object:
        return Thing.model_validate({})

    house.mount(get("/a", broken), get("/b", not_json), get("/c", bad_model))
    async with Open(house) as ask:
        for path in "abc":
            response, body = await ask("GET", f"/epr/api/v1/{path}", headers={"Correlation-ID": "c-7"})
            assert response.status == 500
            assert body == {"message": "internal error; see the log for correlation id c-7"}


async def test_an_unknown_path_is_404_and_an_unknown_method_405_with_allow(house: House) -> None:
    house.mount(get("/x", house.echo), post("/x", house.echo))
    async with Open(house) as ask:
        response, body = await ask("GET", "/epr/api/v2/x")
        assert response.status == 404
        assert body["message"]
        response, body = await ask("DELETE", "/epr/api/v1/x")
        assert response.status == 405
        assert response.headers["Allow"] == "GET,HEAD,POST"
        assert body["message"]
        assert response.headers["X-Content-Type-Options"] == "nosniff"


async def test_head_is_get_without_the_body(house: House) -> None:
    house.mount(get("/x", lambda _: give({"a": 1})))
    async with Open(house) as ask:
        response, body = await ask("HEAD", "/epr/api/v1/x")
        assert (response.status, body, response.headers["Content-Length"]) == (200, b"", "7")


async def test_without_a_key_only_open_routes_answer(house: House) -> None:
    house.mount(get("/x", house.echo), get("/open", house.echo, open=True))
    async with Open(house) as ask:
        for path in ("/epr/api/v1/x", "/metrics", "/openapi.json"):
            response, body = await ask("GET", path, headers={KEY_HEADER: ""})
            assert response.status == 401
            assert response.headers["WWW-Authenticate"] == "Bearer"
            assert body["message"]
        for path in ("/epr/api/v1/open", "/health"):
            response, _ = await ask("GET", path, headers={KEY_HEADER: ""})
            assert response.status == 200
    assert house.calls[0].caller.role is None


async def test_a_viewer_reads_and_does_not_write(house: House) -> None:
    house.mount(
        get("/x", house.echo),
        post("/x", house.echo),
        post("/search", house.echo, writes=False),
        get("/make", house.echo, writes=True),
    )
    async with Open(house, Role.VIEWER) as ask:
        seen = [(await ask(*what))[0].status for what in (("GET", "/epr/api/v1/x"), ("POST", "/epr/api/v1/x"))]
        assert seen == [200, 403]
        assert (await ask("POST", "/epr/api/v1/search"))[0].status == 200
        assert (await ask("GET", "/epr/api/v1/make"))[0].status == 403
    assert {call.caller.role for call in house.calls} == {Role.VIEWER}


async def test_several_values_come_repeated_or_with_commas(house: House) -> None:
    house.mount(get("/x", house.echo, query=Wanted))
    async with Open(house) as ask:
        path = "/epr/api/v1/x?endpointId=a,b&endpointId=c&name=n&limit=5&tenantId=kaa&unknown=1&text=a,b"
        response, _ = await ask("GET", path)
        assert response.status == 200
    (call,) = house.calls
    assert call.query == Wanted(endpoint_id=("a", "b", "c"), name=["n"], limit=5, text="a,b")


@pytest.mark.parametrize(
    ("query", "names"),
    [
        ("limit=1001", "query.limit: "),
        ("limit=x", "query.limit: "),
        ("limit=-1", "query.limit: "),
        ("offset=-1", "query.offset: "),
        (f"offset={1 << 63}", "query.offset: "),
        ("limit=1&limit=2", "query.limit: "),
        ("offset=1" + "0" * 5000, "query.offset: "),
    ],
)
async def test_a_wrong_query_is_400_and_named(house: House, query: str, names: str) -> None:
    house.mount(get("/x", house.echo, query=Wanted))
    async with Open(house) as ask:
        response, body = await ask("GET", f"/epr/api/v1/x?{query}")
        assert response.status == 400
        assert body["message"].startswith(names)


async def test_a_page_has_content_and_total(house: House) -> None:
    house.mount(get("/x", lambda _: give(Page[Thing](content=[Thing(app_name="a")], total_elements=7))))
    async with Open(house) as ask:
        _, body = await ask("GET", "/epr/api/v1/x")
        assert body["totalElements"] == 7
        assert body["content"][0]["appName"] == "a"


async def test_an_etag_is_quoted_and_what_is_known_is_not_sent_again(house: House) -> None:
    house.mount(get("/x", lambda _: give(Answer(body={"a": 1}, etag="7"))))
    async with Open(house) as ask:
        response, _ = await ask("GET", "/epr/api/v1/x")
        assert response.headers["ETag"] == '"7"'
        for known in ('"7"', 'W/"7"', '"1", "7"', "*", "7"):
            response, body = await ask("GET", "/epr/api/v1/x", headers={"If-None-Match": known})
            assert (response.status, body, response.headers["ETag"]) == (304, b"", '"7"')
        response, _ = await ask("GET", "/epr/api/v1/x", headers={"If-None-Match": '"8"'})
        assert response.status == 200


@pytest.mark.parametrize(
    ("named", "status"),
    [(None, 200), ('"7"', 200), ("7", 200), ('W/"7"', 200), ('"1", "7"', 200), ("*", 200), ('"8"', 412), ("", 412)],
)
async def test_if_match_must_name_the_state(house: House, named: str | None, status: int) -> None:
    async def change(call: Call) -> None:
        call.if_match("7")

    async def gone(call: Call) -> None:
        call.if_match(None)

    house.mount(post("/x", change), post("/gone", gone))
    headers = {} if named is None else {"If-Match": named}
    async with Open(house) as ask:
        assert (await ask("POST", "/epr/api/v1/x", headers=headers))[0].status == status
        assert (await ask("POST", "/epr/api/v1/gone", headers=headers))[0].status == (200 if named is None else 412)


async def test_created_says_where(house: House) -> None:
    house.mount(post("/x", lambda _: give(Answer(location="/x/a b/ä?")), status=201))
    async with Open(house) as ask:
        response, body = await ask("POST", "/epr/api/v1/x")
        assert response.status == 201
        assert body == b""
        where = f"http://127.0.0.1:{ask.port}/epr/api/v1/x/a%20b/%C3%A4%3F"
        assert response.headers["Location"] == where


async def test_none_is_nothing_or_null_as_the_route_declares(house: House) -> None:
    house.mount(
        get("/nothing", lambda _: give(None)),
        get("/null", lambda _: give(None), returns=Any),
        post("/done", lambda _: give(Answer(status=204)), returns=Any),
        post("/taken", lambda _: give(Answer(status=202)), returns=Any),
    )
    async with Open(house) as ask:
        assert (await ask("GET", "/epr/api/v1/nothing"))[1] == b""
        assert (await ask("GET", "/epr/api/v1/null"))[1] is None
        response, body = await ask("POST", "/epr/api/v1/done")
        assert (response.status, body) == (204, b"")
        assert "Content-Type" not in response.headers
        assert (await ask("POST", "/epr/api/v1/taken"))[1] == b""


async def test_a_response_of_aiohttp_passes(house: House) -> None:
    house.mount(get("/x", lambda _: give(web.Response(text="plain", status=299))))
    async with Open(house) as ask:
        response, body = await ask("GET", "/epr/api/v1/x")
        assert (response.status, body) == (299, b"plain")
        assert response.headers["Correlation-ID"]


async def test_health_says_what_is_wrong(house: House) -> None:
    async with Open(house) as ask:
        response, body = await ask("GET", "/health")
        assert (response.status, body["status"]) == (200, "ok")
        house.health.add("storage", lambda: Problem("the disk is full"))
        response, body = await ask("GET", "/health")
        assert (response.status, body["checks"]) == (503, {"storage": "the disk is full"})


async def test_requests_are_counted_by_route_template(house: House) -> None:
    async def refuse(_: Call) -> None:
        raise Conflict("taken")

    house.mount(get("/things/{id}", refuse))
    async with Open(house) as ask:
        await ask("GET", "/epr/api/v1/things/1")
        await ask("GET", "/epr/api/v1/things/2")
        await ask("REPORT", "/nowhere/at/all")
        response, body = await ask("GET", "/metrics")
        assert response.headers["Content-Type"].startswith("text/plain")
        text = body.decode()
    labels = 'instance="epr",method="GET",route="/epr/api/v1/things/{id}",status="409"'
    assert f"kaa_http_requests_total{{{labels}}} 2.0" in text
    assert f"kaa_http_request_seconds_count{{{labels}}} 2.0" in text
    assert 'method="other",route="unmatched",status="404"' in text


async def test_nothing_is_mounted_twice_or_after_the_opening(house: House) -> None:
    house.mount(get("/x", house.echo))
    with pytest.raises(ValueError):
        house.mount(get("/x", house.echo))
    async with Open(house):
        with pytest.raises(RuntimeError):
            house.mount(get("/y", house.echo))


async def test_a_prefix_of_ones_own_and_the_root(house: House) -> None:
    house.site.mount("kpc", [get("/kp1/{rest:.*}", house.echo)], prefix="")
    house.site.mount_root([get("/kp1/{rest:.*}", house.echo)])
    async with Open(house) as ask:
        assert (await ask("GET", "/kpc/kp1/a/b"))[1]["path"] == {"rest": "a/b"}
        assert (await ask("GET", "/kp1/a"))[1]["path"] == {"rest": "a"}


async def test_a_literal_path_is_found_beside_a_parameter(house: House) -> None:
    house.mount(get("/x/{id}", lambda _: give("id")), get("/x/search", lambda _: give("search")))
    async with Open(house) as ask:
        assert (await ask("GET", "/epr/api/v1/x/search"))[1] == "search"
        assert (await ask("GET", "/epr/api/v1/x/other"))[1] == "id"


async def test_stopping_lets_what_is_in_flight_finish(house: House) -> None:
    started = asyncio.Event()

    async def slow(_: Call) -> str:
        started.set()
        await house.gate.wait()
        return "done"

    house.mount(get("/x", slow, open=True))

    async def ask(url: str) -> Any:
        async with aiohttp.ClientSession() as session, session.get(url) as response:
            return await response.json()

    async with asyncio.TaskGroup() as group, house.site.opened("127.0.0.1", 0) as (host, port):
        asking = group.create_task(ask(f"http://{host}:{port}/epr/api/v1/x"))
        await started.wait()
        asyncio.get_running_loop().call_soon(house.gate.set)
    assert asking.result() == "done"


async def test_a_handler_may_refuse_in_its_own_words(house: House) -> None:
    async def refuse(_: Call) -> None:
        raise InvalidInput("fromDate is later than toDate")

    house.mount(get("/x", refuse))
    async with Open(house) as ask:
        assert (await ask("GET", "/epr/api/v1/x"))[1] == {"message": "fromDate is later than toDate"}


@pytest.mark.parametrize("method", ["GET", "HEAD", "POST"])
async def test_another_tenant_finds_nothing_and_changes_nothing(house: House, method: str) -> None:
    house.mount(get("/x", house.echo, query=Wanted), post("/x", house.echo, body=dict[str, Any], body_optional=True))
    async with Open(house) as ask:
        for query in ("?tenantId=other", "?tenantId=kaa&tenantId=other", "?tenantId="):
            response, body = await ask(method, f"/epr/api/v1/x{query}")
            assert response.status == 404
            assert not body or body["message"].startswith("there is no tenant '")
        assert house.calls == []
        for query in ("", "?tenantId=kaa"):
            assert (await ask(method, f"/epr/api/v1/x{query}"))[0].status == 200
        assert len(house.calls) == 2


async def test_a_route_that_names_the_tenant_decides_itself_and_at_the_root_there_are_none(house: House) -> None:
    class OfTenant(Camel):
        tenant_id: str = "kaa"

    house.mount(get("/x", lambda call: give(call.query.tenant_id), query=OfTenant))
    async with Open(house) as ask:
        assert (await ask("GET", "/epr/api/v1/x?tenantId=other"))[1] == "other"
        assert (await ask("GET", "/health?tenantId=other"))[0].status == 200


async def test_who_has_no_key_does_not_hear_of_tenants(house: House) -> None:
    house.mount(get("/x", house.echo))
    async with Open(house) as ask:
        response, _ = await ask("GET", "/epr/api/v1/x?tenantId=other", headers={KEY_HEADER: "none"})
        assert response.status == 401
