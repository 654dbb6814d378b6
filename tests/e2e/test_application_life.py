"""Applications as devices feel them: those of the configuration file, settings for all, and what is deleted."""

import json
from collections.abc import Awaitable, Callable
from functools import partial
from typing import Any

from click.testing import CliRunner
from hosts import Inside, KaaProcess, Place, Rest, Thing, off_loop
from mqtt_clients import V5, Wire

from kaa.cli import cli

Make = Callable[..., KaaProcess]
Connect = Callable[..., Awaitable[Any]]
TEKTON = "/tekton/api/v1"
POSITION = {
    "time-series": {"auto-extract": False, "names": {"position": {"values": [{"name": "lat", "path": "gps.lat"}]}}}
}
FILE = {
    "applications": {
        "of-file": {
            "display-name": "Of the file",
            "settings": {"epts": POSITION, "epl": {"connectivity": None}},
            "versions": {"v1": {}, "v2": {"settings": {"kpc": {"allowed-extension-instances": ["cex"]}}}},
        }
    }
}


async def registered(rest: Rest, version: str) -> Thing:
    made = await rest.send("POST", "/epr/api/v1/endpoints", {"appVersion": {"name": version}})
    return Thing(version.rpartition("-")[0], version, made["endpointId"], made["token"])


async def status(wire: Wire, thing: Thing, request_id: int, payload: bytes = b'{"x": 1}') -> int:
    """Send a sample, and give the status that it is answered with."""
    _, answer = await wire.answer(thing.topic("json", request_id), payload)
    return int(json.loads(answer.payload)["statusCode"]) if answer.payload else 200


async def test_those_of_the_file_are_there_for_devices_from_the_start_and_stay_when_they_are_taken_out(
    process: Make, connect: Connect
) -> None:
    server = process(config=FILE)
    await off_loop(server.start)
    async with server.visited() as place:
        thing = await registered(place.rest, "of-file-v1")
        other = await registered(place.rest, "of-file-v2")
        wire = await connect(Wire(place.mqtt, V5))
        assert await status(wire, thing, 1, b'{"x": 1, "gps": {"lat": 47.5}}') == 200
        assert await status(wire, other, 1) == 403
        assert await place.rest.last(thing) == {"position": {"lat": 47.5}}
        change = {"displayName": "Mine"}
        refused = await place.rest.call("PATCH", f"{TEKTON}/applications/of-file", change)
        assert (refused.status, "managed by the configuration file" in refused.json["message"]) == (409, True)
        words = ("device", "add", "--data-dir", str(server.data_dir), "--app", "of-file", "--version", "v3")
        done = await off_loop(partial(CliRunner().invoke, cli, words))
        assert (done.exit_code, "managed by the configuration file" in done.stderr) == (1, True)
    # the next start, after a crash, finds it out of the file
    await off_loop(server.kill)
    server.configure({})
    await off_loop(server.start)
    async with server.visited() as place:
        wire = await connect(Wire(place.mqtt, V5))
        assert await status(wire, thing, 2, b'{"gps": {"lat": 47.6}}') == 200
        assert await place.rest.last(thing) == {"position": {"lat": 47.6}}
        changed = await place.rest.send("PATCH", f"{TEKTON}/applications/of-file", change)
        assert (changed["displayName"], changed["managedByFile"]) == ("Mine", False)
        # and the one after that, in the file again
        await off_loop(server.terminate)
        server.configure(FILE)
        await off_loop(server.start)
    async with server.visited() as place:
        found = await place.rest.get(f"{TEKTON}/applications/of-file")
        assert (found["displayName"], found["managedByFile"]) == ("Of the file", True)
    assert "Traceback" not in server.said


async def test_a_wrong_one_ends_the_start_with_file_line_and_key(process: Make) -> None:
    server = process()
    (server.directory / "kaa.yml").write_text(
        "applications:\n  home:\n    settings:\n      epts:\n        retention: never\n      eptz: {}\n"
    )
    server.launch()
    assert await off_loop(server.wait) == 1
    said = " ".join(server.said.split())
    assert f"{server.directory}/kaa.yml:5: applications.home.settings.epts.retention: expected a duration" in said
    assert (
        f"{server.directory}/kaa.yml:6: applications.home.settings.eptz: there is no such option; did you mean" in said
    )
    assert "Traceback" not in server.said


async def test_settings_for_all_applications_are_felt_at_once_and_an_applications_own_are_stronger(
    server: Inside, connect: Connect
) -> None:
    rest = server.rest
    thing, own = await rest.thing(), await rest.thing(await rest.application(kpc={}))
    wire = await connect(Wire(server.mqtt, V5))
    assert [await status(wire, one, 1) for one in (thing, own)] == [200, 200]
    envelope = {"kpc": {"kaa": {"tenants": {"kaa": {"config": {"allowed-extension-instances": ["cex"]}}}}}}
    await rest.send("PUT", f"{TEKTON}/tenant-configs", envelope)
    assert [await status(wire, one, 2) for one in (thing, own)] == [403, 200]
    await rest.send("PATCH", f"{TEKTON}/tenant-configs", {"kpc": {"kaa": {"tenants": {"kaa": {"config": None}}}}})
    assert [await status(wire, one, 3) for one in (thing, own)] == [200, 200]


async def test_an_application_is_deleted_when_its_last_endpoint_is_gone_and_devices_are_told(
    place: Place, connect: Connect
) -> None:
    thing = await place.rest.thing()
    path = f"{TEKTON}/applications/{thing.application}"
    wire = await connect(Wire(place.mqtt, V5))
    assert await status(wire, thing, 1) == 200
    refused = await place.rest.call("DELETE", path)
    assert (refused.status, "has an endpoint" in refused.json["message"]) == (409, True)
    assert await status(wire, thing, 2) == 200
    await place.rest.send("DELETE", f"/epr/api/v1/endpoints/{thing.endpoint_id}")
    await place.rest.send("DELETE", path)
    other = await place.rest.thing()
    again = await connect(Wire(place.mqtt, V5))
    assert await status(again, other, 1) == 200
    assert await status(again, Thing(thing.application, thing.version, "", other.token), 2) == 404
    body = {"appVersion": {"name": thing.version}}
    assert (await place.rest.call("POST", "/epr/api/v1/endpoints", body)).status == 404


async def test_what_is_loaded_in_one_document_works_for_devices_at_once(place: Place, connect: Connect) -> None:
    wire = await connect(Wire(place.mqtt, V5))
    document = {"applications": {"loaded": {"settings": {"epts": POSITION}, "versions": {"v1": {}}}}}
    await place.rest.send("POST", f"{TEKTON}/bulk", document)
    thing = await registered(place.rest, "loaded-v1")
    assert await status(wire, thing, 1, b'{"gps": {"lat": 1.5}}') == 200
    assert (await place.rest.last(thing, timeSeriesName="position")) == {"position": {"lat": 1.5}}
    told = await place.rest.send("PUT", f"{TEKTON}/bulk", document)
    assert told == {"changes": [], "dryRun": False}


async def test_the_instances_are_listed_with_the_schemas_of_their_settings(place: Place) -> None:
    found = await place.rest.get(f"{TEKTON}/service-instances", include="appConfigurationSchema")
    schemas = {one["name"]: one.get("appConfigurationSchema") for one in found}
    assert {name for name, schema in schemas.items() if schema} == {"dcx", "ecr", "epl", "epmx", "epts", "kpc"}
    assert {"tekton", "cm", "epr", "cmx_ota", "rci"} <= set(schemas)
    assert "retention" in schemas["epts"]["properties"]
