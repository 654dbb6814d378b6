"""Tekton: applications, their versions, and what each instance is told about them."""

from typing import Any

import pytest
import sqlalchemy as sa
from fakes.clock import START_MS
from house import House
from lamps import API, LAMP, NOW, LampSettings, enveloped, with_home

from kaa.modules.tekton.module import MODULE as TEKTON
from kaa.protocols import scmp, x_settings


class TestApplications:
    async def test_one_that_is_made_is_shown_and_located(self, house: House) -> None:
        await house.start(TEKTON)
        new = {"name": "smart-home", "displayName": "Smart home", "description": "all of it"}
        reply = await house.call("POST", f"{API}/applications", new)
        expected = {**new, "createdDate": NOW, "updatedDate": NOW, "managedByFile": False, "versions": []}
        assert (reply.status, reply.json) == (201, expected)
        assert reply.headers["Location"].endswith("/tekton/api/v1/applications/smart-home")
        assert await house.get(f"{API}/applications/smart-home") == expected
        assert await house.get(f"{API}/applications") == [expected]

    async def test_one_without_a_name_gets_one_made_up(self, house: House) -> None:
        await house.start(TEKTON)
        first = (await house.call("POST", f"{API}/applications")).json
        second = (await house.call("POST", f"{API}/applications", {"displayName": "Second"})).json
        assert first["name"] != second["name"]
        assert {one["name"] for one in await house.get(f"{API}/applications")} == {first["name"], second["name"]}
        assert (second["displayName"], second["description"]) == ("Second", None)

    @pytest.mark.parametrize("name", ["", "Home", "a b", "a.b", "ä", "x" * 65, "home\n"])
    async def test_a_name_of_other_letters_is_refused_by_field(self, house: House, name: str) -> None:
        await house.start(TEKTON)
        reply = await house.call("POST", f"{API}/applications", {"name": name})
        assert (reply.status, reply.message.split(":")[0]) == (400, "body.name")

    async def test_a_name_that_is_taken_is_refused(self, house: House) -> None:
        await house.start(TEKTON)
        await house.call("POST", f"{API}/applications", {"name": "home"})
        reply = await house.call("POST", f"{API}/applications", {"name": "home"})
        assert (reply.status, reply.message) == (409, "name: there is an application 'home' already")

    async def test_names_that_differ_in_a_dash_are_two(self, house: House) -> None:
        await house.start(TEKTON)
        for name in ("a-b", "a_b", "a-b-"):
            assert (await house.call("POST", f"{API}/applications", {"name": name})).status == 201

    async def test_they_are_listed_by_name(self, house: House) -> None:
        await house.start(TEKTON)
        for name in ("b", "c", "a"):
            await house.call("POST", f"{API}/applications", {"name": name})
        assert [one["name"] for one in await house.get(f"{API}/applications")] == ["a", "b", "c"]

    async def test_one_that_is_not_there_is_not_found(self, house: House) -> None:
        await house.start(TEKTON)
        for path in ("", "/app-versions", "/app-versions/x-v1"):
            reply = await house.call("GET", f"{API}/applications/x{path}")
            assert (reply.status, reply.message) == (404, "there is no application 'x'")

    async def test_another_tenant_has_none(self, house: House) -> None:
        await with_home(house)
        other = {"tenantId": "other"}
        assert await house.get(f"{API}/applications", **other) == []
        assert (await house.call("GET", f"{API}/applications/home", params=other)).status == 404
        assert (await house.call("GET", f"{API}/applications", params={"tenantId": "kaa"})).json != []

    async def test_without_a_key_nothing_is_said(self, house: House) -> None:
        await house.start(TEKTON)
        assert (await house.call("GET", f"{API}/applications", has_key=False)).status == 401

    async def test_they_outlive_a_restart(self, house: House) -> None:
        await with_home(house)
        before = await house.get(f"{API}/applications")
        await house.restart()
        await house.start(TEKTON)
        assert await house.get(f"{API}/applications") == before


class TestVersions:
    async def test_one_that_is_made_is_named_after_its_application(self, house: House) -> None:
        await house.start(TEKTON)
        await house.call("POST", f"{API}/applications", {"name": "home"})
        await house.clock.advance(1_500)
        new = {"nameSuffix": "v1", "displayName": "First"}
        reply = await house.call("POST", f"{API}/applications/home/app-versions", new)
        at = "2025-11-24T16:00:01.500Z"
        expected = {
            "name": "home-v1",
            "displayName": "First",
            "description": None,
            "createdDate": at,
            "updatedDate": at,
            "managedByFile": False,
        }
        assert (reply.status, reply.json) == (201, expected)
        path = "/applications/home/app-versions/home-v1"
        assert reply.headers["Location"].endswith(f"/tekton/api/v1{path}")
        assert await house.get(f"{API}{path}") == expected
        assert await house.get(f"{API}/applications/home/app-versions") == [expected]
        assert (await house.get(f"{API}/applications/home"))["versions"] == [expected]

    @pytest.mark.parametrize("suffix", ["", "v-1", "V1", "v_1", "v1\n", None])
    async def test_a_suffix_of_other_letters_is_refused_by_field(self, house: House, suffix: str | None) -> None:
        await house.start(TEKTON)
        await house.call("POST", f"{API}/applications", {"name": "home"})
        reply = await house.call("POST", f"{API}/applications/home/app-versions", {"nameSuffix": suffix})
        assert (reply.status, reply.message.split(":")[0]) == (400, "body.nameSuffix")

    async def test_the_same_suffix_twice_is_refused(self, house: House) -> None:
        await with_home(house)
        reply = await house.call("POST", f"{API}/applications/home/app-versions", {"nameSuffix": "v1"})
        assert (reply.status, reply.message) == (
            409,
            "nameSuffix: application 'home' has a version 'home-v1' already",
        )

    async def test_a_name_that_another_application_has_given_is_refused(self, house: House) -> None:
        """Names from before there were prefixes may look like anything."""
        await with_home(house)
        await house.call("POST", f"{API}/applications", {"name": "garden"})
        old = "insert into tekton_version values ('garden-v1', 'home', null, null, 0, 0, 0)"
        await house.storage.write(lambda connection: connection.execute(sa.text(old)) and None)
        reply = await house.call("POST", f"{API}/applications/garden/app-versions", {"nameSuffix": "v1"})
        assert (reply.status, "'home'" in reply.message) == (409, True)
        assert await house.get(f"{API}/applications/garden/app-versions") == []

    async def test_one_of_an_application_that_is_not_there_is_not_found(self, house: House) -> None:
        await house.start(TEKTON)
        reply = await house.call("POST", f"{API}/applications/home/app-versions", {"nameSuffix": "v1"})
        assert (reply.status, reply.message) == (404, "there is no application 'home'")

    async def test_one_is_not_found_under_another_application(self, house: House) -> None:
        await with_home(house)
        await house.call("POST", f"{API}/applications", {"name": "garden"})
        reply = await house.call("GET", f"{API}/applications/garden/app-versions/home-v1")
        assert (reply.status, reply.message) == (404, "application 'garden' has no version 'home-v1'")


class TestSettings:
    APP, VERSION = f"{API}/app-configs/applications/home", f"{API}/app-configs/applications/home/app-versions/home-v1"

    async def test_those_of_an_application_are_put_and_read_in_their_envelope(self, house: House) -> None:
        await with_home(house)
        document = enveloped("lamp", {"brightness": 7})
        reply = await house.call("PUT", self.APP, document)
        assert (reply.status, reply.json) == (200, document)
        assert await house.get(self.APP) == document
        assert await house.get(self.VERSION) == {}

    async def test_those_of_a_version_are_put_and_read_in_their_envelope(self, house: House) -> None:
        await with_home(house)
        document = enveloped("lamp", {"brightness": 7, "room-name": "hall"}, version="home-v1")
        reply = await house.call("PUT", self.VERSION, document)
        assert (reply.status, reply.json) == (200, document)
        assert await house.get(self.VERSION) == document
        assert await house.get(self.APP) == {}

    async def test_the_instance_takes_them_over_before_the_answer_is_given(self, house: House) -> None:
        await with_home(house)
        lamp = house.instances["lamp"].applications
        assert lamp.get_version("home-v1").settings == LampSettings()
        await house.call("PUT", self.APP, enveloped("lamp", {"brightness": 7}))
        assert lamp.get("home").settings == lamp.get_version("home-v1").settings == LampSettings(brightness=7)
        document = enveloped("lamp", {"room-name": "hall"}, version="home-v1")
        await house.call("PUT", self.VERSION, document)
        assert lamp.get("home").settings == LampSettings(brightness=7)
        assert lamp.get_version("home-v1").settings == LampSettings(room_name="hall"), "they replace the application's"

    async def test_put_leaves_instances_alone_that_it_does_not_name(self, house: House) -> None:
        await with_home(house)
        await house.call("PUT", self.APP, enveloped("lamp", {"brightness": 7}))
        reply = await house.call("PUT", self.APP, {})
        assert (reply.status, reply.json) == (200, enveloped("lamp", {"brightness": 7}))

    async def test_null_takes_them_away(self, house: House) -> None:
        await with_home(house)
        await house.call("PUT", self.APP, enveloped("lamp", {"brightness": 7}))
        reply = await house.call("PUT", self.APP, enveloped("lamp", None))
        assert (reply.status, reply.json) == (200, {})
        assert house.instances["lamp"].applications.get("home").settings == LampSettings()

    async def test_they_are_read_for_the_instances_asked_for(self, house: House) -> None:
        await house.start(TEKTON, LAMP)
        await house.start(LAMP, name="lantern")
        await house.call("POST", f"{API}/applications", {"name": "home"})
        both = enveloped("lamp", {"brightness": 1}) | enveloped("lantern", {"brightness": 2})
        assert (await house.call("PUT", self.APP, both)).json == both
        for params in ([("serviceInstanceName", "lamp"), ("serviceInstanceName", "other")],):
            reply = await house.call("GET", self.APP, params=params)
            assert reply.json == enveloped("lamp", {"brightness": 1})
        assert await house.get(self.APP, serviceInstanceName="lamp,lantern") == both
        assert (await house.call("GET", self.APP, params={"tenantId": "other"})).status == 404

    async def test_the_instance_they_belong_to_may_refuse_and_then_nothing_is_stored(self, house: House) -> None:
        await with_home(house)
        document = enveloped("lamp", {"brightness": "very"})
        reply = await house.call("PUT", self.APP, document)
        assert (reply.status, reply.message.startswith("lamp: brightness: ")) == (400, True)
        assert await house.get(self.APP) == {}

    async def test_one_bad_document_of_two_stores_neither(self, house: House) -> None:
        await house.start(TEKTON, LAMP)
        await house.start(LAMP, name="lantern")
        await house.call("POST", f"{API}/applications", {"name": "home"})
        heard = await house.hear(scmp.configuration_changed("tekton"))
        both = enveloped("lamp", {"brightness": 1}) | enveloped("lantern", {"unknown": 2})
        reply = await house.call("PUT", self.APP, both)
        assert (reply.status, reply.message.startswith("lantern: unknown: ")) == (400, True)
        assert await house.get(self.APP) == {}
        assert heard == []

    async def test_an_instance_without_settings_refuses_all(self, house: House) -> None:
        await with_home(house)
        reply = await house.call("PUT", self.APP, enveloped("plain", {}))
        assert (reply.status, reply.message) == (400, "plain: plain has no settings for applications")

    @pytest.mark.parametrize("settings", [{}, None])
    async def test_an_instance_that_is_not_there_is_refused(self, house: House, settings: Any) -> None:
        await with_home(house)
        reply = await house.call("PUT", self.APP, enveloped("nobody", settings))
        assert (reply.status, reply.message) == (400, "there is no instance 'nobody'")

    async def test_what_an_instance_has_left_behind_may_be_taken_away(self, house: House) -> None:
        await with_home(house)
        await house.call("PUT", self.APP, enveloped("lamp", {}))
        await house.restart()
        await house.start(TEKTON)
        assert (await house.call("PUT", self.APP, enveloped("lamp", {"brightness": 2}))).status == 400
        assert (await house.call("PUT", self.APP, enveloped("lamp", None))).json == {}

    @pytest.mark.parametrize("instance", ["", "a.b", "*", "A", "kaa>"])
    async def test_what_cannot_be_an_instances_name_is_refused(self, house: House, instance: str) -> None:
        await with_home(house)
        reply = await house.call("PUT", self.APP, enveloped(instance, {}))
        assert (reply.status, reply.message.split(":")[0]) == (400, "instance")

    @pytest.mark.parametrize(
        ("document", "place"),
        [
            ({"lamp": 1}, "body.lamp"),
            ({"lamp": {"kaa": {}, "more": 1}}, "body.lamp"),
            ({"lamp": {"kaa": {"applications": {}}}}, "body.lamp.kaa.applications"),
            ({"lamp": {"kaa": {"applications": {"garden": {}}}}}, "body.lamp.kaa.applications"),
            ({"lamp": {"kaa": {"applications": {"home": 5}}}}, "body.lamp.kaa.applications.home"),
            ([], "body"),
        ],
    )
    async def test_an_envelope_of_another_shape_is_refused_at_its_place(
        self, house: House, document: Any, place: str
    ) -> None:
        await with_home(house)
        reply = await house.call("PUT", self.APP, document)
        assert (reply.status, reply.message.split(":")[0]) == (400, place)

    async def test_those_of_something_that_is_not_there_are_not_found(self, house: House) -> None:
        await with_home(house)
        app, version = "/app-configs/applications/x", "/app-configs/applications/home/app-versions/x-v1"
        document = enveloped("lamp", {}, version="x-v1")
        for method, body in (("GET", None), ("PUT", enveloped("lamp", {}, app="x"))):
            reply = await house.call(method, API + app, body)
            assert (reply.status, reply.message) == (404, "there is no application 'x'")
        for method, body in (("GET", None), ("PUT", document)):
            reply = await house.call(method, API + version, body)
            assert (reply.status, reply.message) == (404, "application 'home' has no version 'x-v1'")

    async def test_numbers_and_letters_come_back_as_they_went_in(self, house: House) -> None:
        await with_home(house)
        document = enveloped("lamp", {"brightness": 2**60, "room-name": 'ä"€\u2028 \\'})
        await house.call("PUT", self.APP, document)
        assert await house.get(self.APP) == document


class TestEvents:
    async def test_every_change_is_told_with_its_scope(self, house: House) -> None:
        await house.start(TEKTON, LAMP)
        heard = await house.hear(scmp.configuration_changed("tekton", change="upsert"))
        await house.call("POST", f"{API}/applications", {"name": "home"})
        await house.call("POST", f"{API}/applications/home/app-versions", {"nameSuffix": "v1"})
        await house.call("PUT", TestSettings.APP, enveloped("lamp", {"brightness": 2}))
        await house.call("PUT", TestSettings.VERSION, enveloped("lamp", {}, version="home-v1"))
        scopes = [(event.tenant_id, event.app_name, event.app_ver_name) for event in heard]
        assert scopes == [
            ("kaa", "home", None),
            ("kaa", "home", "home-v1"),
            ("kaa", "home", None),
            ("kaa", "home", "home-v1"),
        ]
        assert {event.originator_replica_id for event in heard} == {house.bus.replica}
        assert {event.timestamp_ms for event in heard} == {START_MS}
        assert len({event.correlation_id for event in heard}) == 4
        await house.outbox_is_empty()

    async def test_what_changes_nothing_is_not_told(self, house: House) -> None:
        await with_home(house)
        heard = await house.hear(scmp.configuration_changed("tekton"))
        for _ in range(2):
            await house.call("PUT", TestSettings.APP, enveloped("lamp", {"brightness": 2}))
        await house.call("POST", f"{API}/applications", {"name": "home"})
        assert len(heard) == 1

    async def test_one_that_was_not_answered_is_told_again_after_a_restart(self, house: House) -> None:
        await house.start(TEKTON)
        deaf = await house.hear(scmp.configuration_changed("tekton"), status=None)
        reply = await house.call("POST", f"{API}/applications", {"name": "home"})
        assert (reply.status, len(deaf)) == (201, 1), "the answer waits for a second at most"
        await house.restart()
        heard = await house.hear(scmp.configuration_changed("tekton"))
        await house.start(TEKTON)
        await house.outbox_is_empty()
        assert [event.correlation_id for event in heard] == [deaf[0].correlation_id]


class TestOverTheBus:
    ASK = x_settings.settings_of("tekton")

    async def test_an_instance_is_told_all_of_its_settings_and_of_nobody_elses(self, house: House) -> None:
        await with_home(house)
        await house.call("POST", f"{API}/applications", {"name": "garden"})
        await house.call("PUT", TestSettings.APP, enveloped("lamp", {"brightness": 2}))
        await house.call("PUT", TestSettings.VERSION, enveloped("lamp", {"brightness": 3}, version="home-v1"))
        told = await house.request(self.ASK, instance_name="lamp")
        assert told.status_code == 200
        assert told.applications == (
            x_settings.ApplicationSettings(name="garden", settings=None, versions=()),
            x_settings.ApplicationSettings(
                name="home",
                settings=b'{"brightness":2}',
                versions=(x_settings.VersionSettings(name="home-v1", settings=b'{"brightness":3}'),),
            ),
        )
        other = await house.request(self.ASK, instance_name="kpc")
        assert [(one.name, one.settings) for one in other.applications] == [("garden", None), ("home", None)]

    async def test_one_application_may_be_asked_for(self, house: House) -> None:
        await with_home(house)
        await house.call("POST", f"{API}/applications", {"name": "garden"})
        told = await house.request(self.ASK, instance_name="lamp", app_name="home")
        assert [one.name for one in told.applications] == ["home"]
        told = await house.request(self.ASK, instance_name="lamp", app_name="nowhere")
        assert (told.status_code, told.applications) == (200, ())

    async def test_the_revision_grows_with_every_change_and_outlives_a_restart(self, house: House) -> None:
        await house.start(TEKTON, LAMP)

        async def revision() -> int:
            return (await house.request(self.ASK, instance_name="lamp")).revision

        seen = [await revision()]
        for change in (
            ("POST", f"{API}/applications", {"name": "home"}),
            ("POST", f"{API}/applications/home/app-versions", {"nameSuffix": "v1"}),
            ("PUT", TestSettings.APP, enveloped("lamp", {"brightness": 2})),
        ):
            await house.call(*change)
            seen.append(await revision())
        assert seen == sorted(set(seen))
        await house.call("POST", f"{API}/applications", {"name": "home"})
        await house.restart()
        await house.start(TEKTON)
        assert await revision() == seen[-1]

    async def test_it_answers_under_whatever_name_it_runs(self, house: House) -> None:
        await house.start(TEKTON, name="tekton_2")
        assert (await house.call("POST", "/tekton_2/api/v1/applications", {"name": "home"})).status == 201
        told = await house.request(x_settings.settings_of("tekton_2"), instance_name="lamp")
        assert [one.name for one in told.applications] == ["home"]
