"""The disk is full, or fails: nothing that was acknowledged is lost, and all goes on when it is well again."""

import asyncio
import json
import os
import shutil
import subprocess
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from hosts import KaaProcess, Place, Serve, Thing, off_loop
from mqtt_clients import V5, V311, Gmqtt, Paho, Wire, sent
from waiting import until

from kaa.core.clock import SystemClock
from kaa.protocols.mqtt import packets as p

Connect = Callable[..., Awaitable[Any]]
Make = Callable[..., KaaProcess]

DAY_MS = 86_400_000
MIB = 1 << 20
OWN_TIME = {
    "retention": "3650d",
    "time-series": {"timestamp": {"path": "at"}, "names": {"text": {"values": [{"path": "text"}]}}},
}
BULK = "x" * 60_000


def bulky(number: int, at_ms: int) -> bytes:
    return json.dumps({"n": number, "at": at_ms, "text": BULK}).encode()


async def filled(wire: Wire, thing: Thing, at_ms: int) -> list[int]:
    """Send until the storage is full; give the numbers that were acknowledged as stored."""
    stored: list[int] = []
    for number in range(10_000):
        reason, answer = await wire.answer(thing.topic("json", number), bulky(number, at_ms + number))
        if answer.topic.endswith("/error"):
            assert json.loads(answer.payload)["statusCode"] == 507
            assert reason == (0x97 if wire.session.version == V5 else 0)
            return stored
        assert reason == 0
        stored.append(number)
    raise AssertionError("it never became full")


async def is_taken_again(wire: Wire, thing: Thing, payload: bytes = b'{"again": 1}') -> None:
    async def is_taken() -> bool:
        _, answer = await wire.answer(thing.topic("json", 1), payload)
        return answer.topic.endswith("/status")

    await until(is_taken)


async def rest_works(place: Place, thing: Thing) -> None:
    """Reads, registrations and logins go on."""
    assert (await place.rest.last(thing))["auto~n"]["value"] >= 0
    another = await place.rest.thing(thing.application)
    assert (await place.rest.get(f"/epr/api/v1/endpoints/{another.endpoint_id}"))["endpointId"] == another.endpoint_id
    health = await place.rest.call("GET", "/health")
    assert (health.status, b"storage" in health.data) == (503, True)


SMALL = {"storage": {"max-bytes": "12MiB", "reserve-bytes": "2MiB"}}


class TestTheReserve:
    async def test_telemetry_is_refused_until_a_period_may_go(self, serve: Serve, connect: Connect) -> None:
        async with serve(SMALL) as server:
            thing = await server.rest.thing(await server.rest.application(OWN_TIME))
            long_ago = SystemClock().now_ms() - 200 * DAY_MS
            wire = await connect(Wire(server.mqtt, V5))
            stored = await filled(wire, thing, long_ago)
            assert await server.rest.values(thing, "auto~n") == stored
            await rest_works(server, thing)
            reply = await server.rest.call(
                "PUT",
                f"/epts/api/v1/app-versions/{thing.version}/time-series/data",
                {thing.endpoint_id: {"text": [{"timestamp": "now", "values": {"value": "x"}}]}},
            )
            assert reply.status == 507
            # who sets a retention makes room
            await server.rest.configure(thing.application, epts={**OWN_TIME, "retention": "90d"})
            await is_taken_again(wire, thing)
            assert (await server.rest.call("GET", "/health")).status == 200
            assert await server.rest.last(thing) == {"auto~again": {"value": 1}}

    async def test_telemetry_goes_on_when_data_is_deleted(self, serve: Serve, connect: Connect) -> None:
        async with serve(SMALL) as server:
            thing = await server.rest.thing(await server.rest.application(OWN_TIME))
            wire = await connect(Wire(server.mqtt, V5))
            await filled(wire, thing, SystemClock().now_ms() - DAY_MS)
            path = f"/epts/api/v1/applications/{thing.application}/time-series/text"
            assert (await server.rest.call("DELETE", path)).status == 204
            await is_taken_again(wire, thing)

    async def test_a_shorter_retention_of_the_only_application_makes_room(self, serve: Serve, connect: Connect) -> None:
        async with serve(SMALL) as server:
            thing = await server.rest.thing(await server.rest.application(OWN_TIME))
            wire = await connect(Wire(server.mqtt, V311))
            await filled(wire, thing, SystemClock().now_ms() - 30 * DAY_MS)
            await server.rest.configure(thing.application, epts={**OWN_TIME, "retention": "7d"})
            await is_taken_again(wire, thing)

    async def test_the_oldest_period_beyond_the_retention_goes_first(self, serve: Serve, connect: Connect) -> None:
        async with serve(SMALL) as server:
            thing = await server.rest.thing(await server.rest.application(OWN_TIME))
            wire = await connect(Wire(server.mqtt, V5))
            now = SystemClock().now_ms()
            for number in range(80):  # half of what there is room for
                await wire.answer(thing.topic("json", 1), bulky(number, now - 200 * DAY_MS + number))
            # the next sweep is an hour away: only the reserve makes these go
            await server.rest.configure(thing.application, epts={**OWN_TIME, "retention": "90d"})
            recent = await filled(wire, thing, now - DAY_MS)
            assert recent
            assert await server.rest.values(thing, "auto~n") == recent


SHIM = r"""
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <stdlib.h>
#include <unistd.h>

static int is_failing(void) { return access(FLAG, F_OK) == 0; }

int fsync(int fd) {
    static int (*real)(int);
    if (is_failing()) { errno = EIO; return -1; }
    if (!real) real = (int (*)(int))dlsym(RTLD_NEXT, "fsync");
    return real(fd);
}

int fdatasync(int fd) {
    static int (*real)(int);
    if (is_failing()) { errno = EIO; return -1; }
    if (!real) real = (int (*)(int))dlsym(RTLD_NEXT, "fdatasync");
    return real(fd);
}
"""


class Disk:
    """A disk whose fsync can be made to fail."""

    def __init__(self, library: Path, flag: Path) -> None:
        self.environ = {"LD_PRELOAD": str(library)}
        self._flag = flag

    def fail(self) -> None:
        self._flag.touch()

    def recover(self) -> None:
        self._flag.unlink()


@pytest.fixture
def disk(tmp_path: Path) -> Disk:
    compiler = shutil.which("cc")
    if compiler is None:
        pytest.skip("there is no C compiler to make the failing fsync with")
    source, library, flag = tmp_path / "shim.c", tmp_path / "shim.so", tmp_path / "fails"
    source.write_text(SHIM.replace("FLAG", json.dumps(str(flag))))
    made = subprocess.run(
        [compiler, "-shared", "-fPIC", "-o", str(library), str(source), "-ldl"],
        capture_output=True,
        text=True,
        check=False,
    )
    if made.returncode:
        pytest.skip(f"the failing fsync could not be compiled: {made.stderr[:200]}")
    return Disk(library, flag)


async def test_fsync_that_fails_is_never_acknowledged(process: Make, disk: Disk, connect: Connect) -> None:
    server = process(environ=disk.environ)
    await off_loop(server.start)
    async with server.visited() as place:
        thing = await place.rest.thing()
        keeping = [
            library(place.mqtt, version, keeps_session=True)
            for library, version in ((Paho, V311), (Paho, V5), (Gmqtt, V311), (Gmqtt, V5))
        ]
        things = [await place.rest.thing(thing.application) for _ in keeping]
        wire = await connect(Wire(place.mqtt, V5))
        assert (await wire.answer(thing.topic("json", 1), b'{"n": 0}'))[0] == 0
        for device, one in zip(keeping, things, strict=True):
            await connect(device)
            await sent(device, one.topic(), b'{"n": 0}')

        disk.fail()
        wire.publish(thing.topic(), b'{"n": 1}')
        [farewell] = await wire.hung_up()
        assert (type(farewell), farewell.reason_code) == (p.Disconnect, 0x97)
        waiting = [device.send(one.topic(), b'{"n": 1}', 1) for device, one in zip(keeping, things, strict=True)]
        # at QoS 0 the sender is told; such a client may connect, for nothing has to be written for it
        wire = await connect(Wire(place.mqtt, V5))
        _, answer = await wire.answer(thing.topic("json", 2), b'{"n": 2}', 0)
        assert (answer.topic, json.loads(answer.payload)["statusCode"]) == (thing.topic("json", 2) + "/error", 503)
        # readers are served (what was refused may be seen, it is only not promised), and told that something is wrong
        assert (await place.rest.last(thing))["auto~n"]["value"] in {0, 1, 2}
        health = await place.rest.call("GET", "/health")
        assert (health.status, b"points" in health.data) == (503, True)
        refused = await place.rest.call("POST", "/tekton/api/v1/applications", {"name": "too-late"})
        assert refused.status == 503
        assert not any(done.done() for done in waiting), "acknowledged, though it cannot have been stored"

        disk.recover()
        async with asyncio.timeout(20):
            for done in waiting:
                await done
        await is_taken_again(wire, thing)
        assert (await place.rest.call("GET", "/health")).status == 200
        for device in keeping:
            await device.close()
        await off_loop(server.kill)
    await off_loop(server.start)
    async with server.visited() as place:
        for one in things:
            assert set(await place.rest.values(one, "auto~n")) == {0, 1}
        assert await place.rest.values(thing, "auto~again") == [1]


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    mounted = tmp_path / "small"
    mounted.mkdir()
    if os.geteuid() != 0 or shutil.which("mount") is None:
        pytest.skip("only root can mount a small file system")
    made = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=24m", "tmpfs", str(mounted)], capture_output=True, text=True, check=False
    )
    if made.returncode:
        pytest.skip(f"a small file system could not be mounted: {made.stderr.strip()[:200]}")
    yield mounted
    subprocess.run(["umount", str(mounted)], check=True)


async def test_a_disk_that_is_full_loses_nothing(process: Make, small_disk: Path, connect: Connect) -> None:
    # the reserve is switched off: this is about somebody else who fills the disk faster than we can look
    server = process(config={"storage": {"max-bytes": "1GiB", "reserve-bytes": 0}})
    server.data_dir = small_disk / "data"
    await off_loop(server.start)
    async with server.visited() as place:
        thing = await place.rest.thing(await place.rest.application(OWN_TIME))
        wire = await connect(Wire(place.mqtt, V5))
        now = SystemClock().now_ms() - DAY_MS
        acknowledged = []
        for number in range(20):
            assert (await wire.answer(thing.topic("json", 1), bulky(number, now + number)))[0] == 0
            acknowledged.append(number)

        ballast = small_disk / "ballast"
        await off_loop(fill_up, ballast)
        acknowledged += [20 + number for number in await filled_again(wire, thing, now)]
        assert await place.rest.values(thing, "auto~n") == acknowledged
        await rest_reads(place, thing)

        ballast.unlink()
        await is_taken_again(wire, thing)
        await until(lambda: is_well(place))
        await off_loop(server.kill)
        await off_loop(server.start)
    async with server.visited() as place:
        assert await place.rest.values(thing, "auto~n") == acknowledged
        assert await off_loop(server.terminate) == 0


async def filled_again(wire: Wire, thing: Thing, now: int) -> list[int]:
    """Send with the disk full: each is stored (there may be a little room in the files) or refused with 507."""
    stored, refused = [], 0
    for number in range(200):
        reason, answer = await wire.answer(thing.topic("json", 1), bulky(20 + number, now + 20 + number))
        if answer.topic.endswith("/status"):
            stored.append(number)
            continue
        assert (reason, json.loads(answer.payload)["statusCode"]) == (0x97, 507)
        refused += 1
        if refused == 5:
            return stored
    raise AssertionError("the disk is not full")


async def rest_reads(place: Place, thing: Thing) -> None:
    assert (await place.rest.last(thing))["auto~n"]["value"] >= 19
    assert (await place.rest.get(f"/epr/api/v1/endpoints/{thing.endpoint_id}"))["endpointId"] == thing.endpoint_id
    assert (await place.rest.call("GET", "/health")).status == 503


async def is_well(place: Place) -> bool:
    return (await place.rest.call("GET", "/health")).status == 200


def fill_up(file: Path) -> None:
    """Write until nothing more fits."""
    with file.open("wb", buffering=0) as out:
        for size in (MIB, 4096, 1):
            try:
                while True:
                    out.write(bytes(size))
            except OSError:
                continue
