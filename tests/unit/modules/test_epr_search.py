"""EPR: endpoints found by filter, by their metadata and by a pattern; the keys that their metadata has."""

import json
from typing import Any

import pytest
from house import House, Reply
from waiting import until

from kaa.modules.cm.module import MODULE as CM
from kaa.modules.epr.module import MODULE as EPR
from kaa.protocols import elce

API = "/epr/api/v1"
APPLICATIONS = {"home": ["home-v1", "home-v2"], "garden": ["garden-v1"], "empty": []}


@pytest.fixture
async def four(house: House) -> House:
    """`a1` and `b1` of home-v1, `b2` of home-v2, `g1` of garden-v1; the older first."""
    await begin(house)
    for endpoint_id, version, metadata in (
        ("g1", "garden-v1", {"floor": 3, "plant": "fern"}),
        ("b2", "home-v2", {"floor": 2, "location": {"room": "hall", "shelf": [1, 2]}}),
        ("b1", "home-v1", {"floor": "3", "name": "one, two: three"}),
        ("a1", "home-v1", {"floor": 3, "metadata": {"own": True}}),
    ):
        await house.clock.advance(1)
        body = {"appVersion": {"name": version}, "endpointId": endpoint_id, "metadata": metadata}
        assert (await house.call("POST", f"{API}/endpoints", body)).status == 201
    return house


async def begin(house: House) -> None:
    await house.start(CM)
    await house.start(EPR, applications=APPLICATIONS)


async def listed(house: House, **params: Any) -> tuple[list[str], int]:
    page = await house.get(f"{API}/endpoints", **params)
    return [one["endpointId"] for one in page["content"]], page["totalElements"]


async def searched(house: House, **body: Any) -> tuple[list[str], int]:
    reply = await house.call("POST", f"{API}/endpoints/search", body)
    assert reply.status == 200, reply
    return [one["endpointId"] for one in reply.json["content"]], reply.json["totalElements"]


async def made_filter(house: House, query: Any, app: str = "home") -> str:
    body = {"name": "some", "mongoQuery": query}
    reply = await house.call("POST", f"{API}/applications/{app}/filters", body)
    assert reply.status == 201, reply
    return str(reply.json["id"])


async def active(house: House, filter_id: str, app: str = "home") -> None:
    async def is_active() -> bool:
        found = await house.get(f"{API}/applications/{app}/filters/{filter_id}")
        return bool(found["status"] == "active")

    await until(is_active)


class TestByMetadata:
    @pytest.mark.parametrize(
        ("query", "expected"),
        [
            ({"floor": 3}, ["g1", "a1"]),
            ({"metadata.floor": 3}, ["g1", "a1"]),
            ({"floor": {"$gt": 1, "$lt": 3}}, ["b2"]),
            ({"location.room": "hall"}, ["b2"]),
            ({"location.shelf": 2}, ["b2"]),
            ({"plant": {"$exists": False}}, ["b2", "b1", "a1"]),
            ({"name": {"$regex": "two.*three$"}}, ["b1"]),
            ({"$or": [{"floor": 2}, {"plant": "fern"}]}, ["g1", "b2"]),
            ({"$nor": [{"floor": 3}, {"floor": "3"}]}, ["b2"]),
            ({"metadata": {"$elemMatch": {"key": "floor", "value": 2}}}, ["b2"]),
            ({"metadata.metadata.own": True}, ["a1"]),
            ({"application_version": "home-v1", "floor": 3}, ["a1"]),
            ({}, ["g1", "b2", "b1", "a1"]),
            ('{"floor": 2}', ["b2"]),
        ],
    )
    async def test_a_search_takes_a_query(self, four: House, query: Any, expected: list[str]) -> None:
        assert await searched(four, metadata=query) == (expected, len(expected))

    async def test_what_is_asked_for_goes_together_and_is_cut_into_pages(self, four: House) -> None:
        assert await searched(four) == (["g1", "b2", "b1", "a1"], 4)
        assert await searched(four, applicationName="home", metadata={"floor": 3}) == (["a1"], 1)
        assert await searched(four, applicationVersionName="home-v1", offset=1, limit=1) == (["a1"], 2)
        assert await searched(four, endpointIds=["a1", "g1", "x"]) == (["g1", "a1"], 2)
        assert await searched(four, endpointIds=[]) == ([], 0)
        # one that only Python can decide
        query = {"location.shelf": {"$exists": False}}
        assert await searched(four, metadata=query, offset=1, limit=1) == (["b1"], 3)
        reply = await four.call("POST", f"{API}/endpoints/search", {"endpointIds": ["a1"], "include": ["metadata"]})
        assert reply.json["content"][0]["metadata"] == {"floor": 3, "metadata": {"own": True}}

    @pytest.mark.parametrize(
        ("text", "expected"),
        [
            ("floor:3", ["g1", "b1", "a1"]),
            ('floor:"3"', ["b1"]),
            ("location.room:hall", ["b2"]),
            ("name:one, two: three", ["b1"]),
            ("metadata.own:true", ["a1"]),
            ('{"floor": 3}', ["g1", "a1"]),
            ("floor:x", []),
        ],
    )
    async def test_a_list_takes_key_and_value_or_a_query(self, four: House, text: str, expected: list[str]) -> None:
        assert await listed(four, metadataFilter=text) == (expected, len(expected))

    async def test_a_list_takes_a_pattern_of_the_id(self, four: House) -> None:
        assert await listed(four, regex="^b") == (["b2", "b1"], 2)
        assert await listed(four, regex="1$", applicationName="home", offset=1, limit=5) == (["a1"], 2)
        assert await listed(four, regex="1", metadataFilter="floor:3", applicationVersionName="home-v1") == (
            ["b1", "a1"],
            2,
        )

    @pytest.mark.parametrize(
        ("params", "place"),
        [
            ({"metadataFilter": "floor"}, "query.metadataFilter"),
            ({"metadataFilter": ":3"}, "query.metadataFilter"),
            ({"metadataFilter": "{"}, "query.metadataFilter"),
            ({"metadataFilter": '{"$where": "1"}'}, "query.metadataFilter"),
            ({"regex": "("}, "query.regex"),
            ({"regex": "x" * 300}, "query.regex"),
            ({"multiFilter": "anything"}, "query.multiFilter"),
        ],
    )
    async def test_what_is_no_search_is_refused_by_name(self, four: House, params: Any, place: str) -> None:
        reply = await four.call("GET", f"{API}/endpoints", params=params)
        assert (reply.status, reply.message.split(":")[0]) == (400, place)

    @pytest.mark.parametrize(
        ("body", "place"),
        [
            ([], "body"),
            ({"metadata": 3}, "body.metadata"),
            ({"metadata": "x"}, "body.metadata"),
            ({"metadata": "[]"}, "body.metadata"),
            ({"metadata": {"floor": {"$where": "1"}}}, "body.metadata"),
            ({"metadata": {"$or": {}}}, "body.metadata"),
            ({"metadata": json.loads('{"$or":[' * 20 + "{}" + "]}" * 20)}, "body.metadata"),
            ({"limit": 1_001}, "body.limit"),
            ({"endpointIds": ["x"] * 1_001}, "body.endpointIds"),
            ({"include": ["all"]}, "body.include[0]"),
        ],
    )
    async def test_a_body_that_is_no_search_is_refused_by_place(self, four: House, body: Any, place: str) -> None:
        reply = await four.call("POST", f"{API}/endpoints/search", body)
        assert (reply.status, reply.message.split(":")[0].split(".dict")[0].split(".str")[0]) == (400, place)

    async def test_a_viewer_may_search(self, four: House) -> None:
        from kaa.core.auth import Keys, Role
        from kaa.core.key_store import SqlKeyStore

        _, key = await Keys(store=SqlKeyStore(four.storage), ids=four.ids, clock=four.clock).make(Role.VIEWER)
        headers = {"Authorization": f"Bearer {key}"}
        assert (await four.call("POST", f"{API}/endpoints/search", {}, headers=headers)).status == 200


class TestByFilter:
    async def test_the_endpoints_of_a_filter_are_listed(self, four: House) -> None:
        filter_id = await made_filter(four, {"metadata.floor": 3})
        await active(four, filter_id)
        assert await listed(four, filterId=filter_id) == (["a1"], 1)
        assert await searched(four, filterId=filter_id) == (["a1"], 1)
        await four.call("PUT", f"{API}/endpoints/b2/metadata/floor", 3)
        assert await listed(four, filterId=filter_id) == (["b2", "a1"], 2)
        assert await listed(four, filterId=filter_id, regex="^a") == (["a1"], 1)
        assert await listed(four, filterId=filter_id, applicationVersionName="home-v2") == (["b2"], 1)
        await four.call("DELETE", f"{API}/endpoints/b2")
        assert await listed(four, filterId=filter_id) == (["a1"], 1)

    async def test_a_filter_that_is_not_there_is_not_found(self, four: House) -> None:
        reply = await four.call("GET", f"{API}/endpoints", params={"filterId": "other"})
        assert (reply.status, reply.message) == (404, "there is no filter 'other'")
        filter_id = await made_filter(four, {})
        await active(four, filter_id)
        params = {"filterId": filter_id, "applicationName": "garden"}
        assert (await four.call("GET", f"{API}/endpoints", params=params)).status == 404

    async def test_a_pending_one_is_a_conflict(self, four: House) -> None:
        filter_id = await made_filter(four, {})
        await active(four, filter_id)
        pending = f"update epr_filter set status = 'pending' where id = '{filter_id}'"
        asked: list[tuple[str, str, dict[str, Any]]] = [
            ("GET", f"{API}/endpoints", {"params": {"filterId": filter_id}}),
            ("POST", f"{API}/endpoints/search", {"json": {"filterId": filter_id}}),
        ]
        for method, path, what in asked:

            async def is_conflict(method: str = method, path: str = path, what: Any = what) -> bool:
                # whoever makes filters active may come by in between
                await four.storage.write(lambda connection: connection.exec_driver_sql(pending) and None)
                return (await four.call(method, path, **what)).status == 409

            await until(is_conflict)

    async def test_filters_are_shown_if_they_are_asked_for(self, four: House) -> None:
        filter_id = await made_filter(four, {"metadata.floor": 3})
        await active(four, filter_id)
        page = await four.get(f"{API}/endpoints", include="filters,metadata", applicationVersionName="home-v1")
        assert [(one["endpointId"], one["filters"]) for one in page["content"]] == [("b1", []), ("a1", [filter_id])]
        assert page["content"][1]["metadata"]["floor"] == 3
        assert (await four.get(f"{API}/endpoints/a1", include="filters"))["filters"] == [filter_id]
        assert "filters" not in await four.get(f"{API}/endpoints/a1")

    async def test_registrations_batches_and_versions_are_matched_too(self, four: House) -> None:
        filter_id = await made_filter(four, {"application_version": "home-v2"})
        await active(four, filter_id)
        body = {"appVersion": {"name": "home-v2"}, "endpoints": [{"endpointId": "n1"}]}
        await four.call("POST", f"{API}/endpoints/batch", body)
        await four.call("PUT", f"{API}/endpoints/a1/app-version", {"name": "home-v2"})

        async def all_there() -> bool:
            return set((await listed(four, filterId=filter_id))[0]) == {"b2", "n1", "a1"}

        await until(all_there)


class TestKeys:
    async def keys(self, house: House, app: str = "home") -> Any:
        return await house.get(f"{API}/applications/{app}/metadata-keys")

    async def test_they_are_told_by_version(self, four: House) -> None:
        assert await self.keys(four) == {
            "home-v1": ["floor", "metadata", "name"],
            "home-v2": ["floor", "location"],
        }
        assert await self.keys(four, "garden") == {"garden-v1": ["floor", "plant"]}
        assert await self.keys(four, "empty") == {}
        assert (await four.call("GET", f"{API}/applications/nowhere/metadata-keys")).status == 404

    async def test_they_follow_every_change(self, four: House) -> None:
        await four.call("PUT", f"{API}/endpoints/b1/metadata", {"new": 1, "floor": 1})
        assert (await self.keys(four))["home-v1"] == ["floor", "metadata", "new"]
        await four.call("DELETE", f"{API}/endpoints/b1/metadata/floor")
        assert (await self.keys(four))["home-v1"] == ["floor", "metadata", "new"]
        await four.call("PUT", f"{API}/endpoints/a1/app-version", {"name": "home-v2"})
        assert await self.keys(four) == {"home-v1": ["new"], "home-v2": ["floor", "location", "metadata"]}
        await four.call("POST", f"{API}/endpoints/delete", {"endpointIds": ["a1", "b2", "b1"]})
        assert await self.keys(four) == {"home-v1": [], "home-v2": []}


class TestVersion:
    async def put(self, house: House, endpoint_id: str, name: Any) -> Reply:
        return await house.call("PUT", f"{API}/endpoints/{endpoint_id}/app-version", {"name": name})

    async def test_it_is_read_and_changed_and_told(self, four: House) -> None:
        assert await four.get(f"{API}/endpoints/a1/app-version") == {
            "name": "home-v1",
            "registeredDate": "2025-11-24T16:00:00.004Z",
        }
        heard = await four.hear(elce.app_version_updated("epr"))
        await four.clock.advance(1_000)
        reply = await self.put(four, "a1", "home-v2")
        now = {"name": "home-v2", "registeredDate": "2025-11-24T16:00:01.004Z"}
        assert (reply.status, reply.json) == (200, now)
        assert (await four.get(f"{API}/endpoints/a1"))["appVersion"] == now
        assert [(e.endpoint_id, e.previous_app_version_name, e.app_version_name) for e in heard] == [
            ("a1", "home-v1", "home-v2")
        ]

    async def test_the_same_one_changes_nothing(self, four: House) -> None:
        heard = await four.hear(elce.app_version_updated("epr"))
        await four.clock.advance(1_000)
        reply = await self.put(four, "a1", "home-v1")
        assert (reply.status, reply.json["registeredDate"]) == (200, "2025-11-24T16:00:00.004Z")
        await self.put(four, "a1", "home-v2")
        assert len(heard) == 1

    @pytest.mark.parametrize(
        ("endpoint_id", "name", "status"),
        [("a1", "garden-v1", 409), ("a1", "home-v9", 404), ("x", "home-v1", 404), ("a1", None, 400), ("a1", 3, 400)],
    )
    async def test_what_cannot_be_is_refused(self, four: House, endpoint_id: str, name: Any, status: int) -> None:
        assert (await self.put(four, endpoint_id, name)).status == status
        assert (await four.get(f"{API}/endpoints/a1/app-version"))["name"] == "home-v1"
        assert (await four.call("GET", f"{API}/endpoints/x/app-version")).status == 404


class TestDeletingMany:
    async def test_those_that_are_there_go_and_the_others_are_named(self, four: House) -> None:
        heard = await four.hear(elce.unregistered("epr"))
        reply = await four.call("POST", f"{API}/endpoints/delete", {"endpointIds": ["a1", "x", "g1", "a1", "y"]})
        assert (reply.status, reply.json) == (200, {"deleted": 2, "notFound": ["x", "y"]})
        assert await listed(four) == (["b2", "b1"], 2)
        assert {event.endpoint_id for event in heard} == {"a1", "g1"}

    @pytest.mark.parametrize("body", [{}, [], {"endpointIds": "a1"}, {"endpointIds": ["x"] * 1_001}])
    async def test_what_is_no_list_is_refused(self, four: House, body: Any) -> None:
        assert (await four.call("POST", f"{API}/endpoints/delete", body)).status == 400
        assert (await listed(four))[1] == 4
