"""Whether reads and writes stay quick once much is stored."""

from statistics import median
from time import perf_counter

from kaa.bench.filling import fill, fill_series
from kaa.bench.jobs import BenchError
from kaa.bench.measure_disk import points_bytes
from kaa.bench.measure_latency import READ_POINTS
from kaa.bench.measure_throughput import Runs, run_once
from kaa.bench.report import Figure, Section, ms, whole
from kaa.bench.server import SERIES, running_server
from kaa.bench.setup import Say, Setup

ENDPOINTS = 1_000
FIRST_POINTS = 10_000_000
_PART = 5_000_000
_READS = 5


def measure(setup: Setup, say: Say) -> Section:
    """Measure reads with ten million points stored, and the rate with all of them, in turns with an empty store's.

    Ten million, or as many as are wanted in all, if that is less.
    """
    with running_server(setup.directory) as server:
        say(f"deep: registering {whole(ENDPOINTS)} devices")
        senders = server.add_endpoints(setup.connections)
        many = server.add_endpoints(ENDPOINTS)
        [deep] = server.add_endpoints(1)
        topics = tuple(endpoint.topic() for endpoint in senders)
        fill_series(server, deep, points=READ_POINTS)
        stored, begun = READ_POINTS * 3, perf_counter()

        def fill_to(wanted: int) -> None:
            nonlocal stored
            while stored < wanted:
                say(f"deep: {whole(stored / 1e6)} million points of {whole(setup.points / 1e6)} million stored")
                part = min(_PART, wanted - stored)
                stored += fill(server, many, points=part, connections=setup.connections)

        fill_to(min(FIRST_POINTS, setup.points))
        stored_at_reads = stored
        say("deep: reading")
        reads = [server.read_series(deep) for _ in range(_READS)]
        if any(count != READ_POINTS for count, _ in reads):
            raise BenchError(f"{whole(READ_POINTS)} points were stored, but {reads[0][0]} read")
        lasts = [server.read_last(many, series=[SERIES]) for _ in range(_READS)]
        lasts_of_all = [server.read_last(many, series=None) for _ in range(_READS)]
        fill_to(setup.points)
        filling_rate = stored / (perf_counter() - begun)
        with running_server(setup.directory) as fresh:
            empty_topics = tuple(endpoint.topic() for endpoint in fresh.add_endpoints(setup.connections))
            rates: list[tuple[float, float]] = []
            for run in range(setup.runs):  # in turns, so that what else the machine does hits both
                say(f"deep: rate with {whole(stored / 1e6)} million points, run {run + 1} of {setup.runs}")
                of_full = run_once(setup, server.host, server.port, topics).rate
                say(f"deep: rate into an empty store, run {run + 1} of {setup.runs}")
                rates.append((of_full, run_once(setup, fresh.host, fresh.port, empty_topics).rate))
        server.stop()
        size = points_bytes(server.data_dir)
    data_ms, last_ms, all_ms = (
        median(seconds for _, seconds in found) * 1000 for found in (reads, lasts, lasts_of_all)
    )
    full, empty = (Runs(found) for found in zip(*rates, strict=True))
    ratios = [of_full / of_empty for of_full, of_empty in rates]
    ratio = median(ratios)
    among = f"among {whole(stored_at_reads / 1e6)} million"
    return Section(
        "deep",
        [
            Figure(f"data of {whole(READ_POINTS)} points {among}", ms(data_ms)),
            Figure(f"last of one series of {whole(ENDPOINTS)} devices {among}", ms(last_ms), f"{lasts[0][0]} points"),
            Figure(f"last of all their series {among}", ms(all_ms), f"{lasts_of_all[0][0]} points"),
            empty.figure("rate into an empty store"),
            full.figure(f"rate with {whole(stored / 1e6)} million points stored"),
            Figure("ratio", f"{ratio:.2f}", "runs " + ", ".join(f"{one:.2f}" for one in ratios)),
            Figure("filling, in arrays of samples", f"{whole(filling_rate)} points/s"),
            Figure("points files", f"{size / 1e9:.2f} GB"),
        ],
        {
            "pointsAtReads": stored_at_reads,
            "dataMs": round(data_ms, 1),
            "lastMs": round(last_ms, 1),
            "lastPoints": lasts[0][0],
            "lastOfAllSeriesMs": round(all_ms, 1),
            "lastOfAllSeriesPoints": lasts_of_all[0][0],
            "points": stored,
            "empty": empty.data(),
            "full": full.data(),
            "ratio": round(ratio, 3),
            "ratios": [round(one, 3) for one in ratios],
            "fillingPointsPerSecond": round(filling_rate),
            "bytes": size,
        },
    )
