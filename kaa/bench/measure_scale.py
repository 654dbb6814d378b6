"""How a register of many endpoints does, and how long a change takes to come to all that are connected."""

import resource
from time import perf_counter, sleep
from typing import Any

from kaa.bench.generator import Attending, attending
from kaa.bench.jobs import Attend
from kaa.bench.load import raise_file_limit
from kaa.bench.registering import PAGE, make_filter, read_page, register
from kaa.bench.report import Figure, Section, ms, whole
from kaa.bench.server import VERSION, Server, running_server
from kaa.bench.setup import Say, Setup
from kaa.bench.times import between
from kaa.remote import path_of

_RATE = 200
_WITNESSES, _WITNESSED_RATE = 100, 1_000
_LONGEST_S = 600.0
_SPARE_FILES = 500  # of the server's, beside its connections
_MOST_CONNECTIONS = 19_000  # of the server's 20,000, by default


def measure(setup: Setup, say: Say) -> Section:
    """Register endpoints, filter and list them, and configure those that are connected by changing the default."""
    raise_file_limit()
    with running_server(setup.directory) as server:
        tokens, registered_s, telemetry, told = _register(setup, server, say)
        say("scale: a filter over them")
        filter_id, filter_s = make_filter(server, len(tokens))
        say("scale: pages of their list")
        pages = {
            "firstPageMs": read_page(server, offset=0),
            "middlePageMs": read_page(server, offset=len(tokens) // 2),
            "filterPageMs": read_page(server, filterId=filter_id),
        }
        say(f"scale: connecting {whole(setup.connected)} of them")
        job = _job(server, tokens[: setup.connected], _RATE)
        with attending(job) as devices:
            figures, data = _configure(setup, server, devices, job, say)
    every = whole(len(tokens))
    return Section(
        "scale",
        [
            Figure(
                f"registering {every} endpoints",
                f"{registered_s:.1f} s",
                f"{whole(len(tokens) / registered_s)} a second",
            ),
            *telemetry,
            Figure("a filter over them, until it is active", f"{filter_s:.2f} s", "a tenth of them matches"),
            Figure(f"a page of {PAGE} of them, the first", ms(pages["firstPageMs"])),
            Figure("the one in the middle", ms(pages["middlePageMs"])),
            Figure("the first by filter", ms(pages["filterPageMs"])),
            *figures,
        ],
        {
            "endpoints": len(tokens),
            "registeredSeconds": round(registered_s, 2),
            **told,
            "filterSeconds": round(filter_s, 3),
            **{name: round(took, 2) for name, took in pages.items()},
            **data,
        },
    )


def _register(setup: Setup, server: Server, say: Say) -> tuple[list[str], float, list[Figure], dict[str, Any]]:
    """Register all endpoints, the first ones of which send meanwhile."""
    few = min(_WITNESSES, setup.endpoints // 2)
    tokens, _ = register(server, range(few))
    with attending(_job(server, tokens, _WITNESSED_RATE)) as devices:
        sleep(1.0)
        begun = perf_counter()
        say(f"scale: {_WITNESSED_RATE} messages a second, before the registering")
        sleep(setup.seconds)
        changed = perf_counter()
        say(f"scale: registering {whole(setup.endpoints)} endpoints")
        more, took_s = register(server, range(few, setup.endpoints))
        done = devices.end()
    before, during = between(done, begun, changed), between(done, changed, changed + took_s)
    figures = [
        before.figure("publish to PUBACK before that", f"{_WITNESSED_RATE} msg/s"),
        during.figure("publish to PUBACK meanwhile", f"{_WITNESSED_RATE} msg/s"),
    ]
    return tokens + more, took_s, figures, {"beforeRegistering": before.data(), "whileRegistering": during.data()}


def _job(server: Server, tokens: list[str], rate: int) -> Attend:
    """Give each device a connection; where files do not suffice, a gateway's to several."""
    files, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    most = _MOST_CONNECTIONS if files == resource.RLIM_INFINITY else min(files - _SPARE_FILES, _MOST_CONNECTIONS)
    return Attend(
        host=server.host,
        port=server.port,
        version=VERSION,
        tokens=tuple(tokens),
        connections=max(1, min(len(tokens), most)),
        rate=rate,
        wanted=len(tokens),
    )


def _configure(
    setup: Setup, server: Server, devices: Attending, job: Attend, say: Say
) -> tuple[list[Figure], dict[str, Any]]:
    """Change the default twice: the first time nobody has one."""
    sleep(1.0)
    begun = perf_counter()
    say(f"scale: {_RATE} messages a second, before the change")
    sleep(setup.seconds)
    took = []
    for number in (1, 2):
        say(f"scale: a default configuration for all, change {number} of 2")
        changed = perf_counter()
        path = path_of("ecr", "api", "v1", "app-versions", VERSION)
        server.remote.fetch("PUT", path, body={"number": number})
        took.append((changed, devices.configured(number, within_s=_LONGEST_S)))
        sleep(setup.seconds)  # what the devices report is taken in
    done = devices.end()
    before = between(done, begun, took[0][0])
    first, second = ((until - since) for since, until in took)
    during = between(done, *took[1])
    many = whole(len(job.tokens))
    over = "" if job.connections == len(job.tokens) else f" over {whole(job.connections)} gateways' connections"
    return [
        Figure(
            f"a first default at {many} devices{over}", f"{first:.1f} s", f"{whole(len(job.tokens) / first)} a second"
        ),
        Figure("a change of it", f"{second:.1f} s", f"{whole(len(job.tokens) / second)} a second"),
        before.figure("publish to PUBACK before", f"{_RATE} msg/s"),
        during.figure("publish to PUBACK during the change", f"{_RATE} msg/s"),
    ], {
        "connected": len(job.tokens),
        "connections": job.connections,
        "firstDefaultSeconds": round(first, 2),
        "changedDefaultSeconds": round(second, 2),
        "rate": _RATE,
        "telemetryBefore": before.data(),
        "telemetryDuring": during.data(),
    }
