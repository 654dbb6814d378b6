"""A register of many endpoints: filled by batches, filtered, and read page by page."""

from collections.abc import Callable
from functools import partial
from statistics import median
from time import perf_counter, sleep
from typing import Any

from kaa.bench.jobs import BenchError
from kaa.bench.server import APPLICATION, VERSION, Server
from kaa.remote import path_of

PAGE = 100
FLOORS = 10
BATCH = 1_000
_POLL_S = 0.2
_LONGEST_S = 600.0
_READS = 9
_FILTERS = path_of("epr", "api", "v1", "applications", APPLICATION, "filters")
_ENDPOINTS = path_of("epr", "api", "v1", "endpoints")
_STATUS = path_of("epr", "api", "v1", "endpoints", "batch", "status")


def register(server: Server, numbers: range) -> tuple[list[str], float]:
    """Register endpoints of these numbers, with metadata; gives their tokens and the seconds until all are there."""
    begun, tasks, tokens = perf_counter(), list[str](), list[str]()
    for at in range(0, len(numbers), BATCH):
        new = [{"metadata": _metadata(number)} for number in numbers[at : at + BATCH]]
        body = {"appVersion": {"name": VERSION}, "endpoints": new}
        tasks.append(server.remote.post(f"{_ENDPOINTS}/batch", body)["taskId"])
    for task in tasks:
        params = {"appName": APPLICATION, "taskId": task}
        found = _until(partial(server.remote.get, _STATUS, params), _POLL_S, state="DONE")
        if found["failedCount"]:
            raise BenchError(f"{found['failedCount']} endpoints were not made: {found['failed'][0]['statusReason']}")
        tokens += [one["endpointToken"] for one in found["created"]]
    return tokens, perf_counter() - begun


def make_filter(server: Server, count: int) -> tuple[str, float]:
    """Make a filter that a tenth of so many endpoints matches; gives its id and the seconds until it is active."""
    query = {"metadata": {"$elemMatch": {"key": "floor", "value": FLOORS - 1}}}
    begun = perf_counter()
    made = server.remote.post(_FILTERS, {"name": "top", "mongoQuery": query})
    made = _until(partial(server.remote.get, f"{_FILTERS}/{made['id']}"), _POLL_S / 10, status="active")
    took, matched = perf_counter() - begun, sum(_metadata(number)["floor"] == FLOORS - 1 for number in range(count))
    if made["matchedEndpointsCount"] != matched:
        raise BenchError(f"{matched} endpoints match the filter, but it has {made['matchedEndpointsCount']}")
    return made["id"], took


def read_page(server: Server, **params: Any) -> float:
    """Read a page of the list several times; gives the median in milliseconds."""
    times = list[float]()
    for _ in range(_READS):
        begun = perf_counter()
        data = server.remote.fetch("GET", _ENDPOINTS, params={"applicationName": APPLICATION, "limit": PAGE} | params)
        times.append(perf_counter() - begun)
        if b'"endpointId"' not in data:
            raise BenchError("a page of the list of endpoints was empty")
    return median(times) * 1000


def _until(ask: Callable[[], dict[str, Any]], poll_s: float, **wanted: str) -> dict[str, Any]:
    """Ask until the answer says what is wanted; BenchError if it does not for long."""
    deadline = perf_counter() + _LONGEST_S
    while not wanted.items() <= (found := ask()).items():
        if perf_counter() > deadline:
            raise BenchError(f"the server did not come to {wanted} within {_LONGEST_S:.0f} s")
        sleep(poll_s)
    return found


def _metadata(number: int) -> dict[str, Any]:
    return {"floor": number % FLOORS, "model": "TH-2", "serial": f"SN-{number:08}"}
