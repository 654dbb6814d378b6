"""How long a message waits for its acknowledgement at a fixed rate, without and with long reads going on."""

from statistics import median
from typing import Any

from kaa.bench.filling import fill_series
from kaa.bench.generator import paced, pacing
from kaa.bench.jobs import BenchError, Pace, Paced
from kaa.bench.report import Figure, Section, ms, whole
from kaa.bench.server import Endpoint, Server, running_server
from kaa.bench.setup import Say, Setup

READ_POINTS = 100_000


def measure(setup: Setup, say: Say) -> Section:
    """Measure the time from when a message was due to its PUBACK."""
    with running_server(setup.directory) as server:
        say("latency: registering the devices")
        endpoints = server.add_endpoints(setup.rate_connections)
        [read] = server.add_endpoints(1)
        say(f"latency: storing {whole(READ_POINTS)} points to be read")
        fill_series(server, read, points=READ_POINTS)
        job = Pace(
            host=server.host,
            port=server.port,
            topics=tuple(endpoint.topic() for endpoint in endpoints),
            rate=setup.rate,
            seconds=setup.seconds,
        )
        say(f"latency: {whole(setup.rate)} messages a second")
        with pacing(job) as load:
            quiet = paced(job, load)
        say(f"latency: {whole(setup.rate)} messages a second, with reads")
        times: list[float] = []
        with pacing(job) as load:
            while not times or not load.is_done():
                times.append(_read(server, read))
            busy = paced(job, load)
    median_ms = median(times) * 1000
    return Section(
        "latency",
        [
            _figure("publish to PUBACK", quiet, setup),
            _figure("publish to PUBACK, with reads", busy, setup),
            Figure("meanwhile", f"{len(times)} reads", f"of {whole(READ_POINTS)} points; median {ms(median_ms)}"),
        ],
        {
            "rate": setup.rate,
            "connections": setup.rate_connections,
            "withoutReads": _data(quiet),
            "withReads": _data(busy) | {"reads": len(times), "readMedianMs": round(median_ms, 1)},
        },
    )


def _read(server: Server, endpoint: Endpoint) -> float:
    count, seconds = server.read_series(endpoint)
    if count != READ_POINTS:
        raise BenchError(f"{whole(READ_POINTS)} points were stored, but {whole(count)} read")
    return seconds


def _figure(name: str, found: Paced, setup: Setup) -> Figure:
    note = f"{whole(setup.rate)} msg/s over {setup.rate_connections} connections; longest {ms(found.max_ms)}"
    note += f"; sent late by up to {ms(found.late_ms)}"
    if found.acknowledged < found.sent:
        note += f"; {found.sent - found.acknowledged} NOT ACKNOWLEDGED"
    return Figure(name, f"p50 {ms(found.p50_ms)}, p99 {ms(found.p99_ms)}", note)


def _data(found: Paced) -> dict[str, Any]:
    return {
        "p50Ms": round(found.p50_ms, 3),
        "p99Ms": round(found.p99_ms, 3),
        "maxMs": round(found.max_ms, 3),
        "sent": found.sent,
        "acknowledged": found.acknowledged,
        "lateP99Ms": round(found.late_ms, 3),
    }
