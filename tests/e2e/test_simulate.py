"""`kaa simulate`: its devices are registered, measure, do as they are told, and are taken away again."""

import asyncio
import json
import signal
import sys
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
import yaml
from hosts import Place
from mqtt_clients import new_id
from waiting import until

pytestmark = pytest.mark.any_bus

FAST = {"interval": "20ms", "values": {"level": {"walk": {"start": 50, "min": 0, "max": 100}}}}


class Run:
    """`kaa simulate` as a process, on a server that is asked by URL."""

    def __init__(self, place: Place, directory: Path, **description: Any) -> None:
        self.file = directory / "fleet.yml"
        self.file.write_text(yaml.safe_dump({"ramp": "0s"} | description))
        key = place.rest.headers["Authorization"].removeprefix("Bearer ")
        self._server = ("--url", place.rest.url, "--key", key, "--json")
        self._mqtt = ("--mqtt", "{}:{}".format(*place.mqtt))

    async def start(self, *arguments: str) -> asyncio.subprocess.Process:
        command = ("-m", "kaa", "simulate", str(self.file), *self._server, *arguments)
        pipe = asyncio.subprocess.PIPE
        return await asyncio.create_subprocess_exec(sys.executable, *command, stdout=pipe, stderr=pipe)

    async def done(self, *arguments: str) -> tuple[int, Any, str]:
        """Run it to its end; gives the exit code, its JSON, and what it complained of."""
        return await ended(await self.start(*arguments))

    @asynccontextmanager
    async def going(self) -> AsyncIterator[Callable[[], Any]]:
        """Run it until the block is left or the function in it called, which gives what `done` gives."""
        process = await self.start(*self._mqtt)
        try:

            async def stop() -> tuple[int, Any, str]:
                process.send_signal(signal.SIGINT)
                return await ended(process)

            yield stop
        finally:
            if process.returncode is None:
                process.kill()
                await process.communicate()


async def ended(process: asyncio.subprocess.Process) -> tuple[int, Any, str]:
    out, err = await process.communicate()
    assert process.returncode is not None
    return process.returncode, json.loads(out) if out else None, err.decode()


async def endpoints(place: Place, application: str) -> list[str]:
    found = await place.rest.get("/epr/api/v1/endpoints", applicationName=application)
    return [one["endpointId"] for one in found["content"]]


async def test_a_fleet_measures_does_as_it_is_told_and_is_removed(place: Place, tmp_path: Path) -> None:
    rest, name = place.rest, new_id("fleet")
    first = f"sim-{name}-tank-00001"
    tank = FAST | {"count": 3, "per-connection": 2, "metadata": {"kind": "tank"}, "timestamp": "at", "batch": 2}
    settings = {"epts": {"time-series": {"timestamp": {"path": "at", "format": "iso8601"}}}}
    run = Run(place, tmp_path, application=name, settings=settings, fleets={"tank": tank})
    async with run.going() as stop:

        async def has_points() -> bool:
            window = {"fromDate": 0, "toDate": "2100-01-01T00:00:00Z", "timeSeriesName": "auto~level"}
            reply = await rest.call("GET", f"/epts/api/v1/applications/{name}/time-series/data", params=window)
            found = reply.json if reply.status == 200 else []  # the application may not be there yet
            return {key for one in found for key in one} == {f"sim-{name}-tank-0000{number}" for number in (1, 2, 3)}

        await until(has_points)
        assert (await rest.get(f"/epr/api/v1/endpoints/{first}/metadata"))["kind"] == "tank"
        answer = await rest.send("POST", f"/cex/api/v1/endpoints/{first}/commands/flush", awaitTimeout=10)
        assert answer == {"done": True}
        path = f"/ecr/api/v1/endpoints/{first}/app-versions/{name}-v1"
        told = await rest.send("PUT", path, {"interval": 0.05})

        async def is_applied() -> bool:
            found = await rest.get("/ecr/api/v1/statuses", endpointId=first)
            return any((one["configId"], one["status"]) == (told["configId"], "APPLIED") for one in found["content"])

        await until(is_applied)
        code, rows, complaint = await stop()
    assert (code, complaint) == (0, "")
    (row,) = rows
    assert (row["fleet"], row["devices"], row["connections"], row["connected"]) == ("tank", 3, 2, 2)
    assert (row["refused"], row["commands"], row["configurations"]) == (0, 1, 1)
    assert row["stored"] == row["sent"] > 0

    # again: the endpoints are those of before, with tokens of their own
    code, rows, complaint = await run.done(*run._mqtt, "--duration", "300ms")
    assert (code, complaint) == (0, "")
    assert rows[0]["stored"] > 0
    assert len(await endpoints(place, name)) == 3
    tokens = await rest.get(f"/cm/api/v1/endpoints/{first}/tokens")
    assert len(tokens["content"]) == 1

    mine = (await rest.thing(name)).endpoint_id
    assert await run.done("--remove") == (0, {"removed": 3}, "")
    assert await endpoints(place, name) == [mine]
    assert await run.done("--remove") == (0, {"removed": 0}, "")


async def test_what_the_server_refuses_ends_in_its_reason(place: Place, tmp_path: Path) -> None:
    settings = {
        "epts": {"time-series": {"timestamp": {"path": "nowhere", "format": "iso8601", "fallback-strategy": "fail"}}}
    }
    run = Run(place, tmp_path, application="fleet-b", settings=settings, fleets={"tank": FAST})
    code, rows, complaint = await run.done(*run._mqtt, "--duration", "300ms")
    assert code == 1
    assert rows[0]["refused"] > 0
    assert complaint.startswith("Error: the server refused messages, the last one because: ")
    assert "nowhere" in complaint


async def test_what_cannot_be_is_said_in_a_sentence(place: Place, tmp_path: Path) -> None:
    run = Run(place, tmp_path, application="fleet-c", fleets={"tank": FAST})
    code, _, complaint = await run.done("--mqtt", "127.0.0.1:1", "--duration", "1s")
    assert code == 1
    assert complaint.startswith("Error: MQTT at 127.0.0.1:1 takes no connection: ")
    run.file.write_text("fleets:\n  tank:\n    count: 3\n    values: {x: {wave: {}, walk: {}}}\n")
    code, _, complaint = await run.done()
    assert code == 1
    assert "fleet.yml:4: fleets.tank.values.x: say one of walk, wave, counter and choice" in complaint
