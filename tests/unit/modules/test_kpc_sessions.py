"""KPC, sessions that outlive their connection: Session Present tells the truth, after a restart too."""

import asyncio
import sqlite3
from contextlib import closing
from typing import Any

import pytest
from gateway import Device, Gateway
from house import House, migration_steps
from waiting import until

from kaa.core.storage.migrations import migrate
from kaa.modules.kpc.models import Client
from kaa.protocols.mqtt import packets as p
from kaa.protocols.mqtt import properties as prop

JSON = "kp1/home-v1/dcx/T1/json"
HOUR_MS = 3_600_000


async def present(kpc: Gateway, client_id: str = "c", *, version: int = p.V311, **more: Any) -> bool:
    """Connect, take leave, and give what was said of the session."""
    device = Device(kpc.door, client_id, version)
    connack = await device.connect(**more)
    assert connack.reason_code == 0
    device.client.disconnect()
    await device.settle()
    assert device.is_closed
    return bool(connack.session_present)


def for_seconds(seconds: int) -> dict[int, Any]:
    return {prop.SESSION_EXPIRY_INTERVAL: seconds}


def later(house: House, ms: int) -> None:
    """Have it later; nobody wakes up, for what happens every second is of no interest here."""
    house.clock.set(house.clock.now_ms() + ms)


class TestKeeping:
    async def test_mqtt_3_wants_it_kept_with_clean_session_0(self, house: House) -> None:
        kpc = await Gateway(house).start()
        assert not await present(kpc, clean_start=False)
        assert await present(kpc, clean_start=False)
        assert not await present(kpc, "other", clean_start=False)

    async def test_a_clean_one_throws_it_away(self, house: House) -> None:
        kpc = await Gateway(house).start()
        assert not await present(kpc, clean_start=False)
        assert not await present(kpc, clean_start=True)
        assert not await present(kpc, clean_start=False)

    async def test_mqtt_5_says_for_how_long(self, house: House) -> None:
        kpc = await Gateway(house).start()
        how = {"version": p.V5, "clean_start": False, "properties": for_seconds(60)}
        assert not await present(kpc, **how)
        assert await present(kpc, **how)
        await house.clock.advance(59_000)
        assert await present(kpc, **how)
        await house.clock.advance(60_000)
        assert not await present(kpc, **how)

    async def test_without_an_expiry_it_is_not_kept(self, house: House) -> None:
        kpc = await Gateway(house).start()
        assert not await present(kpc, version=p.V5, clean_start=False)
        assert not await present(kpc, version=p.V5, clean_start=False)

    async def test_at_most_for_an_hour_and_the_client_is_told_so(self, house: House) -> None:
        kpc = await Gateway(house).start()
        device = Device(kpc.door, "c", p.V5)
        connack = await device.connect(properties=for_seconds(0xFFFFFFFF))
        assert connack.properties is not None
        assert connack.properties[prop.SESSION_EXPIRY_INTERVAL] == 3600
        device.wire.lose()
        later(house, HOUR_MS - 1)
        assert await present(kpc, version=p.V5, clean_start=False, properties=for_seconds(9000))
        later(house, HOUR_MS)
        assert not await present(kpc, version=p.V5, clean_start=False, properties=for_seconds(9000))

    async def test_its_time_runs_from_the_end_of_the_connection(self, house: House) -> None:
        kpc = await Gateway(house).start()
        device = Device(kpc.door, "c")
        await device.connect(clean_start=False)
        later(house, 5 * HOUR_MS)
        device.wire.lose()
        later(house, HOUR_MS - 1)
        assert await present(kpc, clean_start=False)
        later(house, HOUR_MS)
        assert not await present(kpc, clean_start=False)

    async def test_a_farewell_of_mqtt_5_may_end_it(self, house: House) -> None:
        kpc = await Gateway(house).start()
        device = Device(kpc.door, "c", p.V5)
        await device.connect(properties=for_seconds(60))
        device.client.disconnect(properties=for_seconds(0))
        await device.settle()
        assert not await present(kpc, version=p.V5, clean_start=False, properties=for_seconds(60))


class TestSideBySide:
    async def test_anonymous_connections_with_one_id_live_side_by_side(self, house: House) -> None:
        kpc = await Gateway(house).start()
        first, second = await kpc.device("same"), await kpc.device("same")
        assert await first.ask(f"{JSON}/1") == [(f"{JSON}/1/status", b"")]
        assert await second.ask(f"{JSON}/2") == [(f"{JSON}/2/status", b"")]
        assert not first.is_closed

    async def test_a_session_that_a_live_connection_holds_is_left_to_it(self, house: House) -> None:
        kpc = await Gateway(house).start()
        first = Device(kpc.door, "same")
        assert not (await first.connect(clean_start=False)).session_present
        second = Device(kpc.door, "same")
        assert not (await second.connect(clean_start=False)).session_present
        second.wire.lose()
        first.wire.lose()
        assert await present(kpc, "same", clean_start=False)

    async def test_a_clean_start_beside_it_does_not_touch_it(self, house: House) -> None:
        kpc = await Gateway(house).start()
        first = Device(kpc.door, "same")
        await first.connect(clean_start=False)
        await kpc.device("same", clean_start=True)
        first.wire.lose()
        assert await present(kpc, "same", clean_start=False)


class TestRestart:
    async def test_those_of_the_time_before_there_were_credentials_are_anonymous(self, house: House) -> None:
        await house.stop()
        with closing(sqlite3.connect(house.directory / "kaa.db")) as database, database:
            database.executescript("""
                drop table kpc_session;
                create table kpc_session (
                    client_id varchar not null primary key, expiry_s integer not null, subscriptions json not null
                );
                insert into kpc_session values ('c', 3600, '{"#": 1}');
                update core_version set version_num = 'kpc_0001' where version_num = 'kpc_0002';
            """)
        await asyncio.to_thread(migrate, house.directory / "kaa.db", migration_steps(), clock=house.clock)
        await house.open()
        kpc = await Gateway(house).start()
        assert not await present(kpc, clean_start=False, username="ann", password=b"pass-a")
        assert await present(kpc, clean_start=False)

    async def test_it_is_there_after_a_restart_with_its_subscriptions(self, house: House) -> None:
        kpc = await Gateway(house).start()
        device = Device(kpc.door, "c")
        await device.connect(clean_start=False)
        device.client.subscribe(("kp1/#", 1), ("other/#", 0))
        await device.settle()
        device.client.unsubscribe("other/#")
        await device.settle()
        stored = "select subscriptions from kpc_session"

        async def is_saved() -> bool:
            found = await house.storage.read(lambda c: c.exec_driver_sql(stored).scalars().all())
            return [eval(f) if isinstance(f, str) else f for f in found] == [{"kp1/#": 1}]

        await until(is_saved)
        await house.restart()
        kpc = await Gateway(house).start()
        device = Device(kpc.door, "c")
        assert (await device.connect(clean_start=False)).session_present
        await device.ask(JSON)
        kpc.push("dev-1")
        device.events.clear()
        await device.settle()
        assert [event.qos for event in device.events if isinstance(event, p.Publish)] == [1]

    async def test_what_is_over_or_was_not_to_be_kept_is_not(self, house: House) -> None:
        kpc = await Gateway(house).start()
        await present(kpc, "clean", clean_start=True)
        await present(kpc, "kept", clean_start=False)
        await present(kpc, "over", clean_start=False, version=p.V5, properties=for_seconds(10))
        await house.clock.advance(61_000)
        query = "select client_id from kpc_session"

        async def left() -> bool:
            return await house.storage.read(lambda c: list(c.exec_driver_sql(query).scalars())) == ["kept"]

        await until(left)
        await house.restart()
        kpc = await Gateway(house).start()
        assert not await present(kpc, "clean", clean_start=False)
        assert not await present(kpc, "over", clean_start=False)
        assert await present(kpc, "kept", clean_start=False)


class TestQos2:
    @pytest.mark.parametrize("version", [p.V311, p.V5])
    async def test_a_message_is_not_processed_twice_across_a_reconnect(self, house: House, version: int) -> None:
        kpc = await Gateway(house).start()
        how = {"clean_start": False, "properties": for_seconds(60) if version == p.V5 else None}
        device = Device(kpc.door, "c", version)
        await device.connect(**how)
        device.client.publish(f"{JSON}/1", b"[1]", 2)
        device.feed(device.client.take_output())
        await house.clock.advance(0)
        await until(lambda: device.wire.written)
        device.wire.lose()  # the PUBREC was on its way
        assert (await device.again(**how)).session_present
        await device.settle()
        assert len(kpc.said) == 1
        assert [item for item in device.heard() if item[0] == "ack"] == [("ack", 1, 0)]

    async def lost(self, kpc: Gateway, version: int) -> tuple[Device, dict[str, Any]]:
        """Give a device that has sent a message and lost its connection before there was an outcome."""
        kpc.answer = lambda _: None
        how = {"clean_start": False, "properties": for_seconds(60) if version == p.V5 else None}
        device = Device(kpc.door, "c", version)
        await device.connect(**how)
        device.publish(f"{JSON}/1", b"[1]", 2)
        await device.until(lambda: len(kpc.said) == 1)
        device.wire.lose()
        return device, how

    @pytest.mark.parametrize("version", [p.V311, p.V5])
    async def test_one_that_is_stored_when_its_connection_has_gone_is_not_processed_twice(
        self, house: House, version: int
    ) -> None:
        kpc = await Gateway(house).start()
        device, how = await self.lost(kpc, version)
        kpc.answer_late(kpc.said[0], (200, None, None))
        await device.settle()
        assert (await device.again(**how)).session_present
        await device.settle()
        assert len(kpc.said) == 1
        assert [item for item in device.heard() if item[0] == "ack"] == [("ack", 1, 0)]

    @pytest.mark.parametrize("version", [p.V311, p.V5])
    async def test_one_that_comes_again_before_its_outcome_waits_for_it(self, house: House, version: int) -> None:
        kpc = await Gateway(house).start()
        device, how = await self.lost(kpc, version)
        await device.again(**how)
        await device.settle()
        device.wire.lose()
        await device.again(**how)
        await device.settle()
        assert device.heard() == []
        kpc.answer_late(kpc.said[0], (200, None, b"yes"))
        await device.settle()
        assert sorted(device.heard()) == [("ack", 1, 0), (f"{JSON}/1/status", b"yes")]
        assert len(kpc.said) == 1

    @pytest.mark.parametrize("version", [p.V311, p.V5])
    async def test_where_that_is_a_failure_it_is_sent_and_processed_again(self, house: House, version: int) -> None:
        kpc = await Gateway(house).start()
        device, how = await self.lost(kpc, version)
        await device.again(**how)
        await device.settle()
        kpc.answer_late(kpc.said[0], (503, "later", None))
        await device.until(lambda: device.is_closed)
        await device.settle()
        kpc.answer = lambda _: (200, None, None)
        await device.again(**how)
        await device.settle()
        assert ("ack", 1, 0) in device.heard()
        assert len(kpc.said) == 2

    async def test_one_behind_the_end_of_the_connection_is_taken_when_it_comes_again(self, house: House) -> None:
        kpc = await Gateway(house).start()
        how = {"clean_start": False, "properties": for_seconds(60)}
        device = Device(kpc.door, "c", p.V5)
        await device.connect(**how)
        device.client.publish(JSON, b"[1]", retain=True)
        device.client.publish(JSON, b"[2]", 2)
        device.pump()
        await device.settle()
        assert device.is_closed
        await device.again(**how)
        await device.settle()
        assert [message.payload for message in kpc.said] == [b"[2]"]

    async def test_another_device_with_the_same_client_id_is_heard(self, house: House) -> None:
        kpc = await Gateway(house).start()
        first = Device(kpc.door, "same")
        await first.connect(clean_start=False)
        first.client.publish(JSON, b"[1]", 2)
        first.feed(first.client.take_output())
        await until(lambda: first.wire.written)
        first.wire.lose()
        other = Device(kpc.door, "same")
        await other.connect(clean_start=False)
        assert ("ack", 1, 0) in await other.ask("kp1/home-v1/dcx/T2/json", b"[1]", 2)
        assert [message.endpoint_id for message in kpc.said] == ["dev-1", "dev-2"]


class TestSaving:
    """What is written is written once, one at a time."""

    def watch(self, kpc: Gateway, monkeypatch: pytest.MonkeyPatch) -> tuple[list[dict[str, int]], asyncio.Event]:
        gate, put, puts = asyncio.Event(), kpc.door.sessions._repository.put, []

        async def gated(client_id: str, expiry_s: int, subscriptions: dict[str, int]) -> None:
            puts.append(dict(subscriptions))
            await gate.wait()
            await put(client_id, expiry_s, subscriptions)

        monkeypatch.setattr(kpc.door.sessions._repository, "put", gated)
        return puts, gate

    async def test_many_subscribes_make_one_write_and_one_of_what_has_come_of_them(
        self, house: House, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        kpc = await Gateway(house).start()
        device = Device(kpc.door, "c")
        await device.connect(clean_start=False)
        puts, gate = self.watch(kpc, monkeypatch)
        for number in range(50):
            device.client.subscribe((f"a/{number % 5}", 0))
        await device.settle()
        assert len(puts) == 1
        device.client.unsubscribe("a/0")
        await device.settle()
        assert len(puts) == 1
        gate.set()
        await until(lambda: len(puts) == 2)
        await device.settle()
        assert puts[1] == {f"a/{number}": 0 for number in range(1, 5)}

    async def test_what_changes_nothing_is_not_written(self, house: House, monkeypatch: pytest.MonkeyPatch) -> None:
        kpc = await Gateway(house).start()
        device = Device(kpc.door, "c")
        await device.connect(clean_start=False)
        device.client.subscribe(("a", 0))
        await device.until(lambda: not kpc.door.sessions._kept[Client((), "c")].is_changed)
        puts, _ = self.watch(kpc, monkeypatch)
        device.client.subscribe(("a", 0))
        device.client.unsubscribe("never")
        await device.settle()
        device.wire.lose()
        assert (await device.again(clean_start=False)).session_present
        assert puts == []


class TestRoom:
    async def test_the_one_that_has_waited_longest_goes_for_a_new_one(self, house: House) -> None:
        kpc = await Gateway(house).start({"max-sessions": 2})
        for name in ("a", "b", "c"):
            assert not await present(kpc, name, clean_start=False)
            await house.clock.advance(1_000)
        assert await present(kpc, "c", clean_start=False)
        assert await present(kpc, "b", clean_start=False)
        assert not await present(kpc, "a", clean_start=False)

    async def test_where_it_cannot_be_kept_the_client_is_refused(
        self, house: House, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        from kaa.core.errors import Unavailable

        kpc = await Gateway(house).start()

        async def fails(*_: object) -> None:
            raise Unavailable("the storage is failing")

        monkeypatch.setattr(kpc.door.sessions._repository, "put", fails)
        for version, code in ((p.V311, 3), (p.V5, 0x88)):
            device = Device(kpc.door, "c", version)
            connack = await device.connect(clean_start=False, properties=for_seconds(9) if version == p.V5 else None)
            await device.settle()
            assert connack.reason_code == code
            assert device.is_closed
        monkeypatch.undo()
        assert not await present(kpc, clean_start=False)

    @pytest.mark.parametrize("clean_start", [True, False])
    async def test_a_session_that_could_not_be_taken_up_once_can_be_later(
        self, house: House, monkeypatch: pytest.MonkeyPatch, *, clean_start: bool
    ) -> None:
        from kaa.core.errors import StorageFull

        kpc = await Gateway(house).start()
        how: dict[str, Any] = {"version": p.V5, "clean_start": False}
        assert not await present(kpc, **how, properties=for_seconds(60))

        async def fails(*_: object) -> None:
            raise StorageFull("the disk is full")

        monkeypatch.setattr(kpc.door.sessions._repository, "put", fails)
        device = Device(kpc.door, "c", p.V5)
        connack = await device.connect(clean_start=clean_start, properties=for_seconds(70))
        assert connack.reason_code == 0x88
        monkeypatch.undo()
        assert await present(kpc, **how, properties=for_seconds(60))
