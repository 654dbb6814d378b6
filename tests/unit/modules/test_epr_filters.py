"""Endpoint filters: made, matched, changed, deleted, and what is told of them."""

from typing import Any

import pytest
from house import House, Reply
from waiting import until

from kaa.modules.cm.module import MODULE as CM
from kaa.modules.epr.module import MODULE as EPR
from kaa.protocols import efe, efmp

API = "/epr/api/v1"
HOME = f"{API}/applications/home/filters"
NOW = "2025-11-24T16:00:00.000Z"
APPLICATIONS = {"home": ["home-v1", "home-v2"], "garden": ["garden-v1"]}
THIRD_FLOOR = {"metadata.floor": 3}
LIST, FILTERS = efmp.endpoints_by_filter("epr"), efmp.filters_of("epr")


async def start(house: House) -> None:
    await house.start(CM)
    await house.start(EPR, applications=APPLICATIONS)


async def register(house: House, endpoint_id: str, version: str = "home-v1", **metadata: Any) -> None:
    body = {"appVersion": {"name": version}, "endpointId": endpoint_id, "metadata": metadata}
    assert (await house.call("POST", f"{API}/endpoints", body)).status == 201


async def put(house: House, endpoint_id: str, **metadata: Any) -> None:
    reply = await house.call("PUT", f"{API}/endpoints/{endpoint_id}/metadata", metadata)
    assert reply.status == 200, reply


async def post(house: House, query: Any = THIRD_FLOOR, path: str = HOME, **rest: Any) -> Reply:
    return await house.call("POST", path, {"mongoQuery": query, **rest})


async def made(house: House, query: Any = THIRD_FLOOR, **rest: Any) -> str:
    """Make a filter, wait until it is active, and give its id."""
    reply = await post(house, query, **rest)
    assert reply.status == 201, reply
    await active(house, reply.json["id"])
    return str(reply.json["id"])


async def active(house: House, filter_id: str) -> dict[str, Any]:
    async def is_active() -> dict[str, Any] | None:
        found = await house.get(f"{HOME}/{filter_id}")
        return found if found["status"] == "active" else None

    return await until(is_active, what="the filter is active")


async def matching(house: House, filter_id: str) -> list[str]:
    reply = await house.request(LIST, filter_id=filter_id)
    assert reply.status_code == 200, reply
    return sorted(one for ids in reply.app_versions_to_endpoints.values() for one in ids)


async def count(house: House, filter_id: str) -> int:
    return int((await house.get(f"{HOME}/{filter_id}"))["matchedEndpointsCount"])


class TestMaking:
    async def test_a_filter_is_pending_and_then_active_with_the_number_of_those_that_match(self, house: House) -> None:
        await start(house)
        await register(house, "dev-1", floor=3)
        await register(house, "dev-2", floor=2)
        await register(house, "dev-3", "garden-v1", floor=3)
        reply = await post(house, name="third", description="all of the third floor")
        filter_id = reply.json["id"]
        assert (reply.status, reply.json) == (
            201,
            {
                "id": filter_id,
                "name": "third",
                "description": "all of the third floor",
                "mongoQuery": THIRD_FLOOR,
                "status": "pending",
                "matchedEndpointsCount": 0,
                "createdDate": NOW,
                "updatedDate": NOW,
            },
        )
        assert reply.headers["Location"].endswith(f"/epr/api/v1/applications/home/filters/{filter_id}")
        assert await active(house, filter_id) == reply.json | {"status": "active", "matchedEndpointsCount": 1}
        assert await matching(house, filter_id) == ["dev-1"]

    async def test_a_query_may_come_as_text_and_is_given_back_as_an_object(self, house: House) -> None:
        await start(house)
        reply = await post(house, '{"metadata": {"$elemMatch": {"key": "floor", "value": {"$gte": 3}}}}')
        assert reply.json["mongoQuery"] == {"metadata": {"$elemMatch": {"key": "floor", "value": {"$gte": 3}}}}
        assert (reply.json["name"], reply.json["description"]) == (None, None)

    async def test_filters_without_a_name_are_as_many_as_one_likes(self, house: House) -> None:
        await start(house)
        assert [(await post(house)).status for _ in range(3)] == [201] * 3

    async def test_a_name_is_taken_once_in_an_application(self, house: House) -> None:
        await start(house)
        assert (await post(house, name="third")).status == 201
        reply = await post(house, name="third")
        assert (reply.status, reply.message) == (409, "name: the application 'home' has a filter 'third' already")
        assert (await post(house, name="third", path=f"{API}/applications/garden/filters")).status == 201

    @pytest.mark.parametrize(
        ("body", "place"),
        [
            ({}, "body.mongoQuery"),
            ({"mongoQuery": None}, "body.mongoQuery"),
            ({"mongoQuery": 5}, "body.mongoQuery"),
            ({"mongoQuery": "{"}, "mongoQuery"),
            ({"mongoQuery": "[]"}, "mongoQuery"),
            ({"mongoQuery": {"$where": "true"}}, "mongoQuery.$where"),
            ({"mongoQuery": {"floor": 3}}, "mongoQuery.floor"),
            ({"mongoQuery": {"metadata.a": {"$regex": "("}}}, "mongoQuery.metadata.a.$regex"),
            ({"mongoQuery": {}, "name": ""}, "body.name"),
            ({"mongoQuery": {}, "name": "x" * 129}, "body.name"),
            ({"mongoQuery": {}, "description": "x" * 1025}, "body.description"),
        ],
    )
    async def test_what_is_wrong_is_refused_by_its_place(self, house: House, body: Any, place: str) -> None:
        await start(house)
        reply = await house.call("POST", HOME, body)
        assert (reply.status, reply.message.split(":")[0].split(".dict")[0]) == (400, place)
        assert (await house.get(HOME))["totalElements"] == 0

    async def test_an_application_that_is_not_there_has_no_filters(self, house: House) -> None:
        await start(house)
        path = f"{API}/applications/nowhere/filters"
        assert [(await post(house, path=path)).status, (await house.call("GET", path)).status] == [404, 404]

    async def test_a_viewer_may_look_and_not_make(self, house: House) -> None:
        from kaa.core.auth import Keys, Role
        from kaa.core.key_store import SqlKeyStore

        await start(house)
        _, key = await Keys(store=SqlKeyStore(house.storage), ids=house.ids, clock=house.clock).make(Role.VIEWER)
        headers = {"Authorization": f"Bearer {key}"}
        assert (await house.call("POST", HOME, {"mongoQuery": {}}, headers=headers)).status == 403
        assert (await house.call("GET", HOME, headers=headers)).status == 200


class TestLooking:
    async def test_filters_are_listed_oldest_first_and_found_by_name(self, house: House) -> None:
        await start(house)
        for n in range(3):
            await made(house, name=f"filter-{n}")
            await house.clock.advance(10)
        page = await house.get(HOME, offset=1, limit=1)
        assert ([one["name"] for one in page["content"]], page["totalElements"]) == (["filter-1"], 3)
        named = await house.get(HOME, name="filter-2")
        assert ([one["name"] for one in named["content"]], named["totalElements"]) == (["filter-2"], 1)
        assert (await house.get(f"{API}/applications/garden/filters"))["content"] == []

    async def test_a_filter_is_not_found_in_another_application_or_under_another_id(self, house: House) -> None:
        await start(house)
        filter_id = await made(house)
        for path in (f"{API}/applications/garden/filters/{filter_id}", f"{HOME}/nothing"):
            for method, body in (("GET", None), ("PATCH", {}), ("DELETE", None)):
                assert (await house.call(method, path, body)).status == 404
        assert await count(house, filter_id) == 0


class TestChanging:
    async def test_a_name_is_changed_and_the_filter_stays_active(self, house: House) -> None:
        await start(house)
        filter_id = await made(house, name="third", description="old")
        heard = await house.hear(efe.filter_pending())
        await house.clock.advance(1_000)
        reply = await house.call("PATCH", f"{HOME}/{filter_id}", {"name": "3", "description": None})
        assert (reply.status, reply.json["name"], reply.json["description"]) == (200, "3", None)
        assert (reply.json["status"], reply.json["updatedDate"]) == ("active", "2025-11-24T16:00:01.000Z")
        assert heard == []

    async def test_another_query_makes_it_pending_and_its_endpoints_are_others(self, house: House) -> None:
        await start(house)
        await register(house, "dev-1", floor=3)
        await register(house, "dev-2", floor=2)
        filter_id = await made(house)
        reply = await house.call("PATCH", f"{HOME}/{filter_id}", {"mongoQuery": '{"metadata.floor": {"$lt": 3}}'})
        assert (reply.json["status"], reply.json["matchedEndpointsCount"]) == ("pending", 0)
        assert (await active(house, filter_id))["matchedEndpointsCount"] == 1
        assert await matching(house, filter_id) == ["dev-2"]

    async def test_one_is_not_true(self, house: House) -> None:
        await start(house)
        await register(house, "dev-1", on=True)
        filter_id = await made(house, {"metadata.on": 1})
        await house.call("PATCH", f"{HOME}/{filter_id}", {"mongoQuery": {"metadata.on": True}})
        await active(house, filter_id)
        assert await matching(house, filter_id) == ["dev-1"]

    async def test_what_changes_nothing_is_no_revision(self, house: House) -> None:
        await start(house)
        filter_id = await made(house, name="third")
        before = await house.call("GET", f"{HOME}/{filter_id}")
        for body in ({}, {"name": "third"}, {"mongoQuery": THIRD_FLOOR}):
            after = await house.call("PATCH", f"{HOME}/{filter_id}", body)
            assert (after.status, after.json, after.headers["ETag"]) == (200, before.json, before.headers["ETag"])

    async def test_who_does_not_know_the_last_revision_is_refused(self, house: House) -> None:
        await start(house)
        reply = await post(house, name="third")
        path, first = f"{HOME}/{reply.json['id']}", reply.headers["ETag"]
        await active(house, reply.json["id"])
        second = await house.call("PATCH", path, {"name": "3"}, headers={"If-Match": first})
        assert second.status == 200
        assert second.headers["ETag"] != first
        assert (await house.call("PATCH", path, {"name": "4"}, headers={"If-Match": first})).status == 412
        assert (await house.call("DELETE", path, headers={"If-Match": first})).status == 412
        assert (await house.get(path))["name"] == "3"
        assert (await house.call("DELETE", path, headers={"If-Match": second.headers["ETag"]})).status == 204

    async def test_the_count_is_never_answered_with_not_modified(self, house: House) -> None:
        await start(house)
        filter_id = await made(house)
        before = await house.call("GET", f"{HOME}/{filter_id}")
        await register(house, "dev-1", floor=3)
        after = await house.call("GET", f"{HOME}/{filter_id}", headers={"If-None-Match": before.headers["ETag"]})
        assert (after.status, after.json["matchedEndpointsCount"]) == (200, 1)

    @pytest.mark.parametrize(
        "body", [{"mongoQuery": None}, {"mongoQuery": {"$where": "1"}}, {"name": ""}, {"name": 5}, []]
    )
    async def test_what_is_wrong_changes_nothing(self, house: House, body: Any) -> None:
        await start(house)
        filter_id = await made(house, name="third")
        assert (await house.call("PATCH", f"{HOME}/{filter_id}", body)).status == 400
        found = await house.get(f"{HOME}/{filter_id}")
        assert (found["name"], found["mongoQuery"], found["status"]) == ("third", THIRD_FLOOR, "active")

    async def test_the_name_of_another_is_refused(self, house: House) -> None:
        await start(house)
        await made(house, name="third")
        filter_id = await made(house, name="fourth")
        assert (await house.call("PATCH", f"{HOME}/{filter_id}", {"name": "third"})).status == 409
        assert (await house.get(f"{HOME}/{filter_id}"))["name"] == "fourth"


class TestDeleting:
    async def test_a_filter_that_is_deleted_is_gone_with_its_matches_and_its_name_is_free(self, house: House) -> None:
        await start(house)
        await register(house, "dev-1", floor=3)
        filter_id = await made(house, name="third")
        assert (await house.call("DELETE", f"{HOME}/{filter_id}")).status == 204
        assert (await house.call("GET", f"{HOME}/{filter_id}")).status == 404
        assert (await house.request(LIST, filter_id=filter_id)).status_code == 404
        assert (await house.request(FILTERS, endpoint_id="dev-1")).filter_ids == ()
        assert (await post(house, {"metadata.floor": 4}, name="third")).status == 201

        async def rows() -> bool:
            query = "select (select count(*) from epr_filter_match) + (select count(*) from epr_filter)"
            return await house.storage.read(lambda connection: connection.exec_driver_sql(query).scalar_one()) == 1

        await until(rows, what="nothing is left of it")

    async def test_of_one_that_is_deleted_no_endpoint_is_told(self, house: House) -> None:
        await start(house)
        await register(house, "dev-1", floor=3)
        filter_id = await made(house)
        heard = await house.hear(efe.endpoint_matched()), await house.hear(efe.endpoint_unmatched())
        await house.call("DELETE", f"{HOME}/{filter_id}")
        await put(house, "dev-1", floor=4)
        await register(house, "dev-2", floor=3)
        await house.outbox_is_empty()
        assert heard == ([], [])


class TestFollowing:
    async def test_endpoints_come_and_go_as_their_metadata_changes(self, house: House) -> None:
        await start(house)
        filter_id = await made(house, name="third")
        matched, unmatched = (
            await house.hear(efe.endpoint_matched(filter_id)),
            await house.hear(efe.endpoint_unmatched()),
        )
        await register(house, "dev-1", floor=3)
        await register(house, "dev-2", floor=2)
        assert (await matching(house, filter_id), await count(house, filter_id)) == (["dev-1"], 1)
        await put(house, "dev-2", floor=3)
        await put(house, "dev-1", floor=3, other=1)
        assert (await matching(house, filter_id), await count(house, filter_id)) == (["dev-1", "dev-2"], 2)
        await put(house, "dev-1", floor=1)
        assert (await matching(house, filter_id), await count(house, filter_id)) == (["dev-2"], 1)
        await house.call("DELETE", f"{API}/endpoints/dev-2")
        assert (await matching(house, filter_id), await count(house, filter_id)) == ([], 0)
        await house.outbox_is_empty()
        told = [(one.filter_id, one.filter_name, one.application_name, one.endpoint_id) for one in matched]
        assert told == [(filter_id, "third", "home", "dev-1"), (filter_id, "third", "home", "dev-2")]
        assert [(one.endpoint_id, one.app_version_name) for one in unmatched] == [
            ("dev-1", "home-v1"),
            ("dev-2", "home-v1"),
        ]

    async def test_endpoints_come_and_go_as_their_version_changes(self, house: House) -> None:
        from kaa.protocols import elce

        await start(house)
        await register(house, "dev-1")
        filter_id = await made(house, {"application_version": "home-v2"})
        matched = await house.hear(efe.endpoint_matched(filter_id))
        house.publish(elce.connected("kpc"), endpoints={"dev-1": "home-v2"})
        await until(lambda: matched)
        assert [(one.endpoint_id, one.app_version_name) for one in matched] == [("dev-1", "home-v2")]
        assert dict((await house.request(LIST, filter_id=filter_id)).app_versions_to_endpoints) == {
            "home-v2": ("dev-1",)
        }

    async def test_one_change_is_told_for_every_filter_that_it_matters_to(self, house: House) -> None:
        await start(house)
        await register(house, "dev-1", floor=3)
        ids = {
            name: await made(house, query, name=name)
            for name, query in {"third": THIRD_FLOOR, "high": {"metadata.floor": {"$gte": 3}}, "all": {}}.items()
        }
        matched, unmatched = await house.hear(efe.endpoint_matched()), await house.hear(efe.endpoint_unmatched())
        await put(house, "dev-1", floor=2)
        await put(house, "dev-1", floor=4)
        await house.outbox_is_empty()
        assert sorted(one.filter_name for one in unmatched) == ["high", "third"]
        assert [one.filter_name for one in matched] == ["high"]
        assert (await house.request(FILTERS, endpoint_id="dev-1")).filter_ids == tuple(
            sorted([ids["high"], ids["all"]])
        )
        await house.call("DELETE", f"{API}/endpoints/dev-1")
        await house.outbox_is_empty()
        assert sorted(one.filter_name for one in unmatched[2:]) == ["all", "high"]

    async def test_the_first_pass_tells_of_no_endpoint(self, house: House) -> None:
        await start(house)
        await register(house, "dev-1", floor=3)
        heard = await house.hear(efe.endpoint_matched())
        await made(house)
        await house.outbox_is_empty()
        assert heard == []


class TestAsking:
    async def test_the_filters_of_an_endpoint_are_told_by_their_ids(self, house: House) -> None:
        await start(house)
        await register(house, "dev-1", floor=3)
        ids = sorted([await made(house), await made(house, {})])
        reply = await house.request(FILTERS, endpoint_id="dev-1")
        assert (reply.status_code, reply.endpoint_id, reply.filter_ids) == (200, "dev-1", tuple(ids))

    async def test_of_an_endpoint_that_is_not_there_it_is_said(self, house: House) -> None:
        await start(house)
        reply = await house.request(FILTERS, endpoint_id="dev-9")
        assert (reply.status_code, reply.reason_phrase) == (404, "there is no endpoint 'dev-9'")
        assert (reply.endpoint_id, reply.filter_ids) == ("dev-9", ())

    async def test_the_endpoints_of_a_filter_come_by_version(self, house: House) -> None:
        await start(house)
        for endpoint_id, version in (("dev-3", "home-v1"), ("dev-1", "home-v1"), ("dev-2", "home-v2")):
            await register(house, endpoint_id, version, floor=3)
        filter_id = await made(house)
        reply = await house.request(LIST, filter_id=filter_id)
        assert (reply.status_code, reply.filter_id) == (200, filter_id)
        assert dict(reply.app_versions_to_endpoints) == {"home-v1": ("dev-1", "dev-3"), "home-v2": ("dev-2",)}

    async def test_of_a_filter_that_is_not_there_it_is_said(self, house: House) -> None:
        await start(house)
        reply = await house.request(LIST, filter_id="nothing")
        assert (reply.status_code, reply.reason_phrase) == (404, "there is no filter 'nothing'")
        assert (reply.filter_id, dict(reply.app_versions_to_endpoints)) == ("nothing", {})


class TestTelling:
    async def test_pending_activated_and_deleted_are_told(self, house: House) -> None:
        await start(house)
        subjects = (efe.filter_pending(), efe.filter_activated(), efe.filter_deleted())
        pending, activated, deleted = [await house.hear(subject) for subject in subjects]
        filter_id = await made(house, name="third")
        await house.call("PATCH", f"{HOME}/{filter_id}", {"mongoQuery": {"metadata.floor": 4}})
        await until(lambda: len(activated) == 2)
        await house.call("DELETE", f"{HOME}/{filter_id}")
        await house.outbox_is_empty()
        assert [len(heard) for heard in (pending, activated, deleted)] == [2, 2, 1]
        for event in (*pending, *activated, *deleted):
            assert (event.filter_id, event.application_name, event.filter_name) == (filter_id, "home", "third")
            assert event.originator_replica_id == "replica-1"

    async def test_who_makes_a_filter_is_answered_when_it_has_been_heard(self, house: House) -> None:
        await start(house)
        heard = await house.hear(efe.filter_pending())
        await post(house)
        assert len(heard) == 1

    async def test_what_was_told_to_nobody_is_told_after_a_restart(self, house: House) -> None:
        await start(house)
        heard = await house.hear(efe.endpoint_matched(), status=None)
        filter_id = await made(house)
        await register(house, "dev-1", floor=3)
        await until(lambda: heard)
        await house.restart()
        await house.start(CM)
        again = await house.hear(efe.endpoint_matched())
        await house.start(EPR, applications=APPLICATIONS)
        await until(lambda: again)
        assert [(one.filter_id, one.endpoint_id) for one in again] == [(filter_id, "dev-1")]
