"""Tekton: everything in one document, out and in; and the service instances."""

from io import BytesIO
from typing import Any

import pytest
from house import House
from lamps import API, LAMP, PLAIN, LampSettings, enveloped, with_home

from kaa.core.applications import Declared
from kaa.core.errors import ConfigError
from kaa.modules.cm.module import MODULE as CM
from kaa.modules.epr.module import MODULE as EPR
from kaa.modules.epts.module import MODULE as EPTS
from kaa.modules.epts.settings import EptsSettings
from kaa.modules.tekton.module import MODULE as TEKTON
from kaa.protocols import scmp

BULK = f"{API}/bulk"
ALL: dict[str, Any] = {
    "settings": {"lamp": {"brightness": 5}},
    "applications": {
        "garden": {},
        "home": {
            "displayName": "Home",
            "description": "all of it",
            "settings": {"lamp": {"brightness": 6}},
            "versions": {"v1": {}, "v2": {"displayName": "Second", "settings": {"lamp": {"room-name": "attic"}}}},
        },
    },
}
LOADS = pytest.mark.parametrize("method", ["PUT", "POST"])


def said(reply: Any) -> list[tuple[str, str | None, str | None, str | None]]:
    assert reply.status == 200, reply
    return [
        (one["action"], one["application"], one["version"], one["serviceInstanceName"]) for one in reply.json["changes"]
    ]


class TestLoading:
    @LOADS
    async def test_all_comes_out_as_it_went_in(self, house: House, method: str) -> None:
        await house.start(TEKTON, LAMP)
        reply = await house.call(method, BULK, ALL)
        assert said(reply) == [
            ("added", None, None, "lamp"),
            ("added", "garden", None, None),
            ("added", "home", None, None),
            ("added", "home", None, "lamp"),
            ("added", "home", "home-v1", None),
            ("added", "home", "home-v2", None),
            ("added", "home", "home-v2", "lamp"),
        ]
        assert reply.json["dryRun"] is False
        assert await house.get(BULK) == ALL
        lamp = house.instances["lamp"].applications
        assert lamp.get("garden").settings == LampSettings(brightness=5)
        assert lamp.get_version("home-v1").settings == LampSettings(brightness=6)
        assert lamp.get_version("home-v2").settings == LampSettings(room_name="attic")

    @LOADS
    async def test_a_second_time_it_changes_nothing_and_tells_nobody(self, house: House, method: str) -> None:
        await house.start(TEKTON, LAMP)
        await house.call("PUT", BULK, ALL)
        before = await house.get(f"{API}/applications")
        heard = await house.hear(scmp.configuration_changed("tekton"))
        await house.clock.advance(1_000)
        assert said(await house.call(method, BULK, ALL)) == []
        assert heard == []
        assert await house.get(f"{API}/applications") == before

    async def test_many_changes_are_told_once_and_concern_everything(self, house: House) -> None:
        await house.start(TEKTON, LAMP)
        heard = await house.hear(scmp.configuration_changed("tekton", change="upsert"))
        await house.call("PUT", BULK, ALL)
        assert [(one.tenant_id, one.app_name) for one in heard] == [("kaa", None)]

    async def test_what_is_not_named_stays_and_null_takes_away(self, house: House) -> None:
        await house.start(TEKTON, LAMP)
        await house.call("PUT", BULK, ALL)
        await house.clock.advance(1_000)
        document = {
            "settings": {"lamp": None},
            "applications": {
                "home": {"displayName": None, "versions": {"v2": {"settings": {"lamp": None}}, "v3": None}}
            },
        }
        assert said(await house.call("PUT", BULK, document)) == [
            ("removed", None, None, "lamp"),
            ("changed", "home", None, None),
            ("removed", "home", "home-v2", "lamp"),
            ("added", "home", "home-v3", None),
        ]
        home = ALL["applications"]["home"]
        assert await house.get(BULK) == {
            "applications": {
                "garden": {},
                "home": {
                    "description": "all of it",
                    "settings": home["settings"],
                    "versions": {"v1": {}, "v2": {"displayName": "Second"}, "v3": {}},
                },
            }
        }
        updated = (await house.get(f"{API}/applications/home"))["updatedDate"]
        assert updated == "2025-11-24T16:00:01.000Z"

    async def test_a_dry_run_says_what_would_change_and_changes_nothing(self, house: House) -> None:
        await house.start(TEKTON, LAMP)
        heard = await house.hear(scmp.configuration_changed("tekton"))
        dry = await house.call("PUT", BULK, ALL, params={"dryRun": "true"})
        assert (len(said(dry)), dry.json["dryRun"]) == (7, True)
        assert await house.get(BULK) == {"applications": {}}
        assert heard == []
        assert said(await house.call("PUT", BULK, ALL)) == said(dry)

    async def test_a_version_may_go_by_its_whole_name_but_not_by_both(self, house: House) -> None:
        await with_home(house)
        whole = {"applications": {"home": {"versions": {"home-v1": {"displayName": "x"}}}}}
        assert said(await house.call("PUT", BULK, whole)) == [("changed", "home", "home-v1", None)]
        both = {"applications": {"home": {"versions": {"home-v2": {}, "v2": {}}}}}
        reply = await house.call("PUT", BULK, both)
        assert (reply.status, reply.message) == (
            400,
            "applications.home.versions.home-v2: stands here twice, once without home-",
        )

    async def test_every_mistake_is_named_with_its_place_and_nothing_is_stored(self, house: House) -> None:
        await house.start(TEKTON, LAMP, PLAIN)
        wrong = {
            "settings": {"plain": {}},
            "applications": {
                "Home": {},
                "home": {
                    "settings": {"lamp": {"brightness": "very"}, "nobody": {}},
                    "versions": {"v-1": {}, "v1": {"settings": {"lamp": {"colour": 1}}}},
                },
                "right": {},
            },
        }
        reply = await house.call("PUT", BULK, wrong)
        assert reply.status == 400
        assert [line.split(": ")[0] for line in reply.message.splitlines()] == [
            "applications.Home",
            "applications.home.versions.v-1",
            "settings.plain",
            "applications.home.settings.lamp.brightness",
            "applications.home.settings.nobody",
            "applications.home.versions.v1.settings.lamp.colour",
        ]
        assert await house.get(BULK) == {"applications": {}}

    async def test_a_document_of_another_shape_is_refused_at_its_place(self, house: House) -> None:
        await house.start(TEKTON, LAMP)
        for document, place in (
            ({"application": {}}, "body.application"),
            ({"applications": []}, "body.applications"),
            ({"applications": {"home": {"display-name": "x"}}}, "body.applications.home.display-name"),
            ({"applications": {"home": {"displayName": "x" * 257}}}, "body.applications.home.displayName"),
            ({"applications": {"home": {"settings": {"lamp": 1}}}}, "body.applications.home.settings.lamp"),
            ({"settings": []}, "body.settings"),
            ([], "body"),
            (None, "body"),
        ):
            reply = await house.call("PUT", BULK, document)
            assert (reply.status, reply.message.split(":")[0]) == (400, place)

    async def test_a_version_of_another_application_is_refused(self, house: House) -> None:
        await house.start(TEKTON)
        await house.call("PUT", BULK, {"applications": {"a": {"versions": {"v1": {}}}, "a-b": {}}})
        await house.storage.write(
            lambda c: c.exec_driver_sql("update tekton_version set name = 'a-b-v1' where name = 'a-v1'") and None
        )
        reply = await house.call("PUT", BULK, {"applications": {"a-b": {"displayName": "x", "versions": {"v1": {}}}}})
        assert (reply.status, reply.message) == (
            409,
            "applications.a-b.versions.v1: application 'a' has a version 'a-b-v1' already",
        )
        assert (await house.get(f"{API}/applications/a-b"))["displayName"] is None

    async def test_it_may_be_larger_than_other_bodies(self, house: House) -> None:
        await house.start(TEKTON)
        assert said(await house.call("PUT", BULK, data=BytesIO(b" " * (2 << 20) + b"{}"))) == []

    async def test_a_part_is_given_of_applications_and_instances(self, house: House) -> None:
        await house.start(TEKTON, LAMP)
        await house.call("PUT", BULK, ALL)
        assert await house.get(BULK, appName="home") == {"applications": {"home": ALL["applications"]["home"]}}
        assert "settings" not in await house.get(BULK, serviceInstanceName="other")
        reply = await house.call("GET", BULK, params={"appName": "x"})
        assert (reply.status, reply.message) == (404, "there is no application 'x'")
        for method, body in (("GET", None), ("PUT", {})):
            assert (await house.call(method, BULK, body, params={"tenantId": "other"})).status == 404


class TestTrees:
    """The settings as one tree for each instance."""

    TREES = f"{API}/app-configs"
    ALL = {
        "lamp": {
            "kaa": {"applications": {"home": {"brightness": 6, "versions": {"home-v2": {"room-name": "attic"}}}}},
        }
    }

    async def test_they_are_those_of_the_document(self, house: House) -> None:
        await house.start(TEKTON, LAMP)
        await house.call("PUT", BULK, ALL)
        assert await house.get(self.TREES) == self.ALL
        assert await house.get(self.TREES, serviceInstanceName="other") == {}

    @LOADS
    async def test_they_are_loaded_and_a_second_time_change_nothing(self, house: House, method: str) -> None:
        await with_home(house)
        await house.call("POST", f"{API}/applications/home/app-versions", {"nameSuffix": "v2"})
        expected = [("added", "home", None, "lamp"), ("added", "home", "home-v2", "lamp")]
        assert said(await house.call(method, self.TREES, self.ALL, params={"dryRun": "true"})) == expected
        assert said(await house.call(method, self.TREES, self.ALL)) == expected
        assert await house.get(self.TREES) == self.ALL
        assert said(await house.call(method, self.TREES, self.ALL)) == []
        lamp = house.instances["lamp"].applications
        assert lamp.get_version("home-v2").settings == LampSettings(room_name="attic")

    async def test_versions_alone_leave_the_application_alone_and_null_takes_away(self, house: House) -> None:
        await with_home(house)
        await house.call("PUT", f"{API}/app-configs/applications/home", enveloped("lamp", {"brightness": 2}))
        only = {"lamp": {"kaa": {"applications": {"home": {"versions": {"home-v1": {"brightness": 3}}}}}}}
        assert said(await house.call("POST", self.TREES, only)) == [("added", "home", "home-v1", "lamp")]
        gone = {"lamp": {"kaa": {"applications": {"home": None}}}}
        assert said(await house.call("POST", self.TREES, gone)) == [("removed", "home", None, "lamp")]

    async def test_what_is_not_there_is_not_made(self, house: House) -> None:
        await with_home(house)
        tree = {"x": {}, "home": {"versions": {"home-v9": {}}}}
        reply = await house.call("POST", self.TREES, {"lamp": {"kaa": {"applications": tree}}})
        assert (reply.status, reply.message.splitlines()) == (
            404,
            [
                "applications.x: there is no application 'x'",
                "applications.home.versions.v9: there is no version 'home-v9' of application 'home'",
            ],
        )

    async def test_a_tree_of_another_shape_is_refused_at_its_place(self, house: House) -> None:
        await with_home(house)
        applications = "body.lamp.kaa.applications"
        for document, place in (
            ({"lamp": 1}, "body.lamp"),
            ({"lamp": {"kaa": {"applications": []}}}, applications),
            ({"lamp": {"kaa": {"applications": {"home": 1}}}}, f"{applications}.home"),
            ({"lamp": {"kaa": {"applications": {"home": {"versions": 1}}}}}, f"{applications}.home.versions"),
            ({"lamp": {"kaa": {"applications": {"home": {"colour": 1}}}}}, "applications.home.settings.lamp.colour"),
        ):
            reply = await house.call("POST", self.TREES, document)
            assert (reply.status, reply.message.split(":")[0]) == (400, place)


class TestManagedByTheFile:
    HOME = Declared(
        "home",
        "Home",
        "all of it",
        {"lamp": b'{"brightness":6}'},
        (Declared("v1"), Declared("v2", settings={"lamp": b'{"room-name":"attic"}'})),
    )

    async def started(self, house: House, *declared: Declared) -> None:
        house.core.declared = declared
        await house.start(TEKTON, LAMP)

    async def restarted(self, house: House, *declared: Declared) -> None:
        await house.restart()
        await self.started(house, *declared)

    async def test_its_applications_are_there_from_the_start(self, house: House) -> None:
        await self.started(house, self.HOME)
        found = await house.get(f"{API}/applications/home")
        assert (found["displayName"], found["description"], found["managedByFile"]) == ("Home", "all of it", True)
        assert [(one["name"], one["managedByFile"]) for one in found["versions"]] == [
            ("home-v1", True),
            ("home-v2", True),
        ]
        lamp = house.instances["lamp"].applications
        assert lamp.get_version("home-v1").settings == LampSettings(brightness=6)
        assert lamp.get_version("home-v2").settings == LampSettings(room_name="attic")

    async def test_rest_may_not_write_to_them(self, house: House) -> None:
        house.core.declared = (self.HOME,)
        await house.start(TEKTON, LAMP, CM, EPR)
        body = {"appVersion": {"name": "home-v1"}}
        assert (await house.call("POST", "/epr/api/v1/endpoints", body)).status == 201, "that is no write to them"
        before = await house.get(BULK)
        settings = "app-configs/applications/home"
        of_version = enveloped("lamp", {}, version="home-v1")
        unknown = {"home": {"versions": {"v3": {}}}}
        for method, path, body, what in (
            ("PATCH", "applications/home", {"displayName": "x"}, "application 'home'"),
            ("DELETE", "applications/home", None, "application 'home'"),
            ("POST", "applications/home/app-versions", {"nameSuffix": "v3"}, "application 'home'"),
            ("PATCH", "applications/home/app-versions/home-v1", {"displayName": "x"}, "version 'home-v1'"),
            ("DELETE", "applications/home/app-versions/home-v1", None, "version 'home-v1'"),
            ("PUT", settings, enveloped("lamp", {}), "application 'home'"),
            ("PATCH", settings, enveloped("lamp", {}), "application 'home'"),
            ("PUT", f"{settings}/app-versions/home-v1", of_version, "version 'home-v1'"),
            ("PUT", "bulk", {"applications": {"home": {"displayName": "x"}}}, "applications.home: application 'home'"),
            ("PUT", "bulk", {"applications": unknown}, "applications.home.versions.v3: application 'home'"),
        ):
            reply = await house.call(method, f"{API}/{path}", body)
            assert (reply.status, reply.message) == (
                409,
                (
                    f"{what} is managed by the configuration file: change it there, below applications.home, and start "
                    "the server again"
                ),
            )
        assert await house.get(BULK) == before

    async def test_what_is_as_the_file_has_it_may_be_loaded(self, house: House) -> None:
        await self.started(house, self.HOME)
        assert said(await house.call("PUT", BULK, await house.get(BULK))) == []

    async def test_they_may_be_given_what_no_file_has(self, house: House) -> None:
        """Settings for all applications, and other applications, are not the file's."""
        await self.started(house, self.HOME)
        more = {"settings": {"lamp": {"brightness": 9}}, "applications": {"garden": {}}}
        assert len(said(await house.call("PUT", BULK, more))) == 2

    async def test_a_second_start_changes_nothing(self, house: House) -> None:
        await self.started(house, self.HOME)
        before = await house.get(f"{API}/applications")
        await house.clock.advance(1_000)
        await house.outbox_is_empty()
        await house.restart()
        heard = await house.hear(scmp.configuration_changed("tekton"))
        await self.started(house, self.HOME)
        assert await house.get(f"{API}/applications") == before
        assert heard == []

    async def test_what_the_file_says_differently_is_so_after_the_next_start(self, house: House) -> None:
        await self.started(house, self.HOME)
        await self.restarted(house, Declared("home", settings={}, versions=(Declared("v1", "First"),)))
        found = await house.get(BULK, appName="home")
        assert found["applications"]["home"]["versions"]["v1"] == {"displayName": "First"}
        assert "settings" not in found["applications"]["home"]
        assert house.instances["lamp"].applications.get("home").settings == LampSettings()

    async def test_one_that_rest_has_made_is_the_files_when_it_stands_there(self, house: House) -> None:
        await house.start(TEKTON, LAMP)
        await house.call("PUT", BULK, {"applications": {"home": {"displayName": "x", "versions": {"v9": {}}}}})
        await house.call("PUT", f"{API}/app-configs/applications/home", enveloped("lamp", {"brightness": 2}))
        await self.restarted(house, Declared("home"))
        found = await house.get(f"{API}/applications/home")
        assert (found["displayName"], found["managedByFile"]) == (None, True)
        assert await house.get(f"{API}/app-configs/applications/home") == {}
        assert [(one["name"], one["managedByFile"]) for one in found["versions"]] == [("home-v9", False)]
        patched = await house.call("PATCH", f"{API}/applications/home/app-versions/home-v9", {"displayName": "y"})
        assert patched.status == 200, "the file does not have this version"

    async def test_what_the_file_has_no_more_is_kept_and_ordinary(self, house: House) -> None:
        await self.started(house, self.HOME)
        before = await house.get(BULK)
        await self.restarted(house, Declared("garden"))
        after = await house.get(BULK)
        assert after["applications"] == before["applications"] | {"garden": {}}
        found = await house.get(f"{API}/applications/home")
        assert [found["managedByFile"], *(one["managedByFile"] for one in found["versions"])] == [False] * 3
        assert (await house.call("PATCH", f"{API}/applications/home", {"displayName": "x"})).status == 200

    async def test_a_version_that_the_file_has_no_more_is_ordinary(self, house: House) -> None:
        await self.started(house, self.HOME)
        await self.restarted(house, Declared("home", versions=(Declared("v1"),)))
        found = await house.get(f"{API}/applications/home/app-versions")
        assert [(one["name"], one["managedByFile"]) for one in found] == [("home-v1", True), ("home-v2", False)]

    async def test_a_version_of_another_application_keeps_it_from_starting(self, house: House) -> None:
        await house.start(TEKTON)
        await house.call("PUT", BULK, {"applications": {"a": {"versions": {"v1": {}}}}})
        await house.storage.write(
            lambda c: c.exec_driver_sql("update tekton_version set name = 'a-b-v1' where name = 'a-v1'") and None
        )
        await house.restart()
        with pytest.raises(ConfigError, match=r"applications\.a-b\.versions\.v1: "):
            await self.started(house, Declared("a-b", versions=(Declared("v1"),)))


class TestServiceInstances:
    INSTANCES = f"{API}/service-instances"

    async def test_those_that_answer_are_listed(self, house: House) -> None:
        await with_home(house)
        found = {one["name"]: one for one in await house.get(self.INSTANCES)}
        assert {"lamp", "plain"} <= set(found) <= {"lamp", "plain", "tekton"}
        assert found["lamp"] == {
            "name": "lamp",
            "serviceName": "LAMP",
            "serviceGroup": "Platform",
            "description": "",
            "urlPrefix": "lamp",
            "appConfigurationSchemaPresent": True,
            "appVersionConfigurationSchemaPresent": True,
        }
        assert found["plain"]["appConfigurationSchemaPresent"] is False

    async def test_one_is_given_with_the_schemas_asked_for(self, house: House) -> None:
        await with_home(house)
        one = await house.get(f"{self.INSTANCES}/lamp", include="appConfigurationSchema")
        assert set(one["appConfigurationSchema"]["properties"]) == {"brightness", "room-name"}
        assert "appVersionConfigurationSchema" not in one
        both = await house.get(self.INSTANCES, include="appConfigurationSchema,appVersionConfigurationSchema")
        [lamp] = [found for found in both if found["name"] == "lamp"]
        assert lamp["appVersionConfigurationSchema"] == lamp["appConfigurationSchema"] == one["appConfigurationSchema"]

    async def test_the_schema_is_that_of_the_settings_model(self, house: House) -> None:
        await house.start(TEKTON, EPTS)
        one = await house.get(f"{self.INSTANCES}/epts", include="appConfigurationSchema")
        assert (one["serviceName"], one["serviceGroup"]) == ("EPTS", "Data collection")
        assert one["appConfigurationSchema"] == EptsSettings.model_json_schema(by_alias=True)

    async def test_one_that_is_not_there_is_not_found(self, house: House) -> None:
        await with_home(house)
        reply = await house.call("GET", f"{self.INSTANCES}/kpc")
        assert (reply.status, reply.message) == (404, "there is no service instance 'kpc'")
        assert (await house.call("GET", f"{self.INSTANCES}/a.b")).status == 400
        assert (await house.call("GET", self.INSTANCES, params={"include": "all"})).status == 400
