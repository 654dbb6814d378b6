"""ECR: what the platform itself is configured with, on four levels, and the event that tells of it (27/SCMP)."""

import json
from typing import Any

import pytest
from configuring import API, NOW
from house import REPLICA, House
from keeping import ALL, Keeper
from waiting import until

from kaa.modules.cm.module import MODULE as CM
from kaa.modules.ecr.module import MODULE as ECR
from kaa.modules.epr.module import MODULE as EPR
from kaa.protocols import elce, system_scmp

LATER = "2025-11-24T16:00:05.000Z"
TENANT = "/system/tenants/kaa/configs"
APPLICATION = "/system/applications/home/configs"
VERSION = "/system/app-versions/home-v1/configs"
ENDPOINT = "/system/endpoints/dev-1/configs"
LEVELS = {TENANT: "TENANT", APPLICATION: "APPLICATION", VERSION: "APP_VERSION", ENDPOINT: "ENDPOINT"}
NOWHERE = {
    "/system/tenants/other/configs": "there is no tenant 'other'",
    "/system/applications/x/configs": "there is no application 'x'",
    "/system/app-versions/home/configs": "there is no application version 'home'",
    "/system/endpoints/x/configs": "there is no endpoint 'x'",
}


@pytest.fixture
async def ecr(house: House) -> Keeper:
    return await Keeper(house).open()


def body(config: Any = 1, name: str = "default", **more: Any) -> dict[str, Any]:
    return {"name": name, "config": json.dumps(config)} | more


async def post(ecr: Keeper, path: str, config: Any = 1, name: str = "default", **more: Any) -> str:
    """Make one, and give its path."""
    reply = await ecr.call("POST", path, body(config, name, **more))
    assert (reply.status, reply.data) == (201, b""), reply
    return path + reply.headers["Location"][len(ecr.house._base + API + path) :]


async def put(ecr: Keeper, one: str, sent: Any, **rest: Any) -> None:
    reply = await ecr.call("PUT", one, sent, **rest)
    assert (reply.status, reply.data) == (204, b""), reply


async def current(ecr: Keeper, path: str, **params: Any) -> Any:
    return json.loads((await ecr.house.get(f"{API}{path}/current", **params))["config"])


EVERY_LEVEL = pytest.mark.parametrize("path", LEVELS, ids=LEVELS.values())


@EVERY_LEVEL
class TestOne:
    async def test_it_is_made_and_found_where_its_location_says(self, ecr: Keeper, path: str) -> None:
        sent = {"name": "mail", "displayName": "Post", "config": '{"b": 1, "a": 2}'}
        reply = await ecr.call("POST", path, sent)
        assert (reply.status, reply.data) == (201, b"")
        at = reply.headers["Location"].removeprefix(ecr.house._base)
        found = await ecr.house.call("GET", at)
        assert at == f"{API}{path}/{found.json['configId']}"
        assert found.json == {
            "configId": found.json["configId"],
            "name": "mail",
            "displayName": "Post",
            "config": '{"b": 1, "a": 2}',
            "createdAt": NOW,
            "updatedAt": NOW,
        }
        assert found.headers["ETag"] == reply.headers["ETag"]

    async def test_it_is_told_of_when_it_is_made_and_when_it_is_changed(self, ecr: Keeper, path: str) -> None:
        heard = await ecr.house.hear(system_scmp.system_config_updated("ecr"))
        one = await post(ecr, path, [1], "mail")
        await put(ecr, one, body({"a": "ü"}, "post"))
        await ecr.house.outbox_is_empty()
        level, level_id = LEVELS[path], path.split("/")[3]
        assert [(e.config_level, e.config_level_id, e.config_name, e.content) for e in heard] == [
            (level, level_id, "mail", b"[1]"),
            (level, level_id, "post", b'{"a": "\\u00fc"}'),
        ]
        assert {(e.tenant_id, e.content_type, e.originator_replica_id) for e in heard} == {
            ("kaa", "application/json", REPLICA)
        }

    async def test_it_is_replaced_whole_under_the_same_id(self, ecr: Keeper, path: str) -> None:
        one = await post(ecr, path, 1, displayName="Post")
        await ecr.house.clock.advance(5_000)
        await put(ecr, one, body(2, "mail"))
        assert await ecr.house.get(API + one) == {
            "configId": one.rsplit("/", 1)[1],
            "name": "mail",
            "config": "2",
            "createdAt": NOW,
            "updatedAt": LATER,
        }

    async def test_the_same_again_changes_nothing_and_is_not_told(self, ecr: Keeper, path: str) -> None:
        one = await post(ecr, path, 1, displayName="Post")
        heard = await ecr.house.hear(system_scmp.system_config_updated("ecr"))
        before = await ecr.kept()
        await ecr.house.clock.advance(5_000)
        await put(ecr, one, body(1, displayName="Post"))
        assert await ecr.kept() == before
        await put(ecr, one, body(1, displayName="Mail"))
        await ecr.house.outbox_is_empty()
        assert len(heard) == 1

    async def test_after_it_is_deleted_there_is_none(self, ecr: Keeper, path: str) -> None:
        one = await post(ecr, path)
        await ecr.delete(one)
        words = f"there is no system configuration '{one.rsplit('/', 1)[1]}' here"
        for method, sent in (("GET", {}), ("PUT", {"body": body()}), ("DELETE", {})):
            await ecr.refused(404, words, method, one, **sent)
        assert await post(ecr, path) != one

    async def test_those_of_a_level_are_listed_by_name_and_page(self, ecr: Keeper, path: str) -> None:
        assert await ecr.house.get(API + path) == {"content": [], "totalElements": 0}
        paths = [await post(ecr, path, name, name) for name in ("c", "a", "b")]
        for other in LEVELS:
            if other != path:
                await post(ecr, other, "another", "a")
        every = await ecr.house.get(API + path)
        assert [one["name"] for one in every["content"]] == ["a", "b", "c"]
        assert every["content"][2] == await ecr.house.get(API + paths[0])
        page = await ecr.house.get(API + path, offset=1, limit=1)
        assert ([one["name"] for one in page["content"]], page["totalElements"]) == (["b"], 3)

    async def test_a_name_is_taken_once_at_a_level(self, ecr: Keeper, path: str) -> None:
        await post(ecr, path, 1, "mail")
        other = await post(ecr, path, 2, "other")
        words = "name: there is a system configuration 'mail' here already"
        await ecr.refused(409, words, "POST", path, body(3, "mail"))
        await ecr.refused(409, words, "PUT", other, body(3, "mail"))

    async def test_it_outlives_a_restart(self, ecr: Keeper, path: str) -> None:
        one = await post(ecr, path, {"a": 1})
        before = await ecr.house.get(API + one)
        await ecr.restart()
        assert await ecr.house.get(API + one) == before


@EVERY_LEVEL
class TestTags:
    async def test_who_has_it_is_spared_reading_it_again(self, ecr: Keeper, path: str) -> None:
        one = await post(ecr, path)
        for at in (one, f"{path}/current"):
            tag = (await ecr.call("GET", at)).headers["ETag"]
            reply = await ecr.call("GET", at, headers={"If-None-Match": tag})
            assert (reply.status, reply.data) == (304, b"")
        await put(ecr, one, body(2))
        assert (await ecr.call("GET", one, headers={"If-None-Match": tag})).status == 200

    async def test_a_change_of_another_state_is_not_made(self, ecr: Keeper, path: str) -> None:
        one = await post(ecr, path)
        old = {"If-Match": (await ecr.call("GET", one)).headers["ETag"]}
        await put(ecr, one, body(1, displayName="only the display name"), headers=old)
        await ecr.refused(412, "If-Match", "PUT", one, body(2), headers=old)
        await ecr.refused(412, "If-Match", "DELETE", one, headers=old)
        new = {"If-Match": (await ecr.call("GET", one)).headers["ETag"]}
        assert (await ecr.call("DELETE", one, headers=new)).status == 204


class TestWhatHolds:
    async def test_the_narrower_one_does(self, ecr: Keeper) -> None:
        levels = list(LEVELS)
        for number, path in enumerate(levels):
            await post(ecr, path, LEVELS[path])
            assert [await current(ecr, one) for one in levels] == [
                LEVELS[levels[min(number, at)]] for at in range(len(levels))
            ]

    async def test_when_it_goes_the_next_wider_one_does(self, ecr: Keeper) -> None:
        made = {path: await post(ecr, path, LEVELS[path]) for path in LEVELS}
        for path, above in ((ENDPOINT, "APP_VERSION"), (VERSION, "APPLICATION"), (APPLICATION, "TENANT")):
            assert await current(ecr, ENDPOINT) == LEVELS[path]
            await ecr.delete(made[path])
            assert await current(ecr, ENDPOINT) == above
        await ecr.delete(made[TENANT])
        words = "there is no system configuration 'default' here or above"
        await ecr.refused(404, words, "GET", f"{ENDPOINT}/current")

    async def test_by_name(self, ecr: Keeper) -> None:
        await post(ecr, TENANT, "mail of all", "mail")
        await post(ecr, APPLICATION, "default of the application")
        assert (
            await current(ecr, ENDPOINT) == await current(ecr, ENDPOINT, name="default") == "default of the application"
        )
        assert await current(ecr, ENDPOINT, name="mail") == "mail of all"

    async def test_null_of_a_narrower_level_is_something(self, ecr: Keeper) -> None:
        await post(ecr, TENANT, 1)
        await post(ecr, VERSION, None)
        assert await current(ecr, ENDPOINT) is None

    async def test_it_is_that_of_the_endpoints_own_version_and_application(self, ecr: Keeper) -> None:
        await post(ecr, "/system/app-versions/home-v2/configs", "v2")
        await post(ecr, "/system/applications/garden/configs", "garden")
        await post(ecr, TENANT, "all")
        found = [await current(ecr, f"/system/endpoints/{one}/configs") for one in ("dev-1", "dev-3", "plant-1")]
        assert found == ["all", "v2", "garden"]
        ecr.register.endpoints["dev-1"] = ("home", "home-v2")
        assert await current(ecr, ENDPOINT) == "v2"

    async def test_with_skip_wider_levels_are_not_looked_at(self, ecr: Keeper) -> None:
        await post(ecr, TENANT, 1)
        for path in (ENDPOINT, VERSION, APPLICATION):
            reply = await ecr.call("GET", f"{path}/current", treeTraversalStrategy="SKIP")
            assert (reply.status, reply.message) == (404, "there is no system configuration 'default' here")
            await post(ecr, path, LEVELS[path])
            assert await current(ecr, path, treeTraversalStrategy="SKIP") == LEVELS[path]
        assert await current(ecr, TENANT, treeTraversalStrategy="SKIP") == 1

    async def test_another_strategy_is_refused(self, ecr: Keeper) -> None:
        await post(ecr, ENDPOINT)
        for strategy in ("skip", "CLIMB", ""):
            words = "query.treeTraversalStrategy: "
            await ecr.refused(400, words, "GET", f"{ENDPOINT}/current", treeTraversalStrategy=strategy)

    async def test_devices_never_get_it(self, ecr: Keeper) -> None:
        await ecr.devices.connect("dev-1")
        for path in LEVELS:
            await post(ecr, path, "for the platform")
        await ecr.devices.quiet()
        assert ecr.news() == []
        assert (await ecr.ask()).content == b"null"
        await ecr.put(ALL, "for devices")
        assert await current(ecr, ENDPOINT) == "for the platform"


class TestTheEvent:
    async def test_it_is_told_again_after_a_restart_until_it_was_heard(self, ecr: Keeper) -> None:
        subject = system_scmp.system_config_updated("ecr")
        heard = await ecr.house.hear(subject, name="first", status=503)
        await post(ecr, TENANT, 1)
        await until(lambda: heard)
        await ecr.house.restart()
        again = await ecr.house.hear(subject, name="first")
        await ecr.open()
        await ecr.house.outbox_is_empty()
        assert [(one.correlation_id, one.content) for one in again] == [(heard[0].correlation_id, b"1")]
        await ecr.restart()
        assert len(again) == 1

    async def test_of_what_is_refused_nothing_is_told(self, ecr: Keeper) -> None:
        one = await post(ecr, TENANT, 1, "mail")
        await post(ecr, TENANT, 1, "other")
        heard = await ecr.house.hear(system_scmp.system_config_updated("ecr"))
        for method, path in (("POST", TENANT), ("PUT", one)):
            assert (await ecr.call(method, path, body(2, "other"))).status == 409
        assert (await ecr.call("PUT", one, body(2), headers={"If-Match": "old"})).status == 412
        await ecr.delete(one)
        await ecr.house.outbox_is_empty()
        assert heard == []


class TestEndpointsThatGo:
    async def test_theirs_go_with_them(self, ecr: Keeper) -> None:
        await post(ecr, ENDPOINT, "old")
        await post(ecr, "/system/endpoints/dev-2/configs", "of another")
        await post(ecr, TENANT, "all")
        await ecr.house.clock.advance(1)
        ecr.house.publish(elce.unregistered("epr"), app_version_name="home-v1", endpoint_id="dev-1")
        await ecr.devices.quiet()
        assert await current(ecr, ENDPOINT) == "all"
        assert await current(ecr, "/system/endpoints/dev-2/configs") == "of another"

    async def test_what_was_written_for_the_new_owner_of_the_id_stays(self, ecr: Keeper) -> None:
        gone_ms = ecr.house.clock.now_ms()
        await ecr.house.clock.advance(1)
        await post(ecr, ENDPOINT, "new")
        gone = {"app_version_name": "home-v1", "endpoint_id": "dev-1", "timestamp_ms": gone_ms}
        ecr.house.publish(elce.unregistered("epr"), **gone)
        ecr.house.publish(elce.registered("epr"), **gone)
        await ecr.devices.quiet()
        assert await current(ecr, ENDPOINT) == "new"

    async def test_with_the_real_register(self, house: House) -> None:
        ecr = Keeper(house)
        applications = {"home": ["home-v1"]}
        await house.start(CM)
        await house.start(EPR, applications=applications)
        await house.start(ECR, applications=applications)
        made = {"appVersion": {"name": "home-v1"}, "endpointId": "dev-1"}
        assert (await house.call("POST", "/epr/api/v1/endpoints", made)).status == 201
        await ecr.refused(404, "there is no endpoint 'x'", "POST", "/system/endpoints/x/configs", body())
        await house.clock.advance(1)
        await post(ecr, ENDPOINT)
        await post(ecr, VERSION, "of the version", "other")
        assert await current(ecr, ENDPOINT, name="other") == "of the version"
        assert (await house.call("DELETE", "/epr/api/v1/endpoints/dev-1")).status == 204
        await ecr.devices.quiet()
        assert [row[1] for row in (await ecr.kept())["ecr_system"]] == ["APP_VERSION"]


class TestWhatIsWrong:
    @EVERY_LEVEL
    async def test_it_is_named_and_nothing_is_stored(self, ecr: Keeper, path: str) -> None:
        one = await post(ecr, path)
        for words, sent in (
            ("body: there is none", b""),
            ("body: invalid JSON", b"{"),
            ("body: ", []),
            ("body: ", None),
            ("body.config: field required", {"name": "a"}),
            ("body.name: field required", {"config": "1"}),
            ("body.config: ", {"name": "a", "config": {"a": 1}}),
            ("body.config: ", {"name": "a", "config": None}),
            ("body.config: the text is not JSON", {"name": "a", "config": "{"}),
            ("body.config: the text is not JSON", {"name": "a", "config": ""}),
            ("body.config: the text is not JSON", {"name": "a", "config": "NaN"}),
            ("body.name: ", {"name": 7, "config": "1"}),
            ("body.name: ", {"name": None, "config": "1"}),
            ("body.displayName: ", {"name": "a", "config": "1", "displayName": 7}),
            ("body.displayName: ", {"name": "a", "config": "1", "displayName": "x" * 257}),
            ("name: '42' ", body(1, "42")),
            ("name: 'status' ", body(1, "status")),
            ("name: 'error' ", body(1, "error")),
            ("name: '' ", body(1, "")),
            ("name: 'a b' ", body(1, "a b")),
        ):
            await ecr.refused(400, words, "POST", path, sent)
            await ecr.refused(400, words, "PUT", one, sent)
        await ecr.refused(400, "name: 'status' ", "GET", f"{path}/current", name="status")
        await ecr.refused(400, "query.limit: ", "GET", path, limit="many")
        await ecr.refused(400, "query.offset: ", "GET", path, offset=-1)

    async def test_what_is_too_large_is_refused(self, house: House) -> None:
        ecr = await Keeper(house, config={"max-config": 1024}).open()
        one = await post(ecr, TENANT, "x" * 1_022)
        for method, path in (("POST", TENANT), ("PUT", one)):
            words = "body.config: 1025 bytes; at most 1024 are taken"
            await ecr.refused(413, words, method, path, body("x" * 1_023, "a"))
            await ecr.refused(413, "body: more than 6144 bytes", method, path, b" " * 6_200)

    @pytest.mark.parametrize("path", NOWHERE)
    async def test_where_there_is_nothing_nothing_is_made(self, ecr: Keeper, path: str) -> None:
        await post(ecr, TENANT)
        await ecr.refused(404, NOWHERE[path], "POST", path, body())
        await ecr.refused(404, NOWHERE[path], "GET", f"{path}/current")

    async def test_one_of_another_level_is_not_there(self, ecr: Keeper) -> None:
        made = (await post(ecr, TENANT)).rsplit("/", 1)[1]
        for path in (APPLICATION, VERSION, ENDPOINT, "/system/tenants/other/configs"):
            for method, sent in (("GET", {}), ("PUT", {"body": body(2)}), ("DELETE", {})):
                await ecr.refused(404, f"no system configuration '{made}' here", method, f"{path}/{made}", **sent)

    async def test_a_key_that_may_only_read_changes_nothing(self, ecr: Keeper) -> None:
        one = await post(ecr, TENANT)
        headers = await ecr.viewer()
        for method, path in (("POST", TENANT), ("PUT", one), ("DELETE", one)):
            await ecr.refused(403, "the role of this key is viewer", method, path, b"{}", headers=headers)
        assert (await ecr.call("GET", one, headers=headers)).status == 200

    async def test_without_the_register_endpoints_wait_and_the_others_go_on(self, house: House) -> None:
        ecr = Keeper(house)
        await house.start(ECR, applications={"home": ["home-v1"]})
        await ecr.refused(503, "the service epr cannot be reached", "POST", ENDPOINT, body())
        await ecr.refused(503, "the service epr cannot be reached", "GET", f"{ENDPOINT}/current")
        await post(ecr, VERSION, 1)
        assert await current(ecr, VERSION) == 1
