"""How much memory the server takes: when nothing happens, and for connections on which nothing happens."""

from time import perf_counter, sleep

from kaa.bench.generator import idling
from kaa.bench.jobs import BenchError, Idle
from kaa.bench.load import raise_file_limit
from kaa.bench.report import Figure, Section, whole
from kaa.bench.server import Server, running_server
from kaa.bench.setup import Say, Setup

_SETTLE_S = 5.0
_STEP_S = 0.5


def measure(setup: Setup, say: Say) -> Section:
    """Measure resident memory of a fresh server, and what idle connections add to it."""
    raise_file_limit()
    with running_server(setup.directory) as server:
        say("memory: of a server that does nothing")
        idle = _settled(server)
        say(f"memory: of {whole(setup.idle_connections)} idle connections")
        with idling(Idle(host=server.host, port=server.port, connections=setup.idle_connections)) as connected:
            if connected.connections < setup.idle_connections:
                raise BenchError(f"only {connected.connections} connections could be opened")
            full = _settled(server)
    each = (full - idle) / setup.idle_connections
    return Section(
        "memory",
        [
            Figure("idle process", f"{idle / 1e6:.1f} MB", "resident"),
            Figure("an idle connection", f"{each / 1024:.2f} KB", f"at {whole(setup.idle_connections)} of them"),
        ],
        {
            "idleBytes": idle,
            "connections": setup.idle_connections,
            "withConnectionsBytes": full,
            "bytesPerConnection": round(each),
        },
    )


def _settled(server: Server) -> int:
    """Give the memory once it does not change any more."""
    deadline, last = perf_counter() + _SETTLE_S, server.resident_bytes()
    while perf_counter() < deadline:
        sleep(_STEP_S)
        now = server.resident_bytes()
        if now == last:
            break
        last = now
    return last
