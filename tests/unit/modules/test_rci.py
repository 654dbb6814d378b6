"""RCI over HTTP: callers who wait for the result of a command."""

import asyncio
from typing import Any

import commanding
import pytest
from fakes.clock import START_MS
from house import House, Reply
from invoking import API, ID, TICK_MS, Agent, command, leap, path, post, start, start_alone
from waiting import until

from kaa.core.errors import (
    Conflict,
    InvalidInput,
    NotFound,
    Refusal,
    StorageFull,
    TimedOut,
    TooLarge,
    TooMany,
    Unavailable,
)
from kaa.modules.rci import service

DAY_MS = 86_400_000


def ask(house: House, body: Any = None, **more: Any) -> "asyncio.Task[Reply]":
    """Have a caller wait beside the test."""
    return commanding.begin(house, post(house, body, **more))


async def leave(waiting: "asyncio.Task[Reply]") -> None:
    """Have a caller go away."""
    waiting.cancel()
    await asyncio.wait([waiting])


class TestResults:
    async def test_the_result_is_the_answer_and_what_the_endpoint_says_of_it_is_in_headers(self, house: House) -> None:
        agent = await start(house)
        waiting = ask(house, {"on": 1})
        await agent.heard(ID)
        agent.tell(status=409, payload=b'{"was": [1.50]}', reason="Stuck")
        reply = await waiting
        assert (reply.status, reply.data) == (200, b'{"was": [1.50]}')
        assert reply.headers["Content-Type"] == "application/json"
        assert reply.headers["X-Command-Status-Code"] == "409"
        assert reply.headers["X-Command-Reason-Phrase"] == "Stuck"

    async def test_without_a_payload_the_answer_is_empty(self, house: House) -> None:
        agent = await start(house)
        waiting = ask(house)
        await agent.heard(ID)
        agent.tell(status=204)
        reply = await waiting
        assert (reply.status, reply.data, reply.headers["X-Command-Status-Code"]) == (200, b"", "204")
        assert "X-Command-Reason-Phrase" not in reply.headers

    async def test_no_phrase_can_add_a_header(self, house: House) -> None:
        agent = await start(house)
        waiting = ask(house)
        await agent.heard(ID)
        agent.tell(reason="sch\xf6n\r\nX-More: 1" + "x" * 1_000)
        headers = (await waiting).headers
        assert headers["X-Command-Reason-Phrase"] == ("sch?n??X-More: 1" + "x" * 1_000)[:256]
        assert "X-More" not in headers

    async def test_the_agent_is_asked_with_all_that_the_caller_said(self, house: House) -> None:
        agent = await start(house)
        waiting = ask(house, data=b' {"on": 1.50}\n', endpoint="dev-2", type_="close-door", awaitTimeout=2.5)
        await agent.heard(ID)
        asked = agent.asked[0]
        assert (asked.endpoint_id, asked.command_type, asked.payload) == ("dev-2", "close-door", b'{"on": 1.50}')
        assert (asked.timestamp_ms, asked.timeout_ms) == (START_MS, 2_500)
        agent.tell()
        assert (await waiting).status == 200

    @pytest.mark.parametrize(
        ("data", "content_type", "payload"),
        [
            (b"reboot now", "text/plain", b'"reboot now"'),
            (b'say "\xc3\xbc"', "text/plain; charset=utf-8", b'"say \\"\xc3\xbc\\""'),
            (b"[1]", "application/octet-stream", b"[1]"),
            (b"null", "application/json", b"null"),
            (b" \n", "application/json", None),
            (b"", "text/plain", None),
        ],
    )
    async def test_a_payload_is_json_or_a_text_or_none(
        self, house: House, data: bytes, content_type: str, payload: bytes | None
    ) -> None:
        agent = await start(house)
        waiting = ask(house, data=data, content_type=content_type)
        await agent.heard(ID)
        assert agent.asked[0].payload == payload
        agent.tell()
        await waiting

    async def test_results_that_come_together_go_each_to_its_caller(self, house: House) -> None:
        agent = await start(house)
        waiting = []
        for number in range(40):
            waiting.append(ask(house, number))
            await until(lambda number=number: len(agent.asked) == number + 1)
        assert agent.ids == list(range(ID, ID + 40))
        for request in agent.asked:
            assert request.payload is not None
            agent.tell(request.command_id, payload=b"[%b]" % request.payload)
        assert [(await one).json for one in waiting] == [[number] for number in range(40)]

    async def test_ids_begin_at_two_to_the_thirtieth_and_are_never_given_out_twice(self, house: House) -> None:
        agent = await start(house, retention="1h")
        for number in range(3):
            waiting = ask(house)
            await agent.heard(*range(ID, ID + number + 1))
            agent.tell(ID + number)
            await waiting
        await leap(house, 2 * 3_600_000)

        async def is_empty() -> bool:
            return await commanding.rows(house, "select count(*) from rci_command") == [(0,)]

        await until(is_empty)
        await house.restart()
        agent = await start(house)
        waiting = ask(house)
        await agent.heard(ID + 3)
        agent.tell(ID + 3)
        await waiting

    async def test_another_instance_may_run_the_commands(self, house: House) -> None:
        agent = await Agent(house).hear("cex_2")
        await start_alone(house, command_invocation_agent="cex_2")
        waiting = ask(house)
        await agent.heard(ID)
        agent.tell()
        assert (await waiting).status == 200

    async def test_the_command_can_be_read_with_what_has_become_of_it(self, house: House) -> None:
        agent = await start(house)
        waiting = ask(house, data=b'{"on": 1.50}')
        await agent.heard(ID)
        pending = {
            "commandId": ID,
            "commandType": "switch",
            "endpointId": "dev-1",
            "status": "PENDING",
            "statusCode": None,
            "reasonPhrase": None,
            "requestPayload": {"on": 1.5},
            "responsePayload": None,
            "createdAt": "2025-11-24T16:00:00.000Z",
            "updatedAt": "2025-11-24T16:00:00.000Z",
            "expiresAt": "2025-11-24T16:00:30.000Z",
            "callbackStatus": None,
        }
        assert await command(house) == pending
        await house.clock.advance(1_000)
        agent.tell(status=500, payload=b'"\xc3\xbc"', reason="\xfc")
        await waiting
        assert await command(house) == pending | {
            "status": "EXECUTED",
            "statusCode": 500,
            "reasonPhrase": "\xfc",
            "responsePayload": "\xfc",
            "updatedAt": "2025-11-24T16:00:01.000Z",
        }

    async def test_with_the_real_agent_a_device_runs_it(self, house: House) -> None:
        device = await commanding.start(house)
        await start_alone(house)
        waiting = ask(house, {"on": 1})
        await until(lambda: device.pushes)
        assert device.pushes == [("dev-1", "home-v1", "/command/switch", [{"id": ID, "payload": {"on": 1}}])]
        await device.tell("switch", [{"id": ID, "statusCode": 201, "reasonPhrase": "done", "payload": [1]}])
        reply = await waiting
        assert (reply.status, reply.json, reply.headers["X-Command-Status-Code"]) == (200, [1], "201")
        assert (await post(house, endpoint="dev-9")).status == 404
        late = ask(house, awaitTimeout=1)
        await until(lambda: len(device.pushed_ids) == 2)
        await house.clock.advance(1_000)
        assert (await late).status == 504
        await house.clock.advance(5_000)
        assert (await device.ask(), device.pushed_ids) == ([], [ID, ID + 2])


class TestRefusals:
    @pytest.mark.parametrize(
        ("call", "status", "sentence"),
        [
            ({"endpoint": "a%20b"}, 404, "there is no endpoint 'a b'"),
            ({"endpoint": "x" * 300}, 404, "there is no endpoint"),
            ({"type_": "a.b"}, 400, "commandType"),
            ({"type_": "x" * 65}, 400, "commandType"),
            ({"type_": "t%C3%BCr"}, 400, "commandType"),
            ({"data": b"{"}, 400, "body: not JSON"),
            ({"data": b"{'a': 1}"}, 400, "body: not JSON"),
            ({"data": b"[1, NaN]"}, 400, "body: not JSON"),
            ({"data": b"[1] 2"}, 400, "body: not JSON"),
            ({"data": b'"\xff"'}, 400, "body: not"),
            ({"data": b"[" * 60_000}, 400, "body: n"),
            ({"data": b"\xff", "content_type": "text/plain"}, 400, "body: not UTF-8 text"),
            ({"data": b'"' + b"x" * 65_536 + b'"'}, 413, "body: more than 65536 bytes"),
            ({"awaitTimeout": 0}, 400, "query.awaitTimeout"),
            ({"awaitTimeout": -1}, 400, "query.awaitTimeout"),
            ({"awaitTimeout": 61}, 400, "query.awaitTimeout"),
            ({"awaitTimeout": "nan"}, 400, "query.awaitTimeout"),
            ({"awaitTimeout": "soon"}, 400, "query.awaitTimeout"),
            ({"awaitTimeout": 0.0001}, 400, "without time to live"),
            ({"callback": "http://8.8.8.8/", "commandTtl": 0}, 400, "query.commandTtl"),
            ({"callback": "http://8.8.8.8/", "commandTtl": 1 << 40}, 400, "query.commandTtl"),
        ],
    )
    async def test_what_cannot_be_is_refused_and_never_asked_for(
        self, house: House, call: dict[str, Any], status: int, sentence: str
    ) -> None:
        agent = await start(house)
        reply = await post(house, **call)
        assert (reply.status, sentence in reply.message) == (status, True), reply
        assert agent.asked == []
        assert await commanding.rows(house, "select count(*) from rci_command") == [(0,)]

    async def test_the_largest_payload_is_configured(self, house: House) -> None:
        agent = await start(house, max_payload="10B")
        assert (await post(house, data=b'"12345678x"')).status == 413
        waiting = ask(house, data=b'"12345678"')
        await agent.heard(ID)
        agent.tell()
        assert (await waiting).status == 200

    @pytest.mark.parametrize(
        "no",
        [
            NotFound("there is no endpoint 'dev-1'"),
            InvalidInput("not so"),
            Conflict("taken"),
            TooLarge("too much"),
            TooMany("too often"),
            TimedOut("the endpoint gave no result in the command's time"),
        ],
    )
    async def test_what_the_agent_refuses_is_refused(self, house: House, no: Refusal) -> None:
        agent = await start(house)
        agent.refusals = [no]
        reply = await post(house)
        assert reply.status == no.status
        is_late = isinstance(no, TimedOut)
        assert reply.message == ("the endpoint gave no result within 30 s" if is_late else no.reason)
        found = await command(house)
        assert (found["status"], found["statusCode"]) == ("EXPIRED" if is_late else "REFUSED", no.status)
        assert found["reasonPhrase"] == no.reason

    async def test_the_same_code_from_the_endpoint_is_a_result(self, house: House) -> None:
        agent = await start(house)
        for number, status in enumerate((400, 404, 500, 503, 504, 507)):
            waiting = ask(house)
            await agent.heard(*range(ID, ID + number + 1))
            agent.tell(ID + number, status, payload=b"1")
            reply = await waiting
            assert (reply.status, reply.headers["X-Command-Status-Code"]) == (200, str(status))

    async def test_where_nobody_runs_commands_it_is_said_at_once(self, house: House) -> None:
        await start_alone(house)
        reply = await post(house)
        assert (reply.status, reply.message) == (503, "the service cex cannot be reached")

    async def test_only_so_many_may_wait(self, house: House) -> None:
        agent = await start(house, max_pending=2)
        waiting = [ask(house), ask(house)]
        await until(lambda: len(agent.asked) == 2)
        reply = await post(house)
        assert (reply.status, reply.message) == (429, "2 commands wait for their results already; try again later")
        agent.tell(ID)
        agent.tell(ID + 1)
        assert [(await one).status for one in waiting] == [200, 200]
        again = ask(house)
        await until(lambda: len(agent.asked) == 3)
        agent.tell(ID + 2)
        assert (await again).status == 200

    @pytest.mark.parametrize(
        "where",
        [
            path(ID + 1),
            path(ID, endpoint="dev-2"),
            path(ID, type_="reboot"),
            path(ID - 1),
            path(1),
            path(-1),
            path(1 << 31),
            path("9" * 500),
            path("nope"),
            path("%D9%A1"),
        ],
    )
    async def test_what_is_not_there_is_not_found(self, house: House, where: str) -> None:
        agent = await start(house)
        waiting = ask(house)
        await agent.heard(ID)
        agent.tell()
        await waiting
        assert (await house.call("GET", where)).status == 404

    async def test_nobody_gets_in_without_a_key(self, house: House) -> None:
        await start(house)
        for method, where in (("POST", path()), ("GET", path(ID))):
            assert (await house.call(method, where, has_key=False)).status == 401
        assert (await house.call("POST", f"{API}/endpoints/dev-1/commands")).status == 404


class TestTime:
    async def test_past_the_wait_it_is_too_late(self, house: House) -> None:
        agent = await start(house)
        by_default, by_request = ask(house), ask(house, awaitTimeout=60)
        await until(lambda: len(agent.asked) == 2)
        await house.clock.advance(29_999)
        assert not by_default.done()
        await house.clock.advance(1)
        reply = await by_default
        assert (reply.status, reply.message) == (504, "the endpoint gave no result within 30 s")
        await house.clock.advance(30_000)
        assert (await by_request).message == "the endpoint gave no result within 60 s"
        for number in range(2):

            async def is_over(command_id: int = ID + number) -> bool:
                await house.clock.advance(TICK_MS)
                found = await command(house, command_id)
                return bool((found["status"], found["statusCode"]) == ("EXPIRED", 504))

            await until(is_over)

    async def test_the_wait_is_configured(self, house: House) -> None:
        agent = await start(house, read_timeout="1s")
        waiting = ask(house)
        await agent.heard(ID)
        assert agent.asked[0].timeout_ms == 1_000
        await house.clock.advance(1_000)
        assert (await waiting).message == "the endpoint gave no result within 1 s"

    async def test_a_result_that_comes_a_moment_too_late_can_still_be_read(self, house: House) -> None:
        agent = await start(house)
        waiting = ask(house)
        await agent.heard(ID)
        await house.clock.advance(30_000)
        assert (await waiting).status == 504
        agent.tell(payload=b"1")

        async def is_there() -> bool:
            return bool((await command(house))["status"] == "EXECUTED")

        await until(is_there)
        await leap(house, DAY_MS)
        assert (await command(house))["responsePayload"] == 1

    @pytest.mark.parametrize("no", [Unavailable("no result yet"), StorageFull("full"), Refusal("internal error")])
    async def test_an_agent_who_cannot_now_is_asked_again_and_again(self, house: House, no: Refusal) -> None:
        agent = await start(house)
        agent.refusals = [no] * 3
        waiting = ask(house, 5)
        for number, wait_ms in enumerate((250, 500, 1_000), start=1):
            await until(lambda number=number: len(agent.asked) == number)
            await house.quiet()
            await house.clock.advance(wait_ms - 1)
            assert len(agent.asked) == number
            await house.clock.advance(1)
        await until(lambda: len(agent.asked) == 4)
        assert [(one.command_id, one.payload) for one in agent.asked] == [(ID, b"5")] * 4
        assert [START_MS + 30_000 - one.timestamp_ms for one in agent.asked] == [one.timeout_ms for one in agent.asked]
        agent.tell()
        assert (await waiting).status == 200

    async def test_who_hears_nothing_asks_again_after_a_minute(self, house: House) -> None:
        agent = await start(house)
        await post(house, callback="http://127.0.0.1:1/")
        await agent.heard(ID)
        await house.clock.advance(60_000)
        await agent.heard(ID, ID)
        assert agent.asked[0].correlation_id != agent.asked[1].correlation_id
        await house.clock.advance(60_000)
        await agent.heard(ID, ID, ID)

    async def test_a_caller_who_goes_away_leaves_the_command_to_be_read(self, house: House) -> None:
        agent = await start(house)
        waiting = ask(house)
        await agent.heard(ID)
        await leave(waiting)
        agent.tell(payload=b"7")

        async def is_there() -> bool:
            return bool((await command(house))["responsePayload"] == 7)

        await until(is_there)

    async def test_a_command_that_was_open_at_a_restart_is_asked_for_again_under_its_id(self, house: House) -> None:
        agent = await start(house)
        lost = ask(house, 5, awaitTimeout=60)
        await agent.heard(ID)
        await leave(lost)
        await house.restart()
        agent = await start(house)
        await house.clock.advance(TICK_MS)
        await agent.heard(ID)
        assert agent.asked[0].payload == b"5"
        agent.tell(payload=b"6")

        async def is_there() -> bool:
            return bool((await command(house))["responsePayload"] == 6)

        await until(is_there)
        await house.restart()
        agent = await start(house)
        await house.clock.advance(60_000)
        assert agent.asked == []

    async def test_one_that_ran_out_meanwhile_is_over(self, house: House) -> None:
        agent = await start(house)
        lost = ask(house)
        await agent.heard(ID)
        await leave(lost)
        await house.restart()
        await house.clock.advance(60_000)
        agent = await start(house)
        await house.clock.advance(TICK_MS)

        async def is_over() -> bool:
            return bool((await command(house))["status"] == "EXPIRED")

        await until(is_over)
        assert agent.asked == []

    async def test_a_result_that_cannot_be_kept_is_asked_for_again(
        self, house: House, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        agent = await start(house)
        waiting = ask(house)
        await agent.heard(ID)
        failed = []

        async def fail(work: Any) -> None:
            failed.append(work)
            raise StorageFull("the disk is full")

        with monkeypatch.context() as patch:
            patch.setattr(house.storage, "write", fail)
            agent.tell(payload=b"1")
            await until(lambda: failed)
        await house.clock.advance(TICK_MS)
        await agent.heard(ID, ID)
        agent.tell(payload=b"1")
        assert (await waiting).data == b"1"


class TestRetention:
    async def test_what_is_finished_is_kept_for_thirty_days(self, house: House) -> None:
        agent = await start(house)
        waiting = ask(house)
        await agent.heard(ID)
        agent.tell()
        await waiting
        for _ in range(2):
            await leap(house, 15 * DAY_MS - TICK_MS)
        assert (await command(house))["status"] == "EXECUTED"
        await leap(house, 3_600_000)

        async def is_gone() -> bool:
            return (await house.call("GET", path(ID))).status == 404

        await until(is_gone)

    async def test_many_are_deleted_part_by_part(self, house: House, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(service, "_AT_A_TIME", 2)
        agent = await start(house, retention="1h")
        for number in range(5):
            waiting = ask(house)
            await until(lambda number=number: len(agent.asked) == number + 1)
            agent.tell(ID + number)
            await waiting
        await leap(house, 2 * 3_600_000)

        async def is_empty() -> bool:
            return await commanding.rows(house, "select count(*) from rci_command") == [(0,)]

        await until(is_empty)
