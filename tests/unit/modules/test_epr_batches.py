"""EPR's batches: many endpoints at once, each made or refused for itself, and whole again after a crash."""

import asyncio
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import pytest
from house import House, Reply
from waiting import until

from kaa.modules.cm.module import MODULE as CM
from kaa.modules.epr.module import MODULE as EPR
from kaa.protocols import ecap, elce, x_credentials

API = "/epr/api/v1"
BATCH, STATUS = f"{API}/endpoints/batch", f"{API}/endpoints/batch/status"
APPLICATIONS = {"home": ["home-v1", "home-v2"], "garden": ["garden-v1"]}


async def begin(house: House, **config: Any) -> None:
    await house.start(CM)
    await house.start(EPR, applications=APPLICATIONS, config=config or None)


@pytest.fixture
async def started(house: House) -> House:
    await begin(house)
    return house


async def post(house: House, *items: dict[str, Any], version: str = "home-v1") -> Reply:
    return await house.call("POST", BATCH, {"appVersion": {"name": version}, "endpoints": items})


async def begun(house: House, *items: dict[str, Any]) -> str:
    reply = await post(house, *items)
    assert (reply.status, list(reply.json)) == (202, ["taskId"])
    return str(reply.json["taskId"])


async def is_done(house: House, task: str) -> bool:
    """Look without being shown the tokens: a HEAD shows none."""
    reply = await house.call("HEAD", STATUS, params={"appName": "home", "taskId": task})
    assert reply.status == 200
    query = f"select ended_ms from epr_batch where id = '{task}'"
    return await house.storage.read(lambda c: c.exec_driver_sql(query).scalar_one()) is not None


async def ended(house: House, task: str) -> Any:
    await until(lambda: is_done(house, task))
    return await house.get(STATUS, appName="home", taskId=task)


async def whose(house: House, token: str) -> tuple[int, str | None]:
    verdict = await house.request(ecap.validate_token("cm"), app_name="home", token=token)
    return verdict.status_code, verdict.endpoint_id


async def reserved(house: House) -> int:
    query = "select count(*) from epr_registration"
    return await house.storage.read(lambda c: c.exec_driver_sql(query).scalar_one())


class TestWhole:
    async def test_endpoints_are_made_with_tokens_that_are_shown_once(self, started: House) -> None:
        heard = await started.hear(elce.registered("epr"))
        task = await begun(
            started,
            {"endpointId": "a", "endpointToken": "Token of a", "metadata": {"floor": 3}},
            {"endpointId": "b"},
            {},
        )
        found = await ended(started, task)
        assert {key: found[key] for key in ("taskId", "state", "createdCount", "failedCount", "failed")} == {
            "taskId": task,
            "state": "DONE",
            "createdCount": 3,
            "failedCount": 0,
            "failed": [],
        }
        first, second, third = found["created"]
        assert first == {"endpointId": "a", "endpointToken": "Token of a", "metadata": {"floor": 3}}
        assert (second["endpointId"], second["metadata"], len(second["endpointToken"])) == ("b", {}, 22)
        for one in found["created"]:
            assert await whose(started, one["endpointToken"]) == (200, one["endpointId"])
        again = await started.get(STATUS, appName="home", taskId=task)
        assert again["createdCount"] == 3
        assert ["endpointToken" in one for one in again["created"]] == [False] * 3
        page = await started.get(f"{API}/endpoints", include="metadata")
        assert {one["endpointId"]: one["metadata"] for one in page["content"]} == {
            "a": {"floor": 3},
            "b": {},
            third["endpointId"]: {},
        }
        await started.outbox_is_empty()
        assert {event.endpoint_id for event in heard} == {"a", "b", third["endpointId"]}
        assert await reserved(started) == 0

    async def test_each_that_cannot_be_made_says_why_and_the_others_are(self, started: House) -> None:
        other = {"appVersion": {"name": "home-v1"}, "endpointId": "taken", "endpointToken": "taken"}
        await started.call("POST", f"{API}/endpoints", other)
        gone = await started.hear(elce.unregistered("epr"))
        task = await begun(
            started,
            {"endpointId": "a"},
            {"endpointId": "taken", "metadata": {"ü": [1, None]}},
            {"endpointId": "b", "endpointToken": "taken"},
            {"endpointId": "a", "endpointToken": "third"},
            {"endpointId": "c", "endpointToken": "same"},
            {"endpointId": "d", "endpointToken": "same"},
        )
        found = await ended(started, task)
        assert [one["endpointId"] for one in found["created"]] == ["a", "c"]
        assert (found["createdCount"], found["failedCount"]) == (2, 4)
        assert [(one["endpointId"], one["statusReason"]) for one in found["failed"]] == [
            ("taken", "endpointId: there is an endpoint of that id already"),
            ("b", "endpointToken: it is taken"),
            ("a", "endpointId: endpoints[0] has it already"),
            ("d", "endpointToken: it is taken"),
        ]
        assert found["failed"][0]["metadata"] == '{"ü":[1,null]}'
        assert {one["status"] for one in found["failed"]} == {"FAILED"}
        assert found["failed"][1]["endpointToken"] == "taken"
        assert await whose(started, "third") == (401, None)
        assert await whose(started, "taken") == (200, "taken")
        assert await whose(started, "same") == (200, "c")
        assert (await reserved(started), gone) == (0, [])
        assert (await started.get(f"{API}/endpoints"))["totalElements"] == 3

    async def test_a_thousand_are_made_with_one_order_and_few_commits(self, started: House) -> None:
        orders: list[int] = []
        place = started.bus.request

        async def counted(subject: Any, message: Any, **rest: Any) -> Any:
            orders.append(len(getattr(message, "orders", ())))
            return await place(subject, message, **rest)

        started.bus.request = counted  # type: ignore[method-assign]
        heard = await started.hear(elce.registered("epr"))
        task = await begun(started, *[{"metadata": {"n": n}} for n in range(1_000)])
        found = await ended(started, task)
        assert (found["createdCount"], orders) == (1_000, [1_000])
        await until(lambda: len(heard) == 1_000)
        assert (await started.get(f"{API}/endpoints", limit=0))["totalElements"] == 1_000

    async def test_batches_are_worked_off_in_the_order_they_came(self, started: House) -> None:
        tasks = [await begun(started, {"endpointId": f"e{n}"}, {"endpointId": "same"}) for n in range(5)]
        counts = [(await ended(started, task))["createdCount"] for task in tasks]
        assert counts == [2, 1, 1, 1, 1]


class TestRefused:
    @pytest.mark.parametrize(
        ("body", "place"),
        [
            ({}, "body.appVersion"),
            ({"appVersion": {"name": "home-v1"}}, "body.endpoints"),
            ({"appVersion": {"name": "home-v1"}, "endpoints": []}, "body.endpoints"),
            ({"appVersion": {"name": "home-v1"}, "endpoints": {}}, "body.endpoints"),
            ({"appVersion": {"name": "home-v1"}, "endpoints": [{}] * 1_001}, "body.endpoints"),
            (
                {"appVersion": {"name": "home-v1"}, "endpoints": [{}, {"endpointId": "a/b"}]},
                "body.endpoints[1].endpointId",
            ),
            (
                {"appVersion": {"name": "home-v1"}, "endpoints": [{"endpointToken": "."}]},
                "body.endpoints[0].endpointToken",
            ),
            ({"appVersion": {"name": "home-v1"}, "endpoints": [{"metadata": 1}]}, "body.endpoints[0].metadata"),
            (
                {"appVersion": {"name": "home-v1"}, "endpoints": [{}, {"metadata": {"a": "x" * 65_536}}]},
                "endpoints[1].metadata",
            ),
        ],
    )
    async def test_what_is_wrong_is_refused_by_place_and_nothing_is_begun(
        self, started: House, body: Any, place: str
    ) -> None:
        reply = await started.call("POST", BATCH, body)
        assert (reply.status, reply.message.split(": ")[0]) == (400, place)
        assert await reserved(started) == 0

    async def test_an_unknown_version_and_an_unknown_batch_are_not_found(self, started: House) -> None:
        assert (await post(started, {}, version="home-v9")).status == 404
        task = await begun(started, {"endpointId": "a"})
        await ended(started, task)
        for params in (
            {"appName": "home", "taskId": "other"},
            {"appName": "garden", "taskId": task},
            {"appName": "home", "taskId": task, "tenantId": "other"},
        ):
            assert (await started.call("GET", STATUS, params=params)).status == 404
        for name in ("appName", "taskId"):
            reply = await started.call("GET", STATUS, params={name: "x"})
            assert reply.status == 400

    async def test_a_viewer_may_look_and_is_shown_no_token(self, started: House) -> None:
        from kaa.core.auth import Keys, Role
        from kaa.core.key_store import SqlKeyStore

        keys = Keys(store=SqlKeyStore(started.storage), ids=started.ids, clock=started.clock)
        _, key = await keys.make(Role.VIEWER)
        headers = {"Authorization": f"Bearer {key}"}
        task = await begun(started, {"endpointId": "a"})
        await until(lambda: is_done(started, task))
        params = {"appName": "home", "taskId": task}
        seen = await started.call("GET", STATUS, params=params, headers=headers)
        assert (seen.status, seen.json["created"]) == (200, [{"endpointId": "a", "metadata": {}}])
        assert "endpointToken" in (await ended(started, task))["created"][0]
        body = {"appVersion": {"name": "home-v1"}, "endpoints": [{}]}
        assert (await started.call("POST", BATCH, body, headers=headers)).status == 403


class TestKept:
    async def test_it_is_forgotten_after_a_day(self, started: House) -> None:
        task = await begun(started, {"endpointId": "a"})
        await ended(started, task)
        params = {"appName": "home", "taskId": task}
        is_older = "update epr_batch set ended_ms = ended_ms - 24 * 3600000"

        async def is_gone() -> bool:
            await started.clock.advance(1_000)
            return (await started.call("GET", STATUS, params=params)).status == 404

        await started.clock.advance(61_000)
        assert not await is_gone()
        await started.storage.write(lambda connection: connection.exec_driver_sql(is_older) and None)
        await until(is_gone)
        assert (await started.call("GET", f"{API}/endpoints/a")).status == 200

    async def test_it_and_its_tokens_outlive_a_restart(self, house: House) -> None:
        await begin(house)
        task = await begun(house, {"endpointId": "a"})
        await until(lambda: is_done(house, task))
        await house.restart()
        await begin(house)
        [one] = (await ended(house, task))["created"]
        assert await whose(house, one["endpointToken"]) == (200, "a")


class TestCutShort:
    async def test_what_was_begun_before_a_crash_is_done_after_it_with_the_same_tokens(self, house: House) -> None:
        """The server stops after CM has issued the tokens, and before EPR has heard of it."""
        await house.start(EPR, applications=APPLICATIONS, config={"credentials": "slow"})
        await house.start(CM)
        issued: list[x_credentials.IssuedToken] = []

        async def pass_on_and_hang(request: x_credentials.IssueTokensRequest) -> None:
            fields = {"app_name": request.app_name, "orders": request.orders}
            issued.extend((await house.request(x_credentials.issue_tokens("cm"), **fields)).tokens)

        await house._stack.enter_async_context(
            house.bus.subscribe(x_credentials.issue_tokens("slow"), pass_on_and_hang, queue="slow")
        )
        task = await begun(house, {"endpointId": "a"}, {"endpointId": "b", "endpointToken": "of b"})
        await until(lambda: len(issued) == 2)
        running = await house.get(STATUS, appName="home", taskId=task)
        assert (running["state"], running["createdCount"], running["created"]) == ("RUNNING", 0, [])
        await house.clock.advance(5_000)
        await house.restart()
        gone = await house.hear(elce.unregistered("epr"))
        await begin(house)
        found = await ended(house, task)
        assert [one["endpointToken"] for one in found["created"]] == [one.token for one in issued]
        for one in issued:
            assert await whose(house, str(one.token)) == (200, one.endpoint_id)
        await house.outbox_is_empty()
        assert (await reserved(house), gone) == (0, [])

    async def test_one_that_was_cut_short_goes_on_where_it_was(
        self, house: House, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        from kaa.core.errors import Unavailable
        from kaa.modules.epr.repository import BatchRepository
        from kaa.modules.epr.service import batches

        advance, steps = BatchRepository.advance, [1]

        async def fail_second(*arguments: Any, **more: Any) -> Any:
            if not steps:
                raise Unavailable("the test says so")
            steps.pop()
            return await advance(*arguments, **more)

        monkeypatch.setattr(batches, "_STEP", 2)
        monkeypatch.setattr(BatchRepository, "advance", fail_second)
        await begin(house)
        heard = await house.hear(elce.registered("epr"))
        items = [{"endpointId": f"e{n}", "endpointToken": "same" if n in {1, 4} else f"t{n}"} for n in range(5)]
        task = await begun(house, *items)
        await until(lambda: not steps)

        async def seen() -> Any:
            found = await house.get(STATUS, appName="home", taskId=task)
            return [(one["endpointId"], "endpointToken" in one) for one in found["created"]]

        assert await until(seen) == [("e0", False), ("e1", False)]
        await house.outbox_is_empty()
        monkeypatch.undo()
        await house.call("DELETE", f"{API}/endpoints/e0")
        await house.restart()
        heard += await house.hear(elce.registered("epr"))
        await begin(house)
        found = await ended(house, task)
        assert [one["endpointId"] for one in found["created"]] == ["e0", "e1", "e2", "e3"]
        assert [one["endpointId"] for one in found["failed"]] == ["e4"]
        assert (await house.call("GET", f"{API}/endpoints/e0")).status == 404, "it was made, and deleted since"
        assert await whose(house, "t3") == (200, "e3")
        assert await reserved(house) == 0

    async def test_while_cm_is_away_it_waits_and_holds_its_ids(self, house: House) -> None:
        await begin(house, credentials="away")
        task = await begun(house, {"endpointId": "a"})
        single = {"appVersion": {"name": "home-v1"}, "endpointId": "a"}
        assert (await house.call("POST", f"{API}/endpoints", single)).status == 409
        await house.clock.advance(5_000)
        assert not await is_done(house, task)

        async def pass_on(request: x_credentials.IssueTokensRequest) -> x_credentials.IssueTokensResponse:
            fields = {"app_name": request.app_name, "orders": request.orders}
            answer = await house.request(x_credentials.issue_tokens("cm"), **fields)
            return replace(answer, correlation_id=request.correlation_id)

        async def done() -> bool:
            await house.clock.advance(1_000)
            return await is_done(house, task)

        async with house.bus.subscribe(x_credentials.issue_tokens("away"), pass_on, queue="away"):
            await until(done)
        assert (await ended(house, task))["createdCount"] == 1

    async def test_if_cm_stays_away_it_ends_and_what_cm_may_have_done_is_undone(self, house: House) -> None:
        await house.start(EPR, applications=APPLICATIONS)
        gone = await house.hear(elce.unregistered("epr"))
        task = await begun(house, {"endpointId": "a"}, {"endpointId": "a"})

        async def done() -> bool:
            await house.clock.advance(5_000)
            return await is_done(house, task)

        await until(done)
        found = await ended(house, task)
        assert [one["statusReason"] for one in found["failed"]] == [
            "the service cm cannot be reached",
            "endpointId: endpoints[0] has it already",
        ]
        assert [event.endpoint_id for event in gone] == ["a"]
        assert await reserved(house) == 0

    @pytest.mark.parametrize("answered", [0, 2])
    async def test_an_answer_that_does_not_fit_the_order_is_none(self, house: House, answered: int) -> None:
        async def issue(request: x_credentials.IssueTokensRequest) -> x_credentials.IssueTokensResponse:
            one = x_credentials.IssuedToken(endpoint_id="a", token="t", status="Inactive", status_code=200)
            tokens: Sequence[Any] = (one,) * answered
            return x_credentials.IssueTokensResponse(
                correlation_id=request.correlation_id, timestamp_ms=0, tokens=tuple(tokens), status_code=200
            )

        await house.start(EPR, applications=APPLICATIONS)
        async with house.bus.subscribe(x_credentials.issue_tokens("cm"), issue, queue="cm"):
            single = {"appVersion": {"name": "home-v1"}, "endpointId": "a"}
            assert (await house.call("POST", f"{API}/endpoints", single)).status == 503
        assert await reserved(house) == 0

    async def test_too_many_that_wait_are_refused(self, house: House, monkeypatch: pytest.MonkeyPatch) -> None:
        from kaa.modules.epr.service import batches

        monkeypatch.setattr(batches, "_MAX_RUNNING", 2)
        await house.start(EPR, applications=APPLICATIONS)
        assert [(await post(house, {})).status for _ in range(3)] == [202, 202, 429]

    async def test_a_full_disk_puts_it_off(self, started: House, monkeypatch: pytest.MonkeyPatch) -> None:
        from kaa.core.errors import StorageFull
        from kaa.modules.epr.repository import BatchRepository

        advance, failures = BatchRepository.advance, [StorageFull("the disk is full; nothing was stored")]

        async def fail_once(*arguments: Any, **more: Any) -> Any:
            if failures:
                raise failures.pop()
            return await advance(*arguments, **more)

        monkeypatch.setattr(BatchRepository, "advance", fail_once)
        task = await begun(started, {"endpointId": "a", "endpointToken": "one"})
        await until(lambda: not failures)
        await asyncio.sleep(0)
        assert not await is_done(started, task)

        async def done() -> bool:
            await started.clock.advance(1_000)
            return await is_done(started, task)

        await until(done)
        assert await whose(started, "one") == (200, "a")
