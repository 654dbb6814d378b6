"""How many messages a second are stored and acknowledged, and how that compares with another MQTT server."""

from dataclasses import dataclass
from statistics import median
from typing import Any

from kaa.bench.devices import FIELDS
from kaa.bench.generator import flood
from kaa.bench.jobs import BenchError, Flood, Flooded
from kaa.bench.report import Figure, Section, whole
from kaa.bench.server import running_server
from kaa.bench.setup import WARM_UP_S, Say, Setup


@dataclass(frozen=True, slots=True)
class Runs:
    """Several runs of the same load: messages a second of each."""

    rates: tuple[float, ...]

    @property
    def rate(self) -> float:
        """The median."""
        return median(self.rates)

    def figure(self, name: str) -> Figure:
        """Give the line of the report."""
        note = f"{whole(self.rate * FIELDS)} points/s; runs {_runs(self.rates)}"
        return Figure(name, f"{whole(self.rate)} msg/s", note)

    def data(self) -> dict[str, Any]:
        """Give the figures as data."""
        return {
            "messagesPerSecond": round(self.rate),
            "pointsPerSecond": round(self.rate * FIELDS),
            "runs": [round(rate) for rate in self.rates],
        }


def measure(setup: Setup, say: Say) -> Section:
    """Measure the rate without and with request ids, and, in turns with it, that of the other server."""
    with running_server(setup.directory) as server:
        say("throughput: registering the devices")
        endpoints = server.add_endpoints(setup.connections)
        silent = tuple(endpoint.topic() for endpoint in endpoints)
        answered = tuple(endpoint.topic(1) for endpoint in endpoints)
        ours, theirs, receipts = [], [], []
        sent, spent = 0, 0.0
        for run in range(setup.runs):
            say(f"throughput: run {run + 1} of {setup.runs}")
            before = server.cpu_seconds()
            done = run_once(setup, server.host, server.port, silent)
            spent += server.cpu_seconds() - before
            sent += done.acknowledged
            ours.append(done.rate)
            if setup.against is not None:
                say(f"throughput: run {run + 1} of {setup.runs}, of the other server")
                other = setup.against
                theirs.append(run_once(setup, other.host, other.port, other.topics(setup.connections)).rate)
        cost_us = spent / sent * 1e6 if sent else 0.0
        for run in range(setup.runs):
            say(f"throughput with request ids: run {run + 1} of {setup.runs}")
            done = run_once(setup, server.host, server.port, answered, is_answered=True)
            sent += done.acknowledged
            receipts.append(done.rate)
        say("throughput: counting what is stored")
        stored = server.count_stored(endpoints)
    if stored < sent:
        raise BenchError(f"{whole(sent)} messages were acknowledged, but only {whole(stored)} are stored")
    return _section(
        ours=Runs(tuple(ours)),
        receipts=Runs(tuple(receipts)),
        theirs=Runs(tuple(theirs)),
        cost_us=cost_us,
        sent=sent,
        stored=stored,
    )


def run_once(setup: Setup, host: str, port: int, topics: tuple[str, ...], *, is_answered: bool = False) -> Flooded:
    """Send one run of the load; with `is_answered`, every message must be answered besides."""
    return flood(
        Flood(
            host=host,
            port=port,
            topics=topics,
            connections=setup.connections,
            in_flight=setup.in_flight,
            seconds=WARM_UP_S + setup.seconds,
            warm_up=WARM_UP_S,
            is_answered=is_answered,
        )
    )


def _section(*, ours: Runs, receipts: Runs, theirs: Runs, cost_us: float, sent: int, stored: int) -> Section:
    figures = [
        ours.figure("QoS 1, stored before PUBACK"),
        receipts.figure("the same with a request id each, answered by /status"),
        Figure("processor time of the server", f"{cost_us:.1f} µs/msg"),
        Figure("acknowledged and stored", whole(stored), f"{whole(sent)} acknowledged"),
    ]
    data: dict[str, Any] = {
        "withoutRequestId": ours.data(),
        "withRequestId": receipts.data(),
        "serverMicrosecondsPerMessage": round(cost_us, 2),
        "messagesAcknowledged": sent,
        "messagesStored": stored,
    }
    if theirs.rates:
        ratios = [mine / other for mine, other in zip(ours.rates, theirs.rates, strict=True)]
        figures += [
            Figure("the other server", f"{whole(theirs.rate)} msg/s", f"runs {_runs(theirs.rates)}"),
            Figure("ratio", f"{median(ratios):.2f}", "runs " + ", ".join(f"{ratio:.2f}" for ratio in ratios)),
        ]
        data["against"] = {
            "messagesPerSecond": round(theirs.rate),
            "runs": [round(rate) for rate in theirs.rates],
            "ratio": round(median(ratios), 3),
            "ratios": [round(ratio, 3) for ratio in ratios],
        }
    return Section("throughput", figures, data)


def _runs(rates: tuple[float, ...]) -> str:
    return " · ".join(whole(rate) for rate in rates)
