"""TAP: samples, handed on to files and to a webhook, and answered when they are safe."""

import asyncio
import errno
import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web
from fakes.clock import START_MS
from house import House
from hypothesis import given, settings
from hypothesis import strategies as st
from test_dcx import Wiring
from waiting import until

from kaa.core.errors import StorageFull, Unavailable
from kaa.modules.dcx.module import MODULE as DCX
from kaa.modules.tap import files as files_module
from kaa.modules.tap.files import Files
from kaa.modules.tap.lines import bodies, rendered
from kaa.modules.tap.module import MODULE as TAP
from kaa.protocols import dstp
from kaa.protocols.dstp import DataSamplesEvent, DataSamplesProcessed

APPLICATIONS = {"home": ["home-v1"]}
HEARD = dstp.data_samples_received("dcx")
ANSWERED = dstp.data_samples_processed("test")
FILE = {"file": {"directory": "tap"}}


class Taps:
    """A tap, and somebody who sends it samples and hears the answers."""

    def __init__(self, house: House) -> None:
        self.house = house

    async def start(self, config: Any, **more: Any) -> "Taps":
        await self.house.start(TAP, config=config, applications=APPLICATIONS, **more)
        self.answers: list[DataSamplesProcessed] = await self.house.hear(ANSWERED, name="test")
        return self

    def send(self, *samples: bytes, endpoint: str = "dev-1") -> str:
        event = self.house.message(HEARD, app_version_name="home-v1", endpoint_id=endpoint, data_samples=samples)
        self.house.bus.publish(HEARD, event, reply_to=ANSWERED)
        return str(event.correlation_id)

    async def answer(self, sent: str) -> DataSamplesProcessed:
        found: DataSamplesProcessed = await until(
            lambda: next((one for one in self.answers if one.correlation_id == sent), None), what="an answer"
        )
        return found

    async def status(self, *samples: bytes) -> int:
        return (await self.answer(self.send(*samples))).status_code

    def written(self, name: str = "tap") -> list[Any]:
        found = sorted((self.house.directory / name).glob("*.jsonl"))
        return [json.loads(line) for file in found for line in file.read_bytes().splitlines()]


class Hook:
    """The far end of a webhook."""

    def __init__(self) -> None:
        self.posted: list[Any] = []
        self.headers: list[Any] = []
        self.statuses: list[int] = []
        self.answer: Callable[[], Any] | None = None

    async def open(self, house: House) -> str:
        app = web.Application()
        app.router.add_post("/samples", self._on_post)
        app.router.add_post("/elsewhere", self._on_post)
        runner = web.AppRunner(app)
        await runner.setup()
        house._stack.push_async_callback(runner.cleanup)
        site = web.TCPSite(runner, "127.0.0.1", 0)
        await site.start()
        port = site._server.sockets[0].getsockname()[1]  # type: ignore[union-attr]
        return f"http://127.0.0.1:{port}/samples"

    async def _on_post(self, request: web.Request) -> web.Response:
        body = await request.json()
        if self.answer is not None:
            await self.answer()
        status = self.statuses.pop(0) if self.statuses else 204
        self.headers.append((request.path, status, request.headers))
        if 200 <= status < 300:
            self.posted.append(body)
        return web.Response(status=status, headers={"Location": "/elsewhere"} if status == 302 else None)


def line(sample: Any, endpoint: str = "dev-1") -> dict[str, Any]:
    return {
        "serverTimestamp": START_MS,
        "applicationName": "home",
        "appVersionName": "home-v1",
        "endpointId": endpoint,
        "dataSample": sample,
    }


class TestLines:
    def test_a_sample_stands_there_as_the_device_wrote_it(self) -> None:
        event = DataSamplesEvent(
            correlation_id="c",
            timestamp_ms=5,
            app_version_name="v",
            endpoint_id="e",
            data_samples=(b'{"t": 21.50}', b'{\r\n "a":\n1\n}\n', b"2"),
        )
        head = b'{"serverTimestamp":5,"applicationName":null,"appVersionName":"v","endpointId":"e","dataSample":'
        found = rendered([event], lambda _: None)
        assert found == [head + b'{"t": 21.50}}\n', head + b'{   "a": 1 }}\n', head + b"2}\n"]

    @settings(deadline=None, max_examples=50)
    @given(st.lists(st.binary(max_size=30), max_size=9), st.integers(1, 60))
    def test_bodies_hold_every_line_once_in_order_and_are_as_large_as_may_be(
        self, texts: list[bytes], limit: int
    ) -> None:
        lines = [json.dumps(text.hex()).encode() + b"\n" for text in texts]
        found = list(bodies(lines, limit))
        assert [text for body in found for text in json.loads(body)] == [text.hex() for text in texts]
        assert all(len(body) <= limit or len(json.loads(body)) == 1 for body in found)


class TestFiles:
    def open(self, directory: Path, *, max_bytes: int = 100, count: int = 3) -> Files:
        made = Files(directory, max_bytes=max_bytes, count=count)
        made.open()
        return made

    def read(self, directory: Path) -> dict[str, bytes]:
        return {path.name: path.read_bytes() for path in sorted(directory.iterdir())}

    def test_files_are_limited_in_size_and_number(self, tmp_path: Path) -> None:
        files = self.open(tmp_path)
        for n in range(60):
            files.append([b"line %03d.\n" % n])
        files.close()
        found = self.read(tmp_path)
        assert list(found) == [f"samples-{n:09d}.jsonl" for n in (4, 5, 6)]
        assert b"".join(found.values()) == b"".join(b"line %03d.\n" % n for n in range(30, 60))
        assert {len(data) for data in found.values()} == {100}

    def test_a_batch_may_fill_several(self, tmp_path: Path) -> None:
        files = self.open(tmp_path)
        files.append([b"x" * 60 + b"\n"] * 5)
        files.close()
        assert [len(data) for data in self.read(tmp_path).values()] == [122, 122, 61]

    def test_it_goes_on_where_it_stopped(self, tmp_path: Path) -> None:
        for n in range(3):
            files = self.open(tmp_path)
            files.append([b"%d\n" % n])
            files.close()
        assert self.read(tmp_path) == {"samples-000000001.jsonl": b"0\n1\n2\n"}

    @pytest.mark.parametrize(("left", "kept"), [(b"1\n2\n3", b"1\n2\n"), (b"3", b""), (b"", b""), (b"1\n", b"1\n")])
    @pytest.mark.parametrize("tail", [1 << 20, 2])
    def test_half_a_line_is_cut_off(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, left: bytes, kept: bytes, tail: int
    ) -> None:
        monkeypatch.setattr(files_module, "_TAIL_BYTES", tail)
        (tmp_path / "samples-000000007.jsonl").write_bytes(left)
        (tmp_path / "notes.txt").write_bytes(b"not ours")
        files = self.open(tmp_path)
        files.append([b"4\n"])
        files.close()
        assert self.read(tmp_path) == {"samples-000000007.jsonl": kept + b"4\n", "notes.txt": b"not ours"}

    @pytest.mark.parametrize(
        ("code", "kind"), [(errno.ENOSPC, StorageFull), (errno.EDQUOT, StorageFull), (errno.EIO, Unavailable)]
    )
    @pytest.mark.parametrize("where", ["write", "fsync"])
    def test_what_fails_leaves_nothing_behind(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, code: int, kind: Any, where: str
    ) -> None:
        files = self.open(tmp_path)
        files.append([b"1\n"])
        write = os.write

        def fail(descriptor: int, data: Any = b"") -> int:
            if where == "write":
                write(descriptor, data[:1])
            raise OSError(code, os.strerror(code))

        with monkeypatch.context() as patch:
            patch.setattr(files_module.os, where, fail)
            with pytest.raises(kind):
                files.append([b"2\n"])
        files.append([b"3\n"])
        files.close()
        found = self.read(tmp_path)
        assert b"".join(found.values()) == b"1\n3\n"
        assert len(found) == 2  # a file that has failed is left alone

    def test_nobody_else_may_read_them(self, tmp_path: Path) -> None:
        files = self.open(tmp_path / "tap")
        files.append([b"1\n"])
        files.close()
        assert (tmp_path / "tap").stat().st_mode & 0o777 == 0o700
        assert (tmp_path / "tap" / "samples-000000001.jsonl").stat().st_mode & 0o777 == 0o600


class TestWritingFiles:
    async def test_it_is_off_unless_it_is_configured(self, house: House) -> None:
        await house.start(TAP, applications=APPLICATIONS)
        assert not house.bus.is_heard(HEARD)
        assert not (house.directory / "tap").exists()

    async def test_every_sample_becomes_a_line_before_it_is_answered(self, house: House) -> None:
        tap = await Taps(house).start(FILE)
        answer = await tap.answer(tap.send(b'{"t": 1}', b"2"))
        assert tap.written() == [line({"t": 1}), line(2)]
        assert (answer.status_code, answer.reason_phrase, answer.receiver_service_instance_name) == (200, None, "tap")

    async def test_a_burst_keeps_its_order(self, house: House) -> None:
        tap = await Taps(house).start(FILE)
        sent = [tap.send(b"%d" % n) for n in range(1_000)]
        for one in sent:
            assert (await tap.answer(one)).status_code == 200
        assert [found["dataSample"] for found in tap.written()] == list(range(1_000))

    async def test_it_goes_on_after_a_restart(self, house: House) -> None:
        tap = await Taps(house).start(FILE)
        await tap.status(b"1")
        await house.restart()
        again = await Taps(house).start(FILE)
        await again.status(b"2")
        assert again.written() == [line(1), line(2)]

    async def test_a_full_disk_is_said_and_gets_over(self, house: House, monkeypatch: pytest.MonkeyPatch) -> None:
        tap = await Taps(house).start(FILE)

        def fail(*_: Any) -> int:
            raise OSError(errno.ENOSPC, "no room")

        with monkeypatch.context() as patch:
            patch.setattr(files_module.os, "write", fail)
            answer = await tap.answer(tap.send(b"1"))
        assert (answer.status_code, "full" in str(answer.reason_phrase)) == (507, True)
        assert "tap" in house.health.report().problems
        assert await tap.status(b"2") == 200
        assert house.health.report().is_ok
        assert tap.written() == [line(2)]

    async def test_the_reserve_of_the_storage_holds_for_it(self, tmp_path: Path, database_template: Path) -> None:
        house = await House(tmp_path, template=database_template, max_bytes=1).open()
        tap = await Taps(house).start(FILE)
        await house.budget.look()
        assert await tap.status(b"1") == 507
        await house.stop()

    async def test_a_directory_elsewhere_has_a_disk_of_its_own(
        self, tmp_path: Path, tmp_path_factory: pytest.TempPathFactory, database_template: Path
    ) -> None:
        house = await House(tmp_path, template=database_template, max_bytes=1).open()
        elsewhere = tmp_path_factory.mktemp("elsewhere")
        tap = await Taps(house).start({"file": {"directory": str(elsewhere)}})
        await house.budget.look()
        assert await tap.status(b"1") == 200
        assert len(list(elsewhere.iterdir())) == 1
        await house.stop()

    async def test_two_taps_stand_side_by_side(self, house: House) -> None:
        await house.start(TAP, name="tap_two", config={"file": {"directory": "two"}}, applications=APPLICATIONS)
        tap = await Taps(house).start(FILE)
        await tap.status(b"1")
        await until(lambda: len(tap.answers) == 2)
        assert tap.written("two") == tap.written() == [line(1)]


class TestWebhook:
    async def test_samples_are_posted_as_arrays(self, house: House) -> None:
        hook = Hook()
        url = await hook.open(house)
        tap = await Taps(house).start({"webhook": {"url": url, "authorization": "Bearer s3cret"}})
        assert await tap.status(b'{"t": 1}', b"2") == 200
        assert hook.posted == [[line({"t": 1}), line(2)]]
        [(_, _, headers)] = hook.headers
        assert (headers["Content-Type"], headers["Authorization"]) == ("application/json", "Bearer s3cret")

    async def test_large_batches_come_in_pieces(self, house: House) -> None:
        hook = Hook()
        url = await hook.open(house)
        tap = await Taps(house).start({"webhook": {"url": url, "max-body": "1KiB"}})
        assert await tap.status(*(b"%d" % n for n in range(50))) == 200
        assert len(hook.posted) > 3
        assert [found["dataSample"] for body in hook.posted for found in body] == list(range(50))

    @pytest.mark.parametrize("status", [500, 503, 429, 408])
    async def test_what_fails_for_the_moment_is_tried_again(self, house: House, status: int) -> None:
        hook = Hook()
        hook.statuses = [status, status]
        url = await hook.open(house)
        tap = await Taps(house).start({"webhook": {"url": url, "retry-for": "1h"}})
        sent = tap.send(b"1")

        async def answered() -> bool:
            await house.clock.advance(100)
            return bool(tap.answers)

        await until(answered)
        assert (await tap.answer(sent)).status_code == 200
        assert hook.posted == [[line(1)]]

    async def test_but_not_for_ever_and_then_others_do_not_wait(self, house: House) -> None:
        hook = Hook()
        hook.statuses = [503] * 1_000
        url = await hook.open(house)
        tap = await Taps(house).start({"webhook": {"url": url, "retry-for": "2s"}} | FILE)
        sent = tap.send(b"1")

        async def answered() -> bool:
            await house.clock.advance(100)
            return bool(tap.answers)

        await until(answered)
        answer = await tap.answer(sent)
        assert (answer.status_code, answer.reason_phrase) == (503, "the webhook answered 503")
        tries = len(hook.headers)
        assert 1 <= tries <= 5
        assert await tap.status(b"2") == 503
        assert len(hook.headers) == tries  # nobody was asked
        await house.clock.advance(60_000)
        assert await tap.status(b"3") == 503
        assert len(hook.headers) == tries + 1  # one has looked whether it is back
        await house.clock.advance(60_000)
        hook.statuses.clear()
        assert await tap.status(b"4") == 200
        assert [[found["dataSample"] for found in body] for body in hook.posted] == [[4]]
        assert [found["dataSample"] for found in tap.written()] == [1, 2, 3, 4]

    @pytest.mark.parametrize("status", [302, 400, 401, 404, 413])
    async def test_a_no_is_not_tried_again_and_a_redirect_not_followed(self, house: House, status: int) -> None:
        hook = Hook()
        hook.statuses = [status]
        url = await hook.open(house)
        tap = await Taps(house).start({"webhook": {"url": url}})
        answer = await tap.answer(tap.send(b"1"))
        assert (answer.status_code, str(status) in str(answer.reason_phrase)) == (503, True)
        assert [(path, status) for path, status, _ in hook.headers] == [("/samples", status)]

    async def test_one_that_does_not_answer_in_time_is_given_up(self, house: House) -> None:
        hook, gate = Hook(), asyncio.Event()
        hook.answer = gate.wait
        url = await hook.open(house)
        tap = await Taps(house).start({"webhook": {"url": url, "timeout": "50ms", "retry-for": 0}})
        answer = await tap.answer(tap.send(b"1"))
        assert (answer.status_code, answer.reason_phrase) == (503, "the webhook did not answer in time")
        gate.set()

    async def test_one_that_is_not_there_is_said(self, house: House, unused_tcp_port: int) -> None:
        url = f"http://127.0.0.1:{unused_tcp_port}/samples"
        tap = await Taps(house).start({"webhook": {"url": url, "retry-for": 0}})
        answer = await tap.answer(tap.send(b"1"))
        assert (answer.status_code, "cannot be reached" in str(answer.reason_phrase)) == (503, True)

    @pytest.mark.parametrize(
        "webhook",
        [
            {"url": "ftp://host/"},
            {"url": "https://"},
            {"url": "host/path"},
            {"url": "https://host/", "authorization": "a\r\nX: y"},
            {"url": "https://host/", "max-body": "1B"},
        ],
    )
    async def test_a_configuration_that_makes_no_sense_is_refused(self, house: House, webhook: Any) -> None:
        with pytest.raises(ValueError):
            await house.start(TAP, config={"webhook": webhook}, applications=APPLICATIONS)

    async def test_the_secret_is_not_shown(self, house: House) -> None:
        config = TAP.config.model_validate({"webhook": {"url": "https://h/", "authorization": "s3cret"}})
        assert "s3cret" not in repr(config) + str(config.model_dump(mode="json"))


async def test_a_message_is_acknowledged_when_the_tap_has_it_too(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    await house.start(TAP, config=FILE, applications=APPLICATIONS)
    dcx = await Wiring(house).start(config={"reliable": ["epts", "tap"]})
    await dcx.receiver("epts", lambda _: (200, None))
    assert await dcx.ask(b'{"t":1}') == (200, None)
    assert (house.directory / "tap" / "samples-000000001.jsonl").read_bytes().count(b"\n") == 1

    def fail(*_: Any) -> int:
        raise OSError(errno.ENOSPC, "no room")

    with monkeypatch.context() as patch:
        patch.setattr(files_module.os, "write", fail)
        status, reason = await dcx.ask(b'{"t":2}')
    assert (status, "full" in str(reason)) == (507, True)


def test_dcx_names_no_tap_by_itself() -> None:
    assert DCX.config().reliable == ("epts",)  # type: ignore[attr-defined]
