"""A server of the bench's own, on free ports and a data directory that is gone afterwards."""

import subprocess
import tempfile
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from time import perf_counter
from typing import Any

from kaa.bench.processes import cpu_seconds, read_line, resident_bytes, started
from kaa.remote import Remote, path_of, split_address

APPLICATION = "bench"
VERSION = "bench-v1"
SERIES = "auto~temperature"
_START_S = 60.0
_AT_ONCE = 16  # the server commits what comes together in one go
_EVER = {"fromDate": 0, "toDate": 4_102_444_800_000}


@dataclass(frozen=True, slots=True)
class Endpoint:
    """A device that was registered."""

    id: str
    token: str

    def topic(self, request_id: int | None = None) -> str:
        """Where it sends samples; with a request id it is answered."""
        return f"kp1/{VERSION}/dcx/{self.token}/json" + ("" if request_id is None else f"/{request_id}")


@dataclass(slots=True)
class Server:
    """A server that runs, and what it is asked."""

    remote: Remote
    host: str
    port: int
    pid: int
    data_dir: Path
    _stack: ExitStack = field(repr=False)

    def stop(self) -> None:
        """Stop it in order, with its files left as they are until the block ends."""
        self._stack.close()

    def add_endpoints(self, count: int) -> list[Endpoint]:
        """Register devices."""

        def add(_: int) -> Endpoint:
            made = self.remote.post("/epr/api/v1/endpoints", {"appVersion": {"name": VERSION}})
            return Endpoint(made["endpointId"], made["token"])

        with ThreadPoolExecutor(_AT_ONCE) as pool:
            return list(pool.map(add, range(count)))

    def read_series(self, endpoint: Endpoint) -> tuple[int, float]:
        """Read the whole of one series over REST; gives the number of points and the seconds."""
        params = {"timeSeriesName": SERIES, "endpointId": endpoint.id} | _EVER
        return self._timed("GET", "data", params=params)

    def read_last(self, endpoints: list[Endpoint], *, series: list[str] | None) -> tuple[int, float]:
        """Read the last points of devices over REST; gives the number of points and the seconds."""
        body = {"endpointIDs": [endpoint.id for endpoint in endpoints], "timeSeriesNames": series}
        return self._timed("POST", "last", body=body)

    def count_stored(self, endpoints: list[Endpoint]) -> int:
        """Count the messages of devices by what one series holds of them."""
        body = {"timeSeriesNames": [SERIES], "endpointIDs": [endpoint.id for endpoint in endpoints]} | _EVER
        path = path_of("epts", "api", "v1", "applications", APPLICATION, "time-series", "data")
        tree = self.remote.post(path, body | {"period": "36500d", "aggregate": "count"})
        return sum(
            int(point["values"]["value"])
            for one in tree
            for listed in one.values()
            for points in listed.values()
            for point in points
        )

    def resident_bytes(self) -> int:
        """Give the memory that it has in use."""
        return resident_bytes(self.pid)

    def cpu_seconds(self) -> float:
        """Give the time that it has spent on the processors."""
        return cpu_seconds(self.pid)

    def _timed(self, method: str, what: str, **request: Any) -> tuple[int, float]:
        path = path_of("epts", "api", "v1", "applications", APPLICATION, "time-series", what)
        begun = perf_counter()
        data = self.remote.fetch(method, path, **request)
        return data.count(b'"timestamp"'), perf_counter() - begun


@contextmanager
def running_server(directory: Path | None) -> Iterator[Server]:
    """Run a fresh server while the block lasts, with an application to send to; its data lie in a new directory."""
    with ExitStack() as outer:
        place = outer.enter_context(tempfile.TemporaryDirectory(prefix="kaa-bench-", dir=directory))
        data_dir, errors = Path(place) / "data", Path(place) / "errors"
        stack = outer.enter_context(ExitStack())
        flags = ("--data-dir", str(data_dir), "--mqtt-port", "0", "--http-port", "0")
        process: subprocess.Popen[bytes] = stack.enter_context(started("kaa", "serve", *flags, errors=errors))
        read_line(process, within_s=_START_S, errors=errors)
        remote = Remote.find(data_dir)
        assert remote.mqtt is not None
        host, port = split_address(remote.mqtt)
        remote.post("/tekton/api/v1/applications", {"name": APPLICATION})
        versions = path_of("tekton", "api", "v1", "applications", APPLICATION, "app-versions")
        remote.post(versions, {"nameSuffix": VERSION.removeprefix(f"{APPLICATION}-")})
        yield Server(remote, host, port, process.pid, data_dir, stack)
