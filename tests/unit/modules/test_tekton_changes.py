"""Tekton: applications and versions that are changed and deleted."""

import pytest
from house import House
from lamps import API, LAMP, enveloped, with_home

from kaa.modules.cm.module import MODULE as CM
from kaa.modules.epr.module import MODULE as EPR
from kaa.modules.tekton.module import MODULE as TEKTON
from kaa.protocols import scmp

APP, VERSION = f"{API}/applications/home", f"{API}/applications/home/app-versions/home-v1"
WHICH = pytest.mark.parametrize("path", [APP, VERSION], ids=["application", "version"])


async def with_register(house: House, *, endpoints: int = 0) -> list[str]:
    """Have the register run besides, with endpoints of `home-v1`; gives their ids."""
    await house.start(TEKTON, LAMP, CM, EPR)
    await house.call("POST", f"{API}/applications", {"name": "home"})
    await house.call("POST", f"{API}/applications/home/app-versions", {"nameSuffix": "v1"})
    body = {"appVersion": {"name": "home-v1"}}
    return [(await house.call("POST", "/epr/api/v1/endpoints", body)).json["endpointId"] for _ in range(endpoints)]


class TestPatch:
    @WHICH
    async def test_what_is_said_changes_and_the_rest_stays(self, house: House, path: str) -> None:
        await with_home(house)
        before = await house.get(path)
        await house.clock.advance(1_000)
        reply = await house.call("PATCH", path, {"displayName": "Home", "description": "all of it"})
        assert reply.status == 200
        said = {"displayName": "Home", "description": "all of it", "updatedDate": "2025-11-24T16:00:01.000Z"}
        assert reply.json == before | said
        reply = await house.call("PATCH", path, {"displayName": None})
        assert reply.json == before | said | {"displayName": None}
        assert await house.get(path) == reply.json

    @WHICH
    async def test_what_changes_nothing_is_not_told_and_keeps_its_date(self, house: House, path: str) -> None:
        await with_home(house)
        before = await house.get(path)
        heard = await house.hear(scmp.configuration_changed("tekton"))
        await house.clock.advance(1_000)
        for body in ({}, {"displayName": None}, {"name": before["name"]}):
            assert (await house.call("PATCH", path, body)).json == before
        assert heard == []
        await house.call("PATCH", path, {"displayName": "x"})
        assert [(one.app_name, one.app_ver_name) for one in heard] == [
            ("home", None if path == APP else "home-v1"),
        ]

    @WHICH
    async def test_what_cannot_be_is_refused_by_field(self, house: House, path: str) -> None:
        await with_home(house)
        for body, place in (
            ({"name": "garden"}, "body.name"),
            ({"displayName": 5}, "body.displayName"),
            ({"displayName": "x" * 257}, "body.displayName"),
            ({"description": ["x"]}, "body.description"),
            ([], "body"),
            (None, "body"),
        ):
            reply = await house.call("PATCH", path, body)
            assert (reply.status, reply.message.split(":")[0]) == (400, place)

    async def test_what_is_not_there_is_not_found(self, house: House) -> None:
        await with_home(house)
        for method in ("PATCH", "DELETE"):
            body = {"displayName": "x"} if method == "PATCH" else None
            reply = await house.call(method, f"{API}/applications/x", body)
            assert (reply.status, reply.message) == (404, "there is no application 'x'")
            reply = await house.call(method, f"{APP}/app-versions/x-v1", body)
            assert (reply.status, reply.message) == (404, "application 'home' has no version 'x-v1'")

    @WHICH
    async def test_another_state_than_the_one_named_is_refused(self, house: House, path: str) -> None:
        await with_home(house)
        tag = (await house.call("GET", path)).headers["ETag"]
        assert (await house.call("GET", path, headers={"If-None-Match": tag})).status == 304
        assert (await house.call("PATCH", path, {"displayName": "x"}, headers={"If-Match": tag})).status == 200
        reply = await house.call("PATCH", path, {"displayName": "y"}, headers={"If-Match": tag})
        assert (reply.status, (await house.get(path))["displayName"]) == (412, "x")


class TestDelete:
    async def test_an_application_goes_with_its_versions_and_settings(self, house: House) -> None:
        await with_register(house)
        await house.call("PUT", f"{API}/app-configs/applications/home", enveloped("lamp", {"brightness": 2}))
        document = enveloped("lamp", {"brightness": 3}, version="home-v1")
        await house.call("PUT", f"{API}/app-configs/applications/home/app-versions/home-v1", document)
        heard = await house.hear(scmp.configuration_changed("tekton", change="delete"))
        lamp = house.instances["lamp"].applications
        assert lamp.find("home") is not None
        reply = await house.call("DELETE", APP)
        assert (reply.status, reply.data) == (204, b"")
        assert (lamp.find("home"), lamp.find_version("home-v1")) == (None, None), "before the answer is given"
        assert [(one.tenant_id, one.app_name, one.app_ver_name) for one in heard] == [("kaa", "home", None)]
        assert await house.get(f"{API}/applications") == []
        assert (await house.call("DELETE", APP)).status == 404
        await house.call("POST", f"{API}/applications", {"name": "home"})
        assert await house.get(f"{API}/app-configs/applications/home") == {}
        assert (await house.get(APP))["versions"] == []

    async def test_a_version_goes_with_its_settings(self, house: House) -> None:
        await with_register(house)
        document = enveloped("lamp", {"brightness": 3}, version="home-v1")
        settings = f"{API}/app-configs/applications/home/app-versions/home-v1"
        await house.call("PUT", settings, document)
        heard = await house.hear(scmp.configuration_changed("tekton", change="delete"))
        assert (await house.call("DELETE", VERSION)).status == 204
        assert house.instances["lamp"].applications.find_version("home-v1") is None
        assert [(one.app_name, one.app_ver_name) for one in heard] == [("home", "home-v1")]
        await house.call("POST", f"{APP}/app-versions", {"nameSuffix": "v1"})
        assert await house.get(settings) == {}

    async def test_one_with_endpoints_stays_until_they_are_gone(self, house: House) -> None:
        [one, other] = await with_register(house, endpoints=2)
        for path, what in ((APP, "application 'home'"), (VERSION, "version 'home-v1'")):
            reply = await house.call("DELETE", path)
            assert (reply.status, reply.message) == (
                409,
                f"{what} has 2 endpoints: delete them or move them elsewhere first",
            )
        await house.call("DELETE", f"/epr/api/v1/endpoints/{one}")
        assert "has an endpoint:" in (await house.call("DELETE", APP)).message
        assert (await house.call("GET", VERSION)).status == 200
        await house.call("DELETE", f"/epr/api/v1/endpoints/{other}")
        assert (await house.call("DELETE", APP)).status == 204

    async def test_a_version_may_go_while_another_has_endpoints(self, house: House) -> None:
        await with_register(house, endpoints=1)
        await house.call("POST", f"{APP}/app-versions", {"nameSuffix": "v2"})
        assert (await house.call("DELETE", f"{APP}/app-versions/home-v2")).status == 204
        assert (await house.call("DELETE", VERSION)).status == 409

    @WHICH
    async def test_without_the_register_nothing_is_deleted(self, house: House, path: str) -> None:
        await with_home(house)
        reply = await house.call("DELETE", path)
        assert (reply.status, reply.message) == (503, "the service epr cannot be reached")
        assert (await house.call("GET", path)).status == 200

    async def test_the_register_may_have_another_name(self, house: House) -> None:
        await house.start(TEKTON, config={"register": "register_2"})
        await house.call("POST", f"{API}/applications", {"name": "home"})
        assert "register_2" in (await house.call("DELETE", APP)).message

    async def test_another_state_than_the_one_named_is_not_deleted(self, house: House) -> None:
        await with_register(house)
        tag = (await house.call("GET", APP)).headers["ETag"]
        await house.call("PATCH", APP, {"displayName": "x"})
        assert (await house.call("DELETE", APP, headers={"If-Match": tag})).status == 412
        tag = (await house.call("GET", APP)).headers["ETag"]
        assert (await house.call("DELETE", APP, headers={"If-Match": tag})).status == 204

    async def test_what_was_deleted_stays_so_after_a_restart(self, house: House) -> None:
        await with_register(house)
        await house.call("POST", f"{API}/applications", {"name": "garden"})
        await house.call("DELETE", APP)
        await house.restart()
        await house.start(TEKTON)
        assert [one["name"] for one in await house.get(f"{API}/applications")] == ["garden"]
