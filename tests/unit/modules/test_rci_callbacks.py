"""RCI's callbacks: results that are posted, until they are taken, and nowhere but where they may go."""

import asyncio
import socket
import threading
from ipaddress import ip_address, ip_network
from typing import Any

import pytest
from commanding import rows
from house import House
from hypothesis import given, settings
from hypothesis import strategies as st
from invoking import ID, TICK_MS, Hook, begin, callback_is, command, leap, move_until, path, post, start
from waiting import until

from kaa.core.errors import InvalidInput, NotFound, StorageFull
from kaa.modules.rci.addresses import Allowed, AllowedResolver
from kaa.modules.rci.repository import CommandRepository

DAY_MS = 86_400_000
PUBLIC = "http://8.8.8.8/result"
REFUSED = [
    "",
    "result",
    "/result",
    "//8.8.8.8/",
    "ftp://8.8.8.8/",
    "file:///etc/passwd",
    "javascript:alert(1)",
    "http://",
    "http:///result",
    "https:8.8.8.8",
    "http://8.8.8.8:99999/",
    "http://[::1/",
    "http://[]@/",
    "http://[v1.fe:80]/",
    "http://user:secret@8.8.8.8/",
    "http://user@8.8.8.8/",
    "http://8.8.8.8/" + "x" * 2_048,
]
NOT_PUBLIC = [
    "0.0.0.0",
    "10.1.2.3",
    "100.64.0.1",
    "127.0.0.1",
    "169.254.169.254",
    "172.16.0.1",
    "192.168.1.1",
    "224.0.0.1",
    "239.255.255.250",
    "240.0.0.1",
    "255.255.255.255",
    "::",
    "::1",
    "::127.0.0.1",
    "::ffff:127.0.0.1",
    "::ffff:10.0.0.1",
    "64:ff9b::7f00:1",
    "2001:0:7f00:1::1",
    "2002:7f00:1::1",
    "fc00::1",
    "fe80::1",
    "fec0::1",
    "ff02::1",
    "::1%eth0",
]
OLD_SPELLINGS = ["127.1", "2130706433", "0", "0177.0.0.1", "0x7f.1", "0x7f000001", "127.0.0.1.", "127.0.0.0x1"]


async def finished(house: House, hook: Hook, **config: Any) -> str:
    """Have a command with a callback run, and its result at hand; gives the callback."""
    url = await hook.open(house)
    agent = await start(house, **config)
    await house.still()  # what is to be posted is looked for at the start, too
    await begin(house, url)
    await agent.heard(ID)
    agent.tell(payload=b"[1]")
    await house.quiet()
    return url


async def tried(house: House, hook: Hook, number: int) -> int | None:
    """Let the attempt of that number happen, while the clock stands still; gives how long the next one is put off."""
    hook.gate = asyncio.Event()

    async def is_tried() -> bool:
        await house.still()
        if not any(name.startswith("rci post") for name in house.tasks.alive()):
            await house.clock.advance(TICK_MS)
        return len(hook.tries) == number

    await until(is_tried)
    hook.gate.set()

    async def is_noted() -> bool:
        return await rows(house, "select posts from rci_command") == [(number,)]

    await until(is_noted)
    [(post_ms,)] = await rows(house, "select post_ms from rci_command")
    return None if post_ms is None else int(post_ms - house.clock.now_ms())


class TestPosting:
    async def test_the_caller_has_his_answer_at_once_and_the_result_is_posted(self, house: House) -> None:
        hook = Hook()
        url = await hook.open(house)
        agent = await start(house)
        reply = await post(house, {"on": 1}, callback=url)
        assert (reply.status, reply.data) == (202, b"")
        where = reply.headers["Location"]
        assert where.endswith(path(ID))
        await agent.heard(ID)
        found = await command(house)
        assert (found["status"], found["callbackStatus"]) == ("PENDING", "PENDING")
        await house.clock.advance(1_000)
        agent.tell(status=201, payload=b'{"was": 1.50}', reason="\xfc")
        await house.quiet()
        await callback_is(house, "DELIVERED")
        assert hook.posted == [
            {
                "commandId": ID,
                "commandType": "switch",
                "endpointId": "dev-1",
                "status": "EXECUTED",
                "statusCode": 201,
                "reasonPhrase": "\xfc",
                "requestPayload": {"on": 1},
                "responsePayload": {"was": 1.5},
                "createdAt": "2025-11-24T16:00:00.000Z",
                "updatedAt": "2025-11-24T16:00:01.000Z",
                "expiresAt": "2025-11-24T17:00:00.000Z",
                "callbackStatus": "PENDING",
            }
        ]
        assert await command(house) == hook.posted[0] | {"callbackStatus": "DELIVERED"}
        [request] = hook.tries
        assert (request.method, request.path, request.content_type) == ("POST", "/result", "application/json")
        assert not {"Authorization", "Cookie"} & set(request.headers)

    async def test_what_is_no_result_is_posted_too(self, house: House) -> None:
        hook = Hook()
        url = await hook.open(house)
        agent = await start(house)
        agent.refusals = [NotFound("there is no endpoint 'dev-1'")]
        await begin(house, url)
        await callback_is(house, "DELIVERED")
        await begin(house, url, commandTtl=5_000)
        await agent.heard(ID, ID + 1)
        assert agent.asked[1].timeout_ms == 5_000
        await callback_is(house, "DELIVERED", ID + 1)
        assert [(one["status"], one["statusCode"], one["reasonPhrase"]) for one in hook.posted] == [
            ("REFUSED", 404, "there is no endpoint 'dev-1'"),
            ("EXPIRED", 504, "there was no result in the command's time"),
        ]

    async def test_the_life_of_a_command_is_configured(self, house: House) -> None:
        agent = await start(house, command_ttl="10s")
        await begin(house, PUBLIC)
        await agent.heard(ID)
        assert agent.asked[0].timeout_ms == 10_000

    async def test_only_so_many_are_posted_at_once_and_all_in_the_end(self, house: House) -> None:
        hook = Hook()
        hook.gate = asyncio.Event()
        url = await hook.open(house)
        agent = await start(house)
        for number in range(40):
            await begin(house, url, number)
        await until(lambda: len(agent.asked) == 40)
        for number in range(40):
            agent.tell(ID + number)
        await move_until(house, lambda: len(hook.tries) == 32)
        await house.clock.advance(4 * TICK_MS)
        hook.gate.set()
        await move_until(house, lambda: len(hook.posted) == 40)
        assert hook.most_at_once == 32
        assert sorted(one["requestPayload"] for one in hook.posted) == list(range(40))

    async def test_one_that_hangs_does_not_hold_up_another(self, house: House) -> None:
        hanging, hook = Hook(), Hook()
        hanging.gate = asyncio.Event()
        await finished(house, hanging)
        await move_until(house, lambda: hanging.tries)
        await begin(house, await hook.open(house), commandTtl=1_000)
        await callback_is(house, "DELIVERED", ID + 1)
        hanging.gate.set()
        await callback_is(house, "DELIVERED")

    async def test_what_was_taken_while_it_was_looked_for_is_not_posted_again(
        self, house: House, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        hook, gate, found = Hook(), asyncio.Event(), []
        find = CommandRepository.find_to_post

        async def find_slowly(self: CommandRepository, **more: Any) -> Any:
            answer = await find(self, **more)
            if hook.tries:
                found.append(answer)
                await gate.wait()
            return answer

        monkeypatch.setattr(CommandRepository, "find_to_post", find_slowly)
        hook.gate = asyncio.Event()
        await finished(house, hook)
        await move_until(house, lambda: found)
        assert [one.id for one in found[0][0]] == [ID]
        hook.gate.set()

        async def is_noted() -> bool:
            return bool((await command(house))["callbackStatus"] == "DELIVERED")

        await until(is_noted)
        gate.set()
        await move_until(house, lambda: len(found) == 2)
        assert (len(hook.tries), await rows(house, "select posts from rci_command")) == (1, [(1,)])


class TestTryingAgain:
    async def test_the_breaks_grow_and_the_attempts_are_counted(self, house: House) -> None:
        hook = Hook()
        hook.statuses = [500, 503, 404, 429]
        await finished(house, hook)
        assert [await tried(house, hook, number) for number in range(1, 6)] == [1_000, 2_000, 4_000, 8_000, None]
        assert (await command(house))["callbackStatus"] == "DELIVERED"
        assert len(hook.posted) == 1

    async def test_no_break_is_longer_than_a_quarter_of_an_hour(self, house: House) -> None:
        hook = Hook()
        hook.statuses = [500] * 2
        await finished(house, hook, callback_attempts=1_000)
        await tried(house, hook, 1)
        later = "update rci_command set posts = 900"
        await house.storage.write(lambda connection: connection.exec_driver_sql(later))
        await move_until(house, lambda: len(hook.tries) == 2)

        async def break_ms() -> int:
            [(posts, post_ms)] = await rows(house, "select posts, post_ms from rci_command")
            return post_ms - house.clock.now_ms() if posts == 901 else 0

        assert 890_000 < await until(break_ms) <= 900_000

    async def test_after_so_many_attempts_it_is_given_up(self, house: House) -> None:
        hook = Hook()
        hook.statuses = [500] * 99
        await finished(house, hook, callback_attempts=3)
        assert [await tried(house, hook, number) for number in range(1, 4)] == [1_000, 2_000, None]
        assert (await command(house))["callbackStatus"] == "FAILED"
        await leap(house, DAY_MS)
        await house.clock.advance(4 * TICK_MS)
        assert len(hook.tries) == 3

    async def test_after_so_long_it_is_given_up(self, house: House) -> None:
        hook = Hook()
        hook.statuses = [500] * 99
        await finished(house, hook, callback_give_up="5s")
        assert [await tried(house, hook, number) for number in range(1, 4)] == [1_000, 2_000, None]
        assert (await command(house))["callbackStatus"] == "FAILED"

    @pytest.mark.parametrize("status", [302, 307])
    async def test_a_redirect_is_not_followed(self, house: House, status: int) -> None:
        hook = Hook()
        hook.statuses = [status]
        await finished(house, hook)
        await callback_is(house, "DELIVERED")
        assert [request.path for request in hook.tries] == ["/result"] * 2

    async def test_one_that_does_not_answer_in_time_is_tried_again(self, house: House) -> None:
        hook = Hook()
        hook.gate = asyncio.Event()
        await finished(house, hook, callback_timeout="100ms")
        await move_until(house, lambda: len(hook.tries) == 2)
        hook.gate.set()
        await callback_is(house, "DELIVERED")

    async def test_one_that_is_not_there_is_tried_until_it_is(self, house: House, unused_tcp_port: int) -> None:
        agent = await start(house)
        await begin(house, f"http://127.0.0.1:{unused_tcp_port}/result")
        await agent.heard(ID)
        agent.tell()

        async def has_failed() -> bool:
            await house.clock.advance(TICK_MS)
            return await rows(house, "select posts > 0 from rci_command") == [(1,)]

        await until(has_failed)
        hook = Hook()
        await hook.open(house, unused_tcp_port)
        await callback_is(house, "DELIVERED")

    @pytest.mark.parametrize(
        "answer", [b"", b"junk\r\n\r\n", b"HTTP/1.1 999999\r\n\r\n", b"HTTP/1.1 200 OK\r\n" + b"X" * 70_000]
    )
    async def test_one_that_speaks_no_http_has_not_taken_it(self, house: House, answer: bytes) -> None:
        async def on_connection(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            await reader.readuntil(b"}")
            writer.write(answer)
            writer.close()

        server = await asyncio.start_server(on_connection, "127.0.0.1", 0)
        house._stack.callback(server.close)
        agent = await start(house, callback_attempts=1)
        await begin(house, f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/")
        await agent.heard(ID)
        agent.tell()
        await callback_is(house, "FAILED")

    async def test_what_cannot_be_noted_is_posted_again(self, house: House, monkeypatch: pytest.MonkeyPatch) -> None:
        hook = Hook()
        hook.gate = asyncio.Event()
        await finished(house, hook)
        await move_until(house, lambda: hook.tries)
        failed = []

        async def fail(work: Any) -> None:
            failed.append(work)
            raise StorageFull("the disk is full")

        with monkeypatch.context() as patch:
            patch.setattr(house.storage, "write", fail)
            hook.gate.set()
            await until(lambda: failed)
        await callback_is(house, "DELIVERED")
        assert len(hook.posted) == 2


class TestPlaces:
    @pytest.mark.parametrize("url", REFUSED)
    async def test_what_is_no_place_for_results_is_refused(self, house: House, url: str) -> None:
        agent = await start(house)
        reply = await post(house, callback=url)
        assert (reply.status, reply.message.startswith("callback: ")) == (400, True)
        assert "secret" not in reply.message
        assert agent.asked == []
        assert await rows(house, "select count(*) from rci_command") == [(0,)]

    async def test_addresses_of_this_machine_are_refused_unless_they_are_allowed(self, house: House) -> None:
        agent = await start(house, allowed_callback_networks=["10.0.0.0/8"])
        for host in ("127.0.0.1", "[::1]", "[::ffff:7f00:1]", "192.168.1.1", "127.1"):
            reply = await post(house, callback=f"http://{host}:80/")
            assert (reply.status, "callback: " in reply.message) == (400, True)
        assert agent.asked == []
        assert await begin(house, "https://10.1.2.3/") == ID

    async def test_a_name_that_stands_for_such_an_address_is_found_out_when_it_is_connected_to(
        self, house: House
    ) -> None:
        hook = Hook()
        await hook.open(house)
        agent = await start(house, allowed_callback_networks=[], callback_attempts=2)
        await begin(house, f"http://localhost:{hook.port}/result")
        await agent.heard(ID)
        agent.tell()
        await callback_is(house, "FAILED")
        assert hook.tries == []

    async def test_and_is_posted_to_where_that_is_allowed(self, house: House) -> None:
        hook = Hook()
        await hook.open(house)
        agent = await start(house)
        await begin(house, f"http://localhost:{hook.port}/result")
        await agent.heard(ID)
        agent.tell()
        await callback_is(house, "DELIVERED")

    async def test_a_place_that_is_not_allowed_any_more_gets_nothing(self, house: House) -> None:
        hook = Hook()
        url = await hook.open(house)
        agent = await start(house)
        await begin(house, url)
        await agent.heard(ID)
        port = hook.port
        await house.restart()
        await hook.open(house, port)
        agent = await start(house, allowed_callback_networks=[], callback_attempts=1)
        await move_until(house, lambda: agent.asked)
        agent.tell()
        await callback_is(house, "FAILED")
        assert hook.tries == []

    @pytest.mark.parametrize("address", NOT_PUBLIC)
    def test_these_are_no_public_addresses(self, address: str) -> None:
        assert not Allowed([]).has(ip_address(address))
        host = f"[{address.replace('%', '%25')}]" if ":" in address else address
        with pytest.raises(InvalidInput, match="callback: this address is not allowed"):
            Allowed([]).check(f"http://{host}/")

    @pytest.mark.parametrize("host", OLD_SPELLINGS)
    def test_what_a_socket_would_take_for_an_address_is_no_name(self, host: str) -> None:
        for allowed in (Allowed([]), Allowed([ip_network("0.0.0.0/0")])):
            with pytest.raises(InvalidInput, match="callback: "):
                allowed.check(f"http://{host}/")

    @pytest.mark.parametrize("host", ["8.8.8.8", "[2606:4700:4700::1111]", "example.org", "b\xfccher.example", "1a.de"])
    def test_these_are_places_for_results(self, host: str) -> None:
        assert Allowed([]).check(f"https://{host}:8443/a?b=c").port == 8443

    def test_a_network_that_is_allowed_is_so_in_every_spelling(self) -> None:
        allowed = Allowed([ip_network("10.0.0.0/8"), ip_network("fd00::/8")])
        for address, is_allowed in (
            ("10.9.9.9", True),
            ("::ffff:10.9.9.9", True),
            ("fd12::1", True),
            ("11.0.0.1", True),
            ("192.168.0.1", False),
            ("::ffff:192.168.0.1", False),
            ("fc00::1", False),
        ):
            assert allowed.has(ip_address(address)) is is_allowed, address

    @settings(deadline=None)
    @given(st.text(max_size=40) | st.text("0123456789.:[]%x@/#?\\", max_size=20).map("http://{}/".format))
    def test_any_text_is_a_place_or_refused(self, text: str) -> None:
        try:
            url = Allowed([]).check(text)
        except InvalidInput:
            return
        assert url.scheme in {"http", "https"}

    async def test_of_a_name_only_the_addresses_that_are_allowed_are_given(
        self, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        stands_for = ["127.0.0.1", "8.8.8.8", "10.0.0.1"]

        def getaddrinfo(_host: str, port: int, **_: Any) -> list[Any]:
            return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", (one, port)) for one in stands_for]

        monkeypatch.setattr(socket, "getaddrinfo", getaddrinfo)
        resolver = AllowedResolver(Allowed([]))
        try:
            assert [one["host"] for one in await resolver.resolve("hook.example", 80)] == ["8.8.8.8"]
            stands_for.remove("8.8.8.8")
            with pytest.raises(OSError):
                await resolver.resolve("hook.example", 80)
        finally:
            await resolver.close()

    async def test_nobody_is_left_who_resolves_names(self, house: House) -> None:
        agent = await start(house, allowed_callback_networks=[], callback_attempts=1)
        await begin(house, "http://localhost:1/")
        await agent.heard(ID)
        agent.tell()
        await callback_is(house, "FAILED")
        resolving = [one for one in threading.enumerate() if one.name.startswith("rci resolver")]
        assert resolving
        await house.restart()
        await until(lambda: not any(one.is_alive() for one in resolving))


class TestRestart:
    async def test_a_result_that_nobody_has_taken_is_posted_after_it(self, house: House) -> None:
        hook = Hook()
        hook.statuses = [500]
        await finished(house, hook)
        assert await tried(house, hook, 1) == 1_000
        port = hook.port
        await house.restart()
        await hook.open(house, port)
        agent = await start(house)
        await callback_is(house, "DELIVERED")
        assert [one["responsePayload"] for one in hook.posted] == [[1]]
        assert agent.asked == []

    async def test_a_post_that_was_cut_off_is_done_again(self, house: House) -> None:
        hook = Hook()
        hook.gate = asyncio.Event()
        await finished(house, hook)
        await move_until(house, lambda: hook.tries)
        port = hook.port
        await house.restart()
        hook.gate.set()
        await hook.open(house, port)
        await start(house)
        await callback_is(house, "DELIVERED")
        assert await rows(house, "select posts from rci_command") == [(1,)]

    async def test_a_command_without_a_result_is_asked_for_again_and_posted(self, house: House) -> None:
        hook = Hook()
        url = await hook.open(house)
        agent = await start(house)
        await begin(house, url, 5)
        await agent.heard(ID)
        port = hook.port
        await house.restart()
        await hook.open(house, port)
        agent = await start(house)
        await move_until(house, lambda: agent.asked)
        assert (agent.ids, agent.asked[0].payload) == ([ID], b"5")
        agent.tell(payload=b"6")
        await callback_is(house, "DELIVERED")
        assert [one["responsePayload"] for one in hook.posted] == [6]


async def test_what_is_still_to_be_posted_is_kept_beyond_its_time(house: House) -> None:
    hook = Hook()
    hook.gate = asyncio.Event()
    await finished(house, hook, retention="1m")
    await move_until(house, lambda: hook.tries)
    await leap(house, 3_600_000)
    await house.clock.advance(4 * TICK_MS)
    assert (await command(house))["callbackStatus"] == "PENDING"
    hook.gate.set()
    await callback_is(house, "DELIVERED")
    await leap(house, 3_600_000)

    async def is_gone() -> bool:
        return (await house.call("GET", path(ID))).status == 404

    await until(is_gone)
