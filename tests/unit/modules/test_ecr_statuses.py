"""ECR: what became of configurations at endpoints, and how long that is remembered."""

from typing import Any

import pytest
from configuring import API, NOW
from house import House
from keeping import ALL, ONE, Keeper
from waiting import until

from kaa.core.errors import StorageFull
from kaa.modules.ecr.repository import StatusRepository
from kaa.protocols import cdtp, elce
from kaa.protocols.x_outbox import event_processed

LATER = "2025-11-24T16:00:05.000Z"


@pytest.fixture
async def ecr(house: House) -> Keeper:
    return await Keeper(house).open()


async def page(ecr: Keeper, **params: Any) -> Any:
    return await ecr.house.get(f"{API}/statuses", **params)


async def contents(ecr: Keeper) -> set[bytes]:
    return {row[2] for row in (await ecr.kept())["ecr_content"]}


class TestStates:
    async def test_one_that_nobody_has_been_told_is_pending(self, ecr: Keeper) -> None:
        config_id = await ecr.put(ONE, {"a": 1}, name="net")
        assert await ecr.statuses() == [
            {
                "configId": config_id,
                "name": "net",
                "endpointId": "dev-1",
                "appVersionName": "home-v1",
                "status": "PENDING",
                "config": '{"a":1}',
            }
        ]

    async def test_then_it_is_dispatched_and_then_applied_with_the_times(self, ecr: Keeper) -> None:
        config_id = await ecr.put(ONE, 1)
        await ecr.ask()
        [status] = await ecr.statuses()
        assert (status["status"], status["lastDispatchedDate"]) == ("DISPATCHED", NOW)
        assert "lastConfirmedDate" not in status
        await ecr.house.clock.advance(5_000)
        await ecr.report(config_id, code=204, phrase="Done")
        assert await ecr.statuses() == [
            status
            | {
                "status": "APPLIED",
                "lastConfirmedDate": LATER,
                "confirmationStatusCode": 204,
                "confirmationReasonPhrase": "Done",
            }
        ]

    @pytest.mark.parametrize(
        ("code", "state"), [(199, "FAILED"), (200, "APPLIED"), (299, "APPLIED"), (300, "FAILED"), (500, "FAILED")]
    )
    async def test_the_code_says_whether_it_was_applied(self, ecr: Keeper, code: int, state: str) -> None:
        config_id = await ecr.put(ONE, 1)
        await ecr.report(config_id, code=code)
        [status] = await ecr.statuses()
        assert (status["status"], status["confirmationStatusCode"]) == (state, code)
        assert "confirmationReasonPhrase" not in status

    async def test_a_rejection_is_followed_by_what_is_tried_again(self, ecr: Keeper) -> None:
        config_id = await ecr.put(ONE, 1)
        await ecr.report(config_id, code=500, phrase="no room")
        assert await ecr.state() == {"1": "FAILED"}
        await ecr.ask()
        assert await ecr.state() == {"1": "DISPATCHED"}
        await ecr.report(config_id)
        assert await ecr.state() == {"1": "APPLIED"}

    async def test_who_says_that_it_has_it_has_not_been_sent_it(self, ecr: Keeper) -> None:
        config_id = await ecr.put(ONE, 1)
        await ecr.ask(has=config_id)
        assert await ecr.state() == {"1": "PENDING"}

    async def test_what_is_a_versions_has_a_status_with_those_that_were_told(self, ecr: Keeper) -> None:
        await ecr.put(ALL, 1)
        assert await ecr.statuses() == []
        await ecr.ask("dev-2")
        assert [(one["endpointId"], one["status"]) for one in await ecr.statuses()] == [("dev-2", "DISPATCHED")]

    async def test_each_endpoint_version_and_name_has_its_own(self, ecr: Keeper) -> None:
        for path in (ALL, "/app-versions/home-v2"):
            await ecr.put(path, 1)
        await ecr.put(ALL, 1, name="net")
        for one in (("dev-1", "home-v1"), ("dev-1", "home-v2"), ("dev-2", "home-v1")):
            await ecr.ask(*one)
        await ecr.ask(name="net")
        await ecr.report((await ecr.ask("dev-2")).config_id or "", "dev-2")
        found = {(o["endpointId"], o["appVersionName"], o["name"]): o["status"] for o in await ecr.statuses()}
        assert found == {
            ("dev-1", "home-v1", "default"): "DISPATCHED",
            ("dev-1", "home-v2", "default"): "DISPATCHED",
            ("dev-2", "home-v1", "default"): "APPLIED",
            ("dev-1", "home-v1", "net"): "DISPATCHED",
        }


class TestReports:
    async def test_of_what_nobody_knows_nothing_is_kept(self, ecr: Keeper) -> None:
        config_id = await ecr.put(ONE, 1)
        await ecr.report("made-up")
        await ecr.report("")
        assert await ecr.state() == {"1": "PENDING"}
        await ecr.report(config_id)
        assert await ecr.state() == {"1": "APPLIED"}

    async def test_they_count_in_the_order_of_their_times(self, ecr: Keeper) -> None:
        config_id, now = await ecr.put(ONE, 1), ecr.house.clock.now_ms()
        await ecr.report(config_id, code=500, at_ms=now + 20)
        await ecr.report(config_id, code=200, at_ms=now + 10)
        assert await ecr.state() == {"1": "FAILED"}
        await ecr.report(config_id, code=200, at_ms=now + 20)
        assert await ecr.state() == {"1": "APPLIED"}

    async def test_one_that_is_told_twice_counts_once(self, ecr: Keeper) -> None:
        config_id = await ecr.put(ONE, 1)
        await ecr.report(config_id, at_ms=1)
        before = await ecr.kept()
        await ecr.report(config_id, at_ms=1)
        assert await ecr.kept() == before

    async def test_each_is_answered_also_where_nothing_is_kept(self, ecr: Keeper) -> None:
        answers = list[Any]()
        subject = cdtp.config_applied("cmx")

        async def on_answer(answer: Any) -> None:
            answers.append(answer)

        reply_to = event_processed("replica-of-the-test")
        async with ecr.house.bus.subscribe(reply_to, on_answer, queue="test"):
            for config_id in (await ecr.put(ONE, 1), "made-up"):
                message = ecr.house.message(
                    subject, endpoint_id="dev-1", app_version_name="home-v1", config_id=config_id
                )
                ecr.house.bus.publish(subject, message, reply_to=reply_to)
            await until(lambda: len(answers) == 2)
        assert {(one.status_code, one.receiver_service_instance_name) for one in answers} == {(200, "ecr")}

    async def test_those_of_consumers_that_are_not_named_are_not_taken(self, house: House) -> None:
        ecr = await Keeper(house, config={"consumers": ["mine", "too"]}).open()
        config_id = await ecr.put(ONE, 1)
        await ecr.report(config_id)
        assert await ecr.state() == {"1": "PENDING"}
        for consumer, code, state in (("mine", 500, "FAILED"), ("too", 200, "APPLIED")):
            house.publish(
                cdtp.config_applied(consumer),
                endpoint_id="dev-1",
                app_version_name="home-v1",
                config_id=config_id,
                status_code=code,
            )
            await ecr.devices.quiet()
            assert await ecr.state() == {"1": state}


class TestHistory:
    async def test_what_was_before_stays_with_what_became_of_it(self, ecr: Keeper) -> None:
        for number, code in enumerate((200, 500, 200)):
            config_id = await ecr.put(ONE, number)
            await ecr.ask()
            await ecr.report(config_id, code=code)
            await ecr.house.clock.advance(1)
        await ecr.put(ONE, 3)
        found = [(one["config"], one["status"]) for one in await ecr.statuses()]
        assert found == [("3", "PENDING"), ("2", "APPLIED"), ("1", "FAILED"), ("0", "APPLIED")]

    async def test_it_outlives_the_configuration_and_a_restart(self, ecr: Keeper) -> None:
        config_id = await ecr.put(ONE, 1)
        await ecr.report(config_id)
        await ecr.delete(ONE)
        before = await ecr.statuses()
        await ecr.restart()
        assert await ecr.statuses() == before
        assert before[0]["config"] == "1"

    async def test_one_that_comes_back_is_pending_again(self, ecr: Keeper) -> None:
        for config in ("a", "b"):
            await ecr.report(await ecr.put(ONE, config))
            await ecr.ask()
            await ecr.house.clock.advance(1)
        await ecr.put(ONE, "a")
        found = [(one["config"], one["status"]) for one in await ecr.statuses()]
        assert found == [('"a"', "PENDING"), ('"b"', "DISPATCHED")]

    async def test_the_oldest_is_forgotten_when_there_are_too_many(self, house: House) -> None:
        ecr = await Keeper(house, config={"history": 3}).open()
        for number in range(5):
            for name in ("default", "net"):
                await ecr.put(ONE, number, name=name)
                await ecr.ask(name=name)
            await house.clock.advance(1)
        for name in ("default", "net"):
            assert [one["config"] for one in await ecr.statuses(name=name)] == ["4", "3", "2"]

    async def test_contents_that_nobody_names_any_more_are_cleared_away(self, house: House) -> None:
        ecr = await Keeper(house, config={"history": 1, "sweep": "1s"}).open()
        await ecr.put(ONE, "of the history")
        await ecr.delete(ONE)
        for config in ("once the version's", "the version's"):
            await ecr.put(ALL, config)
        await house.clock.advance(1_000)
        await until(lambda: left(ecr, 2))
        assert await contents(ecr) == {b'"of the history"', b'"the version\'s"'}
        await ecr.put(ALL, "once the version's")
        assert await ecr.found(ALL) == "once the version's"

    async def test_when_the_storage_takes_nothing_that_is_put_off(
        self, house: House, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        ecr = await Keeper(house, config={"sweep": "1s"}).open()
        for config in ("old", "new"):
            await ecr.put(ALL, config)
        works, failures = StatusRepository.sweep, [StorageFull("the disk is full; nothing was stored")]

        async def fails(self: Any) -> bool:
            if failures:
                raise failures.pop()
            return await works(self)

        monkeypatch.setattr(StatusRepository, "sweep", fails)
        await house.clock.advance(1_000)
        assert (failures, await contents(ecr)) == ([], {b'"old"', b'"new"'})
        await house.clock.advance(1_000)
        await until(lambda: left(ecr, 1))
        assert await contents(ecr) == {b'"new"'}


async def left(ecr: Keeper, many: int) -> bool:
    return len(await contents(ecr)) == many


class TestEndpointsThatGo:
    async def test_everything_of_theirs_is_forgotten_and_nothing_of_others(self, ecr: Keeper) -> None:
        for path in (ONE, "/endpoints/dev-1/app-versions/home-v2", "/endpoints/dev-2/app-versions/home-v1", ALL):
            await ecr.put(path, 1)
        for one in ("dev-1", "dev-2"):
            await ecr.ask(one)
        await ecr.house.clock.advance(1)
        ecr.house.publish(elce.unregistered("epr"), app_version_name="home-v1", endpoint_id="dev-1")
        await ecr.devices.quiet()
        kept = await ecr.kept()
        assert {row[:2] for row in kept["ecr_config"]} == {("endpoint", "dev-2"), ("version", "")}
        assert {row[0] for row in kept["ecr_status"] | kept["ecr_told"]} == {"dev-2"}

    async def test_what_was_left_by_one_is_not_taken_over_by_another_of_its_id(self, ecr: Keeper) -> None:
        await ecr.report(await ecr.put(ONE, 1))
        await ecr.house.clock.advance(1)
        ecr.house.publish(elce.registered("epr"), app_version_name="home-v1", endpoint_id="dev-1")
        await ecr.devices.quiet()
        assert await ecr.statuses() == []
        assert (await ecr.ask()).content == b"null"

    async def test_what_is_newer_than_the_event_belongs_to_its_new_owner(self, ecr: Keeper) -> None:
        gone_ms = ecr.house.clock.now_ms()
        await ecr.house.clock.advance(1)
        await ecr.report(await ecr.put(ONE, 1))
        for subject in (elce.unregistered("epr"), elce.registered("epr")):
            ecr.house.publish(subject, app_version_name="home-v1", endpoint_id="dev-1", timestamp_ms=gone_ms)
        await ecr.devices.quiet()
        assert await ecr.state() == {"1": "APPLIED"}
        assert (await ecr.ask()).content == b"1"

    async def test_the_registration_itself_takes_nothing_of_its_own_time(self, ecr: Keeper) -> None:
        await ecr.put(ONE, 1)
        ecr.house.publish(elce.registered("epr"), app_version_name="home-v1", endpoint_id="dev-1")
        await ecr.devices.quiet()
        assert (await ecr.ask()).content == b"1"


class TestLists:
    async def test_an_empty_one_is_a_page_too(self, ecr: Keeper) -> None:
        sort = {"empty": True, "sorted": False, "unsorted": True}
        assert await page(ecr) == {
            "content": [],
            "pageable": {
                "sort": sort,
                "offset": 0,
                "pageNumber": 0,
                "pageSize": 20,
                "paged": True,
                "unpaged": False,
            },
            "sort": sort,
            "totalElements": 0,
            "totalPages": 0,
            "number": 0,
            "size": 20,
            "numberOfElements": 0,
            "first": True,
            "last": True,
            "empty": True,
        }

    async def test_pages_follow_each_other(self, ecr: Keeper) -> None:
        for number in range(5):
            await ecr.put(ONE, number)
            await ecr.house.clock.advance(1)
        pages = [await page(ecr, size=2, page=number) for number in range(4)]
        assert [[one["config"] for one in found["content"]] for found in pages] == [["4", "3"], ["2", "1"], ["0"], []]
        assert [(p["first"], p["last"], p["numberOfElements"], p["empty"]) for p in pages] == [
            (True, False, 2, False),
            (False, False, 2, False),
            (False, True, 1, False),
            (False, True, 0, True),
        ]
        assert {(p["totalElements"], p["totalPages"], p["size"]) for p in pages} == {(5, 3, 2)}
        assert pages[2]["pageable"]["offset"] == 4

    async def test_they_are_found_by_what_they_say(self, ecr: Keeper) -> None:
        net = await ecr.put(ONE, 1, name="net")
        await ecr.put("/endpoints/dev-2/app-versions/home-v1", 2)
        await ecr.put("/endpoints/dev-3/app-versions/home-v2", 3)
        await ecr.ask("dev-2")
        for params, found in (
            ({"endpointId": "dev-1"}, ["1"]),
            ({"appVersionName": "home-v1"}, ["1", "2"]),
            ({"configId": net}, ["1"]),
            ({"name": "default"}, ["2", "3"]),
            ({"status": "DISPATCHED"}, ["2"]),
            ({"status": "PENDING", "appVersionName": "home-v2"}, ["3"]),
            ({"endpointId": "dev-1", "name": "default"}, []),
            ({"endpointId": "nobody"}, []),
        ):
            answer = await page(ecr, sort="endpointId", **params)
            assert [one["config"] for one in answer["content"]] == found, params
            assert answer["totalElements"] == len(found)

    async def test_they_can_be_ordered(self, ecr: Keeper) -> None:
        await ecr.put("/endpoints/dev-3/app-versions/home-v2", 1)
        for number, endpoint in enumerate(("dev-1", "dev-2")):
            await ecr.report(await ecr.put(f"/endpoints/{endpoint}/app-versions/home-v1", number), endpoint, code=200)
        for sort, found in (
            ("endpointId", ["dev-1", "dev-2", "dev-3"]),
            ("endpointId,desc", ["dev-3", "dev-2", "dev-1"]),
            ("status,DESC,endpointId,asc", ["dev-3", "dev-1", "dev-2"]),
            ("appVersionName,endpointId,desc", ["dev-2", "dev-1", "dev-3"]),
        ):
            answer = await page(ecr, sort=sort)
            assert [one["endpointId"] for one in answer["content"]] == found, sort
            assert answer["sort"] == {"empty": False, "sorted": True, "unsorted": False}
        repeated = await ecr.house.call("GET", f"{API}/statuses", params=[("sort", "status,desc"), ("sort", "name")])
        assert repeated.json["content"][0]["endpointId"] == "dev-3"

    @pytest.mark.parametrize(
        ("params", "words"),
        [
            ({"status": "DONE"}, "query.status: "),
            ({"page": "-1"}, "query.page: "),
            ({"page": "many"}, "query.page: "),
            ({"size": "0"}, "query.size: "),
            ({"size": "1001"}, "query.size: "),
            ({"sort": "colour"}, "query.sort: 'colour' is none of configId, "),
            ({"sort": "asc"}, "query.sort: 'asc' has no field before it"),
            ({"sort": "name," * 17}, "query.sort: "),
        ],
    )
    async def test_what_cannot_be_asked_for_is_named(self, ecr: Keeper, params: dict[str, str], words: str) -> None:
        await ecr.refused(400, words, "GET", "/statuses", **params)
