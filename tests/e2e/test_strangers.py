"""Whoever talks nonsense, too much or not at all is counted and shown out, and nobody else notices."""

import asyncio
import resource
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from random import Random  # noqa: TID251  junk that is the same in each run
from typing import Any

import pytest
from hosts import KaaProcess, Place
from mqtt_clients import V5, V311, Wire
from waiting import until

from kaa.protocols.mqtt import packets as p
from kaa.protocols.mqtt import properties as prop
from kaa.protocols.mqtt.client import Acknowledged
from kaa.protocols.mqtt.encoding import encode

pytestmark = pytest.mark.any_bus

Connect = Callable[..., Awaitable[Any]]

SLOWEST_S = 2.0
"""The longest that somebody else's message may wait for its acknowledgement, on a busy machine."""

WIRES = [pytest.param(V311, id="3.1.1"), pytest.param(V5, id="5")]
CONNECT_3 = encode(p.Connect("stranger", V311), V311)


@pytest.fixture(autouse=True)
async def bystander(place: Place) -> AsyncIterator[None]:
    """Somebody who sends all the time, and must not notice anything of the others."""
    thing = await place.rest.thing()
    wire = Wire(place.mqtt)
    await wire.open()
    is_over = asyncio.Event()
    slowest = 0.0
    count = 0

    async def send() -> None:
        nonlocal slowest, count
        clock = asyncio.get_running_loop().time
        while not is_over.is_set():
            begun = clock()
            wire.publish(thing.topic(), b'{"n": %d}' % count)
            await wire.next(Acknowledged)
            count += 1
            slowest = max(slowest, clock() - begun)
            with suppress(TimeoutError):
                async with asyncio.timeout(0.01):
                    await is_over.wait()

    task = asyncio.get_running_loop().create_task(send())
    yield
    seen = count
    await until(lambda: task.done() or count > seen)
    is_over.set()
    await task
    await wire.close()
    assert slowest < SLOWEST_S
    assert await place.rest.values(thing, "auto~n") == list(range(count))
    assert (await place.rest.call("GET", "/health")).status == 200


async def ended(place: Place, reason: str) -> float:
    return await place.rest.metric("kaa_kpc_ended_total", reason=reason)


async def is_counted(place: Place, reason: str, before: float, by: int = 1) -> None:
    async def has_grown() -> bool:
        return await ended(place, reason) >= before + by

    await until(has_grown, what=f"{by} more ended for {reason}")


async def shown_out(place: Place, data: bytes, *, reason: str, is_connected: bool = True, version: int = V311) -> Any:
    """Send bytes, wait until the server hangs up, and give its last word."""
    before = await ended(place, reason)
    wire = Wire(place.mqtt, version)
    if is_connected:
        await wire.open()
    else:
        await wire.dial()
    wire.write(data)
    said = await wire.hung_up()
    await wire.close()
    await is_counted(place, reason, before)
    return said


@asynccontextmanager
async def closing(writer: asyncio.StreamWriter) -> AsyncIterator[None]:
    """Drop the connection at the end of the block."""
    try:
        yield
    finally:
        writer.close()


async def junk(place: Place, data: bytes) -> None:
    """Send bytes, and listen until the server hangs up."""
    reader, writer = await asyncio.open_connection(*place.mqtt)
    async with closing(writer), asyncio.timeout(5):
        writer.write(data)
        try:
            writer.write_eof()
            await reader.read()
        except OSError:
            return  # it need not even listen to the end


async def all_ended(place: Place, before: float, number: int) -> None:
    async def has_grown() -> bool:
        return await place.rest.metric("kaa_kpc_ended_total") >= before + number

    await until(has_grown)


async def test_random_bytes_are_shown_out(place: Place) -> None:
    before = await place.rest.metric("kaa_kpc_ended_total")
    chance = Random(20)
    for _ in range(200):
        await junk(place, chance.randbytes(chance.randrange(1, 2000)))
    await all_ended(place, before, 200)


async def test_random_bytes_behind_a_connect_are_shown_out(place: Place) -> None:
    before = await place.rest.metric("kaa_kpc_ended_total")
    chance = Random(21)
    for number in range(200):
        version = (V311, V5)[number % 2]
        connect = encode(p.Connect("stranger", version), version)
        await junk(place, connect + chance.randbytes(chance.randrange(1, 2000)))
    await all_ended(place, before, 200)


async def test_half_a_connect_is_waited_for_and_no_longer(place: Place, connect: Connect) -> None:
    before = await ended(place, "connect_timeout")
    lengths = (0, 1, 5, len(CONNECT_3) - 1)
    wires = [Wire(place.mqtt) for _ in lengths]
    for wire, length in zip(wires, lengths, strict=True):
        await wire.dial()
        wire.write(CONNECT_3[:length])
    for wire in wires:
        assert await wire.hung_up() == []
        await wire.close()
    await is_counted(place, "connect_timeout", before, len(lengths))


async def test_a_connection_that_ends_within_a_packet_is_counted(place: Place) -> None:
    before = await ended(place, "closed")
    wire = Wire(place.mqtt)
    await wire.open()
    wire.write(b"\x32\x7f\x00\x05kp1/")
    wire.writer.write_eof()
    await wire.hung_up()
    await wire.close()
    await is_counted(place, "closed", before)


async def test_half_a_packet_is_waited_for_as_long_as_keep_alive_says(place: Place) -> None:
    before = await ended(place, "keep_alive")
    wire = Wire(place.mqtt, V5)
    await wire.open(keep_alive_s=1)
    wire.write(b"\x32\x7f\x00\x05kp1/")
    [farewell] = await wire.hung_up()
    assert farewell.reason_code == 0x8D
    await wire.close()
    await is_counted(place, "keep_alive", before)


async def test_a_connect_that_drips_in_is_not_waited_for(place: Place) -> None:
    before = await ended(place, "connect_timeout")
    reader, writer = await asyncio.open_connection(*place.mqtt)
    connect = encode(p.Connect("x" * 60_000, V311), V311)
    is_out = False
    async with asyncio.timeout(10), closing(writer):
        for at in range(len(connect) - 1):
            writer.write(connect[at : at + 1])
            try:
                async with asyncio.timeout(0.02):  # the pace of the drip
                    is_out = await reader.read(1) == b""
            except TimeoutError:
                continue
            except ConnectionError:
                is_out = True
            break
    assert is_out
    await is_counted(place, "connect_timeout", before)


@pytest.mark.parametrize("version", WIRES)
async def test_a_huge_packet_is_refused_when_it_is_announced(place: Place, version: int) -> None:
    largest = b"\x32\xff\xff\xff\x7f"  # the largest that the standard can say: 256 MB
    said = await shown_out(place, largest + bytes(1000), reason="packet_too_large", version=version)
    assert [packet.reason_code for packet in said] == ([0x95] if version == V5 else [])


@pytest.mark.parametrize("version", WIRES)
async def test_a_packet_of_300_mb_cannot_even_be_announced(place: Place, version: int) -> None:
    remaining = bytes((0x80 | (300_000_000 >> shift & 0x7F)) for shift in (0, 7, 14, 21)) + b"\x01"
    said = await shown_out(place, b"\x32" + remaining, reason="malformed_packet", version=version)
    assert [packet.reason_code for packet in said] == ([0x81] if version == V5 else [])


async def test_a_packet_just_within_the_limit_is_taken_and_one_beyond_is_not(place: Place, connect: Connect) -> None:
    thing = await place.rest.thing()
    wire = await connect(Wire(place.mqtt, V5))
    most = wire.connack.properties[prop.MAXIMUM_PACKET_SIZE]
    around = len(thing.topic()) + 2 + 2 + 1 + 4  # lengths, packet id, properties, the fixed header
    payload = b'{"x": 1}'.ljust(most - around)
    wire.publish(thing.topic(), payload)
    assert (await wire.next(Acknowledged)).reason_code == 0
    wire.publish(thing.topic(), payload + b" ")
    [farewell] = await wire.hung_up()
    assert farewell.reason_code == 0x95


@pytest.mark.parametrize("version", WIRES)
async def test_a_second_connect_ends_the_connection(place: Place, version: int) -> None:
    again = encode(p.Connect("stranger", version), version)
    said = await shown_out(place, again, reason="protocol_error", version=version)
    assert [packet.reason_code for packet in said] == ([0x82] if version == V5 else [])


async def test_another_first_packet_than_connect_ends_the_connection(place: Place) -> None:
    said = await shown_out(place, b"\xc0\x00", reason="protocol_error", is_connected=False)
    assert said == []


async def test_a_protocol_version_that_there_is_not_is_refused(place: Place) -> None:
    connect = bytearray(CONNECT_3)
    connect[8] = 9
    [answer] = await shown_out(
        place, bytes(connect), reason="unsupported_protocol_version", is_connected=False, version=V311
    )
    assert (type(answer), answer.reason_code) == (p.ConnAck, 1)


async def test_a_topic_of_two_kilobytes_ends_the_connection(place: Place) -> None:
    thing = await place.rest.thing()
    packet = encode(p.Publish(thing.topic() + "/" + "x" * 2000, b"{}", 1, 1), V5)
    [farewell] = await shown_out(place, packet, reason="topic_name_invalid", version=V5)
    assert farewell.reason_code == 0x90


async def test_who_does_not_read_is_shown_out(place: Place) -> None:
    before = await ended(place, "slow_reader")
    thing = await place.rest.thing()
    wire = Wire(place.mqtt)
    await wire.open()
    wire.reader._transport.pause_reading()
    topic, is_out = thing.topic("nowhere/" + "x" * 900), False  # each is answered with more than a kilobyte
    one = encode(p.Publish(topic, b"", 0), V311)
    async with asyncio.timeout(30):
        while not is_out:
            try:
                wire.write(one * 50)
                await wire.writer.drain()
            except ConnectionError:
                pass
            is_out = await ended(place, "slow_reader") > before
    wire.writer.transport.abort()


async def test_more_than_ten_unknown_tokens_in_a_minute_close_the_connection(place: Place, connect: Connect) -> None:
    thing = await place.rest.thing()
    before = await ended(place, "status_401")
    wire = await connect(Wire(place.mqtt, V5))
    for number in range(10):
        topic = thing.topic("json", number).replace(thing.token, f"guess-{thing.application}-{number}")
        for _ in (1, 2):  # the same one twice is one
            reason, answer = await wire.answer(topic, b"{}")
            assert (reason, answer.topic) == (0x87, f"{topic}/error")
    wire.publish(thing.topic().replace(thing.token, f"guess-{thing.application}-10"), b"{}")
    said = await wire.hung_up()
    assert said[-1] == p.Disconnect(0x87, said[-1].properties)
    await is_counted(place, "status_401", before)


async def test_who_has_shown_a_valid_token_may_have_unknown_ones(place: Place, connect: Connect) -> None:
    """A gateway with a device that was deleted must not lose its connection."""
    thing = await place.rest.thing()
    wire = await connect(Wire(place.mqtt, V5))
    await wire.answer(thing.topic("json", 1), b'{"x": 1}')
    for number in range(15):
        topic = thing.topic("json", number).replace(thing.token, f"child-{thing.application}-{number}")
        assert (await wire.answer(topic, b"{}"))[0] == 0x87
    assert (await wire.answer(thing.topic("json", 1), b'{"x": 2}'))[0] == 0


async def silent_connections(place: Place, number: int) -> None:
    before = await ended(place, "connect_timeout")
    async with AsyncExitStack() as stack:
        readers = []
        for _ in range(number):
            reader, writer = await asyncio.open_connection(*place.mqtt)
            stack.callback(writer.close)
            readers.append(reader)
        async with asyncio.timeout(30):
            for reader in readers:
                assert await reader.read() == b""
    await is_counted(place, "connect_timeout", before, number)


async def test_500_connections_that_say_nothing_are_closed(place: Place) -> None:
    await silent_connections(place, 500)


@pytest.mark.soak
async def test_5000_connections_that_say_nothing_are_closed(place: Place, shared_process: KaaProcess) -> None:
    for pid in (0, shared_process.pid):
        _, most = resource.prlimit(pid, resource.RLIMIT_NOFILE)
        if most < 6_000:
            pytest.skip(f"only {most} open files are allowed here")
        resource.prlimit(pid, resource.RLIMIT_NOFILE, (most, most))
    await silent_connections(place, 5_000)
