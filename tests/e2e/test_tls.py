"""The door with TLS: real handshakes, certificates of a small authority, and clients that CM knows."""

import asyncio
import json
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from hosts import Inside, KaaProcess, Serve, off_loop
from mqtt_clients import PATIENCE_S, V5, V311, Wire, new_id
from waiting import until

from kaa.core.certificates import Authority, Issued
from kaa.core.clock import SystemClock

Connect = Callable[..., Awaitable[Any]]
DAY_MS = 86_400_000
NOW_MS = SystemClock().now_ms()


class Paper:
    """An authority, and a directory with what it has issued."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self._authority = Authority.of(directory, now_ms=NOW_MS)

    def serve(self, *hosts: str) -> None:
        """Make what a server shows."""
        self._write("server", self._authority.issue_server(hosts or ("localhost", "127.0.0.1"), now_ms=NOW_MS))

    def client(self, name: str, *, now_ms: int = NOW_MS, lifetime_ms: int = DAY_MS) -> tuple[Path, Path]:
        """Make what a client shows, and give the files of certificate and key."""
        return self._write(name, self._authority.issue_client(name, now_ms=now_ms, lifetime_ms=lifetime_ms))

    def _write(self, name: str, issued: Issued) -> tuple[Path, Path]:
        certificate, key = self.directory / f"{name}.pem", self.directory / f"{name}.key"
        certificate.write_text(issued.certificate.pem)
        key.write_text(issued.private_key)
        return certificate, key

    def trust(self, shown: tuple[Path, Path] | None = None) -> ssl.SSLContext:
        """Give what a client connects with that trusts the authority and shows a certificate, or none."""
        context = ssl.create_default_context(cafile=self.directory / "ca.pem")
        if shown is not None:
            context.load_cert_chain(*shown)
        return context


class TlsWire(Wire):
    """A wire through TLS."""

    def __init__(self, address: tuple[str, int], context: ssl.SSLContext, version: int = V311, **more: Any) -> None:
        super().__init__(address, version, **more)
        self._context = context

    async def dial(self) -> None:
        host, port = self._address
        self.reader, self.writer = await asyncio.open_connection(host, port, ssl=self._context)
        self._left.append(self.writer)
        self._events.clear()

    @property
    def certificate(self) -> bytes:
        """What the server has shown."""
        shown: bytes = self.writer.get_extra_info("ssl_object").getpeercert(binary_form=True)
        return shown


@pytest.fixture
def paper(tmp_path: Path) -> Paper:
    directory = tmp_path / "data" / "tls"
    directory.mkdir(parents=True)
    made = Paper(directory)
    made.serve()
    return made


@pytest.fixture(scope="module")
def tls_process(tmp_path_factory: pytest.TempPathFactory) -> Any:
    """A server as it comes, on its own loop, with both doors, where devices need a credential at the one with TLS."""
    directory = tmp_path_factory.mktemp("tls")
    (directory / "data" / "tls").mkdir(parents=True)
    Paper(directory / "data" / "tls").serve()
    made = KaaProcess(directory, config={"instances": {"kpc": {"tls": {"client-authentication": "any"}}}})
    made.start("--mqtts-port", "0")
    yield made
    made.stop()
    assert "Traceback" not in made.said


@asynccontextmanager
async def opened(serve: Serve, **tls: Any) -> AsyncIterator[tuple[Inside, tuple[str, int]]]:
    async with serve({"mqtts-port": 0, "instances": {"kpc": {"tls": tls}}}) as server:
        listener: Any = server.core.doors["mqtts"].func.__self__  # type: ignore[attr-defined]
        host, port = listener._listening[0].getsockname()[:2]
        yield server, (host, port)


async def rest(reader: asyncio.StreamReader) -> bytes:
    """Give what comes until the server hangs up."""
    async with asyncio.timeout(PATIENCE_S):
        try:
            return await reader.read()
        except ConnectionError:
            return b""


async def test_a_client_with_a_certificate_that_cm_has_made_comes_in_until_it_is_revoked(
    tls_process: KaaProcess, tmp_path: Path, connect: Connect
) -> None:
    paper, door = Paper(tls_process.data_dir / "tls"), tls_process.mqtts  # type: ignore[attr-defined]
    async with tls_process.visited() as place:
        made = await place.rest.send("POST", "/cm/api/v1/x509-credentials", {"commonName": "pump-7"})
        shown = tmp_path / "pump.pem", tmp_path / "pump.key"
        shown[0].write_text(made["certificate"])
        shown[1].write_text(made["privateKey"])
        thing = await place.rest.thing()
        wire = await connect(TlsWire(door, paper.trust(shown), V5, client_id="pump"))
        assert wire.connack.reason_code == 0
        reason, answer = await wire.answer(thing.topic("json", 1), b'{"x": 1}')
        assert (reason, answer.topic) == (0, thing.topic("json", 1) + "/status")
        state = f"/cm/api/v1/x509-credentials/{made['id']}/state"
        await place.rest.send("PUT", state, {"state": "Revoked"})
        said = await wire.hung_up()
        assert [packet.reason_code for packet in said] == [0x87]
        again = TlsWire(door, paper.trust(shown), V5, client_id="pump")
        assert (await again.open()).reason_code == 0x87


async def test_a_user_name_comes_in_through_both_doors(tls_process: KaaProcess, connect: Connect) -> None:
    paper, door = Paper(tls_process.data_dir / "tls"), tls_process.mqtts  # type: ignore[attr-defined]
    async with tls_process.visited() as place:
        name = f"{new_id('ann')}@example.org"
        body = {"username": name, "password": "a long password"}
        made = await place.rest.send("POST", "/cm/api/v1/basic-credentials", body)
        thing = await place.rest.thing()
        good = {"username": f"{name}@kaa", "password": b"a long password"}
        for number, wire in enumerate((TlsWire(door, paper.trust()), Wire(place.mqtt))):
            await connect(wire, **good)
            await wire.answer(thing.topic("json", number), b'{"x": 1}')
            assert (await Wire(place.mqtt).open(**(good | {"password": b"another one"}))).reason_code == 4
        # at this door one is needed, at the other not
        assert (await TlsWire(door, paper.trust()).open()).reason_code == 5
        assert (await Wire(place.mqtt).open()).reason_code == 0
        await place.rest.send("PUT", f"/cm/api/v1/basic-credentials/{made['id']}/state", {"state": "Suspended"})
        await wire.hung_up()
        assert (await Wire(place.mqtt).open(**good)).reason_code == 5


async def test_where_the_doors_are_is_said(tls_process: KaaProcess) -> None:
    written = json.loads((tls_process.data_dir / "server.json").read_text())
    doors = " ".join(f"{name}={written[name]}" for name in ("mqtt", "mqtts", "http"))
    assert tls_process.ready == f"ready {doors}"
    async with tls_process.visited() as place:
        checks = (await place.rest.get("/health"))["checks"]
        assert (checks["mqtt door"], checks["mqtts door"]) == ("ok", "ok")


@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3], ids=["1.2", "1.3"])
async def test_tls_1_2_and_1_3_are_spoken_and_a_packet_may_be_large(
    tls_process: KaaProcess, connect: Connect, version: ssl.TLSVersion
) -> None:
    paper = Paper(tls_process.data_dir / "tls")
    context = paper.trust()
    context.minimum_version = context.maximum_version = version
    async with tls_process.visited() as place:
        thing = await place.rest.thing()
        name = new_id("user")
        body = {"username": name, "password": "a long password"}
        await place.rest.send("POST", "/cm/api/v1/basic-credentials", body)
        wire = TlsWire(tls_process.mqtts, context)  # type: ignore[attr-defined]
        await connect(wire, username=name, password=b"a long password")
        text = json.dumps({"x": "y" * 200_000}).encode()
        for number in range(3):
            await wire.answer(thing.topic("json", number), text)


async def test_tls_1_1_is_not_spoken(tls_process: KaaProcess) -> None:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    context.set_ciphers("ALL:@SECLEVEL=0")
    with pytest.warns(DeprecationWarning, match="TLSv1_1"):
        context.minimum_version = context.maximum_version = ssl.TLSVersion.TLSv1_1
    with pytest.raises((ssl.SSLError, ConnectionError)):
        await TlsWire(tls_process.mqtts, context).dial()  # type: ignore[attr-defined]


@pytest.mark.parametrize("data", [b"GET / HTTP/1.1\r\n\r\n", b"\x10\x0c\x00\x04MQTT\x04\x02\x00\x00\x00\x00", b"\x16"])
async def test_what_is_no_tls_is_cut_off_and_troubles_nobody(tls_process: KaaProcess, data: bytes) -> None:
    paper, door = Paper(tls_process.data_dir / "tls"), tls_process.mqtts  # type: ignore[attr-defined]
    reader, writer = await asyncio.open_connection(*door)
    writer.write(data)
    writer.write_eof()
    await rest(reader)
    writer.close()
    wire = TlsWire(door, paper.trust())
    assert (await wire.open()).reason_code == 5
    await wire.close()


class TestClientCertificates:
    async def ends(self, door: tuple[str, int], context: ssl.SSLContext) -> None:
        """The handshake fails; with TLS 1.3 the client learns of it with its first read."""
        with pytest.raises((ssl.SSLError, ConnectionError)):
            await TlsWire(door, context).open()

    async def test_where_one_is_needed_there_is_no_handshake_without(self, serve: Serve, paper: Paper) -> None:
        async with opened(serve, **{"client-authentication": "x509"}) as (_, door):
            await self.ends(door, paper.trust())
            assert (await TlsWire(door, paper.trust(paper.client("unknown")), V5).open()).reason_code == 0x87

    @pytest.mark.parametrize("mode", ["none", "x509"])
    async def test_one_that_has_expired_is_refused_needed_or_not(self, serve: Serve, paper: Paper, mode: str) -> None:
        old = paper.client("old", now_ms=NOW_MS - 10 * DAY_MS, lifetime_ms=DAY_MS)
        async with opened(serve, **{"client-authentication": mode}) as (_, door):
            await self.ends(door, paper.trust(old))

    @pytest.mark.parametrize("mode", ["none", "x509"])
    async def test_one_of_another_authority_is_refused_needed_or_not(
        self, serve: Serve, paper: Paper, tmp_path: Path, mode: str
    ) -> None:
        other = Paper(tmp_path / "other")
        async with opened(serve, **{"client-authentication": mode}) as (_, door):
            await self.ends(door, paper.trust(other.client("stranger")))

    async def test_one_that_is_not_needed_must_be_known_all_the_same(self, serve: Serve, paper: Paper) -> None:
        shown = paper.client("thing")
        async with opened(serve) as (server, door):
            assert (await TlsWire(door, paper.trust()).open()).reason_code == 0
            assert (await TlsWire(door, paper.trust(shown)).open()).reason_code == 5
            body = {"certificate": shown[0].read_text()}
            await server.rest.send("POST", "/cm/api/v1/x509-credentials", body)
            assert (await TlsWire(door, paper.trust(shown)).open()).reason_code == 0

    async def test_without_an_authority_none_is_asked_for(self, serve: Serve, paper: Paper) -> None:
        context = paper.trust(paper.client("thing"))
        (paper.directory / "ca.pem").rename(paper.directory / "elsewhere.pem")
        async with opened(serve) as (_, door):
            assert (await TlsWire(door, context).open()).reason_code == 0


class TestHandshakes:
    async def test_one_that_is_not_finished_in_time_is_cut_off(self, serve: Serve, paper: Paper) -> None:
        async with opened(serve, **{"handshake-timeout": "200ms"}) as (server, door):
            reader, writer = await asyncio.open_connection(*door)
            assert await rest(reader) == b""
            writer.close()
            assert await server.rest.metric("kaa_kpc_handshakes_failed_total", reason="lost") == 1
            assert (await TlsWire(door, paper.trust()).open()).reason_code == 0

    async def test_many_that_stand_still_hold_up_nobody(self, serve: Serve, paper: Paper, connect: Connect) -> None:
        async with opened(serve, handshakes=3, **{"crowded-timeout": "100ms"}) as (server, door):
            thing = await server.rest.thing()
            before = await connect(TlsWire(door, paper.trust()))
            still = [await asyncio.open_connection(*door) for _ in range(9)]
            # those who are in notice nothing
            await before.answer(thing.topic("json", 1), b'{"x": 1}')
            async with asyncio.timeout(PATIENCE_S):
                wires = [await connect(TlsWire(door, paper.trust())) for _ in range(3)]
            assert [wire.connack.reason_code for wire in wires] == [0, 0, 0]
            assert await server.rest.metric("kaa_kpc_handshakes_failed_total", reason="crowded") >= 6
            for _, writer in still:
                writer.close()

    async def test_when_it_stops_those_under_way_are_let_go(self, serve: Serve, paper: Paper) -> None:
        async with opened(serve, handshakes=2) as (server, door):
            still = [await asyncio.open_connection(*door) for _ in range(4)]

            async def are_under_way() -> bool:
                return await server.rest.metric("kaa_kpc_handshakes") == 2

            await until(are_under_way)
        for reader, writer in still:
            assert await rest(reader) == b""
            writer.close()


class TestFiles:
    async def test_a_new_certificate_is_shown_and_nobody_is_dropped(
        self, serve: Serve, paper: Paper, connect: Connect, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr("kaa.core.tls._LOOK_MS", 20)
        async with opened(serve) as (server, door):
            thing = await server.rest.thing()
            first = await connect(TlsWire(door, paper.trust()))
            paper.serve("localhost", "127.0.0.1", "another.example")

            async def is_new() -> bool:
                wire = TlsWire(door, paper.trust())
                await wire.dial()
                is_new = wire.certificate != first.certificate
                await wire.close()
                return is_new

            await until(is_new)
            await first.answer(thing.topic("json", 1), b'{"x": 1}')

    async def test_a_broken_one_changes_nothing_and_health_says_so(
        self, serve: Serve, paper: Paper, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr("kaa.core.tls._LOOK_MS", 20)
        async with opened(serve) as (server, door):
            key = paper.directory / "server.key"
            good = key.read_text()
            paper.client("other")[1].replace(key)

            async def health() -> str:
                return str((await server.rest.call("GET", "/health")).json["checks"]["mqtts door"])

            async def is_told() -> bool:
                return "cannot be used together" in await health()

            await until(is_told)
            assert (await TlsWire(door, paper.trust()).open()).reason_code == 0
            key.write_text(good)

            async def is_fine() -> bool:
                return await health() == "ok"

            await until(is_fine)

    @pytest.mark.parametrize("missing", ["server.pem", "server.key"])
    async def test_without_a_certificate_it_does_not_start_and_says_how_to_make_one(
        self, process: Callable[..., KaaProcess], missing: str
    ) -> None:
        server = process()
        (server.data_dir / "tls").mkdir(parents=True)
        Paper(server.data_dir / "tls").serve()
        (server.data_dir / "tls" / missing).unlink()
        await off_loop(server.launch, "--mqtts-port", "0")
        assert await off_loop(server.wait) == 1
        assert "kaa cert init" in server.said
        assert missing in server.said
        assert "Traceback" not in server.said
