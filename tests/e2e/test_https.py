"""REST over TLS: the same site, the devices' certificates, and the commands that find it."""

import asyncio
import json
import ssl
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from hosts import ROOT, KaaProcess, Serve, off_loop
from waiting import until

from kaa.app import KaaConfig, serving
from kaa.core.certificates import Authority
from kaa.core.clock import SystemClock
from kaa.core.errors import ConfigError

pytestmark = pytest.mark.any_bus

NOW_MS = SystemClock().now_ms()


@pytest.fixture
def tls(tmp_path: Path) -> Path:
    """Give the folder of a data directory with an authority and what the server shows."""
    directory = tmp_path / "data" / "tls"
    directory.mkdir(parents=True)
    issue(directory)
    return directory


def issue(directory: Path) -> str:
    """Make the server's certificate anew, and give its serial number."""
    issued = Authority.of(directory, now_ms=NOW_MS).issue_server(("localhost", "127.0.0.1"), now_ms=NOW_MS)
    (directory / "server.key").write_text(issued.private_key)
    (directory / "server.pem").write_text(issued.certificate.pem)
    return issued.certificate.serial


def trusting(directory: Path, **versions: ssl.TLSVersion) -> ssl.SSLContext:
    context = ssl.create_default_context(cafile=directory / "ca.pem")
    for name, version in versions.items():
        setattr(context, name, version)
    return context


async def serial(address: tuple[str, int], context: ssl.SSLContext) -> str:
    """Give the serial number of the certificate that is shown in a new handshake."""
    _, writer = await asyncio.open_connection(*address, ssl=context)
    shown: Any = writer.get_extra_info("peercert")
    writer.close()
    await writer.wait_closed()
    return str(int(shown["serialNumber"], 16))


async def test_the_same_site_answers_over_both_and_names_itself(serve: Serve, tls: Path) -> None:
    async with serve({"https-port": 0}) as server:
        secure = f"https://127.0.0.1:{server.https[1]}"
        made = await server.rest.call("POST", "/tekton/api/v1/applications", {"name": "both"})
        assert made.status == 201
        async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(ssl=trusting(tls))) as session:
            headers = server.rest.headers
            async with session.get(f"{secure}/tekton/api/v1/applications/both", headers=headers) as response:
                assert response.status == 200
            async with session.post(
                f"{secure}/tekton/api/v1/applications", json={"name": "other"}, headers=headers
            ) as response:
                assert response.headers["Location"] == f"{secure}/tekton/api/v1/applications/other"
            async with session.get(f"{secure}/tekton/api/v1/applications") as response:
                assert response.status == 401
            async with session.get(f"{secure}/health") as response:
                checks = (await response.json())["checks"]
                assert checks["https door"] == "ok"


async def test_nothing_older_than_tls_1_2_is_spoken(serve: Serve, tls: Path) -> None:
    async with serve({"https-port": 0}) as server:
        for version in (ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3):
            context = trusting(tls, maximum_version=version, minimum_version=version)
            assert await serial(server.https, context)
        with pytest.warns(DeprecationWarning, match="TLSv1"):
            old = trusting(tls, minimum_version=ssl.TLSVersion.TLSv1, maximum_version=ssl.TLSVersion.TLSv1_1)
        with pytest.raises((ssl.SSLError, ConnectionError)):
            await serial(server.https, old)


async def test_a_new_certificate_is_shown_without_a_restart_and_a_broken_one_is_not(
    serve: Serve, tls: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("kaa.core.tls._LOOK_MS", 20)
    async with serve({"https-port": 0}) as server:
        before = await serial(server.https, trusting(tls))
        after = issue(tls)
        assert after != before

        async def is_shown() -> bool:
            return await serial(server.https, trusting(tls)) == after

        await until(is_shown)
        (tls / "server.pem").write_text("nothing")

        async def is_told() -> bool:
            health = await server.rest.call("GET", "/health")
            return "is still in use" in health.json["checks"]["https door"]

        await until(is_told)
        assert await serial(server.https, trusting(tls)) == after


async def test_whoever_does_not_speak_tls_stands_in_nobodys_way(serve: Serve, tls: Path) -> None:
    async with serve({"https-port": 0}) as server:
        reader, writer = await asyncio.open_connection(*server.https)
        writer.write(b"GET /health HTTP/1.1\r\nHost: x\r\n\r\n")
        assert b"200" not in await reader.read()
        writer.close()
        assert await serial(server.https, trusting(tls))


def test_without_certificates_the_start_says_what_to_do(process: Callable[..., KaaProcess]) -> None:
    server = process()
    server.launch("--https-port", "0")
    assert server.wait() == 1
    assert "kaa cert init" in server.said
    assert "Traceback" not in server.said


async def test_one_of_the_two_doors_must_be_open(tmp_path: Path) -> None:
    with pytest.raises(ConfigError):
        async with serving(KaaConfig(data_dir=tmp_path / "data", mqtt_port=0, http_port=None)):
            pass
    assert not (tmp_path / "data").exists()


def kaa(server: KaaProcess, *arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "kaa", *arguments, "--data-dir", str(server.data_dir)]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=30, check=False)


async def test_with_plain_http_off_the_commands_find_the_server_by_its_certificate(
    process: Callable[..., KaaProcess],
) -> None:
    server = process()
    assert (await off_loop(kaa, server, "cert", "init")).returncode == 0
    await off_loop(server.start, "--https-port", "0", "--http-port", "off")
    written = json.loads((server.data_dir / "server.json").read_text())
    assert "http" not in written
    assert server.ready == f"ready mqtt={written['mqtt']} https={written['https']}"
    added = await off_loop(kaa, server, "key", "add", "--role", "viewer", "--json")
    assert added.returncode == 0, added.stderr
    key, url = json.loads(added.stdout)["key"], f"https://{written['https']}"
    other = ("refusals", "--url", url, "--key", key, "--json")
    refused = await off_loop(kaa, server, *other)
    assert refused.returncode == 1
    assert "--cafile" in refused.stderr
    trusted = await off_loop(kaa, server, *other, "--cafile", str(server.data_dir / "tls" / "ca.pem"))
    assert trusted.returncode == 0, trusted.stderr
    wrong = await off_loop(kaa, server, *other, "--cafile", str(server.data_dir / "kaa.db"))
    assert "--cafile" in wrong.stderr
    assert "Traceback" not in wrong.stderr
