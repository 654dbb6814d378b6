"""The command: how it starts, what it says, and how it stops."""

import json
import os
import signal
import socket
from collections.abc import Callable
from pathlib import Path

import pytest
from hosts import STOP_S, KaaProcess, Place, off_loop
from mqtt_clients import V5, V311, Gmqtt, Paho, Wire, opened, sent

from kaa.protocols.mqtt import packets as p

Make = Callable[..., KaaProcess]


async def test_it_stops_with_its_clients_connected_and_they_find_it_again(process: Make) -> None:
    server = process()
    await off_loop(server.start)
    written = json.loads((server.data_dir / "server.json").read_text())
    assert server.ready == f"ready mqtt={written['mqtt']} http={written['http']}"
    assert written["pid"] == server.pid
    assert (server.data_dir / "admin.key").stat().st_mode & 0o777 == 0o600
    key = server.key
    async with server.visited() as place:
        thing = await place.rest.thing()
        wire, older = Wire(place.mqtt, V5), Wire(place.mqtt, V311)
        for one in (wire, older):
            await one.open()
            await one.answer(thing.topic("json", 1), b'{"x": 1}')
        keeping = Paho(place.mqtt, V311, keeps_session=True), Gmqtt(place.mqtt, V5, keeps_session=True)
        things = [await place.rest.thing(thing.application) for _ in keeping]
    async with opened(keeping[0]), opened(keeping[1]):
        for device, one in zip(keeping, things, strict=True):
            await sent(device, one.topic(), b'{"x": 1}')
        wire.publish(thing.topic("json", 2), b'{"x": 2}')
        assert await off_loop(server.terminate) == 0
        # the farewell says why
        said = await wire.hung_up()
        assert isinstance(said[-1], p.Disconnect)
        assert said[-1].reason_code == 0x8B
        await older.hung_up()
        late = [device.send(one.topic(), b'{"x": 2}', 1) for device, one in zip(keeping, things, strict=True)]
        await off_loop(server.start)
        for done in late:
            await done
        for device in keeping:
            assert device.sessions_present == [False, True]
    assert server.key == key
    async with server.visited() as place:
        for one in things:
            assert await place.rest.values(one, "auto~x") == [1, 2]
    assert "Traceback" not in server.said


async def test_a_directory_that_is_taken_is_a_readable_refusal(
    process: Make, shared_process: KaaProcess, place: Place
) -> None:
    second = process()
    second.data_dir = shared_process.data_dir
    await off_loop(second.launch)
    assert await off_loop(second.wait) == 1
    assert "is in use by another kaa" in second.said
    assert "Traceback" not in second.said
    # the other one has not noticed
    assert (await place.rest.call("GET", "/health")).status == 200


@pytest.mark.parametrize("door", ["mqtt", "http"])
async def test_a_port_that_is_taken_is_a_readable_refusal(process: Make, door: str) -> None:
    server = process()
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        await off_loop(server.launch, f"--{door}-port", str(port))
        assert await off_loop(server.wait) == 1
    assert f"door {door}" in server.said
    assert str(port) in server.said
    assert "Traceback" not in server.said


async def test_a_directory_that_cannot_be_used_is_a_readable_refusal(process: Make, tmp_path: Path) -> None:
    server = process()
    (tmp_path / "a-file").write_text("")
    server.data_dir = tmp_path / "a-file" / "data"
    await off_loop(server.launch)
    assert await off_loop(server.wait) == 1
    assert "cannot use the data directory" in server.said
    assert "Traceback" not in server.said


async def test_a_damaged_database_is_a_readable_refusal(process: Make) -> None:
    server = process()
    server.data_dir.mkdir(parents=True, exist_ok=True)
    (server.data_dir / "kaa.db").write_bytes(b"this was a database once. " * 400)
    await off_loop(server.launch)
    assert await off_loop(server.wait) == 1
    assert str(server.data_dir / "kaa.db") in server.said
    assert "Traceback" not in server.said


async def test_whatever_the_disk_refuses_before_it_runs_is_a_readable_refusal(process: Make) -> None:
    server = process()
    (server.data_dir / "admin.key").mkdir(parents=True)
    await off_loop(server.launch)
    assert await off_loop(server.wait) == 1
    assert "the server did not start" in server.said
    assert "Traceback" not in server.said


async def test_a_wrong_option_is_named(process: Make) -> None:
    server = process(config={"storage": {"max-byte": 1}})
    await off_loop(server.launch)
    assert await off_loop(server.wait) != 0
    assert "max-bytes" in server.said
    assert "Traceback" not in server.said


async def test_without_some_instances_the_others_run(process: Make) -> None:
    server = process()
    await off_loop(server.start, "--without", "kpc,dcx")
    assert server.ready.startswith("ready http=")
    async with server.visited() as place:
        thing = await place.rest.thing()
        assert await place.rest.last(thing) == {}
        assert (await place.rest.call("GET", "/kpc/api/v1/refusals")).status == 404
    assert await off_loop(server.terminate) == 0


async def test_only_some_instances_run_and_sigint_stops_them_as_well(process: Make) -> None:
    server = process()
    await off_loop(server.start, "--only", "tekton")
    assert server.ready.startswith("ready http=")
    async with server.visited() as place:
        assert await place.rest.get("/tekton/api/v1/applications") == []
        assert (await place.rest.call("GET", "/epr/api/v1/endpoints")).status == 404
    os.kill(server.pid, signal.SIGINT)
    assert await off_loop(server.wait, STOP_S) == 0


async def test_an_instance_that_there_is_not_is_named(process: Make) -> None:
    server = process()
    await off_loop(server.launch, "--only", "tekton,weather")
    assert await off_loop(server.wait) == 1
    assert "there is no instance 'weather'" in server.said
