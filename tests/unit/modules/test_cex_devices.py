"""CEX and the endpoints: what they ask and tell, what is pushed to them, and what time does to commands."""

from typing import Any

import pytest
from commanding import API, begin, command_path, post, rows, start
from fakes.clock import START_MS
from house import House
from waiting import until

DAY_MS = 86_400_000


class TestAsking:
    async def test_who_asks_gets_all_that_is_outstanding_of_the_type(self, house: House) -> None:
        device = await start(house)
        assert await device.ask() == []
        for number in (1, 2):
            await post(house, body={"n": number}, awaitTimeout=0)
        await post(house, "reboot", awaitTimeout=0)
        await post(house, endpoint="dev-2", awaitTimeout=0)
        both = [{"id": 1, "payload": {"n": 1}}, {"id": 2, "payload": {"n": 2}}]
        assert await device.ask() == both
        assert await device.ask() == both
        assert await device.ask(payload=b"") == both
        assert await device.ask(payload={"observe": True, "more": 1}) == both
        assert await device.ask("reboot") == [{"id": 1}]

    async def test_many_who_ask_at_once_get_their_own(self, house: House) -> None:
        device = await start(house, endpoints={f"dev-{n}": "home-v1" for n in range(30)})
        for number in range(30):
            await post(house, body=number, endpoint=f"dev-{number}", awaitTimeout=0)
        asked = [begin(house, device.ask(endpoint_id=f"dev-{number}")) for number in range(30)]
        assert [(await one)[0]["payload"] for one in asked] == list(range(30))

    async def test_without_a_request_id_silence_is_the_answer_unless_there_is_something(self, house: House) -> None:
        device = await start(house)
        assert await device.ask(has_request_id=False) is None
        await post(house, awaitTimeout=0)
        assert await device.ask(has_request_id=False) == [{"id": 1}]
        assert await device.ask(payload={"observe": False}, has_request_id=False) is None
        answer = await device.tell("switch", [{"id": 1, "statusCode": 200}], has_request_id=False)
        assert (answer.status_code, answer.payload, answer.request_id) == (200, None, None)

    async def test_what_is_no_request_is_refused_with_a_sentence(self, house: House) -> None:
        device = await start(house)
        for path, payload, status, sentence in (
            ("/command/switch", b"{", 400, "the payload must be JSON like"),
            ("/command/switch", b"[]", 400, "the payload must be JSON like"),
            ("/command/switch", {"observe": 1}, 400, "Expected `bool | null`, got `int` - at `$.observe`"),
            ("/command/switch", b"\xff", 400, "not UTF-8"),
            ("/command/" + "x" * 65, {}, 400, "the type of command"),
            ("/command/a/b", {}, 400, "the type of command"),
            ("/command/", {}, 400, "the type of command"),
            ("/command", {}, 404, "there is no resource '/command'"),
            ("/commands/switch", {}, 404, "there is no resource"),
            ("/result", {}, 404, "there is no resource"),
            ("/result/switch", b"", 400, "the payload must be JSON like"),
            ("/result/switch", {"id": 1}, 400, "missing required field `statusCode`"),
            ("/result/switch", [{"statusCode": 200}], 400, "missing required field `id` - at `$[0]`"),
            ("/result/switch", [{"id": "1", "statusCode": 200}], 400, "Expected `int`, got `str` - at `$[0].id`"),
            ("/result/switch", [{"id": 1, "statusCode": 1 << 31}], 400, "statusCode"),
            ("/result/switch", [{"id": 1, "statusCode": 1, "reasonPhrase": "x" * 1025}], 400, "reasonPhrase"),
            (
                "/result/switch",
                b'[{"id":1,"statusCode":1,"reasonPhrase":"\\ud800"}]',
                400,
                "the payload must be JSON like",
            ),
            ("/result/switch", b'[{"id":1,"statusCode":1,"payload":nope}]', 400, "the payload must be JSON like"),
            ("/result/switch", 5, 400, "the payload must be JSON like"),
            ("/result/a.b", [], 400, "the type of command"),
        ):
            answer = await device.send(path, payload)
            assert (answer.status_code, answer.payload) == (status, None), (path, payload, answer)
            assert sentence in answer.reason_phrase, answer.reason_phrase

    async def test_one_bad_message_does_not_refuse_those_that_come_with_it(self, house: House) -> None:
        device = await start(house)
        await post(house, awaitTimeout=0)
        asked = [
            begin(house, device.send("/result/switch", b"nope")),
            begin(house, device.send("/result/switch", [{"id": 1, "statusCode": 200}])),
            begin(house, device.send("/nowhere", {})),
            begin(house, device.send("/command/switch", {})),
        ]
        answers = [await one for one in asked]
        assert [one.status_code for one in answers] == [400, 200, 404, 200]
        assert answers[3].payload == b"[]"

    async def test_a_topic_without_a_token_is_refused(self, house: House) -> None:
        device = await start(house)
        device.endpoint_id = None
        assert (await device.send("/command/switch", {})).status_code == 400


class TestTelling:
    async def test_a_result_may_be_an_array_or_an_object_and_lack_what_is_empty(self, house: House) -> None:
        device = await start(house)
        for _ in range(3):
            await post(house, awaitTimeout=0)
        await device.tell("switch", {"id": 1, "statusCode": 500})
        await device.tell("switch", [{"id": 2, "statusCode": 200, "payload": None}, {"id": 3, "statusCode": 204}])
        page = await house.get(f"{API}/endpoints/commands/home")
        assert [(one["commandId"], one["status"], one["statusCode"]) for one in page["content"]] == [
            (3, "EXECUTED", 204),
            (2, "EXECUTED", 200),
            (1, "EXECUTED", 500),
        ]
        assert await device.ask() == []

    async def test_results_nobody_asked_for_are_ignored(self, house: House) -> None:
        device = await start(house)
        await post(house, awaitTimeout=0)
        strange = [{"id": one, "statusCode": 200} for one in (0, -1, 2, 2**31, 2**70)]
        answer = await device.tell("switch", [*strange, {"id": 1, "statusCode": 201}, {"id": 1, "statusCode": 202}])
        assert answer.status_code == 200
        assert (await house.get(command_path("switch", 1)))["statusCode"] == 201
        await device.tell("switch", [{"id": 1, "statusCode": 203}])
        assert (await house.get(command_path("switch", 1)))["statusCode"] == 201
        assert (await device.tell("switch", [])).status_code == 200

    async def test_a_result_of_another_endpoint_is_ignored(self, house: House) -> None:
        device = await start(house)
        await post(house, awaitTimeout=0)
        await device.tell("switch", [{"id": 1, "statusCode": 200}], endpoint_id="dev-2")
        assert await device.ask() == [{"id": 1}]


class TestPushing:
    async def test_who_connects_gets_what_is_outstanding_by_types(self, house: House) -> None:
        device = await start(house)
        for type_, body in (("switch", 1), ("reboot", None), ("switch", 2)):
            await post(house, type_, body=body, awaitTimeout=0)
        await device.forget(3)
        device.connect(dev_1="home-v2")
        await until(lambda: len(device.pushes) == 2)
        assert device.pushes == [
            ("dev-1", "home-v2", "/command/switch", [{"id": 1, "payload": 1}, {"id": 2, "payload": 2}]),
            ("dev-1", "home-v2", "/command/reboot", [{"id": 1}]),
        ]
        device.pushes.clear()
        await post(house, body=3, awaitTimeout=0)
        await until(lambda: device.pushes)
        assert device.pushes == [("dev-1", "home-v2", "/command/switch", [{"id": 3, "payload": 3}])]

    async def test_a_fleet_that_connects_costs_one_query(self, house: House, monkeypatch: pytest.MonkeyPatch) -> None:
        ids = {f"dev-{n}": "home-v1" for n in range(2_000)}
        device = await start(house, endpoints=ids)
        body = {"endpointIds": list(ids)[:300], "payload": 1}
        await house.call("POST", f"{API}/endpoints/commands/switch/batch/by-endpoints", body)
        await until(lambda: len(device.pushes) == 300)
        device.pushes.clear()
        reads = 0
        read_apart = house.storage.read_apart

        async def counted(work: Any) -> Any:
            nonlocal reads
            reads += 1
            return await read_apart(work)

        monkeypatch.setattr(house.storage, "read_apart", counted)
        for at in range(0, 2_000, 100):
            device.connect(**{one.replace("-", "_"): "home-v1" for one in list(ids)[at : at + 100]})
        await until(lambda: len(device.pushes) == 300)
        assert sorted(push[0] for push in device.pushes) == sorted(list(ids)[:300])
        assert reads == 1

    async def test_many_commands_go_in_several_messages_each_in_order(self, house: House) -> None:
        device = await start(house)
        for number in range(3):
            await post(house, body="x" * 40_000 + str(number), awaitTimeout=0)
        for _ in range(120):
            await post(house, "tick", awaitTimeout=0)
        await device.forget(123)
        device.connect()
        await until(lambda: len(device.pushed_ids) == 123)
        assert [len(commands) for *_, path, commands in device.pushes if path.endswith("switch")] == [1, 1, 1]
        assert [len(commands) for *_, path, commands in device.pushes if path.endswith("tick")] == [100, 20]

    async def test_who_does_not_observe_is_pushed_nothing_until_he_does(self, house: House) -> None:
        device = await start(house)
        assert await device.ask(payload={"observe": False}) == []
        await post(house, awaitTimeout=0)
        device.connect()
        await post(house, "reboot", awaitTimeout=0)
        await until(lambda: device.pushes)
        assert {path for _, _, path, _ in device.pushes} == {"/command/reboot"}
        await house.restart()
        device = await start(house)
        await post(house, awaitTimeout=0)
        assert await device.ask() == [{"id": 1}, {"id": 2}]
        assert await device.ask(payload={"observe": True}) == [{"id": 1}, {"id": 2}]
        await post(house, awaitTimeout=0)
        await until(lambda: device.pushes)
        assert device.pushes == [("dev-1", "home-v1", "/command/switch", [{"id": 3}])]

    async def test_a_device_cannot_make_up_types_without_end(self, house: House) -> None:
        device = await start(house)
        asked = [begin(house, device.send(f"/command/t{n}", {"observe": False})) for n in range(256)]
        assert {(await one).status_code for one in asked} == {200}
        answer = await device.send("/command/more", {"observe": False})
        assert (answer.status_code, answer.payload) == (429, None)
        assert (await device.send("/command/t1", {"observe": False})).status_code == 200
        assert (await device.send("/command/more", {"observe": True})).status_code == 200
        for _ in range(2):
            await device.send("/command/new", {"observe": True})
        assert await rows(house, "select count(*) from cex_queue") == [(256,)]


class TestTime:
    async def test_a_command_whose_time_is_over_is_offered_no_more_and_shown_as_expired(self, house: House) -> None:
        device = await start(house)
        await post(house, commandTtl=1_000, awaitTimeout=0)
        await house.clock.advance(999)
        assert await device.ask() == [{"id": 1}]
        await house.clock.advance(1)
        assert await device.ask() == []
        await device.done(1)
        await until(lambda: is_expired(house))
        found = await house.get(command_path("switch", 1))
        assert (found["statusCode"], found["updatedAt"] > found["createdAt"]) == (None, True)

    async def test_who_waits_is_told_of_the_end_at_once(self, house: House) -> None:
        device = await start(house)
        asked = begin(house, post(house, commandTtl=1_000, awaitTimeout=60))
        await until(lambda: device.pushes)
        await house.clock.advance(1_200)
        answer = await asked
        assert (answer.status, answer.headers["Location"].endswith("/switch/1")) == (202, True)

    async def test_what_has_expired_while_the_server_was_down_is_found(self, house: House) -> None:
        await start(house)
        await post(house, commandTtl=1_000, awaitTimeout=0)
        await house.restart()
        house.clock.set(START_MS + 5_000)
        await start(house)
        await until(lambda: is_expired(house))

    async def test_one_that_is_pushed_once_is_never_offered_again(self, house: House) -> None:
        device = await start(house)
        asked = begin(house, post(house, commandTtl=0, body="now"))
        await until(lambda: device.pushes)
        assert await device.ask() == []
        device.connect()
        await post(house, "reboot", awaitTimeout=0)
        # that one may come twice, at once and because of the connection
        await until(lambda: "/command/reboot" in [path for _, _, path, _ in device.pushes])
        assert [path for _, _, path, _ in device.pushes].count("/command/switch") == 1
        await device.done(1)
        assert (await asked).status == 200

    async def test_one_that_is_pushed_once_expires_when_nobody_waits_for_it_any_more(self, house: House) -> None:
        device = await start(house, command_ttl="1s")
        asked = begin(house, post(house, commandTtl=0, awaitTimeout=10))
        await until(lambda: device.pushes)
        await house.clock.advance(9_749)
        assert not asked.done()
        await house.clock.advance(500)
        assert (await asked).status == 202
        await until(lambda: is_expired(house))

    async def test_one_that_is_held_back_is_delivered_when_it_is_due(self, house: House) -> None:
        device = await start(house)
        answer = await post(house, deliverAt="2025-11-24T17:01:00+01:00", commandTtl=5_000, awaitTimeout=0)
        assert answer.status == 202
        found = await house.get(command_path("switch", 1))
        assert (found["deliverAt"], found["expiresAt"]) == ("2025-11-24T16:01:00.000Z", "2025-11-24T16:01:05.000Z")
        device.connect()
        assert await device.ask() == []
        await device.done(1)
        await house.clock.advance(59_999)
        assert (await device.ask(), device.pushes) == ([], [])
        await house.clock.advance(200)
        await until(lambda: device.pushes)
        assert device.pushes == [("dev-1", "home-v1", "/command/switch", [{"id": 1}])]
        assert await device.ask() == [{"id": 1}]
        await house.clock.advance(5_000)
        await until(lambda: is_expired(house))

    async def test_a_time_that_has_gone_by_is_now(self, house: House) -> None:
        device = await start(house)
        await post(house, deliverAt="2020-01-01T00:00:00Z", awaitTimeout=0)
        await until(lambda: device.pushes)
        assert (await house.get(command_path("switch", 1)))["deliverAt"] == "2025-11-24T16:00:00.000Z"

    async def test_held_back_outlives_a_restart_and_deletion_ends_it(self, house: House) -> None:
        await start(house)
        for _ in range(2):
            await post(house, deliverAt="2025-11-24T16:01:00Z", commandTtl=0, awaitTimeout=0)
        await house.call("DELETE", command_path("switch", 1))
        await house.restart()
        device = await start(house)
        await house.clock.advance(60_200)
        await until(lambda: device.pushes)
        assert device.pushed_ids == [2]

    async def test_what_is_finished_is_kept_for_a_month(self, house: House) -> None:
        device = await start(house)
        for ttl in (1_000, 60_000, 60 * DAY_MS):
            await post(house, commandTtl=ttl, awaitTimeout=0)
        await device.done(2)
        await house.clock.advance(1_200)
        await until(lambda: is_expired(house))
        house.clock.set(house.clock.now_ms() + 30 * DAY_MS)
        await until(lambda: _kept(house, [(3,)]))
        assert (await house.call("GET", command_path("switch", 1))).status == 404

    async def test_what_was_deleted_counts_from_its_deletion(self, house: House) -> None:
        await start(house)
        await post(house, awaitTimeout=0)
        await house.call("DELETE", command_path("switch", 1))
        assert await rows(house, "select command_id from cex_command") == [(1,)]
        house.clock.set(house.clock.now_ms() + 31 * DAY_MS)
        await until(lambda: _kept(house, []))


async def is_expired(house: House) -> bool:
    return (await house.get(command_path("switch", 1)))["status"] == "EXPIRED"


async def _kept(house: House, ids: list[tuple[int]]) -> bool:
    await house.clock.advance(60_000)  # what cleans up may have been at work while time went on, and sleeps only now
    return await rows(house, "select command_id from cex_command order by 1") == ids
