"""The audit log of a whole server."""

import sqlite3
from collections.abc import Callable
from contextlib import closing
from typing import Any

import pytest
from hosts import Inside, KaaProcess, off_loop

from kaa.core.errors import Unavailable

pytestmark = pytest.mark.any_bus

ENTRIES = "/audit/api/v1/entries"
KEYS = "/keys/api/v1/keys"


async def entries(server: Any, **wanted: Any) -> list[dict[str, Any]]:
    return list((await server.rest.call("GET", ENTRIES, params=wanted)).json["content"])


async def test_a_change_is_an_entry_with_who_and_what(server: Inside) -> None:
    made = await server.rest.send("POST", KEYS, {"role": "operator", "name": "ci"})
    headers = {"Authorization": f"Bearer {made['key']}", "Correlation-ID": "from-ci"}
    thing = await server.rest.thing()
    path = f"/epr/api/v1/endpoints/{thing.endpoint_id}/metadata"
    await server.rest.send("PUT", path, {"room": "kitchen", "pin-token": "1234"})
    await server.rest.call("PUT", path, {"room": "cellar"}, headers=headers)
    [entry, *_] = await entries(server)
    assert entry["who"] == {"keyId": made["id"], "name": "ci", "role": "operator"}
    assert (entry["method"], entry["path"], entry["status"], entry["correlationId"]) == ("PUT", path, 200, "from-ci")
    assert entry["operation"] == "Replace the metadata of an endpoint"
    assert entry["application"] == thing.application
    assert entry["before"] == {"room": "kitchen", "pin-token": "***"}
    assert entry["after"] == {"room": "cellar"}
    assert not entry["beforeIsCut"]
    assert not entry["afterIsCut"]
    assert entry["date"].endswith("Z")


async def test_secrets_are_not_in_the_log(server: Inside, tmp_path: Any) -> None:
    made = await server.rest.send("POST", KEYS, {"role": "viewer"})
    user = await server.rest.send("POST", "/cm/api/v1/basic-credentials", {"username": "somebody"})
    client = await server.rest.send("POST", "/cm/api/v1/x509-credentials", {})
    thing = await server.rest.thing()
    secrets = [made["key"], user["password"], client["privateKey"].splitlines()[1], thing.token]
    told = str(await entries(server, limit=1000))
    assert told.count("***") >= len(secrets)
    assert not [one for one in secrets if one in told]
    with closing(sqlite3.connect(tmp_path / "data" / "kaa.db")) as connection:
        rows = str(connection.execute("select * from core_audit").fetchall())
    assert not [one for one in secrets if one in rows]


async def test_what_is_deleted_leaves_what_it_was(server: Inside) -> None:
    thing = await server.rest.thing()
    await server.rest.send("DELETE", f"/epr/api/v1/endpoints/{thing.endpoint_id}")
    [entry] = await entries(server, method="delete")
    assert (entry["status"], entry["after"], entry["application"]) == (204, None, thing.application)
    assert entry["before"]["endpointId"] == thing.endpoint_id


async def test_entries_are_found_by_all_that_they_have(server: Inside) -> None:
    first = await server.rest.thing()
    await server.rest.thing()
    everything = await entries(server, limit=1000)
    assert [one["id"] for one in everything] == sorted((one["id"] for one in everything), reverse=True)
    page = await server.rest.get(ENTRIES, offset=1, limit=2)
    assert (page["totalElements"], page["content"]) == (len(everything), everything[1:3])
    of_one = await entries(server, application=first.application)
    assert {one["operation"] for one in of_one} >= {"Make an application", "Register an endpoint"}
    assert {one["application"] for one in of_one} == {first.application}
    registered = await entries(server, path="/epr/api/v1/endpoints", method="POST")
    assert [one["application"] for one in registered][1:] == [first.application]
    key_id = everything[0]["who"]["keyId"]
    assert len(await entries(server, keyId=key_id, limit=1000)) == len(everything)
    assert await entries(server, keyId="nobody") == []
    date = everything[1]["date"]
    assert all(one["date"] >= date for one in await entries(server, fromDate=date, limit=1000))
    assert all(one["date"] < date for one in await entries(server, toDate=date, limit=1000))
    assert (await server.rest.call("GET", ENTRIES, params={"fromDate": "yesterday"})).status == 400


async def test_more_entries_than_are_read_at_once(server: Inside) -> None:
    thing = await server.rest.thing()
    for number in range(60):
        await server.rest.send("PUT", f"/epr/api/v1/endpoints/{thing.endpoint_id}/metadata/n", number)
    listed = await entries(server, path=f"/epr/api/v1/endpoints/{thing.endpoint_id}/metadata", limit=1000)
    assert [one["after"] for one in listed] == list(range(59, -1, -1))


async def test_points_that_are_written_are_not_in_the_log_and_their_deletion_is(server: Inside) -> None:
    thing = await server.rest.thing()
    path = f"/epts/api/v1/app-versions/{thing.version}/time-series/data"
    point = {"timestamp": "2026-11-22T00:00:00Z", "values": {"value": 1}}
    await server.rest.send("PUT", path, {thing.endpoint_id: {"auto~x": [point]}})
    series = f"/epts/api/v1/applications/{thing.application}/time-series/auto~x"
    await server.rest.send("DELETE", series)
    [entry] = await entries(server, path="/epts")
    assert (entry["method"], entry["path"]) == ("DELETE", series)


async def test_a_change_that_cannot_be_logged_is_answered_as_made_and_logged_later(
    server: Inside, monkeypatch: pytest.MonkeyPatch
) -> None:
    from kaa.core.audit import AuditStore

    async def full(*_: Any) -> None:
        raise Unavailable("the storage is failing")

    with monkeypatch.context() as broken:
        broken.setattr(AuditStore, "add", full)
        await server.rest.send("POST", "/tekton/api/v1/applications", {"name": "unlogged"})
        health = await server.rest.call("GET", "/health")
        assert health.status == 503
        assert health.json["checks"]["audit log"].startswith("1 changes are not in the audit log")
        assert await server.rest.metric("kaa_audit_unwritten") == 1
    await server.rest.send("POST", "/tekton/api/v1/applications", {"name": "logged"})
    assert [one["after"]["name"] for one in await entries(server)] == ["logged", "unlogged"]
    assert (await server.rest.call("GET", "/health")).json["checks"]["audit log"] == "ok"


async def test_an_entry_is_on_the_disk_when_the_answer_comes(process: Callable[..., KaaProcess]) -> None:
    server = process().start()
    async with server.visited() as place:
        await place.rest.send("POST", "/tekton/api/v1/applications", {"name": "quick"})
        server.kill()
    await off_loop(server.start)
    async with server.visited() as place:
        assert [one["after"]["name"] for one in await entries(place)] == ["quick"]
