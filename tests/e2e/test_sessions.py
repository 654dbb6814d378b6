"""Session Present tells the truth: clients act upon it, and throw away what they think nobody waits for."""

from collections.abc import Awaitable, Callable
from typing import Any

import pytest
from fakes.clock import FakeClock
from hosts import Inside, KaaProcess, Place, Serve, off_loop
from mqtt_clients import V5, V311, Gmqtt, Paho, Wire, new_id, opened
from waiting import until

from kaa.protocols.mqtt import packets as p
from kaa.protocols.mqtt import properties as prop
from kaa.protocols.mqtt.client import Acknowledged
from kaa.protocols.mqtt.encoding import encode, encode_publish, encode_pubrel

Connect = Callable[..., Awaitable[Any]]
Make = Callable[..., KaaProcess]

WIRES = [pytest.param(V311, id="3.1.1"), pytest.param(V5, id="5")]
CLIENTS = [
    pytest.param(library, version, id=f"{library.__name__.lower()}-{'5' if version == V5 else '3.1.1'}")
    for library in (Paho, Gmqtt)
    for version in (V311, V5)
]
HOUR_MS = 3_600_000


def kept(version: int, expiry_s: int = 3600) -> dict[str, Any]:
    """Say in CONNECT that the session is to be kept."""
    properties = {prop.SESSION_EXPIRY_INTERVAL: expiry_s} if version == V5 else None
    return {"clean_start": False, "properties": properties}


async def present(wire: Wire, **connect: Any) -> bool:
    """Connect, say whether the session was there, and drop the connection."""
    connack = await wire.open(**connect)
    assert connack.reason_code == 0
    await wire.close()
    return connack.session_present


@pytest.mark.parametrize(("library", "version"), CLIENTS)
async def test_clients_that_keep_their_session_find_it_again(place: Place, library: Any, version: int) -> None:
    name = new_id("keeper")
    for expected in (False, True, True):
        async with opened(library(place.mqtt, version, client_id=name, keeps_session=True)) as device:
            assert device.sessions_present == [expected]
            await device.subscribe("a/b")
    async with opened(library(place.mqtt, version, client_id=name)) as device:
        assert device.sessions_present == [False]
    async with opened(library(place.mqtt, version, client_id=name, keeps_session=True)) as device:
        assert device.sessions_present == [False]


@pytest.mark.parametrize("version", WIRES)
async def test_a_clean_start_discards_what_was_there(place: Place, version: int) -> None:
    wire = Wire(place.mqtt, version)
    clean = {"clean_start": True}
    assert not await present(wire, **kept(version))
    assert await present(wire, **kept(version))
    assert not await present(wire, **clean)
    assert not await present(wire, **kept(version))
    if version == V5:  # a clean start that is to be kept begins a new one
        assert not await present(wire, **(kept(version) | clean))
        assert await present(wire, **kept(version))


async def test_a_session_outlives_kill_9_with_its_subscriptions(process: Make) -> None:
    server = process()
    await off_loop(server.start)
    keeping = {version: Wire(server.mqtt, version) for version in (V311, V5)}
    forgetful = Wire(server.mqtt, V311)
    await forgetful.open()
    for version, wire in keeping.items():
        assert not (await wire.open(**kept(version))).session_present
        wire.session.subscribe(("a/#", 1))
        wire.flush()
        await wire.next(p.SubAck)
        # a CONNACK that says that the session is there comes when it is on the disk
        await wire.close()
        assert (await wire.open(**kept(version))).session_present
    await off_loop(server.kill)
    await off_loop(server.start)
    for wire in (forgetful, *keeping.values()):
        await wire.close()
    for version, wire in keeping.items():
        assert (await wire.open(**kept(version))).session_present
        wire.session.unsubscribe("a/#")
        wire.flush()
        answer = await wire.next(p.UnsubAck)
        if version == V5:
            assert answer.reason_codes == (0,)  # 0x11 would say that it had not been subscribed
        await wire.close()
    assert not await present(forgetful, **kept(V311))


async def test_mqtt_5_says_how_long(serve: Serve) -> None:
    clock = FakeClock()
    async with serve(clock=clock) as server:
        wire = Wire(server.mqtt, V5)
        assert not await present(wire, **kept(V5, 60))
        await clock.advance(50_000)
        assert await present(wire, **kept(V5, 60))
        await clock.advance(61_000)
        assert not await present(wire, **kept(V5, 60))
        # 0 ends it with the connection
        assert await present(wire, **kept(V5, 0))
        assert not await present(wire, **kept(V5, 60))


async def test_a_session_is_kept_an_hour_at_most(serve: Serve) -> None:
    clock = FakeClock()
    async with serve(clock=clock) as server:
        wire, older = Wire(server.mqtt, V5), Wire(server.mqtt, V311)
        connack = await wire.open(**kept(V5, 0xFFFFFFFF))
        assert connack.properties[prop.SESSION_EXPIRY_INTERVAL] == 3600
        await wire.close()
        assert not await present(older, **kept(V311))
        await until(lambda: _is_left(server))
        clock.set(clock.now_ms() + HOUR_MS + 1000)
        assert not await present(wire, **kept(V5, 60))
        assert not await present(older, **kept(V311))


async def _is_left(server: Inside) -> bool:
    return await server.rest.metric("kaa_kpc_connections") == 0


async def test_a_farewell_may_say_another_time(place: Place) -> None:
    wire = Wire(place.mqtt, V5)
    await wire.open(**kept(V5))
    wire.session.disconnect(properties={prop.SESSION_EXPIRY_INTERVAL: 0})
    wire.flush()
    await wire.hung_up()
    await wire.close()
    assert not await present(wire, **kept(V5))


async def test_two_anonymous_clients_with_one_id_live_side_by_side(place: Place, connect: Connect) -> None:
    thing = await place.rest.thing()
    name = new_id("sample")
    first = await connect(Wire(place.mqtt, V5, client_id=name), **kept(V5))
    second = await connect(Wire(place.mqtt, V5, client_id=name), **kept(V5))
    assert not second.connack.session_present
    for wire in (first, second, first):
        assert (await wire.answer(thing.topic("json", 1), b'{"x": 1}'))[0] == 0


@pytest.mark.parametrize("version", WIRES)
async def test_qos_2_is_processed_once_across_a_reconnect(place: Place, version: int) -> None:
    thing = await place.rest.thing()
    wire = Wire(place.mqtt, version)
    await wire.open(**kept(version))
    packet = encode_publish(thing.topic(), b'{"x": 1}', 2, 7, version=version)
    wire.write(packet)
    # the PUBREC is not answered: the connection is lost
    assert (await wire.reader.read(100))[0] == 0x50
    await wire.close()
    assert (await wire.open(**kept(version))).session_present
    again = bytearray(packet)
    again[0] |= 0x08  # DUP
    wire.write(bytes(again))
    assert (await wire.reader.read(100))[0] == 0x50
    wire.write(encode_pubrel(7))
    assert (await wire.reader.read(100))[0] == 0x70
    await wire.close()
    assert await place.rest.values(thing, "auto~x") == [1]


async def test_a_client_without_an_id_is_given_one(place: Place) -> None:
    wire = Wire(place.mqtt, V5)
    wire.session.client_id = ""
    connack = await wire.open()
    assert connack.properties[prop.ASSIGNED_CLIENT_IDENTIFIER]
    await wire.close()


async def test_a_session_to_be_kept_wants_an_id(place: Place) -> None:
    wire = Wire(place.mqtt, V311)
    await wire.dial()
    wire.write(encode(p.Connect("", V311, clean_start=False), V311))
    [connack] = await wire.hung_up()
    assert (connack.session_present, connack.reason_code) == (False, 2)
    await wire.close()


async def test_credentials_are_refused_where_there_are_none(place: Place) -> None:
    for version, expected in ((V311, 4), (V5, 0x86)):
        wire = Wire(place.mqtt, version)
        connack = await wire.open(username="somebody", password=b"secret")
        assert connack.reason_code == expected
        await wire.hung_up()
        await wire.close()


async def test_a_retained_message_is_refused_in_mqtt_5_and_stored_in_mqtt_3(place: Place, connect: Connect) -> None:
    thing = await place.rest.thing()
    older = await connect(Wire(place.mqtt, V311))
    await older.answer(thing.topic("json", 1), b'{"x": 1}', retain=True)
    newer = await connect(Wire(place.mqtt, V5))
    assert newer.connack.properties[prop.RETAIN_AVAILABLE] == 0
    newer.publish(thing.topic(), b'{"x": 2}', retain=True)
    [farewell] = await newer.hung_up()
    assert farewell.reason_code == 0x9A
    assert await place.rest.values(thing, "auto~x") == [1]


async def test_a_session_is_still_there_for_one_that_sends_again(place: Place) -> None:
    thing = await place.rest.thing()
    wire = Wire(place.mqtt, V311)
    await wire.open(**kept(V311))
    wire.publish(thing.topic(), b'{"x": 1}')
    await wire.close()  # whatever has become of it
    assert (await wire.open(**kept(V311))).session_present
    wire.flush()  # the session sends it again
    await wire.next(Acknowledged)
    await wire.close()
    assert 1 in await place.rest.values(thing, "auto~x")
