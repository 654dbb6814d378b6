"""A backup of a server that runs: consistent under load, whole or not there, and for admins only."""

import signal
import sqlite3
import stat
import subprocess
import sys
from collections.abc import Callable
from contextlib import AsyncExitStack, closing, suppress
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from hosts import ROOT, Inside, KaaProcess, Thing, off_loop
from mqtt_clients import V5, V311, Gmqtt, Paho, opened
from test_kill import PER_ROUND, SETTINGS, Journal, Load, stored, under_load
from waiting import until

from kaa.core.auth import Keys, Role
from kaa.core.clock import SystemClock
from kaa.core.ids import RandomIds
from kaa.core.key_store import SqlKeyStore
from kaa.modules.epts.repository import SCHEMA
from kaa.recovery.restoring import restore
from kaa.recovery.watch import Watch

pytestmark = pytest.mark.any_bus

LARGE_MB = 30  # more than the system takes on the way from one process to the other
PATH = "/backup/api/v1/backups"


def launched(server: KaaProcess, file: Path) -> subprocess.Popen[bytes]:
    """Run `kaa backup`."""
    command = [sys.executable, "-m", "kaa", "backup", str(file), "--data-dir", str(server.data_dir)]
    pipe = subprocess.PIPE
    return subprocess.Popen(command, cwd=ROOT, stdout=pipe, stderr=pipe, stdin=subprocess.DEVNULL)


def backed_up(server: KaaProcess, file: Path) -> None:
    running = launched(server, file)
    out, error = running.communicate(timeout=60)
    assert running.returncode == 0, error.decode()
    assert not out, "a pipe is told nothing"


async def loads(server: KaaProcess, stack: AsyncExitStack, things: list[Thing]) -> list[Load]:
    made = []
    for thing, (library, version) in zip(things, ((Paho, V311), (Gmqtt, V5)), strict=True):
        device = await stack.enter_async_context(opened(library(server.mqtt, version)))
        made.append(await stack.enter_async_context(under_load(Load(Journal(thing), device))))
    return made


async def enough(running: list[Load]) -> None:
    goals = [len(load.journal.acknowledged) + PER_ROUND for load in running]
    await until(
        lambda: all(len(load.journal.acknowledged) >= goal for load, goal in zip(running, goals, strict=True)),
        what="enough is acknowledged to everybody",
        within_s=30,
    )


async def test_a_backup_under_load_has_all_that_was_acknowledged_before_it(
    process: Callable[..., KaaProcess], tmp_path: Path
) -> None:
    server, other = process(), process("other")
    file = tmp_path / "kaa.tgz"
    await off_loop(server.start)
    async with AsyncExitStack() as stack:
        async with server.visited() as place:
            application = await place.rest.application(SETTINGS)
            things = [await place.rest.thing(application) for _ in range(2)]
        running = await loads(server, stack, things)
        await enough(running)
        promised = [frozenset(load.journal.acknowledged) for load in running]
        await off_loop(backed_up, server, file)
        await enough(running)
        for load in running:
            await load.finish()
        sent = [load.journal.sent for load in running]
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    found = (await off_loop(restore, file, other.data_dir, Watch())).found
    assert found.endpoints == len(things)
    assert found.nameless == 0
    assert found.points >= sum(map(len, promised))
    await off_loop(other.start)
    async with other.visited() as place:
        kept = [await stored(place, thing) for thing in things]
        assert sum(map(len, kept)) == found.points
        for numbers, promise, most in zip(kept, promised, sent, strict=True):
            assert promise - set(numbers) == set()
            assert len(numbers) < most, "the load has ended before the backup began"
        # what is restored is a server as the first one: its devices are known, and so are their tokens
        async with opened(Paho(other.mqtt, V5)) as device:
            again = b'{"n": -1, "at": %d}' % SystemClock().now_ms()
            assert [await device.send(thing.topic(), again, 1) for thing in things] == [0, 0]
        assert [(await stored(place, thing))[-1] for thing in things] == [-1, -1]


def make_large(server: KaaProcess) -> None:
    """Give a server that does not run more than a socket takes."""
    (server.data_dir / "epts").mkdir(exist_ok=True)
    with closing(sqlite3.connect(server.data_dir / "epts" / "20261116T0000-20261123T0000.db")) as points:
        points.executescript(SCHEMA)
        points.executemany("insert into epts_point values (1, ?, zeroblob(1000000))", [(at,) for at in range(LARGE_MB)])
        points.commit()


async def held(server: KaaProcess, file: Path, stack: AsyncExitStack) -> subprocess.Popen[bytes]:
    """Begin a backup, and hold it in its midst."""
    running = launched(server, file)
    stack.callback(ended, running)
    await until(lambda: draft_of(file).exists(), what="the backup is being written")
    running.send_signal(signal.SIGSTOP)
    return running


def ended(running: subprocess.Popen[bytes]) -> str:
    with suppress(ProcessLookupError):
        running.send_signal(signal.SIGCONT)
    if running.poll() is None:
        running.kill()
    return running.communicate()[1].decode()


def draft_of(file: Path) -> Path:
    return file.with_name(f".{file.name}.part")


async def test_kill_9_on_either_side_leaves_no_backup(process: Callable[..., KaaProcess], tmp_path: Path) -> None:
    server, file = process(), tmp_path / "kaa.tar"
    await off_loop(server.start)
    await off_loop(server.terminate)
    await off_loop(make_large, server)
    await off_loop(server.start)
    async with AsyncExitStack() as stack:
        # the command is killed: the server gives the backup up, and makes the next one
        running = await held(server, file, stack)
        assert not file.exists()
        async with server.visited() as place:
            refused = await place.rest.call("POST", PATH)
        assert refused.status == 409
        assert "one at a time" in refused.json["message"]
        running.kill()
        await off_loop(running.wait)
        assert not file.exists()
        draft_of(file).unlink()  # which the next one would replace
        await until(lambda: not (server.data_dir / ".backup").exists(), what="the server has given it up")
        # the server is killed: the command says so, and leaves nothing
        running = await held(server, file, stack)
        await off_loop(server.kill)
        running.send_signal(signal.SIGCONT)
        assert await off_loop(running.wait) == 1
        assert "broken its answer off" in ended(running)
    assert not file.exists()
    assert not draft_of(file).exists()
    await off_loop(server.start)
    assert not (server.data_dir / ".backup").exists(), "what it was copying is still there"


class TestWhoMay:
    async def test_only_an_admin_may_have_a_backup(self, server: Inside) -> None:
        for role, wanted in (("viewer", 403), ("operator", 403), ("admin", 200)):
            keys = Keys(store=SqlKeyStore(server.core.storage), ids=RandomIds(), clock=server.core.clock)
            _, key = await keys.make(Role(role))
            reply = await server.rest.call("POST", PATH, headers={"x-iamcore-api-key": key})
            assert reply.status == wanted
        async with aiohttp.ClientSession() as session, session.post(server.rest.url + PATH) as reply:
            assert reply.status == 401

    async def test_a_disk_without_room_for_a_copy_is_said_before_anything_is_sent(self, serve: Any) -> None:
        async with serve({"storage": {"max-bytes": "2MB", "reserve-bytes": "1600KB"}}) as server:
            reply = await server.rest.call("POST", PATH)
            assert reply.status == 507
            assert "copies of files" in reply.json["message"]
            # and it is not taken for one that is being made
            assert (await server.rest.call("POST", PATH)).status == 507

    async def test_a_storage_that_fails_is_not_kept_from_recovering(self, server: Inside) -> None:
        server.core.storage.last_error = "disk I/O error"
        reply = await server.rest.call("POST", PATH)
        assert reply.status == 503
        server.core.storage.last_error = None
        assert (await server.rest.call("POST", PATH)).status == 200
