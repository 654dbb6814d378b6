"""CEX as the agent of 12/CIP: commands of other services."""

import asyncio
from typing import Any

from commanding import Device, begin, command_path, post, rows, start, waits
from house import House
from waiting import until

from kaa.modules.cex import invocation
from kaa.protocols import cip
from kaa.protocols.cip import CommandInvocationResult

INVOKE = cip.invoke_command("cex")
ID = 1 << 30


def ask(house: House, id_: int = ID, *, payload: bytes | None = b'{"on":1}', **fields: Any) -> Any:
    """Have a caller of 12/CIP ask beside the test."""
    given = {"endpoint_id": "dev-1", "command_type": "switch", "command_id": id_, "payload": payload} | fields
    message = house.message(INVOKE, **given)
    return house.tasks.spawn(house.bus.request(INVOKE, message, timeout_ms=10_000_000), name="a caller")


def told(result: CommandInvocationResult) -> tuple[Any, ...]:
    return result.status_code, result.reason_phrase, result.payload


async def pushed(device: Device, *ids: int) -> None:
    await until(lambda: device.pushed_ids == list(ids))


async def test_a_command_of_another_service_goes_to_the_device_and_its_result_back(house: House) -> None:
    device = await start(house)
    asked = ask(house)
    await pushed(device, ID)
    assert device.pushes == [("dev-1", "home-v1", "/command/switch", [{"id": ID, "payload": {"on": 1}}])]
    await device.tell("switch", [{"id": ID, "statusCode": 201, "reasonPhrase": "made", "payload": [1]}])
    result = await asked
    assert told(result) == (201, "made", b"[1]")
    assert (result.app_version_name, result.endpoint_id) == ("home-v1", "dev-1")
    assert (result.command_type, result.command_id) == ("switch", ID)


async def test_the_same_command_never_runs_twice_and_has_one_result(house: House) -> None:
    device = await start(house)
    first = ask(house)
    await pushed(device, ID)
    second = ask(house)
    result = await first
    assert told(result) == (503, "the command has no result yet; ask for it again", None)
    assert result.app_version_name == ""
    await device.tell("switch", [{"id": ID, "statusCode": 200, "payload": 1}])
    assert told(await second) == (200, None, b"1")
    assert told(await ask(house)) == (200, None, b"1")
    assert device.pushed_ids == [ID]
    assert await rows(house, "select count(*) from cex_command") == [(1,)]


async def test_the_same_id_with_another_payload_is_a_conflict(house: House) -> None:
    device = await start(house)
    ask(house)
    await pushed(device, ID)
    result = await ask(house, payload=b"2")
    assert (result.status_code, result.payload, result.app_version_name) == (409, None, "")
    assert (await ask(house, payload=None)).status_code == 409
    other = ask(house, command_type="reboot", payload=b"2")
    await pushed(device, ID, ID)
    await device.done(ID, type_="reboot")
    assert (await other).status_code == 200


async def test_an_answer_comes_after_minutes_and_after_a_restart(house: House) -> None:
    device = await start(house)
    lost = ask(house, timeout_ms=600_000)
    await pushed(device, ID)
    await house.clock.advance(300_000)
    assert not lost.done()
    await house.restart()
    assert lost.cancel() or lost.done()  # nobody is there any more to hear what it got
    device = await start(house)
    asked = ask(house, timeout_ms=600_000)
    await waits(house)
    await house.clock.advance(120_000)
    await device.done(ID)
    assert (await asked).status_code == 200
    assert device.pushes == []


async def test_a_result_that_came_while_nobody_asked_is_there_for_who_asks_again(house: House) -> None:
    device = await start(house)
    ask(house, timeout_ms=600_000)
    await pushed(device, ID)
    await device.done(ID, status=204)
    await house.restart()
    await start(house)
    assert (await ask(house)).status_code == 204


async def test_without_a_result_in_its_time_it_times_out(house: House) -> None:
    device = await start(house)
    by_default, by_request = ask(house), ask(house, ID + 1, timeout_ms=1_000)
    await until(lambda: len(device.pushed_ids) == 2)
    await house.clock.advance(1_000)
    assert (await by_request).status_code == 504
    await house.clock.advance(58_999)
    assert not by_default.done()
    await house.clock.advance(1)
    result = await by_default
    assert told(result) == (504, "the endpoint gave no result in the command's time", None)
    assert (await ask(house)).status_code == 504


async def test_what_cannot_be_is_refused(house: House) -> None:
    await start(house, max_outstanding=1)
    for fields, status in (
        ({"endpoint_id": "dev-9"}, 404),
        ({"endpoint_id": ""}, 404),
        ({"command_type": "a.b"}, 400),
        ({"command_type": ""}, 400),
        ({"id_": -1}, 400),
        ({"payload": b"{"}, 400),
        ({"payload": b""}, 400),
        ({"payload": b"\xff"}, 400),
        ({"payload": b'"' + b"x" * 70_000 + b'"'}, 413),
    ):
        result = await ask(house, **fields)
        assert (result.status_code, result.payload, result.app_version_name) == (status, None, ""), fields
    assert await rows(house, "select count(*) from cex_command") == [(0,)]
    await post(house, awaitTimeout=0)
    assert (await ask(house)).status_code == 429


async def test_a_command_that_was_deleted_does_not_run_again(house: House) -> None:
    device = await start(house)
    asked = ask(house)
    await pushed(device, ID)
    assert (await house.call("DELETE", command_path("switch", ID))).status == 204
    assert told(await asked) == (404, "the command was deleted", None)
    assert told(await ask(house, payload=b"2")) == (404, "the command was deleted", None)
    assert (await device.ask(), device.pushed_ids) == ([], [ID])


async def test_own_numbers_pass_by_those_that_callers_have_taken(house: House) -> None:
    device = await start(house)
    for number in (1, 2, 4):
        ask(house, number)
    await until(lambda: len(device.pushed_ids) == 3)
    places = [(await post(house, awaitTimeout=0)).headers["Location"].rpartition("/")[2] for _ in range(3)]
    assert places == ["3", "5", "6"]


async def test_when_too_many_hang_the_others_are_told_at_once_while_their_commands_run(
    house: House, monkeypatch: Any
) -> None:
    monkeypatch.setattr(invocation, "_MOST_WAITING", 2)
    device = await start(house)
    hanging = [ask(house, ID + n) for n in range(2)]
    await until(lambda: len(device.pushed_ids) == 2)
    assert (await ask(house, ID + 2)).status_code == 503
    await pushed(device, ID, ID + 1, ID + 2)
    await device.done(ID, ID + 1, ID + 2)
    assert {(await one).status_code for one in hanging} == {200}
    assert (await ask(house, ID + 2)).status_code == 200


async def test_a_caller_over_http_and_one_over_the_bus_may_wait_for_the_same(house: House) -> None:
    device = await start(house)
    over_http = begin(house, post(house, body=5))
    await pushed(device, 1)
    over_bus = ask(house, 1, payload=b"5")
    await asyncio.sleep(0)
    await device.done(1)
    assert ((await over_http).status, (await over_bus).status_code) == (200, 200)
