"""The whole application: real clients, real HTTP, real files; with `--bus nats` over a real NATS server each.

`place` is one server process for all tests that only talk to it; each makes applications of its own. `server` runs in
the test's own process, to be looked into. `process` is for those that kill.
"""

from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from hosts import Inside, KaaProcess, Place, Rest, Serve
from mqtt_clients import Wire
from nats_server import NatsServer

from kaa.app import KaaConfig, serving
from kaa.core.clock import Clock
from kaa.core.config.units import validate_written


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Over NATS leave out what is the same on every bus."""
    if config.getoption("--bus") == "nats":
        config.hook.pytest_deselected(items=[one for one in items if one.get_closest_marker("any_bus")])
        items[:] = [one for one in items if not one.get_closest_marker("any_bus")]


@pytest.fixture(autouse=True)
async def no_socket_is_left() -> AsyncIterator[None]:
    yield
    await Wire.drop_all()


# as it comes, but with less patience
SHARED = {"instances": {"kpc": {"connect-timeout": "2s", "max-unsent": "64KiB"}}}


@pytest.fixture(scope="session")
def nats_server(pytestconfig: pytest.Config) -> Iterator[Callable[[], NatsServer | None]]:
    """Start a NATS server for one kaa, if the tests are to run over one: two that share one would be one."""
    made: list[NatsServer] = []

    def make() -> NatsServer | None:
        if pytestconfig.getoption("--bus") != "nats":
            return None
        made.append(NatsServer().start())
        return made[-1]

    yield make
    for one in made:
        one.release()


@pytest.fixture(scope="session")
def shared_process(
    tmp_path_factory: pytest.TempPathFactory, nats_server: Callable[[], NatsServer | None]
) -> Iterator[KaaProcess]:
    made = KaaProcess(tmp_path_factory.mktemp("kaa"), config=SHARED, nats=nats_server()).start()
    yield made
    made.stop()
    assert "Traceback" not in made.said, "a bug of ours, whatever the tests have seen of it"


@pytest.fixture
async def place(shared_process: KaaProcess) -> AsyncIterator[Place]:
    async with shared_process.visited() as found:
        yield found


@pytest.fixture
def process(tmp_path: Path, nats_server: Callable[[], NatsServer | None]) -> Iterator[Callable[..., KaaProcess]]:
    """Make servers to be started, killed and started again; none of them outlives the test."""
    made: list[KaaProcess] = []

    def make(name: str = "kaa", **arguments: Any) -> KaaProcess:
        made.append(KaaProcess(tmp_path / name, **{"nats": nats_server()} | arguments))
        return made[-1]

    yield make
    for one in made:
        one.stop()


@pytest.fixture
def serve(tmp_path: Path, nats_server: Callable[[], NatsServer | None]) -> Serve:
    """Run a server in this process while a block lasts: `async with serve(config) as server`."""

    @asynccontextmanager
    async def run(config: dict[str, Any] | None = None, clock: Clock | None = None) -> AsyncIterator[Inside]:
        written = {"data-dir": tmp_path / "data", "mqtt-port": 0, "http-port": 0, **(config or {})}
        if (nats := nats_server()) is not None:
            written["bus"] = {"url": nats.url}
        async with (
            serving(validate_written(KaaConfig, written), clock=clock) as server,
            aiohttp.ClientSession() as session,
        ):
            key = (tmp_path / "data" / "admin.key").read_text().strip()
            yield Inside(server, Rest(session, server.addresses["http"], key))

    return run


@pytest.fixture
async def server(serve: Serve) -> AsyncIterator[Inside]:
    async with serve() as made:
        yield made


@pytest.fixture
async def connect() -> AsyncIterator[Callable[..., Any]]:
    """Connect devices that are disconnected when the test is over."""
    async with AsyncExitStack() as stack:

        async def run(device: Any, **arguments: Any) -> Any:
            stack.push_async_callback(device.close)
            await device.open(**arguments)
            return device

        yield run
