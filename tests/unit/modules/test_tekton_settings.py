"""Tekton: settings that are merged, that are guarded by their tag, and that are for all applications."""

from io import BytesIO
from typing import Any

import pytest
from house import House
from lamps import API, LAMP, LampSettings, enveloped, with_home

from kaa.modules.tekton.module import MODULE as TEKTON
from kaa.protocols import scmp

APP, VERSION = f"{API}/app-configs/applications/home", f"{API}/app-configs/applications/home/app-versions/home-v1"
COMMON = f"{API}/tenant-configs"
MERGE = {"Content-Type": "application/merge-patch+json"}


def common(instance: str, settings: Any) -> dict[str, Any]:
    return {instance: {"kaa": {"tenants": {"kaa": {"config": settings}}}}}


def wrapped(path: str, settings: Any, instance: str = "lamp") -> dict[str, Any]:
    if path == COMMON:
        return common(instance, settings)
    return enveloped(instance, settings, version="home-v1" if path == VERSION else None)


SCOPES = pytest.mark.parametrize("path", [APP, VERSION, COMMON], ids=["application", "version", "all"])


class TestMerging:
    @SCOPES
    async def test_what_is_said_changes_and_null_takes_away(self, house: House, path: str) -> None:
        await with_home(house)
        await house.call("PUT", path, wrapped(path, {"brightness": 7}))
        reply = await house.call("PATCH", path, wrapped(path, {"room-name": "hall"}), headers=MERGE)
        assert (reply.status, reply.json) == (200, wrapped(path, {"brightness": 7, "room-name": "hall"}))
        reply = await house.call("PATCH", path, wrapped(path, {"brightness": None, "room-name": "attic"}))
        assert reply.json == await house.get(path) == wrapped(path, {"room-name": "attic"})
        assert house.instances["lamp"].applications.get_version("home-v1").settings == LampSettings(room_name="attic")

    @SCOPES
    async def test_where_nothing_was_the_patch_is_all(self, house: House, path: str) -> None:
        await with_home(house)
        assert (await house.call("PATCH", path, wrapped(path, {"brightness": 7}))).json == wrapped(
            path, {"brightness": 7}
        )
        assert (await house.call("PATCH", path, wrapped(path, {"brightness": None}))).json == wrapped(path, {})
        assert (await house.call("PATCH", path, wrapped(path, None))).json == {}

    @SCOPES
    async def test_what_it_makes_must_be_valid_or_nothing_is_stored(self, house: House, path: str) -> None:
        await with_home(house)
        await house.call("PUT", path, wrapped(path, {"brightness": 7}))
        reply = await house.call("PATCH", path, wrapped(path, {"room-name": "x", "brightness": "very"}))
        assert (reply.status, reply.message.startswith("lamp: brightness: ")) == (400, True)
        assert await house.get(path) == wrapped(path, {"brightness": 7})

    async def test_it_is_limited_to_the_instances_named(self, house: House) -> None:
        await house.start(TEKTON, LAMP)
        await house.start(LAMP, name="lantern")
        await house.call("POST", f"{API}/applications", {"name": "home"})
        both = enveloped("lamp", {"brightness": 1}) | enveloped("lantern", {"brightness": 2})
        reply = await house.call("PATCH", APP, both, params={"serviceInstanceName": "lamp"})
        assert (reply.status, reply.message) == (400, "body.lantern: serviceInstanceName does not name it")
        assert await house.get(APP) == {}
        assert (await house.call("PATCH", APP, both, params={"serviceInstanceName": "lamp,lantern"})).json == both
        one = await house.call(
            "PATCH", APP, enveloped("lamp", {"brightness": 3}), params={"serviceInstanceName": "lamp"}
        )
        assert one.json == enveloped("lamp", {"brightness": 3}) | enveloped("lantern", {"brightness": 2})

    async def test_an_envelope_of_another_shape_is_refused_at_its_place(self, house: House) -> None:
        await with_home(house)
        for document, place in (
            ({"lamp": {"kaa": {"applications": {"home": 5}}}}, "body.lamp.kaa.applications.home"),
            ({"lamp": 1}, "body.lamp"),
            ([], "body"),
        ):
            reply = await house.call("PATCH", APP, document)
            assert (reply.status, reply.message.split(":")[0]) == (400, place)

    async def test_more_than_a_body_may_have_is_refused(self, house: House) -> None:
        await with_home(house)
        reply = await house.call("PATCH", APP, data=BytesIO(b" " * (1 << 20) + b"{}"))
        assert (reply.status, reply.message) == (413, "body: more than 1048576 bytes")

    async def test_those_of_something_that_is_not_there_are_not_found(self, house: House) -> None:
        await with_home(house)
        reply = await house.call("PATCH", f"{API}/app-configs/applications/x", enveloped("lamp", {}, app="x"))
        assert (reply.status, reply.message) == (404, "there is no application 'x'")

    async def test_what_changes_nothing_is_not_told(self, house: House) -> None:
        await with_home(house)
        await house.call("PUT", APP, enveloped("lamp", {"brightness": 7}))
        heard = await house.hear(scmp.configuration_changed("tekton"))
        await house.call("PATCH", APP, enveloped("lamp", {"brightness": 7}))
        assert heard == []
        await house.call("PATCH", APP, enveloped("lamp", {"brightness": 8}))
        assert [one.app_name for one in heard] == ["home"]


class TestTags:
    @SCOPES
    @pytest.mark.parametrize("method", ["PUT", "PATCH"])
    async def test_another_state_than_the_one_named_is_refused(self, house: House, path: str, method: str) -> None:
        await with_home(house)
        empty = (await house.call("GET", path)).headers["ETag"]
        first = await house.call(method, path, wrapped(path, {"brightness": 1}), headers={"If-Match": empty})
        assert first.status == 200
        reply = await house.call(method, path, wrapped(path, {"brightness": 2}), headers={"If-Match": empty})
        assert (reply.status, await house.get(path)) == (412, wrapped(path, {"brightness": 1}))
        now = first.headers["ETag"]
        assert (await house.call("GET", path)).headers["ETag"] == now != empty
        assert (await house.call("GET", path, headers={"If-None-Match": now})).status == 304
        reply = await house.call(method, path, wrapped(path, {"brightness": 2}), headers={"If-Match": now})
        assert reply.json == wrapped(path, {"brightness": 2})


class TestForAllApplications:
    async def test_they_hold_where_an_application_has_none_of_its_own(self, house: House) -> None:
        await with_home(house)
        await house.call("POST", f"{API}/applications", {"name": "garden"})
        await house.call("PUT", f"{API}/app-configs/applications/garden", enveloped("lamp", {}, app="garden"))
        heard = await house.hear(scmp.configuration_changed("tekton", change="upsert"))
        lamp = house.instances["lamp"].applications
        reply = await house.call("PUT", COMMON, common("lamp", {"brightness": 5}))
        assert (reply.status, reply.json) == (200, common("lamp", {"brightness": 5}))
        assert lamp.get("home").settings == lamp.get_version("home-v1").settings == LampSettings(brightness=5)
        assert lamp.get("garden").settings == LampSettings(), "it has its own, and these say nothing"
        assert [(one.tenant_id, one.app_name, one.app_ver_name) for one in heard] == [("kaa", None, None)]

    async def test_a_version_is_stronger_than_an_application_and_that_than_all(self, house: House) -> None:
        await with_home(house)
        lamp = house.instances["lamp"].applications

        def seen() -> tuple[int, int]:
            return lamp.get("home").settings.brightness, lamp.get_version("home-v1").settings.brightness

        steps = [
            (COMMON, common("lamp", {"brightness": 5}), (5, 5)),
            (VERSION, enveloped("lamp", {"brightness": 7}, version="home-v1"), (5, 7)),
            (APP, enveloped("lamp", {"brightness": 6}), (6, 7)),
            (COMMON, common("lamp", {"brightness": 4}), (6, 7)),
            (APP, enveloped("lamp", None), (4, 7)),
            (VERSION, enveloped("lamp", None, version="home-v1"), (4, 4)),
            (COMMON, common("lamp", None), (1, 1)),
        ]
        for path, document, expected in steps:
            assert (await house.call("PUT", path, document)).status == 200
            assert seen() == expected

    async def test_an_application_that_is_made_later_has_them_at_once(self, house: House) -> None:
        await with_home(house)
        await house.call("PUT", COMMON, common("lamp", {"brightness": 5}))
        await house.call("POST", f"{API}/applications", {"name": "garden"})
        assert house.instances["lamp"].applications.get("garden").settings == LampSettings(brightness=5)

    async def test_they_outlive_a_restart(self, house: House) -> None:
        await with_home(house)
        await house.call("PUT", COMMON, common("lamp", {"brightness": 5}))
        await house.restart()
        await house.start(TEKTON, LAMP)
        assert house.instances["lamp"].applications.get("home").settings == LampSettings(brightness=5)
        assert await house.get(COMMON) == common("lamp", {"brightness": 5})

    async def test_they_are_read_for_the_instances_asked_for(self, house: House) -> None:
        await with_home(house)
        await house.call("PUT", COMMON, common("lamp", {"brightness": 5}))
        assert await house.get(COMMON, serviceInstanceName="other") == {}
        assert await house.get(COMMON, serviceInstanceName="lamp") == common("lamp", {"brightness": 5})

    async def test_another_tenant_has_none(self, house: House) -> None:
        await with_home(house)
        for method, body in (("GET", None), ("PUT", {}), ("PATCH", {})):
            reply = await house.call(method, COMMON, body, params={"tenantId": "other"})
            assert (reply.status, reply.message) == (404, "tenantId: there is no tenant 'other'")
        reply = await house.call("PUT", COMMON, {"lamp": {"kaa": {"tenants": {"other": {"config": {}}}}}})
        assert (reply.status, reply.message.split(":")[0]) == (400, "body.lamp.kaa.tenants")

    async def test_what_cannot_be_is_refused(self, house: House) -> None:
        await with_home(house)
        for instance, settings in (("plain", {}), ("nobody", {}), ("lamp", {"colour": 1})):
            assert (await house.call("PUT", COMMON, common(instance, settings))).status == 400
        assert await house.get(COMMON) == {}
