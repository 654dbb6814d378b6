"""ECR: configurations for those that match a filter, once or for as long as they do, and which of several counts."""

from collections.abc import Callable
from typing import Any

import pytest
from configuring import APPLICATIONS, NOW
from house import House
from keeping import ALL, ONE, SIZED, Keeper
from waiting import until

from kaa.core.applications import Application, Version
from kaa.core.config.units import validate_written
from kaa.core.errors import StorageFull
from kaa.modules.cm.module import MODULE as CM
from kaa.modules.ecr.config import EcrSettings
from kaa.modules.ecr.module import MODULE as ECR
from kaa.modules.ecr.repository import ConfigurationRepository
from kaa.modules.epr.module import MODULE as EPR
from kaa.protocols import efe, elce

F1 = "/endpoints/filters/f1"
F2 = "/endpoints/filters/f2"
TWO = "/endpoints/dev-2/app-versions/home-v1"
THREE = "/endpoints/dev-3/app-versions/home-v2"


@pytest.fixture
async def ecr(house: House) -> Keeper:
    made = await Keeper(house).open()
    made.register.filters = {"f1": ["dev-1"], "f2": ["dev-1", "dev-3"]}
    return made


async def once(ecr: Keeper, path: str, config: Any, **params: Any) -> None:
    await ecr.put(path, config, status=204, **params)


async def attach(ecr: Keeper, path: str, config: Any, **params: Any) -> None:
    await ecr.put(path, config, status=204, attach="true", **params)


async def tell(ecr: Keeper, subject: Any, *, at_ms: int | None = None, **fields: Any) -> None:
    """Tell of a filter as EPR does, and wait until ECR has heard."""
    when = {} if at_ms is None else {"timestamp_ms": at_ms}
    ecr.house.publish(
        subject, filter_id=subject.name.split(".")[-2], application_name="home", filter_name=None, **when, **fields
    )
    await ecr.devices.quiet()


async def matched(ecr: Keeper, endpoint: str, filter_id: str = "f1", **rest: Any) -> None:
    ecr.register.filters[filter_id].append(endpoint)
    subject = efe.endpoint_matched(filter_id, originator="epr")
    await tell(ecr, subject, app_version_name=ecr.register.endpoints[endpoint][1], endpoint_id=endpoint, **rest)


async def unmatched(ecr: Keeper, endpoint: str, filter_id: str = "f1", **rest: Any) -> None:
    ecr.register.filters[filter_id].remove(endpoint)
    subject = efe.endpoint_unmatched(filter_id, originator="epr")
    await tell(ecr, subject, app_version_name=ecr.register.endpoints[endpoint][1], endpoint_id=endpoint, **rest)


async def changing_meanwhile(ecr: Keeper, change: Callable[[], Any]) -> None:
    """Have something happen to the filters as soon as ECR has been answered who matches one."""
    asked = ecr.register.on_filter

    async def on_filter(request: Any) -> Any:
        answer = await asked(request)
        change()
        return answer

    ecr.register.on_filter = on_filter  # type: ignore[method-assign]
    await ecr.restart()


class TestOnce:
    async def test_those_that_match_now_get_it_as_their_own(self, ecr: Keeper) -> None:
        await ecr.devices.connect("dev-1", "dev-2")
        await once(ecr, F2, 1, name="net")
        assert [await ecr.found(path, name="net") for path in (ONE, THREE)] == [1, 1]
        assert ecr.news() == [("dev-1", "home-v1", 1)]
        await ecr.refused(404, "endpoint 'dev-2' has", "GET", TWO, name="net")
        assert await ecr.state("dev-3") == {"1": "PENDING"}

    async def test_who_comes_to_match_later_does_not_and_who_ceases_to_keeps_it(self, ecr: Keeper) -> None:
        await once(ecr, F1, 1)
        await matched(ecr, "dev-2")
        await unmatched(ecr, "dev-1")
        assert (await ecr.ask("dev-2")).content == b"null"
        assert (await ecr.ask("dev-1")).content == b"1"

    async def test_nothing_is_attached(self, ecr: Keeper) -> None:
        await once(ecr, F1, 1, attach="false")
        for method in ("GET", "DELETE"):
            await ecr.refused(404, "filter 'f1' has no configuration 'default'", method, F1)

    async def test_it_takes_the_place_of_what_they_had(self, ecr: Keeper) -> None:
        await ecr.put(ONE, "mine")
        await once(ecr, F1, "of the filter")
        assert await ecr.found(ONE) == "of the filter"

    async def test_where_nobody_matches_nobody_gets_it(self, ecr: Keeper) -> None:
        ecr.register.filters["f1"] = []
        await once(ecr, F1, 1)
        assert not any((await ecr.kept()).values())

    async def test_many_get_it_in_parts(self, ecr: Keeper) -> None:
        crowd = [f"c-{number}" for number in range(1_500)]
        ecr.register.endpoints |= dict.fromkeys(crowd, ("home", "home-v1"))
        ecr.register.filters["f1"] = crowd
        await once(ecr, F1, 1)
        assert {row[1] for row in (await ecr.kept())["ecr_config"]} == set(crowd)

    async def test_when_the_storage_takes_a_part_only_that_part_is_told_and_the_rest_can_be_tried_again(
        self, ecr: Keeper, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        crowd = [f"c-{number:04d}" for number in range(1_001)]
        ecr.register.endpoints |= dict.fromkeys(crowd, ("home", "home-v1"))
        ecr.register.filters["f1"] = crowd
        await ecr.devices.connect(crowd[0], crowd[-1])
        works, failures = ConfigurationRepository.put_many, [StorageFull("the disk is full; nothing was stored")]

        async def fails(self: Any, targets: Any, *args: Any, **rest: Any) -> None:
            if len(targets) == 1 and failures:
                raise failures.pop()
            await works(self, targets, *args, **rest)

        monkeypatch.setattr(ConfigurationRepository, "put_many", fails)
        reply = await ecr.call("PUT", F1, 1)
        assert (reply.status, reply.message) == (507, "the disk is full; nothing was stored")
        await ecr.devices.quiet()
        assert ecr.news() == [(crowd[0], "home-v1", 1)]
        await once(ecr, F1, 1)
        assert ecr.news() == [(crowd[-1], "home-v1", 1)]


class TestAttached:
    async def test_it_can_be_read_and_is_nobodys_own(self, ecr: Keeper) -> None:
        await attach(ecr, F1, {"a": 1})
        reply = await ecr.call("GET", F1)
        config_id = reply.json["configId"]
        assert reply.json == {
            "configId": config_id,
            "name": "default",
            "config": '{"a":1}',
            "createdDate": NOW,
            "updatedDate": NOW,
        }
        assert reply.headers["ETag"] == f'"{config_id}"'
        assert (await ecr.call("GET", F1, headers={"If-None-Match": config_id})).status == 304
        await ecr.refused(404, "endpoint 'dev-1' has", "GET", ONE)

    async def test_those_that_match_are_to_have_it(self, ecr: Keeper) -> None:
        await ecr.devices.connect("dev-1", "dev-2")
        await attach(ecr, F2, 1)
        assert ecr.news() == [("dev-1", "home-v1", 1)]
        answers = [await ecr.ask(*one) for one in (("dev-1",), ("dev-2",), ("dev-3", "home-v2"))]
        assert [one.content for one in answers] == [b"1", b"null", b"1"]

    async def test_who_comes_to_match_later_gets_it_too(self, ecr: Keeper) -> None:
        await attach(ecr, F1, 1)
        await ecr.devices.connect("dev-2")
        await matched(ecr, "dev-2")
        assert ecr.news() == [("dev-2", "home-v1", 1)]
        assert await ecr.state("dev-2") == {"1": "DISPATCHED"}
        assert (await ecr.ask("dev-2")).content == b"1"

    async def test_who_ceases_to_match_gets_what_then_applies(self, ecr: Keeper) -> None:
        await ecr.put(ALL, "of the version")
        await attach(ecr, F1, "of the filter")
        await ecr.devices.connect("dev-1")
        assert (await ecr.ask()).content == b'"of the filter"'
        ecr.news()
        await unmatched(ecr, "dev-1")
        assert ecr.news() == [("dev-1", "home-v1", "of the version")]
        await matched(ecr, "dev-1", at_ms=ecr.house.clock.now_ms() + 1)
        assert ecr.news() == [("dev-1", "home-v1", "of the filter")]

    async def test_each_name_of_its_own(self, ecr: Keeper) -> None:
        await attach(ecr, F1, 1)
        await attach(ecr, F1, 2, name="net")
        await ecr.devices.connect("dev-2")
        await matched(ecr, "dev-2")
        assert sorted(ecr.news()) == [("dev-2", "home-v1", 1), ("dev-2", "home-v1", 2)]
        await ecr.delete(F1)
        assert set(await ecr.effective(("dev-2", "home-v1"))) == {("dev-2", "net")}
        await unmatched(ecr, "dev-2")
        assert await ecr.effective(("dev-2", "home-v1")) == {}

    async def test_another_in_its_place_reaches_those_that_came_later(self, ecr: Keeper) -> None:
        await attach(ecr, F1, 1)
        await matched(ecr, "dev-2")
        await ecr.devices.connect("dev-1", "dev-2")
        await attach(ecr, F1, 2)
        assert sorted(ecr.news()) == [("dev-1", "home-v1", 2), ("dev-2", "home-v1", 2)]

    async def test_the_same_again_is_told_nobody_twice(self, ecr: Keeper) -> None:
        await ecr.devices.connect("dev-1")
        await attach(ecr, F1, 1)
        before = (await ecr.call("GET", F1)).json
        await ecr.house.clock.advance(5_000)
        await attach(ecr, F1, 1)
        assert ecr.news() == [("dev-1", "home-v1", 1)]
        assert (await ecr.call("GET", F1)).json == before

    async def test_who_comes_to_match_another_filter_is_not_concerned(self, ecr: Keeper) -> None:
        await attach(ecr, F1, 1)
        await ecr.devices.connect("dev-2")
        await matched(ecr, "dev-2", "f2")
        assert ecr.news() == []
        assert {row[1] for row in (await ecr.kept())["ecr_member"]} == {"f1"}

    async def test_it_outlives_a_restart(self, ecr: Keeper) -> None:
        await attach(ecr, F1, 1)
        await matched(ecr, "dev-2")
        await ecr.restart()
        assert (await ecr.ask()).content == (await ecr.ask("dev-2")).content == b"1"
        await unmatched(ecr, "dev-2", at_ms=ecr.house.clock.now_ms() + 1)
        assert (await ecr.ask("dev-2")).content == b"null"


class TestDetaching:
    async def test_what_then_applies_is_told(self, ecr: Keeper) -> None:
        await ecr.put(ALL, "of the version")
        await attach(ecr, F2, "of the filter")
        await ecr.devices.connect("dev-1", "dev-2")
        await ecr.ask()
        await ecr.ask("dev-2")
        await ecr.delete(F2)
        assert ecr.news() == [("dev-1", "home-v1", "of the version")]
        await ecr.refused(404, "filter 'f2' has no configuration 'default'", "GET", F2)
        await ecr.refused(404, "filter 'f2' has no configuration 'default'", "DELETE", F2)

    async def test_nobody_is_kept_of_whom_nothing_is_wanted(self, ecr: Keeper) -> None:
        await attach(ecr, F1, 1)
        await attach(ecr, F1, 2, name="net")
        await ecr.delete(F1)
        assert len((await ecr.kept())["ecr_member"]) == 1
        await ecr.delete(F1, name="net")
        assert (await ecr.kept())["ecr_member"] == set()

    async def test_who_matched_then_does_not_get_what_is_attached_later(self, ecr: Keeper) -> None:
        await attach(ecr, F1, 1)
        await ecr.delete(F1)
        await unmatched(ecr, "dev-1")
        await ecr.devices.connect("dev-1")
        await attach(ecr, F1, 2)
        assert ecr.news() == []
        assert (await ecr.ask()).content == b"null"

    async def test_a_filter_that_is_deleted_takes_all_that_is_attached_along(self, ecr: Keeper) -> None:
        await ecr.put(ALL, 0)
        await attach(ecr, F1, 1)
        await attach(ecr, F1, 2, name="net")
        await ecr.devices.connect("dev-1")
        await ecr.ask()
        await tell(ecr, efe.filter_deleted("f1", originator="epr"))
        assert ecr.news() == [("dev-1", "home-v1", 0)]
        for name in ("default", "net"):
            await ecr.refused(404, "filter 'f1' has no configuration", "GET", F1, name=name)
        assert (await ecr.kept())["ecr_member"] == set()

    async def test_one_that_has_nothing_attached_leaves_everything_as_it_is(self, ecr: Keeper) -> None:
        await attach(ecr, F1, 1)
        before = await ecr.kept()
        await tell(ecr, efe.filter_deleted("f2", originator="epr"))
        assert await ecr.kept() == before


class TestAnotherQuery:
    async def test_who_matches_is_asked_for_anew(self, ecr: Keeper) -> None:
        await ecr.put(ALL, "of the version")
        await attach(ecr, F1, "of the filter")
        await ecr.devices.connect("dev-1", "dev-2")
        for one in ("dev-1", "dev-2"):
            await ecr.ask(one)
        ecr.register.filters["f1"] = ["dev-2"]
        await ecr.house.clock.advance(1)
        await tell(ecr, efe.filter_activated("f1", originator="epr"))
        assert sorted(ecr.news()) == [("dev-1", "home-v1", "of the version"), ("dev-2", "home-v1", "of the filter")]

    async def test_nobody_is_asked_where_nothing_is_attached(self, ecr: Keeper) -> None:
        await tell(ecr, efe.filter_activated("f1", originator="epr"))
        assert ecr.register.asked == 0

    async def test_what_happened_after_the_question_counts_more_than_the_answer(self, ecr: Keeper) -> None:
        await attach(ecr, F1, 1)
        later = ecr.house.clock.now_ms() + 10
        await matched(ecr, "dev-2", at_ms=later)
        await unmatched(ecr, "dev-1", at_ms=later)
        ecr.register.filters["f1"] = ["dev-1"]
        await ecr.house.clock.advance(5)
        await tell(ecr, efe.filter_activated("f1", originator="epr"))
        assert ((await ecr.ask()).content, (await ecr.ask("dev-2")).content) == (b"null", b"1")

    async def test_events_count_in_the_order_of_their_times(self, ecr: Keeper) -> None:
        await attach(ecr, F1, 1)
        now = ecr.house.clock.now_ms()
        await unmatched(ecr, "dev-1", at_ms=now + 20)
        await matched(ecr, "dev-1", at_ms=now + 10)
        assert (await ecr.ask()).content == b"null"
        await tell(
            ecr,
            efe.endpoint_matched("f1", originator="epr"),
            at_ms=now + 30,
            app_version_name="home-v1",
            endpoint_id="dev-1",
        )
        assert (await ecr.ask()).content == b"1"


class TestWhichCounts:
    async def test_the_endpoints_own_then_the_filters_then_the_versions(self, ecr: Keeper) -> None:
        await ecr.put(ONE, "endpoint")
        await attach(ecr, F1, "filter")
        await ecr.put(ALL, "version")
        await ecr.devices.connect("dev-1")
        ecr.news()
        assert await ecr.has_to_have() == "endpoint"
        await ecr.delete(ONE)
        assert await ecr.has_to_have() == "filter"
        await ecr.delete(F1)
        assert await ecr.has_to_have() == "version"
        await ecr.delete(ALL)
        assert await ecr.effective(("dev-1", "home-v1")) == {}
        assert [config for _, _, config in ecr.news()] == ["filter", "version"]

    async def test_what_is_changed_further_off_is_not_told_to_those_that_have_something_closer(
        self, ecr: Keeper
    ) -> None:
        await ecr.devices.connect("dev-1", "dev-2")
        await ecr.put(ONE, "endpoint")
        ecr.news()
        await ecr.put(ALL, "version")
        assert ecr.news() == [("dev-2", "home-v1", "version")]
        await attach(ecr, F1, "filter")
        assert ecr.news() == []
        assert await ecr.has_to_have() == "endpoint"

    async def test_of_several_filters_the_newest(self, ecr: Keeper) -> None:
        await attach(ecr, F2, "second")
        await attach(ecr, F1, "first")
        assert await ecr.has_to_have() == "first"
        await attach(ecr, F2, "second again")
        assert await ecr.has_to_have() == "second again"
        await attach(ecr, F1, "first")  # which changes nothing
        assert await ecr.has_to_have() == "second again"
        await unmatched(ecr, "dev-1", "f2")
        assert await ecr.has_to_have() == "first"

    async def test_each_name_by_itself(self, ecr: Keeper) -> None:
        await ecr.put(ONE, "endpoint", name="net")
        await attach(ecr, F1, "filter")
        assert await ecr.has_to_have() == "filter"
        assert await ecr.has_to_have(name="net") == "endpoint"

    async def test_a_filter_does_where_the_endpoints_version_takes_it(self, house: House) -> None:
        ecr = await Keeper(house, {"home-v2": {"endpointConfigurationSchema": SIZED}}).open()
        ecr.register.filters["f1"] = ["dev-1"]
        await ecr.put("/app-versions/home-v2", {"size": 1})
        await attach(ecr, F1, "no object")
        await matched(ecr, "dev-3")
        assert await ecr.has_to_have("dev-3", "home-v2") == {"size": 1}
        await attach(ecr, "/endpoints/filters/f1", {"size": 2})
        assert await ecr.has_to_have("dev-3", "home-v2") == {"size": 2}

    async def test_that_changes_with_the_schema(self, ecr: Keeper) -> None:
        await ecr.put(ALL, {"size": 1})
        await attach(ecr, F1, "no object")
        assert await ecr.has_to_have() == "no object"
        instance = ecr.house.instances["ecr"]
        settings = validate_written(EcrSettings, {"endpoint-configuration": {"schema": SIZED}})
        before = instance.applications.all()
        home = Application("home", settings, {"home-v1": Version("home-v1", "home", settings)})
        instance.applications.replace([home], only="home")
        assert await ecr.has_to_have() == {"size": 1}
        instance.applications.replace(before)
        assert await ecr.has_to_have() == "no object"

    async def test_one_that_moves_takes_its_filters_along(self, ecr: Keeper) -> None:
        await attach(ecr, F1, "filter")
        await ecr.put("/app-versions/home-v2", "version 2")
        assert (await ecr.ask("dev-1", "home-v2")).content == b'"filter"'


class TestEndpointsThatGo:
    async def test_they_match_nothing_any_more(self, ecr: Keeper) -> None:
        await attach(ecr, F1, 1)
        await ecr.house.clock.advance(1)
        ecr.house.publish(elce.unregistered("epr"), app_version_name="home-v1", endpoint_id="dev-1")
        await ecr.devices.quiet()
        assert (await ecr.kept())["ecr_member"] == set()
        assert await ecr.effective(("dev-1", "home-v1")) == {}

    async def test_with_the_real_register_members_come_and_go(self, house: House) -> None:
        ecr = Keeper(house)
        await house.start(CM)
        await house.start(EPR, applications=APPLICATIONS)
        await house.start(ECR, applications=APPLICATIONS)
        api = "/epr/api/v1"
        for one, floor in (("dev-1", 1), ("dev-2", 2)):
            made = {"appVersion": {"name": "home-v1"}, "endpointId": one, "metadata": {"floor": floor}}
            assert (await house.call("POST", f"{api}/endpoints", made)).status == 201
        low = {"metadata": {"$elemMatch": {"key": "floor", "value": 1}}}
        reply = await house.call("POST", f"{api}/applications/home/filters", {"mongoQuery": low})
        assert reply.status == 201, reply
        filter_id = reply.json["id"]

        async def is_active() -> bool:
            status: str = (await house.get(f"{api}/applications/home/filters/{filter_id}"))["status"]
            return status == "active"

        await until(is_active)
        await attach(ecr, f"/endpoints/filters/{filter_id}", "low")
        assert set(await ecr.effective(("dev-1", "home-v1"), ("dev-2", "home-v1"))) == {("dev-1", "default")}
        for one, floor in (("dev-1", 2), ("dev-2", 1)):
            await house.clock.advance(1)
            assert (await house.call("PUT", f"{api}/endpoints/{one}/metadata", {"floor": floor})).status in {200, 204}
        await ecr.devices.quiet()
        assert set(await ecr.effective(("dev-1", "home-v1"), ("dev-2", "home-v1"))) == {("dev-2", "default")}
        assert (await house.call("DELETE", f"{api}/applications/home/filters/{filter_id}")).status in {200, 204}
        await ecr.devices.quiet()
        assert await ecr.effective(("dev-2", "home-v1")) == {}


class TestWhatIsWrong:
    async def test_what_the_register_refuses_is_handed_on_and_nothing_is_stored(self, ecr: Keeper) -> None:
        ecr.register.pending = {"f2"}
        for more in ({}, {"attach": "true"}):
            await ecr.refused(404, "the filter says 404", "PUT", "/endpoints/filters/x", 1, **more)
            await ecr.refused(409, "the filter says 409", "PUT", F2, 1, **more)

    async def test_a_name_that_cannot_be_one_is_refused(self, ecr: Keeper) -> None:
        await attach(ecr, F1, 1)
        for name in ("42", "status", "error", "a/b", ""):
            for more in ({}, {"attach": "true"}):
                await ecr.refused(400, f"name: {name!r} ", "PUT", F1, 2, name=name, **more)
            for method in ("GET", "DELETE"):
                await ecr.refused(400, f"name: {name!r} ", method, F1, name=name)

    async def test_attach_is_a_yes_or_a_no(self, ecr: Keeper) -> None:
        for word in ("maybe", "", "2"):
            await ecr.refused(400, "query.attach: ", "PUT", F1, 1, attach=word)

    async def test_a_change_of_another_state_is_not_made(self, ecr: Keeper) -> None:
        await ecr.refused(412, "If-Match", "PUT", F1, 1, attach="true", headers={"If-Match": "*"})
        await attach(ecr, F1, 1)
        for method, body in (("PUT", {"body": 2, "attach": "true"}), ("DELETE", {})):
            await ecr.refused(412, "If-Match", method, F1, headers={"If-Match": "other"}, **body)
        tag = {"If-Match": (await ecr.call("GET", F1)).headers["ETag"]}
        assert (await ecr.call("PUT", F1, 2, attach="true", headers=tag)).status == 204
        assert (await ecr.call("DELETE", F1, headers=tag)).status == 412
        assert await ecr.found(F1) == 2

    async def test_one_that_becomes_pending_meanwhile_is_taken_over_when_it_is_known(self, ecr: Keeper) -> None:
        await changing_meanwhile(ecr, lambda: ecr.register.pending.add("f1"))
        assert (await ecr.call("PUT", F1, 1, attach="true")).status == 204
        assert await ecr.found(F1) == 1
        ecr.register.pending.clear()
        await tell(ecr, efe.filter_activated("f1", originator="epr"))
        assert await ecr.has_to_have() == 1

    async def test_one_that_is_deleted_meanwhile_gets_nothing_attached(self, ecr: Keeper) -> None:
        await changing_meanwhile(ecr, ecr.register.filters.clear)
        await ecr.devices.connect("dev-1")
        reply = await ecr.call("PUT", F1, 1, attach="true")
        assert (reply.status, reply.message) == (404, "the filter says 404")
        await ecr.devices.quiet()
        kept = await ecr.kept()
        assert (kept["ecr_config"], kept["ecr_member"], kept["ecr_status"], ecr.news()) == (set(), set(), set(), [])

    async def test_but_what_has_been_attached_before_is_replaced(self, ecr: Keeper) -> None:
        await attach(ecr, F1, 1)
        await changing_meanwhile(ecr, ecr.register.filters.clear)
        assert (await ecr.call("PUT", F1, 2, attach="true")).status == 204
        assert await ecr.has_to_have() == 2
