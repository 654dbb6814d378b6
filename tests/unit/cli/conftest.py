"""A server for the commands to ask, in a thread of its own: a command waits for its answer, and so would the loop."""

import asyncio
import json
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result
from waiting import PATIENCE_S

from kaa.app import KaaConfig, serving
from kaa.cli import cli


@dataclass(frozen=True, slots=True)
class Running:
    """Where it is."""

    data_dir: Path
    url: str
    mqtt: str
    key: str


@pytest.fixture(scope="session")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    """Run a server for all tests that only ask one; each makes applications of its own."""
    yield from _serving(tmp_path_factory.mktemp("cli") / "data")


@pytest.fixture(scope="session")
def other(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    """Run another server, which has nothing."""
    yield from _serving(tmp_path_factory.mktemp("other") / "data")


def _serving(data_dir: Path) -> Iterator[Running]:
    """Run a server while the generator lasts."""
    loop, over, found = asyncio.new_event_loop(), asyncio.Event(), threading.Event()
    doors: dict[str, str] = {}

    async def serve() -> None:
        async with serving(KaaConfig(data_dir=data_dir, mqtt_port=0, http_port=0)) as server:
            doors.update({name: f"{host}:{port}" for name, (host, port) in server.addresses.items()})
            found.set()
            await over.wait()

    thread = threading.Thread(target=lambda: loop.run_until_complete(serve()))
    thread.start()
    assert found.wait(PATIENCE_S)
    (data_dir / "server.json").write_text(json.dumps({**doors, "pid": 1}))
    yield Running(data_dir, f"http://{doors['http']}", doors["mqtt"], (data_dir / "admin.key").read_text().strip())
    loop.call_soon_threadsafe(over.set)
    thread.join()
    loop.close()


Run = Callable[..., Result]


@pytest.fixture
def run(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Run:
    """Run a command as one would in an empty directory."""
    monkeypatch.chdir(tmp_path)
    for name in ("KAA_DATA_DIR", "KAA_URL", "KAA_KEY", "KAA_CONFIG"):
        monkeypatch.delenv(name, raising=False)

    def invoke(*arguments: str) -> Result:
        result = CliRunner().invoke(cli, arguments)
        if result.exception is not None and not isinstance(result.exception, SystemExit):
            raise result.exception
        return result

    return invoke


@pytest.fixture
def ask(run: Run, running: Running, monkeypatch: pytest.MonkeyPatch) -> Run:
    """Run a command that asks the running server."""
    monkeypatch.setenv("KAA_DATA_DIR", str(running.data_dir))
    return run


@pytest.fixture
def asked(ask: Run) -> Callable[..., Any]:
    """Run a command that must work, and give its JSON."""

    def invoke(*arguments: str) -> Any:
        result = ask(*arguments, "--json")
        assert result.exit_code == 0, result.output
        return json.loads(result.stdout)

    return invoke
