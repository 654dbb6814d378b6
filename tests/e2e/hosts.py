"""Servers as somebody runs them, and what an operator does to them: processes, REST, things with tokens."""

import asyncio
import json
import re
import signal
import subprocess
import sys
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass
from itertools import count
from pathlib import Path
from typing import IO, Any

import aiohttp
import yaml
from nats_server import NatsServer
from ports import HeldPort

import kaa
from kaa.app import Server

ROOT = Path(kaa.__file__).parent.parent
START_S = 30.0
STOP_S = 10.0

Address = tuple[str, int]

_numbers = count(1)


@dataclass(frozen=True, slots=True)
class Reply:
    """What HTTP gave back."""

    status: int
    headers: Mapping[str, str]
    data: bytes

    @property
    def json(self) -> Any:
        return json.loads(self.data)


@dataclass(frozen=True, slots=True)
class Thing:
    """An endpoint with its token."""

    application: str
    version: str
    endpoint_id: str
    token: str

    def topic(self, path: str = "json", request_id: int | None = None, *, extension: str = "dcx") -> str:
        """Spell a topic of 1/KP."""
        ending = "" if request_id is None else f"/{request_id}"
        return f"kp1/{self.version}/{extension}/{self.token}/{path}{ending}"


class Rest:
    """REST with the admin key."""

    def __init__(self, session: aiohttp.ClientSession, address: Address, key: str) -> None:
        self._session, self.url = session, f"http://{address[0]}:{address[1]}"
        self.headers = {"Authorization": f"Bearer {key}"}

    async def call(
        self,
        method: str,
        path: str,
        body: object = None,
        *,
        params: Mapping[str, Any] | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> Reply:
        """Ask, whatever the answer."""
        asked = self._session.request(
            method,
            self.url + path,
            json=body,
            params=[(k, str(v)) for k, vs in (params or {}).items() for v in (vs if isinstance(vs, list) else [vs])],
            headers={**self.headers, **(headers or {})},
            timeout=aiohttp.ClientTimeout(total=20),
        )
        async with asked as response:
            return Reply(response.status, dict(response.headers), await response.read())

    async def get(self, path: str, **params: Any) -> Any:
        """Give the JSON that is there."""
        return await self._expect(await self.call("GET", path, params=params))

    async def send(self, method: str, path: str, body: object = None, **params: Any) -> Any:
        """Give the JSON of a success; None where there is none."""
        return await self._expect(await self.call(method, path, body, params=params))

    async def _expect(self, reply: Reply) -> Any:
        assert reply.status < 300, f"{reply.status}: {reply.data[:500]!r}"
        return reply.json if reply.data else None

    # what tests begin with

    async def application(self, settings: object = None, *, kpc: object = None, has_connectivity: bool = False) -> str:
        """Make an application with a version `v1`, both new; `settings` are those of EPTS.

        Without `has_connectivity` nothing but what devices send becomes series and metadata.
        """
        name = f"app{next(_numbers)}"
        await self.send("POST", "/tekton/api/v1/applications", {"name": name})
        await self.send("POST", f"/tekton/api/v1/applications/{name}/app-versions", {"nameSuffix": "v1"})
        if settings is not None:
            await self.configure(name, epts=settings)
        if kpc is not None:
            await self.configure(name, kpc=kpc)
        if not has_connectivity:
            await self.configure(name, epl={"connectivity": None})
        return name

    async def configure(self, application: str, **settings: object) -> None:
        """Write the settings of instances for an application."""
        envelope = {name: {"kaa": {"applications": {application: tree}}} for name, tree in settings.items()}
        await self.send("PUT", f"/tekton/api/v1/app-configs/applications/{application}", envelope)

    async def thing(self, application: str | None = None) -> Thing:
        """Register an endpoint; in an application of its own, if none is named."""
        application = application or await self.application()
        version = f"{application}-v1"
        made = await self.send("POST", "/epr/api/v1/endpoints", {"appVersion": {"name": version}})
        return Thing(application, version, made["endpointId"], made["token"])

    async def token_status(self, thing: Thing, status: str) -> None:
        """Suspend, revoke or activate the token of a thing."""
        path = f"/cm/api/v1/endpoints/{thing.endpoint_id}/tokens"
        token = (await self.get(path))["content"][0]
        steps = ["Active", status] if token["status"] == "Inactive" else [status]
        for step in steps:
            await self.send("PUT", f"{path}/{token['endpointTokenId']}/status", {"status": step})

    async def last(self, thing: Thing, **params: Any) -> dict[str, Any]:
        """Give the last values of a thing, by series."""
        found = await self.get(
            f"/epts/api/v1/applications/{thing.application}/time-series/last", endpointId=thing.endpoint_id, **params
        )
        listed = found[0][thing.endpoint_id] if found else {}
        return {series: points[0]["values"] for series, points in listed.items()}

    async def points(self, thing: Thing, series: str, **params: Any) -> list[dict[str, Any]]:
        """Give the points of a series of a thing, as they are listed."""
        asked = {"fromDate": 0, "toDate": "2100-01-01T00:00:00Z", **params}
        found = await self.get(
            f"/epts/api/v1/applications/{thing.application}/time-series/data",
            endpointId=thing.endpoint_id,
            timeSeriesName=series,
            **asked,
        )
        return list(found[0][thing.endpoint_id][series]) if found else []

    async def values(self, thing: Thing, series: str, name: str = "value") -> list[Any]:
        """Give the values of a series of a thing, in order of time."""
        return [point["values"][name] for point in await self.points(thing, series)]

    async def metric(self, name: str, **labels: str) -> float:
        """Give a sample of `/metrics`; 0 where there is none yet."""
        reply = await self.call("GET", "/metrics")
        wanted = {f'{key}="{value}"' for key, value in labels.items()}
        total = 0.0
        for line in reply.data.decode().splitlines():
            found = re.fullmatch(rf"{name}(?:\{{(.*)\}})? (\S+)", line)
            if found is not None and wanted <= set(re.findall(r'\w+="[^"]*"', found[1] or "")):
                total += float(found[2])
        return total

    async def refusals(self, **params: Any) -> list[dict[str, Any]]:
        """Give the refusals that are kept, newest first."""
        found = await self.get("/kpc/api/v1/refusals", **params)
        return list(found["content"])


@dataclass(slots=True)
class Place:
    """A server that runs, as clients see it."""

    mqtt: Address
    rest: Rest


class KaaProcess:
    """`python -m kaa serve` on a directory; may be killed and started again, on the same ports."""

    def __init__(
        self,
        directory: Path,
        *,
        config: Mapping[str, Any] | None = None,
        environ: Mapping[str, str] | None = None,
        nats: NatsServer | None = None,
    ) -> None:
        self.directory, self._environ = directory, dict(environ or {})
        if nats is not None:
            self._environ["KAA_BUS_URL"] = nats.url
        self.data_dir = directory / "data"
        self._ports = [HeldPort(), HeldPort()]
        self.mqtt, self.http = (("127.0.0.1", port.number) for port in self._ports)
        self._running: subprocess.Popen[bytes] | None = None
        self._log: IO[bytes] | None = None
        self.ready = ""
        directory.mkdir(parents=True, exist_ok=True)
        self.configure(config or {})

    def configure(self, config: Mapping[str, Any]) -> None:
        """Have the next start find another configuration."""
        (self.directory / "kaa.yml").write_text(yaml.safe_dump(dict(config)) if config else "")

    @property
    def key(self) -> str:
        return (self.data_dir / "admin.key").read_text().strip()

    @property
    def said(self) -> str:
        """What it has written to standard error, all starts together."""
        return (self.directory / "stderr.log").read_text()

    def launch(self, *flags: str) -> subprocess.Popen[bytes]:
        """Start it without waiting for anything."""
        assert self._running is None, "it runs already"
        command = [
            *(["/usr/bin/env", *(f"{key}={value}" for key, value in self._environ.items())] if self._environ else []),
            *(sys.executable, "-m", "kaa", "serve", "--config", str(self.directory / "kaa.yml")),
            *("--data-dir", str(self.data_dir), "--mqtt-port", str(self.mqtt[1]), "--http-port", str(self.http[1])),
            *flags,
        ]
        self._log = (self.directory / "stderr.log").open("ab")
        self._running = subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, stderr=self._log)
        return self._running

    def start(self, *flags: str) -> "KaaProcess":
        """Start it and wait until its doors are open."""
        running = self.launch(*flags)
        assert running.stdout is not None
        self.ready = running.stdout.readline().decode().rstrip("\n")
        if not self.ready.startswith("ready "):
            self.wait()
            raise AssertionError(f"it did not start: {self.said[-2000:]}")
        doors = dict(word.split("=", 1) for word in self.ready.removeprefix("ready ").split(" "))
        for name, address in doors.items():
            host, _, port = address.rpartition(":")
            setattr(self, name, (host, int(port)))
        return self

    def kill(self) -> None:
        """End it as a power cut would."""
        self._signal(signal.SIGKILL)
        self.wait()

    def terminate(self) -> int:
        """Tell it to stop, and give its exit code; TimeoutExpired if it takes longer than it may."""
        self._signal(signal.SIGTERM)
        return self.wait(STOP_S)

    def wait(self, timeout_s: float = START_S) -> int:
        """Wait for its end, and give its exit code."""
        running = self._running
        assert running is not None
        code = running.wait(timeout_s)
        self._running = None
        if running.stdout is not None:
            running.stdout.close()
        if self._log is not None:
            self._log.close()
        return code

    def stop(self) -> None:
        """Leave nothing behind, whatever state it is in."""
        for port in self._ports:
            port.release()
        if self._running is not None:
            self._signal(signal.SIGTERM)
            try:
                self.wait(STOP_S)
            except subprocess.TimeoutExpired:
                self.kill()

    @property
    def pid(self) -> int:
        assert self._running is not None
        return self._running.pid

    def _signal(self, number: int) -> None:
        assert self._running is not None
        self._running.send_signal(number)

    @asynccontextmanager
    async def visited(self) -> AsyncIterator[Place]:
        """Talk to it while the block lasts."""
        async with aiohttp.ClientSession() as session:
            yield Place(self.mqtt, Rest(session, self.http, self.key))


async def off_loop(work: Any, *arguments: Any) -> Any:
    """Do what blocks in a thread, so that the clients of the test go on."""
    return await asyncio.to_thread(work, *arguments)


def distinct(values: Sequence[Any]) -> int:
    """How many different ones there are."""
    return len(set(values))


class Inside(Place):
    """A server in this process."""

    def __init__(self, server: Server, rest: Rest) -> None:
        super().__init__(server.addresses["mqtt"], rest)
        self.https = server.addresses.get("https", ("", 0))
        self.core = server.core


Serve = Callable[..., AbstractAsyncContextManager[Inside]]
