"""Who may what, over every route that there is: by no key, by a viewer's, and by those limited to applications."""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import pytest
from hosts import Inside, Rest

from kaa.core.auth import Role
from kaa.core.http import Mounted

_PARAMETER = re.compile(r"{(\w+)(?::[^{}]*)?}")
MINE, THEIRS = "mine-7", "theirs-7"
KEYS = "/keys/api/v1/keys"


@dataclass(frozen=True, slots=True)
class World:
    """A server with two applications, each with one of everything, and the ids of these."""

    server: Inside
    known: dict[str, dict[str, str]]

    def routes(self) -> Iterator[Mounted]:
        """Give every route for which a key is needed."""
        yield from (one for one in self.server.core.http.mounted if not one.route.open)

    def path(self, mounted: Mounted, application: str) -> str:
        """Fill the parameters of a path with what there is in an application."""
        values = self.known[application] | ({"version": "1.0.0"} if mounted.instance == "otao" else {})
        return _PARAMETER.sub(lambda found: values.get(found[1], "1"), mounted.path)

    def query(self, mounted: Mounted, application: str) -> dict[str, str]:
        """Give what there is in an application for the parameters of a query."""
        if mounted.route.query is None:
            return {}
        names = mounted.route.query.model_json_schema(by_alias=True).get("properties", {})
        return {name: value for name, value in self.known[application].items() if name in names}

    async def ask(
        self, key: str, mounted: Mounted, application: str, body: object, query: dict[str, str] | None = None
    ) -> Any:
        """Ask with a key; without one if it is empty."""
        path = self.path(mounted, application)
        method = mounted.route.method
        headers = {"Authorization": f"Bearer {key}"}
        params = {"awaitTimeout": 0.01, **(query or {})}
        return await self.server.rest.call(method, path, body, params=params, headers=headers)


async def furnish(rest: Rest, app: str) -> dict[str, str]:
    """Make one of everything in an application."""
    version = f"{app}-v1"
    await rest.send("POST", "/tekton/api/v1/applications", {"name": app})
    await rest.send("POST", f"/tekton/api/v1/applications/{app}/app-versions", {"nameSuffix": "v1"})
    new = {"appVersion": {"name": version}, "metadata": {"owner": app}}
    endpoint_id = (await rest.send("POST", "/epr/api/v1/endpoints", new))["endpointId"]
    batch = await rest.send("POST", "/epr/api/v1/endpoints/batch", {**new, "endpoints": [{}]} | {"metadata": None})
    filters = f"/epr/api/v1/applications/{app}/filters"
    filter_id = (await rest.send("POST", filters, {"name": "all", "mongoQuery": {"metadata.owner": app}}))["id"]
    await rest.send("POST", f"/cex/api/v1/endpoints/{endpoint_id}/commands/count", {"of": app}, awaitTimeout=0)
    config = await rest.send("PUT", f"/ecr/api/v1/endpoints/{endpoint_id}/app-versions/{version}", {"of": app})
    software = {"version": "1.0.0", "rolloutStrategy": "general", "specification": {"of": app}}
    await rest.send("POST", f"/otao/api/v1/applications/{app}/software", software)
    token = (await rest.get(f"/cm/api/v1/endpoints/{endpoint_id}/tokens"))["content"][0]
    points = {endpoint_id: {"auto~x": [{"timestamp": "now", "values": {"value": 1}}]}}
    await rest.send("PUT", f"/epts/api/v1/app-versions/{version}/time-series/data", points)
    return {
        **dict.fromkeys(("app", "appName", "application", "applicationName", "applicationNames"), app),
        **dict.fromkeys(("version", "appVersionName", "applicationVersionName"), version),
        "endpointId": endpoint_id,
        "filterId": filter_id,
        "configId": config["configId"],
        "commandType": "count",
        "commandId": "1",
        "id": "none",
        "tokenId": token["endpointTokenId"],
        "taskId": batch["taskId"],
        "series": "auto~x",
        "timeSeriesName": "auto~x",
        "key": "owner",
        "fromDate": "now-1h",
        "toDate": "now",
        "tenantId": "kaa",
    }


@pytest.fixture
async def world(server: Inside) -> World:
    return World(server, {app: await furnish(server.rest, app) for app in (MINE, THEIRS)})


async def key(rest: Rest, role: str, **more: Any) -> str:
    return str((await rest.send("POST", KEYS, {"role": role, **more}))["key"])


async def test_no_route_answers_without_a_key(world: World) -> None:
    for mounted in world.routes():
        reply = await world.ask("", mounted, MINE, {})
        assert reply.status == 401, mounted.path


async def test_a_viewer_changes_nothing_anywhere(world: World) -> None:
    viewer = await key(world.server.rest, "viewer")
    writing = [one for one in world.routes() if one.route.writes]
    assert len(writing) > 40
    for mounted in writing:
        reply = await world.ask(viewer, mounted, MINE, {})
        assert reply.status == 403, (mounted.route.method, mounted.path)
        assert "viewer" in reply.json["message"]


async def test_an_operator_is_kept_from_what_is_an_admins(world: World) -> None:
    operator = await key(world.server.rest, "operator")
    needing = [one for one in world.routes() if one.route.needs is Role.ADMIN]
    assert {one.instance for one in needing} >= {"keys", "cm", "ccm"}
    for mounted in needing:
        reply = await world.ask(operator, mounted, MINE, {})
        assert (reply.status, reply.json["message"]) == (403, "the role of this key is operator; admin is needed")


def bodies(known: dict[str, str]) -> dict[str, list[Any]]:
    """Give bodies that name things of an application, each understood by its route."""
    endpoint_id, version = known["endpointId"], known["version"]
    link = [{"type": "contains", "from": endpoint_id, "to": endpoint_id}]
    return {
        "POST /tekton/api/v1/applications": [{"name": known["app"]}, {}],
        "POST /epr/api/v1/endpoints": [{"appVersion": {"name": version}}],
        "POST /epr/api/v1/endpoints/batch": [{"appVersion": {"name": version}, "endpoints": [{}]}],
        "POST /epr/api/v1/endpoints/delete": [{"endpointIds": [endpoint_id]}, {"endpointIds": []}],
        "POST /epr/api/v1/endpoints/search": [
            {},
            {"metadata": {"metadata.owner": known["app"]}},
            {"applicationName": known["app"]},
            {"applicationVersionName": version},
            {"filterId": known["filterId"]},
            {"endpointIds": [endpoint_id]},
        ],
        "PUT /epr/api/v1/relations/link": [link],
        "PUT /epr/api/v1/relations/unlink": [link, []],
        "PUT /ecr/api/v1/endpoints/batch": [
            {"configPayload": 1, "endpoints": {version: [endpoint_id]}},
            {"configPayload": 1, "endpoints": {version: []}},
            {"configPayload": 1, "endpoints": {}},
        ],
        "POST /cex/api/v1/endpoints/commands/last": [{"endpointIds": [endpoint_id]}],
        "POST /cex/api/v1/endpoints/commands/{commandType}/batch/by-endpoints": [{"endpointIds": [endpoint_id]}],
    }


async def test_a_limited_key_gets_nothing_of_a_foreign_application(world: World) -> None:
    limited = await key(world.server.rest, "operator", applications=[MINE])
    theirs = world.known[THEIRS]
    foreign = {theirs["endpointId"], theirs["filterId"], THEIRS}
    named = bodies(theirs)
    paths = {f"{one.route.method} {one.path}" for one in world.routes()}
    assert set(named) <= paths
    let_in = set()
    for mounted in world.routes():
        route = mounted.route
        known = named.get(f"{route.method} {mounted.path}", [{}])
        for body in known if route.body is not None else [None]:
            for query in (world.query(mounted, THEIRS), {}):
                reply = await world.ask(limited, mounted, THEIRS, body, query)
                if reply.status < 300:
                    let_in.add(mounted.path)
                    assert not any(one in reply.data.decode() for one in foreign), (route.method, mounted.path, body)
                else:
                    assert reply.status in {400, 403, 404}, (route.method, mounted.path, reply.status, reply.data)
    # nothing is let in but what shows each his own
    assert let_in == {"/tekton/api/v1/applications", "/epts/api/v1/time-series/config", "/openapi.json"}


async def test_a_limited_key_gets_nothing_foreign_by_a_path_of_its_own(world: World) -> None:
    limited = await key(world.server.rest, "operator", applications=[MINE])
    mine, theirs = world.known[MINE], world.known[THEIRS]
    naming = {"appName", "applicationName", "applicationNames", "applicationVersionName", "appVersionName"}
    naming |= {"endpointId", "filterId"}
    asked = 0
    for mounted in world.routes():
        query = world.query(mounted, THEIRS)
        if mounted.route.writes or not naming & set(query):
            continue
        reply = await world.ask(limited, mounted, MINE, {}, query)
        assert reply.status == 403, (mounted.path, reply.data)
        asked += 1
    assert asked > 5
    headers = {"Authorization": f"Bearer {limited}"}
    for method, path, body in (
        ("POST", f"/cm/api/v1/endpoints/{mine['endpointId']}/tokens", {"applicationName": THEIRS}),
        (
            "POST",
            f"/otao/api/v1/applications/{MINE}/software/plan",
            {"from": "1.0.0", "endpointId": theirs["endpointId"]},
        ),
        (
            "POST",
            f"/otao/api/v1/applications/{MINE}/software",
            {"version": "2.0.0", "rolloutStrategy": "targeted", "filters": [{"filterId": theirs["filterId"]}]},
        ),
        ("PUT", f"/ecr/api/v1/endpoints/{mine['endpointId']}/app-versions/{theirs['version']}", {}),
        ("PUT", f"/ecr/api/v1/endpoints/{theirs['endpointId']}/app-versions/{mine['version']}", {}),
    ):
        reply = await world.server.rest.call(method, path, body, headers=headers)
        assert reply.status == 403, (path, reply.status, reply.data)


async def test_what_lies_below_a_foreign_thing_is_not_found_below_ones_own(world: World) -> None:
    limited = await key(world.server.rest, "operator", applications=[MINE])
    mine, theirs = world.known[MINE], world.known[THEIRS]
    below = {name: theirs[name] for name in ("tokenId", "configId", "taskId")}
    mixed = World(world.server, {MINE: {**mine, **below}, THEIRS: theirs})
    token = f"/cm/api/v1/endpoints/{theirs['endpointId']}/tokens/{theirs['tokenId']}"
    before = await world.server.rest.get(token)
    asked = 0
    for mounted in mixed.routes():
        names = set(mounted.parameters) | set(mixed.query(mounted, MINE))
        if not names & set(below):
            continue
        body = {"status": "Active"} if mounted.path.endswith("/status") else {"name": "x", "config": {}}
        reply = await mixed.ask(limited, mounted, MINE, body, mixed.query(mounted, MINE))
        empty = reply.status == 200 and reply.json.get("totalElements") == 0
        assert empty or reply.status in {400, 403, 404}, (mounted.route.method, mounted.path, reply.data)
        asked += 1
    assert asked > 10
    assert await world.server.rest.get(token) == before


async def test_of_two_applications_a_list_of_ids_is_refused_as_a_whole(world: World) -> None:
    limited = {"Authorization": f"Bearer {await key(world.server.rest, 'operator', applications=[MINE])}"}
    mine, theirs = world.known[MINE], world.known[THEIRS]
    rest = world.server.rest
    both = [mine["endpointId"], theirs["endpointId"]]
    reply = await rest.call("POST", "/epr/api/v1/endpoints/delete", {"endpointIds": both}, headers=limited)
    assert reply.status == 403
    assert reply.json["message"].startswith(f"this key is limited to the applications {MINE}, and ")
    assert (await rest.call("GET", f"/epr/api/v1/endpoints/{mine['endpointId']}")).status == 200
    link = [{"type": "contains", "from": both[0], "to": both[1]}]
    assert (await rest.call("PUT", "/epr/api/v1/relations/link", link, headers=limited)).status == 403
    unknown = {"endpointIds": [mine["endpointId"], "nobody"]}
    assert (await rest.call("POST", "/epr/api/v1/endpoints/delete", unknown, headers=limited)).status == 403
    new = {"appVersion": {"name": mine["version"]}, "relations": [{"type": "contains", "to": both[1]}]}
    assert (await rest.call("POST", "/epr/api/v1/endpoints", new, headers=limited)).status == 403
    series = f"/epts/api/v1/applications/{MINE}/time-series/last"
    assert (await rest.call("GET", series, params={"endpointId": both}, headers=limited)).status == 403
    # the points of an endpoint that is gone are still its application's
    gone = await rest.call("GET", series, params={"endpointId": "gone"}, headers=limited)
    assert (gone.status, gone.json) == (200, [])
    path = f"/tekton/api/v1/applications/{MINE}/app-versions/{theirs['version']}"
    assert (await rest.call("GET", path, headers=limited)).status == 404


async def test_a_limited_key_works_within_its_application(world: World) -> None:
    headers = {"Authorization": f"Bearer {await key(world.server.rest, 'operator', applications=[MINE])}"}
    mine, rest = world.known[MINE], world.server.rest
    endpoint_id, version, filter_id = mine["endpointId"], mine["version"], mine["filterId"]
    for method, path, body, query in (
        ("GET", "/tekton/api/v1/applications", None, {}),
        ("GET", f"/tekton/api/v1/applications/{MINE}/app-versions/{version}", None, {}),
        ("PUT", f"/tekton/api/v1/app-configs/applications/{MINE}", {}, {}),
        ("GET", "/epr/api/v1/endpoints", None, {"applicationName": MINE}),
        ("GET", "/epr/api/v1/endpoints", None, {"filterId": filter_id}),
        ("POST", "/epr/api/v1/endpoints", {"appVersion": {"name": version}, "endpointId": "new"}, {}),
        ("POST", "/epr/api/v1/endpoints/search", {"endpointIds": [endpoint_id]}, {}),
        ("PUT", f"/epr/api/v1/endpoints/{endpoint_id}/metadata", {"endpointId": "of nobody"}, {}),
        ("PUT", "/epr/api/v1/relations/link", [{"type": "contains", "from": endpoint_id, "to": "new"}], {}),
        ("GET", "/epts/api/v1/time-series/config", None, {}),
        ("GET", f"/epts/api/v1/applications/{MINE}/time-series/last", None, {"endpointId": endpoint_id}),
        ("GET", f"/cm/api/v1/endpoints/{endpoint_id}/tokens", None, {}),
        ("PUT", "/ecr/api/v1/endpoints/batch", {"configPayload": {}, "endpoints": {version: [endpoint_id]}}, {}),
        ("GET", f"/ecr/api/v1/system/applications/{MINE}/configs", None, {}),
        ("GET", "/ecr/api/v1/statuses", None, {"endpointId": endpoint_id}),
        ("GET", f"/otao/api/v1/applications/{MINE}/software/1.0.0", None, {}),
        ("GET", "/cex/api/v1/endpoints/commands", None, {"endpointId": endpoint_id}),
        ("POST", "/cex/api/v1/endpoints/commands/count/batch/by-filter", {}, {"filterId": filter_id}),
        ("GET", "/kpc/api/v1/refusals", None, {"endpointId": endpoint_id}),
        ("GET", "/openapi.json", None, {}),
    ):
        reply = await rest.call(method, path, body, params=query, headers=headers)
        assert reply.status < 300, (method, path, reply.status, reply.data[:300])
        if path != "/openapi.json":
            assert THEIRS not in reply.data.decode(), path
    listed = await rest.call("GET", "/tekton/api/v1/applications", headers=headers)
    assert [one["name"] for one in listed.json] == [MINE]
    series = await rest.call("GET", "/epts/api/v1/time-series/config", headers=headers)
    assert list(series.json) == [MINE]


async def test_what_belongs_to_no_application_is_closed_to_a_limited_key(world: World) -> None:
    headers = {"Authorization": f"Bearer {await key(world.server.rest, 'viewer', applications=[MINE])}"}
    for path in (
        "/metrics",
        "/epr/api/v1/endpoints",
        "/kpc/api/v1/refusals",
        "/cm/api/v1/basic-credentials",
        "/ecr/api/v1/statuses",
        "/ecr/api/v1/system/tenants/kaa/configs",
    ):
        reply = await world.server.rest.call("GET", path, headers=headers)
        assert reply.status == 403, path
        assert reply.json["message"].startswith(f"this key is limited to the applications {MINE}, and ")
