"""How quick the services are that people wait for, with devices connected and telemetry going on."""

from collections.abc import Callable, Sequence
from itertools import cycle, islice
from time import perf_counter
from typing import Any

from kaa.bench.generator import Attending, attending
from kaa.bench.jobs import Attend, BenchError
from kaa.bench.report import Section, ms, whole
from kaa.bench.server import APPLICATION, SERIES, VERSION, Endpoint, Server, running_server
from kaa.bench.setup import Say, Setup
from kaa.bench.times import Times, between
from kaa.remote import path_of

_WARM_UP = 10
_PAGE = 100
_COMMAND = "blink"

Timed = Callable[[Endpoint], float]
"""Does something for a device, and gives the seconds that it took."""


def measure(setup: Setup, say: Say) -> Section:
    """Measure commands, configurations and reads over REST, one after another, each on a connection of its own."""
    with running_server(setup.directory) as server:
        say(f"services: registering {whole(setup.service_connections)} devices")
        endpoints = server.add_endpoints(setup.service_connections)
        job = Attend(
            host=server.host,
            port=server.port,
            version=VERSION,
            tokens=tuple(endpoint.token for endpoint in endpoints),
            connections=len(endpoints),
            rate=setup.service_rate,
        )
        with attending(job) as devices:
            begun = perf_counter()
            say("services: commands")
            commands = Times.of(_repeated(setup, endpoints, _commanding(server)))
            say("services: configurations")
            configurations = Times.of(_repeated(setup, endpoints, _configuring(server, devices)))
            say("services: reads")
            reads = _Reads(server)
            all_reads = Times.of(_repeated(setup, endpoints, reads.run))
            until = perf_counter()
            meanwhile = between(devices.end(), begun, until)
    by_kind = {name: Times.of(times) for name, times in reads.times.items() if times}
    load = f"{whole(setup.service_rate)} msg/s from {whole(len(endpoints))} connections"
    slowest = ", ".join(f"{name} {ms(times.p99_ms)}" for name, times in by_kind.items())
    return Section(
        "services",
        [
            commands.figure("command over REST, there and back", f"{whole(commands.count)}, with {load}"),
            configurations.figure("configuration PUT to the device", f"{whole(configurations.count)}, as above"),
            all_reads.figure("REST reads", f"{whole(all_reads.count)}, as above; p99 of {slowest}"),
            meanwhile.figure("meanwhile: publish to PUBACK", load),
        ],
        {
            "rate": setup.service_rate,
            "connections": len(endpoints),
            "commands": commands.data(),
            "configurations": configurations.data(),
            "reads": all_reads.data() | {"byKind": {name: times.data() for name, times in by_kind.items()}},
            "telemetry": meanwhile.data(),
        },
    )


def _repeated(setup: Setup, endpoints: Sequence[Endpoint], run: Timed) -> list[float]:
    """Do it for one device after the other as long as a run lasts; the first few do not count."""
    turns = cycle(endpoints)
    for endpoint in islice(turns, _WARM_UP):
        run(endpoint)
    until, times = perf_counter() + setup.seconds, list[float]()
    while not times or perf_counter() < until:
        times.append(run(next(turns)))
    return times


def _commanding(server: Server) -> Timed:
    def run(endpoint: Endpoint) -> float:
        path = path_of("cex", "api", "v1", "endpoints", endpoint.id, "commands", _COMMAND)
        begun = perf_counter()
        result = server.remote.fetch("POST", path, body={"times": 3}, params={"awaitTimeout": 10})
        took = perf_counter() - begun
        if b"done" not in result:
            raise BenchError("a device did not answer a command within 10 s")
        return took

    return run


def _configuring(server: Server, devices: Attending) -> Timed:
    number = 0

    def run(endpoint: Endpoint) -> float:
        nonlocal number
        number += 1
        path = path_of("ecr", "api", "v1", "endpoints", endpoint.id, "app-versions", VERSION)
        begun = perf_counter()
        server.remote.fetch("PUT", path, body={"number": number})
        return devices.configured(number) - begun

    return run


class _Reads:
    """Reads of several kinds, in turns."""

    def __init__(self, server: Server) -> None:
        self._server = server
        self.times: dict[str, list[float]] = {name: [] for name in ("endpoint", "metadata", "last", "page", "commands")}
        self._turns = cycle(self.times)
        self._left = _WARM_UP

    def run(self, endpoint: Endpoint) -> float:
        """Read what is next in turn."""
        name = next(self._turns)
        method, path, request = _read(name, endpoint)
        begun = perf_counter()
        self._server.remote.fetch(method, path, **request)
        took = perf_counter() - begun
        if self._left:
            self._left -= 1
        else:
            self.times[name].append(took)
        return took


def _read(name: str, endpoint: Endpoint) -> tuple[str, str, dict[str, Any]]:
    register = ("epr", "api", "v1", "endpoints")
    match name:
        case "endpoint":
            return "GET", path_of(*register, endpoint.id), {}
        case "metadata":
            return "GET", path_of(*register, endpoint.id, "metadata"), {}
        case "last":
            path = path_of("epts", "api", "v1", "applications", APPLICATION, "time-series", "last")
            return "POST", path, {"body": {"endpointIDs": [endpoint.id], "timeSeriesNames": [SERIES]}}
        case "page":
            return "GET", path_of(*register), {"params": {"applicationName": APPLICATION, "limit": _PAGE}}
        case _:
            return "GET", path_of("cex", "api", "v1", "endpoints", "commands"), {"params": {"endpointId": endpoint.id}}
