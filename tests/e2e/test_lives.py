"""The whole lives of four devices, which are programs of their own, written with paho as their makers would."""

import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from hosts import Place, Thing
from waiting import until

_DEVICES = Path(__file__).with_name("devices")

Switch = Callable[..., "subprocess.Popen[bytes]"]


@pytest.fixture
def switch_on(place: Place) -> Iterator[Switch]:
    """Start a device's program; it ends with the test."""
    running: list[subprocess.Popen[bytes]] = []

    def run(program: str, version: str, *arguments: str) -> "subprocess.Popen[bytes]":
        command = [sys.executable, _DEVICES / f"{program}.py", place.mqtt[0], str(place.mqtt[1]), version, *arguments]
        running.append(subprocess.Popen(command))
        return running[-1]

    yield run
    for one in running:
        one.kill()
        one.wait()


async def statuses(place: Place, thing: Thing) -> dict[str, tuple[str, Any]]:
    """Give what became of the configurations of a thing, by their ids."""
    found = await place.rest.get("/ecr/api/v1/statuses", endpointId=thing.endpoint_id)
    return {one["configId"]: (one["status"], one.get("confirmationReasonPhrase")) for one in found["content"]}


async def test_a_thermostat_is_known_configured_and_read(place: Place, switch_on: Switch) -> None:
    rest = place.rest
    thing = await rest.thing(await rest.application(has_connectivity=True))
    metadata = f"/epr/api/v1/endpoints/{thing.endpoint_id}/metadata"
    configuration = f"/ecr/api/v1/endpoints/{thing.endpoint_id}/app-versions/{thing.version}"
    await rest.send("PUT", metadata, {"room": "kitchen"})
    default = await rest.send("PUT", f"/ecr/api/v1/app-versions/{thing.version}", {"target": 19, "every": 0.02})
    switch_on("thermostat", thing.version, thing.token)

    async def is_known() -> bool:
        found = await rest.get(metadata)
        return {"room": "kitchen", "model": "TH-2", "highest": 30.0, "connected": True}.items() <= found.items()

    async def tells(series: str, value: float) -> bool:
        return (await rest.last(thing)).get(f"auto~{series}", {}).get("value") == value

    await until(is_known)
    await until(lambda: tells("target", 19))
    assert (await statuses(place, thing))[default["configId"]][0] == "APPLIED"

    own = await rest.send("PUT", configuration, {"target": 22, "every": 0.02})
    await until(lambda: tells("target", 22))
    await until(lambda: tells("temperature", 22))
    assert (await statuses(place, thing))[own["configId"]][0] == "APPLIED"

    hell = await rest.send("PUT", configuration, {"target": 666, "every": 0.02})

    async def is_refused() -> bool:
        return (await statuses(place, thing)).get(hell["configId"]) == ("FAILED", "no more than 30.0")

    await until(is_refused)
    await rest.send("DELETE", configuration)
    await until(lambda: tells("target", 19))


async def test_a_relay_does_what_it_is_told(place: Place, switch_on: Switch) -> None:
    rest = place.rest
    thing = await rest.thing()
    commands = f"/cex/api/v1/endpoints/{thing.endpoint_id}/commands"
    early = await rest.call("POST", f"{commands}/switch", {"on": True}, params={"awaitTimeout": 0})
    assert early.status == 202
    where = early.headers["Location"].split("/cex/", 1)[1]
    switch_on("relay", thing.version, thing.token)

    async def is_done() -> bool:
        return (await rest.get(f"/cex/{where}"))["status"] == "EXECUTED"

    await until(is_done)  # told while it was away
    told = await rest.call("POST", f"{commands}/switch", {"on": False}, params={"awaitTimeout": 10})
    assert (told.status, told.json) == (200, {"on": False, "switched": 2})
    wrong = await rest.call("POST", f"{commands}/switch", {"on": "perhaps"}, params={"awaitTimeout": 10})
    assert (wrong.status, wrong.headers["X-Command-Status-Code"]) == (200, "400")
    again = await rest.call("POST", f"/rci/api/v1/endpoints/{thing.endpoint_id}/commands/switch", {"on": True})
    assert (again.status, again.json) == (200, {"on": True, "switched": 3})


async def test_an_updater_gets_from_the_first_version_to_the_third(place: Place, switch_on: Switch) -> None:
    rest = place.rest
    thing = await rest.thing()
    software = f"/otao/api/v1/applications/{thing.application}/software"
    for version, before in (("1.0.0", []), ("1.1.0", ["1.0.0"]), ("2.0.0", ["1.1.0"])):
        definition = {
            "version": version,
            "upgradableFrom": before,
            "specification": {"link": f"https://downloads.example/{version}.bin"},
            "rolloutStrategy": "general",
        }
        await rest.send("POST", software, definition)
    switch_on("updater", thing.version, thing.token, "1.0.0")

    async def runs(version: str) -> bool:
        found = await rest.get(f"{software}/statuses", endpointId=thing.endpoint_id)
        return any(one["version"] == version for one in found["content"])

    await until(lambda: runs("2.0.0"))
    broken = {
        "version": "3.0.0",
        "upgradableFrom": ["2.0.0"],
        "specification": {"link": "http://downloads.example/3.0.0.bin"},
        "rolloutStrategy": "general",
    }
    await rest.send("POST", software, broken)

    async def is_refused() -> bool:
        [found] = (await rest.get(f"{software}/statuses", endpointId=thing.endpoint_id))["content"]
        return "only https is fetched" in str(found)

    await until(is_refused)
    assert await runs("2.0.0")


async def test_a_gateway_speaks_for_many_meters(place: Place, switch_on: Switch) -> None:
    rest = place.rest
    first = await rest.thing(await rest.application(has_connectivity=True))
    meters = [first, *[await rest.thing(first.application) for _ in range(19)]]
    switch_on("gateway", first.version, *[one.token for one in meters])

    async def has_read(thing: Thing) -> bool:
        return "auto~kwh" in await rest.last(thing)

    for meter in meters:
        await until(lambda meter=meter: has_read(meter))
    meter = meters[7]
    path = f"/cex/api/v1/endpoints/{meter.endpoint_id}/commands/reset"
    told = await rest.call("POST", path, params={"awaitTimeout": 10})
    assert told.status == 200
    assert told.json["was"] > 0
    found = await rest.get("/epr/api/v1/endpoints", applicationName=first.application, include="metadata")
    assert [one["metadata"]["connected"] for one in found["content"]] == [True] * 20
