"""ECR towards consumers: what they ask (6/CDTP), what they are told, in which order, and after a restart."""

import asyncio
import json
from collections.abc import Iterable
from typing import Any

import pytest
from configuring import APPLICATIONS
from house import REPLICA, House
from keeping import ALL, ONE, Keeper
from waiting import until

from kaa.core.errors import StorageFull, TimedOut
from kaa.modules.ecr.module import MODULE as ECR
from kaa.modules.ecr.repository import DeliveryRepository
from kaa.protocols import elce, x_configurations, x_presence

V2 = "/app-versions/home-v2"
FULL = "the disk is full; nothing was stored"


@pytest.fixture
async def ecr(house: House) -> Keeper:
    return await Keeper(house).open()


def failing(monkeypatch: pytest.MonkeyPatch, method: str, failures: list[Exception]) -> None:
    """Have a method of the repository fail, as long as there are failures left."""
    works = getattr(DeliveryRepository, method)

    async def fails(self: Any, *args: Any, **rest: Any) -> Any:
        if failures:
            raise failures.pop()
        return await works(self, *args, **rest)

    monkeypatch.setattr(DeliveryRepository, method, fails)


async def move(ecr: Keeper, endpoint: str, version: str) -> None:
    _, before = ecr.register.endpoints[endpoint]
    ecr.register.endpoints[endpoint] = ("home", version)
    ecr.house.publish(
        elce.app_version_updated("epr"),
        app_version_name=version,
        previous_app_version_name=before,
        endpoint_id=endpoint,
    )
    await ecr.devices.quiet()


class TestAsking:
    async def test_the_answer_is_the_configuration(self, ecr: Keeper) -> None:
        config_id = await ecr.put(ONE, {"a": "ü"})
        answer = await ecr.ask()
        assert (answer.config_id, answer.content, answer.content_type) == (
            config_id,
            '{"a":"ü"}'.encode(),
            "application/json",
        )
        assert (answer.endpoint_id, answer.app_version_name, answer.status_code) == ("dev-1", "home-v1", 200)

    async def test_who_has_the_current_one_is_not_sent_it(self, ecr: Keeper) -> None:
        config_id = await ecr.put(ONE, 1)
        answer = await ecr.ask(has=config_id)
        assert (answer.config_id, answer.content, answer.status_code) == (None, None, 200)
        assert (await ecr.ask(has="other")).content == b"1"

    async def test_where_nothing_is_assigned_there_is_nothing_and_that_is_not_told_twice(self, ecr: Keeper) -> None:
        for has in (None, "old"):
            answer = await ecr.ask(has=has)
            assert (answer.config_id, answer.content, answer.status_code) == ("", b"null", 200)
        answer = await ecr.ask(has="")
        assert (answer.config_id, answer.content, answer.status_code) == (None, None, 200)

    async def test_each_name_has_an_answer_of_its_own(self, ecr: Keeper) -> None:
        await ecr.put(ALL, "default one")
        net = await ecr.put(ONE, "of the net", name="net")
        assert (await ecr.ask(name="default")).content == (await ecr.ask()).content == b'"default one"'
        assert (await ecr.ask(name="net")).config_id == net
        assert (await ecr.ask(name="other")).content == b"null"

    async def test_a_version_that_is_not_there_is_named_and_does_not_spoil_what_came_with_it(self, ecr: Keeper) -> None:
        await ecr.put(ONE, 1)
        async with asyncio.TaskGroup() as group:
            asked = [group.create_task(ecr.ask(version=one)) for one in ("home-v1", "home-v9", "home-v1")]
        answers = [one.result() for one in asked]
        assert [one.status_code for one in answers] == [200, 404, 200]
        assert answers[1].reason_phrase == "there is no application version 'home-v9'"
        assert [one.content for one in answers] == [b"1", None, b"1"]

    async def test_an_answer_is_given_though_it_cannot_be_noted(
        self, ecr: Keeper, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        await ecr.put(ONE, 1)
        failing(monkeypatch, "answer", [StorageFull(FULL)])
        assert (await ecr.ask()).content == b"1"
        assert await ecr.state() == {"1": "PENDING"}
        await ecr.ask()
        assert await ecr.state() == {"1": "DISPATCHED"}


class TestAskingForMany:
    async def test_what_endpoints_are_to_have_is_told_without_its_content(self, ecr: Keeper) -> None:
        own, net, all_of_v1 = await ecr.put(ONE, 1), await ecr.put(ALL, 2, name="net"), await ecr.put(ALL, 3)
        found = await ecr.effective(("dev-1", "home-v1"), ("dev-2", "home-v1"), ("dev-3", "home-v2"))
        assert found == {
            ("dev-1", "default"): own,
            ("dev-1", "net"): net,
            ("dev-2", "default"): all_of_v1,
            ("dev-2", "net"): net,
        }
        assert await ecr.statuses(status="DISPATCHED") == []

    async def test_names_are_found_by_identifier(self, ecr: Keeper) -> None:
        ids = (await ecr.put(ALL, 1), await ecr.put(ALL, 1, name="net"), "unknown")
        answer = await ecr.house.request(x_configurations.configuration_names("ecr"), config_ids=ids)
        assert answer.names == {ids[0]: "default", ids[1]: "net"}

    async def test_more_than_a_thousand_are_refused(self, ecr: Keeper) -> None:
        one = x_configurations.EndpointVersion(endpoint_id="dev-1", app_version_name="home-v1")
        for subject, field, what in (
            (x_configurations.effective_configurations("ecr"), "endpoints", one),
            (x_configurations.configuration_names("ecr"), "config_ids", "c"),
        ):
            answer = await ecr.house.request(subject, **{field: (what,) * 1_001})
            assert answer.status_code == 400
            assert "1001, and at most 1000 may be asked for" in answer.reason_phrase
            assert (await ecr.house.request(subject, **{field: (what,) * 1_000})).status_code == 200


class TestTelling:
    async def test_the_event_carries_the_whole_configuration(self, ecr: Keeper) -> None:
        config_id = await ecr.put(ONE, {"a": 1})
        [event] = ecr.told
        assert (event.endpoint_id, event.app_version_name, event.config_id) == ("dev-1", "home-v1", config_id)
        assert (event.content, event.content_type, event.originator_replica_id) == (
            b'{"a":1}',
            "application/json",
            REPLICA,
        )

    async def test_one_that_is_away_waits_and_one_that_is_there_counts_as_told(self, ecr: Keeper) -> None:
        await ecr.devices.connect("dev-2")
        await ecr.put(ONE, 1)
        await ecr.put("/endpoints/dev-2/app-versions/home-v1", 1)
        assert [await ecr.state("dev-1"), await ecr.state("dev-2")] == [{"1": "PENDING"}, {"1": "DISPATCHED"}]

    async def test_what_is_not_for_the_version_that_it_has_is_kept_and_not_told(self, ecr: Keeper) -> None:
        await ecr.devices.connect("dev-1")
        await ecr.put("/endpoints/dev-1/app-versions/home-v2", 2)
        await ecr.delete("/endpoints/dev-1/app-versions/home-v2")
        await ecr.put("/endpoints/dev-1/app-versions/home-v2", 3)
        assert ecr.news() == []
        await ecr.put(ONE, 1)
        assert (await ecr.state(appVersionName="home-v2"))["3"] == "PENDING"
        assert (await ecr.ask("dev-1", "home-v2")).content == b"3"

    async def test_after_a_deletion_what_then_applies_is_told(self, ecr: Keeper) -> None:
        await ecr.put(ALL, "version")
        await ecr.devices.connect("dev-1")
        await ecr.put(ONE, "endpoint")
        ecr.news()
        await ecr.delete(ONE)
        assert ecr.news() == [("dev-1", "home-v1", "version")]
        await ecr.delete(ALL)
        assert ecr.news() == []

    async def test_what_it_has_already_is_not_told_again(self, ecr: Keeper) -> None:
        await ecr.devices.connect("dev-1")
        await ecr.put(ALL, 1)
        assert ecr.news() == [("dev-1", "home-v1", 1)]
        await ecr.put(ONE, 1)
        await ecr.delete(ONE)
        await ecr.put(ALL, 1)
        assert ecr.news() == []

    async def test_what_is_taken_away_and_given_again_is_told_to_one_that_knows_of_it(self, ecr: Keeper) -> None:
        await ecr.devices.connect("dev-1")
        await ecr.put(ONE, 1)
        await ecr.delete(ONE)
        assert (await ecr.ask()).content == b"null"
        ecr.news()
        await ecr.put(ONE, 1)
        assert ecr.news() == [("dev-1", "home-v1", 1)]
        await ecr.delete(ONE)
        await ecr.put(ONE, 1)  # of which it has not heard: it still has it
        assert ecr.news() == []

    async def test_one_that_moves_is_told_what_is_written_for_its_new_version(self, ecr: Keeper) -> None:
        await ecr.devices.connect("dev-1", "dev-2")
        await move(ecr, "dev-1", "home-v2")
        await ecr.put(ALL, 1)
        await ecr.put(V2, 2)
        assert ecr.news() == [("dev-2", "home-v1", 1), ("dev-1", "home-v2", 2)]


class TestRollingOut:
    async def test_those_that_are_connected_and_have_nothing_closer_are_told(self, ecr: Keeper) -> None:
        await ecr.put("/endpoints/dev-2/app-versions/home-v1", "own")
        await ecr.devices.connect("dev-1", "dev-2")
        await ecr.devices.connect("dev-3", version="home-v2")
        await ecr.ask("dev-2")
        ecr.news()
        await ecr.put(ALL, "version")
        assert ecr.news() == [("dev-1", "home-v1", "version")]

    async def test_those_that_have_gone_are_not(self, ecr: Keeper) -> None:
        await ecr.devices.connect("dev-1", "dev-2")
        await ecr.devices.disconnect("dev-1")
        await ecr.put(ALL, 1)
        assert ecr.news() == [("dev-2", "home-v1", 1)]
        assert await ecr.state("dev-1") == {}

    async def test_one_that_went_before_it_came_again_is_there(self, ecr: Keeper) -> None:
        await ecr.devices.connect("dev-1")
        before = ecr.house.clock.now_ms() - 1
        ecr.house.publish(elce.disconnected("kpc"), endpoints={"dev-1": "home-v1"}, timestamp_ms=before)
        await ecr.devices.quiet()
        await ecr.put(ALL, 1)
        assert ecr.news() == [("dev-1", "home-v1", 1)]

    async def test_many_are_told_each_once(self, ecr: Keeper) -> None:
        crowd = await come(ecr, range(450))
        await ecr.put(ALL, 1)
        assert sorted(ecr.news()) == sorted((one, "home-v1", 1) for one in crowd)
        assert {(row[0], row[4]) for row in (await ecr.kept())["ecr_status"]} == {(one, "DISPATCHED") for one in crowd}

    async def test_one_burst_is_heard_before_the_next(self, house: House) -> None:
        ecr = await Keeper(house, status=None).open()
        await come(ecr, range(450))
        assert (await ecr.call("PUT", ALL, 1)).status == 200
        await until(lambda: len(ecr.told) == 200)
        assert len((await ecr.kept())["ecr_told"]) == 200

    async def test_and_is_small_where_the_configuration_is_large(self, house: House) -> None:
        ecr = await Keeper(house, status=None).open()
        await come(ecr, range(20))
        assert (await ecr.call("PUT", ALL, "x" * 250_000)).status == 200
        await until(lambda: len(ecr.told) == 8)
        assert len((await ecr.kept())["ecr_told"]) == 8

    async def test_it_is_resumed_after_a_restart_where_it_stood(self, house: House) -> None:
        ecr = await Keeper(house, status=None).open()
        crowd = await come(ecr, range(250))
        assert (await ecr.call("PUT", ALL, 1)).status == 200
        await until(lambda: len(ecr.told) == 200)
        first = {one.correlation_id for one in ecr.told}
        await house.restart()
        ecr.status = 200
        await ecr.devices.open_presence()
        await ecr.open()
        await ecr.devices.quiet()
        assert first < {one.correlation_id for one in ecr.told}
        assert sorted(one.endpoint_id for one in ecr.told) == sorted(crowd)

    async def test_one_that_is_overtaken_tells_the_newest_only(self, house: House) -> None:
        ecr = await Keeper(house, status=None).open()
        await come(ecr, range(250))
        assert (await ecr.call("PUT", ALL, "old")).status == 200
        await until(lambda: len(ecr.told) == 200)
        assert (await ecr.call("PUT", ALL, "new")).status == 200
        await house.restart()
        ecr.status = 200
        await ecr.devices.open_presence()
        await ecr.open()
        await ecr.devices.quiet()
        contents = [json.loads(one.content) for one in ecr.told]
        assert (contents.count("old"), contents.count("new")) == (200, 250)
        assert contents.index("new") >= 200

    async def test_when_the_storage_takes_nothing_it_is_tried_again(
        self, ecr: Keeper, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        await ecr.devices.connect("dev-1")
        failures: list[Exception] = [StorageFull(FULL)]
        failing(monkeypatch, "tell_due", failures)
        assert (await ecr.call("PUT", ALL, 1)).status == 200
        await until(lambda: not failures)
        assert ecr.told == []
        await ecr.house.clock.advance(1_000)
        await ecr.devices.quiet()
        assert ecr.news() == [("dev-1", "home-v1", 1)]

    async def test_it_waits_until_it_is_known_who_is_connected(self, house: House) -> None:
        ecr, answers = Keeper(house), list[Any]([TimedOut("nobody answers"), ("dev-1",), ()])

        async def on_presence(request: x_presence.ConnectedRequest) -> x_presence.PresenceResponse:
            answer = answers.pop(0)
            if isinstance(answer, Exception):
                raise answer
            return x_presence.PresenceResponse(
                correlation_id=request.correlation_id,
                timestamp_ms=1,
                endpoints=tuple(
                    x_presence.PresentEndpoint(endpoint_id=one, app_version_name="home-v1", replica_id="r", since_ms=1)
                    for one in answer
                ),
                status_code=200,
            )

        async with house.bus.subscribe(x_presence.connected_endpoints("kpc"), on_presence, queue="kpc"):
            await ecr.open()
            await until(lambda: len(answers) == 2)
            assert (await ecr.call("PUT", ALL, 1)).status == 200
            assert len((await ecr.kept())["ecr_rollout"]) == 1
            assert ecr.told == []
            await house.clock.advance(5_000)
            await ecr.devices.quiet()
        assert ecr.news() == [("dev-1", "home-v1", 1)]

    async def test_what_happens_while_it_is_asked_who_is_connected_counts_more_than_the_answer(
        self, house: House
    ) -> None:
        ecr, may_answer = Keeper(house), asyncio.Event()
        ecr.devices.connected = {"dev-1": "home-v1", "dev-2": "home-v1"}

        async def on_presence(request: x_presence.ConnectedRequest) -> x_presence.PresenceResponse:
            answer = await told(request)
            await may_answer.wait()
            return answer

        told = ecr.devices._on_presence
        async with house.bus.subscribe(x_presence.connected_endpoints("kpc"), on_presence, queue="kpc"):
            await ecr.open()
            house.publish(elce.disconnected("kpc"), endpoints={"dev-1": "home-v1"})
            house.publish(elce.connected("kpc"), endpoints={"dev-3": "home-v1"})
            assert (await ecr.call("PUT", ALL, 1)).status == 200
            assert ecr.told == []
            may_answer.set()
            await ecr.devices.quiet()
        assert sorted(ecr.news()) == [("dev-2", "home-v1", 1), ("dev-3", "home-v1", 1)]


async def come(ecr: Keeper, numbers: Iterable[int]) -> list[str]:
    crowd = [f"c-{number:03d}" for number in numbers]
    await ecr.devices.connect(*crowd)
    return crowd


class TestRestarting:
    async def test_what_nobody_has_heard_is_told_again_under_the_same_identity(self, house: House) -> None:
        ecr = await Keeper(house, status=503).open()
        await ecr.devices.connect("dev-1")
        assert (await ecr.call("PUT", ALL, 1)).status == 200
        await until(lambda: ecr.told)
        first = [one.correlation_id for one in ecr.told]
        ecr.status = 200
        await ecr.restart()
        await house.outbox_is_empty()
        assert [one.correlation_id for one in ecr.told] == first
        assert ecr.news() == [("dev-1", "home-v1", 1)]
        await ecr.restart()
        await ecr.devices.quiet()
        assert ecr.told == []

    async def test_in_the_order_in_which_it_happened(self, house: House) -> None:
        ecr = await Keeper(house, status=503).open()
        await ecr.devices.connect("dev-1")
        async with asyncio.TaskGroup() as group:  # each waits for a while until somebody has heard
            for number in range(3):
                group.create_task(ecr.call("PUT", ONE, number))
                await until(lambda many=number + 1: len(ecr.told) == many)  # type: ignore[misc]
                await house.clock.advance(1)
        ecr.status = 200
        await ecr.restart()
        await house.outbox_is_empty()
        assert [config for _, _, config in ecr.news()] == [0, 1, 2]

    async def test_who_was_connected_before_is_told_what_is_written_after_it(self, ecr: Keeper) -> None:
        await ecr.devices.connect("dev-1", "dev-2")
        await ecr.put(ALL, 1)
        await ecr.house.restart()
        await ecr.devices.open_presence()
        await ecr.open()
        await ecr.put(ALL, 2)
        assert sorted(ecr.news()) == [("dev-1", "home-v1", 2), ("dev-2", "home-v1", 2)]

    async def test_without_consumers_changes_are_taken_and_kept(self, house: House) -> None:
        ecr = Keeper(house)
        await ecr.register.open()
        await house.start(ECR, applications=APPLICATIONS)
        await ecr.devices.connect("dev-1")
        await ecr.put(ONE, 1)
        await house.outbox_is_empty()
        assert await ecr.has_to_have() == 1
