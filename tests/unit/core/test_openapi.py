"""The document that is made from the routes."""

import json
from typing import Any

import aiohttp
import pytest
from fakes.keys import MemoryKeys
from pydantic import Field

from kaa.core.auth import KEY_HEADER, Keys, Role
from kaa.core.clock import SystemClock
from kaa.core.errors import Conflict, NotFound, PreconditionFailed
from kaa.core.health import Health
from kaa.core.http import Call, Camel, Page, PageQuery, Route, Site
from kaa.core.ids import RandomIds
from kaa.core.metrics import Metrics
from kaa.core.openapi import document


class Part(Camel):
    part_name: str


class Thing(Camel):
    thing_name: str
    parts: tuple[Part, ...] = ()


class Wanted(PageQuery):
    endpoint_id: tuple[str, ...] = Field(default=(), description="Only these")
    part: Part | None = None
    must: str


async def list_things(_: Call) -> None: ...
async def put_thing(_: Call) -> None: ...


ROUTES = [
    Route(
        method="GET",
        path="/things",
        handler=list_things,
        summary="List things",
        query=Wanted,
        returns=Page[Thing],
    ),
    Route(
        method="PUT",
        path="/things/{thing_id}/{rest:[a-z]{2}.*}",
        handler=put_thing,
        summary="Put a thing",
        body=Thing,
        status=201,
        errors=(NotFound, Conflict),
    ),
    Route(
        method="POST",
        path="/things/search",
        handler=list_things,
        summary="Search",
        body=dict[str, Any],
        body_optional=True,
        content_types=("application/json", "text/csv"),
        writes=False,
        open=True,
    ),
]


def site() -> tuple[Site, Keys]:
    keys = Keys(store=MemoryKeys(), ids=RandomIds(), clock=SystemClock())
    made = Site(keys=keys, ids=RandomIds(), clock=SystemClock(), metrics=Metrics(), health=Health())
    return made, keys


@pytest.fixture
def found() -> dict[str, Any]:
    made, _ = site()
    made.mount("epr", ROUTES)
    return document(made.mounted)


def test_every_route_has_an_operation_with_a_name_of_its_own(found) -> None:
    assert found["openapi"] == "3.1.0"
    operations = [operation for path in found["paths"].values() for operation in path.values()]
    ids = [operation["operationId"] for operation in operations]
    assert len(ids) == len(set(ids)) == 8
    assert "epr_put_thing" in ids
    assert set(found["paths"]) >= {"/epr/api/v1/things", "/epr/api/v1/things/{thing_id}/{rest}", "/health"}
    assert {"name": "epr"} in found["tags"]


def test_a_query_becomes_parameters_and_no_component(found) -> None:
    parameters = {p["name"]: p for p in found["paths"]["/epr/api/v1/things"]["get"]["parameters"]}
    assert set(parameters) == {"offset", "limit", "endpointId", "part", "must", "tenantId"}
    assert parameters["endpointId"]["style"] == "form"
    assert parameters["endpointId"]["schema"]["items"] == {"type": "string"}
    assert parameters["endpointId"]["description"] == "Only these"
    assert parameters["limit"]["schema"]["maximum"] == 1000
    assert parameters["must"]["required"] is True
    assert "Wanted" not in found["components"]["schemas"]


def test_the_tenant_is_a_parameter_below_an_instance_and_not_at_the_root(found) -> None:
    tenants = {
        path: [p["description"] for p in operation["parameters"] if p["name"] == "tenantId"]
        for path, operations in found["paths"].items()
        for operation in operations.values()
    }
    assert tenants["/health"] == tenants["/openapi.json"] == []
    assert tenants["/epr/api/v1/things"] == ["There is one tenant, kaa; of another one there is nothing"]


def test_bodies_and_answers_refer_to_shared_components(found) -> None:
    put = found["paths"]["/epr/api/v1/things/{thing_id}/{rest}"]["put"]
    assert put["requestBody"]["required"] is True
    reference = put["requestBody"]["content"]["application/json"]["schema"]["$ref"]
    thing = found["components"]["schemas"][reference.rpartition("/")[2]]
    assert "thingName" in thing["properties"]
    assert [p["name"] for p in put["parameters"]] == ["thing_id", "rest", "tenantId"]
    assert set(put["responses"]) == {"201", "400", "401", "403", "404", "409", "413", "500", "503", "507"}


def test_every_reference_leads_somewhere(found) -> None:
    text = json.dumps(found)
    for part in text.split('"$ref": "')[1:]:
        name = part.partition('"')[0].removeprefix("#/components/schemas/")
        assert name in found["components"]["schemas"]


def test_an_open_route_needs_no_key_and_says_so(found) -> None:
    search = found["paths"]["/epr/api/v1/things/search"]["post"]
    assert search["security"] == []
    assert search["requestBody"]["required"] is False
    assert set(search["requestBody"]["content"]) == {"application/json", "text/csv"}
    assert set(search["responses"]) == {"200", "400", "404", "413", "500"}
    reading = found["paths"]["/epr/api/v1/things"]["get"]
    assert {"bearer": []} in reading["security"]
    assert reading["responses"]["403"]["description"].split(",")[0].endswith("its role is not viewer")
    [writing] = (path["put"] for path in found["paths"].values() if "put" in path)
    assert writing["responses"]["403"]["description"].startswith(
        "The key does not allow this: its role is not operator,"
    )


def test_what_else_is_answered_is_said() -> None:
    made, _ = site()
    one = {"path": "/one", "handler": list_things, "summary": "One", "returns": Thing}
    made.mount(
        "epr",
        [
            Route(method="GET", gives=("application/json", "text/csv"), tagged=True, **one),
            Route(method="PUT", also={202: None, 207: Part}, errors=(PreconditionFailed,), **one),
        ],
    )
    path = document(made.mounted)["paths"]["/epr/api/v1/one"]
    get, put = path["get"]["responses"], path["put"]["responses"]
    assert get["200"]["content"]["text/csv"]["schema"] == {"type": "string"}
    assert "$ref" in get["200"]["content"]["application/json"]["schema"]
    assert "content" not in get["304"]
    assert "content" not in put["202"]
    assert put["207"]["content"]["application/json"]["schema"]["$ref"].endswith("/Part")
    headers = [[p["name"] for p in one["parameters"] if p["in"] == "header"] for one in path.values()]
    assert headers == [["If-None-Match"], ["If-Match"]]


def test_a_browser_may_send_a_key_in_its_own_way(found) -> None:
    reading = found["paths"]["/epr/api/v1/things"]["get"]
    assert {"basic": []} in reading["security"]
    assert found["components"]["securitySchemes"]["basic"]["scheme"] == "basic"


async def test_the_document_is_served() -> None:
    made, keys = site()
    made.mount("epr", ROUTES)
    _, key = await keys.make(Role.VIEWER)
    async with made.opened("127.0.0.1", 0) as (host, port), aiohttp.ClientSession() as session:
        for _ in range(2):
            async with session.get(f"http://{host}:{port}/openapi.json", headers={KEY_HEADER: key}) as response:
                assert response.status == 200
                assert response.content_type == "application/json"
                assert (await response.json())["info"]["title"] == "Kaa"
