"""CEX: commands over REST, their way to endpoints that are there, and their results."""

import json
from typing import Any

import pytest
from commanding import API, APPLICATIONS, Device, begin, command_path, post, register, rows, start
from house import House
from waiting import until

from kaa.modules.cex.module import MODULE as CEX
from kaa.protocols import elce
from kaa.protocols.x_outbox import EventProcessed, event_processed

NOW = "2025-11-24T16:00:00.000Z"
MINUTE_LATER = "2025-11-24T16:01:00.000Z"


class TestSynchronous:
    async def test_a_command_goes_to_the_device_and_its_result_to_the_caller(self, house: House) -> None:
        device = await start(house)
        asked = begin(house, post(house, body={"on": True}))
        await until(lambda: device.pushes)
        assert device.pushes == [("dev-1", "home-v1", "/command/switch", [{"id": 1, "payload": {"on": True}}])]
        result = {"id": 1, "statusCode": 200, "reasonPhrase": "OK", "payload": {"is": "on"}}
        reply = await device.tell("switch", [result])
        assert (reply.status_code, json.loads(reply.payload)) == (200, {"statusCode": 200, "reasonPhrase": "OK"})
        answer = await asked
        assert (answer.status, answer.data) == (200, b'{"is": "on"}')
        assert answer.headers["Content-Type"] == "application/json"
        assert answer.headers["X-Command-Status-Code"] == "200"
        assert answer.headers["X-Command-Reason-Phrase"] == "OK"
        assert answer.headers["Location"].endswith(command_path("switch", 1))

    async def test_a_failure_of_the_device_is_told_with_its_code_and_the_call_succeeds(self, house: House) -> None:
        device = await start(house)
        asked = begin(house, post(house))
        await until(lambda: device.pushes)
        await device.tell("switch", {"id": 1, "statusCode": 409, "reasonPhrase": "schon\r\nan: ü"})
        answer = await asked
        assert (answer.status, answer.data, answer.headers["X-Command-Status-Code"]) == (200, b"", "409")
        assert answer.headers["X-Command-Reason-Phrase"] == "schon??an: ?"
        found = await house.get(command_path("switch", 1))
        assert (found["status"], found["statusCode"], found["responsePayload"]) == ("EXECUTED", 409, None)

    async def test_the_answer_is_on_the_disk_before_the_caller_has_it(self, house: House) -> None:
        device = await start(house)
        asked = begin(house, post(house))
        await until(lambda: device.pushes)
        await device.done(1)
        await asked
        assert await rows(house, "select status from cex_command") == [("EXECUTED",)]

    @pytest.mark.parametrize(
        ("params", "waits_ms"),
        [
            ({}, 4_250),
            ({"awaitTimeout": "5"}, 4_750),
            ({"waitTimeout": "5"}, 4_750),
            ({"awaitTimeout": "60"}, 59_750),
            ({"awaitTimeout": "0.2"}, 100),
        ],
    )
    async def test_without_a_result_202_and_its_place_leave_before_the_wait_is_over(
        self, house: House, params: dict[str, str], waits_ms: int
    ) -> None:
        device = await start(house)
        asked = begin(house, post(house, commandTtl="600000", **params))
        await until(lambda: device.pushes)
        await house.clock.advance(waits_ms - 1)
        assert not asked.done()
        await house.clock.advance(1)
        answer = await asked
        assert (answer.status, answer.data) == (202, b"")
        assert answer.headers["Location"].endswith(f"{API}/endpoints/dev-1/commands/switch/1")

    async def test_a_result_that_comes_later_is_read_at_its_place(self, house: House) -> None:
        device = await start(house)
        answer = await post(house, body=[1, "ü"], awaitTimeout=0)
        assert answer.status == 202
        await device.tell("switch", [{"id": 1, "statusCode": 200, "payload": 0}])
        assert await house.get(command_path("switch", 1)) == {
            "commandId": 1,
            "commandType": "switch",
            "endpointId": "dev-1",
            "status": "EXECUTED",
            "statusCode": 200,
            "reasonPhrase": None,
            "requestPayload": [1, "ü"],
            "responsePayload": 0,
            "createdAt": NOW,
            "updatedAt": NOW,
            "deliverAt": NOW,
            "expiresAt": MINUTE_LATER,
        }

    async def test_who_waits_is_told_when_the_command_is_deleted_and_when_its_endpoint_is(self, house: House) -> None:
        device = await start(house)
        one, other = begin(house, post(house)), begin(house, post(house, endpoint="dev-2"))
        await until(lambda: len(device.pushes) == 2)
        assert (await house.call("DELETE", command_path("switch", 1))).status == 204
        assert ((await one).status, (await one).message) == (
            404,
            "the command was deleted while its result was waited for",
        )
        del house.register.endpoints["dev-2"]
        house.publish(elce.unregistered("epr"), app_version_name="home-v1", endpoint_id="dev-2")
        assert (await other).status == 404

    async def test_a_burst_of_results_is_one_commit(self, house: House) -> None:
        device = await start(house)
        asked = [begin(house, post(house)) for _ in range(20)]
        await until(lambda: len(device.pushed_ids) == 20)
        before = house.storage._commits._value.get()
        for number in range(1, 21):
            begin(house, device.done(number))
        for one in asked:
            assert (await one).status == 200
        assert house.storage._commits._value.get() - before <= 2

    async def test_the_register_is_asked_once_and_again_when_the_endpoint_is_gone(self, house: House) -> None:
        await start(house)
        for _ in range(3):
            assert (await post(house, awaitTimeout=0)).status == 202
        assert house.register.asked == [("dev-1",)]
        await unregister(house)
        assert (await post(house, awaitTimeout=0)).message == "there is no endpoint 'dev-1'"
        assert await house.get(f"{API}/endpoints/commands", endpointId="dev-1") == [
            {"endpointId": "dev-1", "commands": []}
        ]

    async def test_what_is_remembered_of_an_endpoint_is_believed_for_a_minute(self, house: House) -> None:
        await start(house)
        await post(house, awaitTimeout=0)
        await house.clock.advance(60_000)
        await post(house, awaitTimeout=0)
        assert len(house.register.asked) == 2


class TestRefusals:
    async def test_a_parameter_that_makes_no_sense_is_named(self, house: House) -> None:
        await start(house)
        for name, value, place in (
            ("awaitTimeout", "-1", "query.awaitTimeout"),
            ("awaitTimeout", "61", "query.awaitTimeout"),
            ("awaitTimeout", "nan", "query.awaitTimeout"),
            ("waitTimeout", "soon", "query.waitTimeout"),
            ("commandTtl", "-1", "query.commandTtl"),
            ("commandTtl", "1.5", "query.commandTtl"),
            ("commandTtl", str(367 * 86_400_000), "query.commandTtl"),
            ("deliverAt", "tomorrow", "query.deliverAt"),
            ("deliverAt", "2025-11-24T16:00:00", "query.deliverAt"),
            ("deliverAt", "2027-11-24T16:00:00Z", "deliverAt: more than 366 days ahead"),
        ):
            reply = await post(house, **{name: value})
            assert (reply.status, reply.message.startswith(place)) == (400, True), reply.message
        assert await rows(house, "select count(*) from cex_command") == [(0,)]

    async def test_types_have_letters_digits_dashes_and_underscores(self, house: House) -> None:
        await start(house)
        for type_ in ("a.b", "a b", "ä", "x" * 65):
            reply = await post(house, type_)
            assert (reply.status, reply.message.startswith("commandType")) == (400, True), type_
        for type_ in ("switch", "LINUX_COMMAND", "close-door", "0"):
            assert (await post(house, type_, awaitTimeout=0)).status == 202

    async def test_an_endpoint_that_is_not_there_is_not_found(self, house: House) -> None:
        await start(house)
        for endpoint in ("dev-9", "dev%201", "x" * 200):
            assert (await post(house, endpoint=endpoint)).status == 404

    async def test_a_body_that_is_no_json_is_refused(self, house: House) -> None:
        await start(house)
        for data in (b"{", b"nope", b"[1,]", b'{"a":NaN}', b"\xff"):
            reply = await post(house, data=data)
            assert (reply.status, reply.message.startswith("body: ")) == (400, True), data

    async def test_a_body_that_is_nested_too_deeply_or_too_large_is_refused(self, house: House) -> None:
        await start(house)
        reply = await post(house, data=b"[" * 30_000 + b"]" * 30_000)
        assert (reply.status, reply.message) == (400, "body: nested too deeply")
        assert (await post(house, data=b'"' + b"x" * 65_536 + b'"')).status == 413

    async def test_a_register_that_is_not_there_is_said(self, house: House) -> None:
        await house.start(CEX, applications=APPLICATIONS)
        reply = await post(house)
        assert (reply.status, reply.message) == (503, "the service epr cannot be reached")

    async def test_so_many_may_be_outstanding_for_an_endpoint_and_no_more(self, house: House) -> None:
        device = await start(house, max_outstanding=2, max_outstanding_payload=100)
        assert [(await post(house, awaitTimeout=0)).status for _ in range(3)] == [202, 202, 429]
        assert (await post(house, endpoint="dev-2", body="x" * 60, awaitTimeout=0)).status == 202
        assert (await post(house, endpoint="dev-2", body="x" * 60, awaitTimeout=0)).status == 429
        await device.done(1)
        assert (await post(house, awaitTimeout=0)).headers["Location"].endswith("/3")

    async def test_who_may_read_only_makes_and_deletes_none(self, house: House) -> None:
        await start(house)
        assert (await house.call("POST", command_path("switch"), has_key=False)).status == 401


class TestPayloads:
    async def test_json_travels_as_it_was_written(self, house: House) -> None:
        device = await start(house)
        texts = ["0", "false", "null", '""', "{}", "[]", "1e3", '{"a": {"b": [1.50]}}', '"ü"']
        for number, text in enumerate(texts, start=1):
            await post(house, data=f" {text}\n".encode(), awaitTimeout=0)
            answer = await device.send("/command/switch", {})
            assert answer.payload == b'[{"id":%d,"payload":%b}]' % (number, text.encode())
            found = await house.call("GET", command_path("switch", number))
            assert b'"requestPayload":' + text.encode() + b"," in found.data
            await device.done(number)

    async def test_without_a_body_there_is_no_payload(self, house: House) -> None:
        device = await start(house)
        await post(house, awaitTimeout=0)
        assert await device.ask() == [{"id": 1}]

    async def test_text_travels_as_a_string(self, house: House) -> None:
        device = await start(house)
        headers = {"Content-Type": "text/plain; charset=utf-8"}
        path, params = command_path("LINUX_COMMAND"), {"awaitTimeout": "0"}
        await house.call("POST", path, data='uname "-a" ü'.encode(), headers=headers, params=params)
        assert await device.ask("LINUX_COMMAND") == [{"id": 1, "payload": 'uname "-a" ü'}]
        reply = await house.call("POST", path, data=b"\xff", headers=headers, params=params)
        assert (reply.status, reply.message) == (400, "body: not UTF-8 text")


class TestReading:
    async def test_ids_count_from_one_for_each_endpoint_and_type(self, house: House) -> None:
        await start(house)
        for endpoint, type_, place in (
            ("dev-1", "switch", 1),
            ("dev-1", "switch", 2),
            ("dev-1", "reboot", 1),
            ("dev-2", "switch", 1),
        ):
            answer = await post(house, type_, endpoint=endpoint, awaitTimeout=0)
            assert answer.headers["Location"].endswith(f"/{endpoint}/commands/{type_}/{place}")

    async def test_an_id_is_not_given_out_again(self, house: House) -> None:
        await start(house)
        await post(house, awaitTimeout=0)
        await house.call("DELETE", command_path("switch", 1))
        assert (await post(house, awaitTimeout=0)).headers["Location"].endswith("/switch/2")

    async def test_a_deleted_command_is_gone_and_not_delivered(self, house: House) -> None:
        device = await start(house)
        await post(house, awaitTimeout=0)
        assert (await house.call("DELETE", command_path("switch", 1))).status == 204
        assert await device.ask() == []
        for method in ("GET", "DELETE"):
            reply = await house.call(method, command_path("switch", 1))
            assert (reply.status, reply.message) == (404, "endpoint 'dev-1' has no command 1 of type 'switch'")
        assert (await house.call("GET", command_path("switch", "last"))).status == 404
        await device.done(1)
        assert (await house.call("GET", command_path("switch", 1))).status == 404

    async def test_a_command_that_is_not_there_is_not_found(self, house: House) -> None:
        await start(house)
        await post(house, awaitTimeout=0)
        for text in ("0", "7", "x", "-1", "99999999999", "2147483648", "٣"):
            assert (await house.call("GET", command_path("switch", text))).status == 404, text

    async def test_the_last_command_is_the_youngest(self, house: House) -> None:
        await start(house)
        for number in range(3):
            await post(house, body=number, awaitTimeout=0)
        assert (await house.get(command_path("switch", "last")))["requestPayload"] == 2
        assert (await house.call("GET", command_path("reboot", "last"))).status == 404


class TestRestart:
    async def test_what_is_outstanding_outlives_a_restart_and_so_do_results_and_numbers(self, house: House) -> None:
        device = await start(house)
        await post(house, body=1, awaitTimeout=0)
        await post(house, body=2, awaitTimeout=0)
        await device.done(1)
        await house.restart()
        device = await start(house)
        assert await device.ask() == [{"id": 2, "payload": 2}]
        assert (await house.get(command_path("switch", 1)))["status"] == "EXECUTED"
        assert (await post(house, awaitTimeout=0)).headers["Location"].endswith("/3")

    async def test_a_caller_that_waits_does_not_hold_up_the_end(self, house: House) -> None:
        device = await start(house)
        asked = begin(house, _ignored(post(house, awaitTimeout=60)))
        await until(lambda: device.pushes)
        await house.restart()
        await asked

    async def test_two_instances_have_commands_of_their_own_names(self, house: House) -> None:
        await register(house)
        device = Device(house)
        await device.hear()
        await house.start(CEX, name="cex_2", applications=APPLICATIONS)
        reply = await house.call("POST", "/cex_2/api/v1/endpoints/dev-1/commands/switch", params={"awaitTimeout": "0"})
        assert reply.headers["Location"].endswith("/cex_2/api/v1/endpoints/dev-1/commands/switch/1")
        device.pushes.clear()


class TestDeletionOfEndpoints:
    async def test_all_that_there_was_is_deleted_and_numbers_begin_anew(self, house: House) -> None:
        device = await start(house)
        await post(house, awaitTimeout=0)
        await device.ask(payload={"observe": False})
        await unregister(house)
        assert await rows(house, "select count(*) from cex_command") == [(0,)]
        assert await rows(house, "select count(*) from cex_queue") == [(0,)]
        house.register.endpoints["dev-1"] = "garden-v1"
        assert (await post(house, awaitTimeout=0)).headers["Location"].endswith("/1")

    async def test_an_event_that_comes_late_leaves_what_is_new(self, house: House) -> None:
        device = await start(house)
        await post(house, awaitTimeout=0)
        late = house.message(elce.unregistered("epr"), app_version_name="home-v1", endpoint_id="dev-1")
        await house.clock.advance(10)
        await post(house, body="new", awaitTimeout=0)
        await unregister(house, late, is_gone=False)
        await unregister(house, late, is_gone=False)
        assert await device.ask() == [{"id": 2, "payload": "new"}]
        assert (await post(house, awaitTimeout=0)).headers["Location"].endswith("/3")

    async def test_while_the_register_is_away_the_event_is_asked_for_again(self, house: House) -> None:
        await house.start(CEX, applications=APPLICATIONS)
        answers = await answers_of(house)
        message = house.message(elce.unregistered("epr"), app_version_name="home-v1", endpoint_id="dev-1")
        house.bus.publish(elce.unregistered("epr"), message, reply_to=ANSWERS)
        await until(lambda: answers)
        assert (answers[0].status_code, answers[0].receiver_service_instance_name) == (503, "cex")


async def unregister(house: House, message: Any = None, *, is_gone: bool = True) -> None:
    if is_gone:
        house.register.endpoints.pop("dev-1", None)
    answers = await answers_of(house)
    message = message or house.message(elce.unregistered("epr"), app_version_name="home-v1", endpoint_id="dev-1")
    house.bus.publish(elce.unregistered("epr"), message, reply_to=ANSWERS)
    await until(lambda: answers)
    assert (answers[0].correlation_id, answers[0].status_code) == (message.correlation_id, 200)


async def answers_of(house: House) -> list[EventProcessed]:
    return await house.hear(ANSWERS, name=house.ids.short())


async def _ignored(call: Any) -> None:
    try:
        await call
    except Exception:  # noqa: BLE001  the server has gone, as it should
        return


ANSWERS = event_processed("epr-1")
