"""KPC when there is more to do than can be done: reading stops, nobody is refused, and bursts hold up nobody."""

import asyncio

from gateway import Device, Gateway
from house import House

from kaa.protocols.mqtt import packets as p

JSON = "kp1/home-v1/dcx/T1/json"


def answered(device: Device) -> list[str]:
    return [event.topic for event in device.events if isinstance(event, p.Publish)]


async def several(kpc: Gateway, count: int) -> list[Device]:
    """Connect devices whose tokens are known already."""
    kpc.tokens |= {f"t{n}": f"e{n}" for n in range(count)}
    devices = [await kpc.device(f"c{n}") for n in range(count)]
    for n, device in enumerate(devices):
        await device.ask(f"kp1/home-v1/dcx/t{n}/json/0")
    kpc.said.clear()
    return devices


async def answer_all(kpc: Gateway, devices: list[Device]) -> None:
    """Answer as long as something comes."""
    at = 0
    while at < len(kpc.said):
        while at < len(kpc.said):
            kpc.answer_late(kpc.said[at], (200, None, None))
            at += 1
        for device in devices:
            await device.settle()


async def test_beyond_the_limit_nobody_is_read_from_and_all_is_answered_in_the_end(house: House) -> None:
    kpc = await Gateway(house).start({"max-waiting": 10})
    devices = await several(kpc, 8)
    kpc.answer = lambda _: None
    for n, device in enumerate(devices):
        for number in range(5):
            device.publish(f"kp1/home-v1/dcx/t{n}/json/{number}", b"{}", number % 2)
    for device in devices:
        await device.settle()
    assert len(kpc.said) == 10
    assert [device.wire.is_reading for device in devices].count(False) == 6
    # what is written to them still arrives
    kpc.push("e7")
    await devices[7].settle()
    assert answered(devices[7]) == ["kp1/home-v1/cex/t7/command/reboot/status"]
    devices[7].events.clear()
    await answer_all(kpc, devices)
    assert len(kpc.said) == 40
    for n, device in enumerate(devices):
        assert device.wire.is_reading
        assert answered(device) == [f"kp1/home-v1/dcx/t{n}/json/{number}/status" for number in range(5)]
    assert not kpc.door.communication.is_full


async def test_it_stays_below_the_queues_of_the_bus(house: House) -> None:
    await house.stop()
    house.queue_size = 16
    await house.open()
    kpc = await Gateway(house).start({"max-waiting": 1_000_000})
    devices = await several(kpc, 30)
    for n, device in enumerate(devices):
        device.publish(f"kp1/home-v1/dcx/t{n}/json/1", b"{}", 1)
    for device in devices:
        await device.until(lambda device=device: answered(device)[-1:] and answered(device)[-1].endswith("1/status"))
    assert len(kpc.said) == 30
    assert all(topic.endswith("/status") for device in devices for topic in answered(device))
    assert kpc.door.communication._stops._value.get() >= 1


async def test_messages_whose_tokens_are_asked_about_count(house: House) -> None:
    kpc = await Gateway(house).start({"max-waiting": 4})
    gate = asyncio.Event()
    kpc.token_gate = gate.wait
    kpc.tokens |= {f"t{n}": f"e{n}" for n in range(8)}
    devices = [await kpc.device(f"c{n}") for n in range(8)]
    for n, device in enumerate(devices):
        device.publish(f"kp1/home-v1/dcx/t{n}/json/1", b"{}", 1)
    assert [device.wire.is_reading for device in devices] == [True] * 4 + [False] * 4
    gate.set()
    for device in devices:
        await device.until(lambda device=device: answered(device))
    assert len(kpc.said) == 8


async def test_what_is_acknowledged_at_once_does_not_count(house: House) -> None:
    config = {"max-waiting": 3, "extension-instances": {"dcx": {}, "ext": {"receipts": False}}}
    kpc = await Gateway(house).start(config)
    kpc.answer = lambda _: None
    device = await kpc.device()
    for number in range(10):
        await device.ask("kp1/home-v1/ext/T1/x", b"%d" % number, 1)
    assert len(kpc.said) == 10
    assert device.wire.is_reading
    # an error may come all the same; those too long ago are forgotten
    for message in (kpc.said[0], kpc.said[-1]):
        kpc.answer_late(message, (400, "no", b""))
    device.events.clear()
    await device.settle()
    assert answered(device) == ["kp1/home-v1/ext/T1/x/error"]


async def test_who_is_held_up_and_leaves_is_forgotten(house: House) -> None:
    kpc = await Gateway(house).start({"max-waiting": 1})
    kpc.answer = lambda _: None
    first, second = await kpc.device("a"), await kpc.device("b")
    first.publish(f"{JSON}/1")
    await first.settle()
    second.publish("kp1/home-v1/dcx/T2/json/1")
    await second.settle()
    second.wire.lose()
    assert kpc.door._held_up == {}
    kpc.answer_late(kpc.said[0], (200, None, None))
    await first.settle()
    assert len(kpc.said) == 1
    assert not kpc.door.communication.is_full


async def test_one_who_comes_while_it_is_full_waits_and_is_not_late(house: House) -> None:
    kpc = await Gateway(house).start({"max-waiting": 1, "request-timeout": "100s"})
    kpc.answer = lambda _: None
    first = await kpc.device("a")
    first.publish(f"{JSON}/1")
    await first.settle()
    late = Device(kpc.door, "b")
    late.client.connect(keep_alive_s=5)
    late.pump()
    await house.clock.advance(30_000)
    assert late.events == []
    assert not late.is_closed
    kpc.answer_late(kpc.said[0], (200, None, None))
    await late.until(lambda: late.events)
    assert late.events[0].reason_code == 0


async def test_when_answers_do_not_come_at_all_it_goes_on_after_the_time_for_them(house: House) -> None:
    kpc = await Gateway(house).start({"max-waiting": 2})
    devices = await several(kpc, 3)
    kpc.answer = lambda _: None
    for n, device in enumerate(devices):
        device.publish(f"kp1/home-v1/dcx/t{n}/json/1")
    for device in devices:
        await device.settle()
    assert len(kpc.said) == 2
    await house.clock.advance(11_000)
    for device in devices:
        await device.settle()
    assert len(kpc.said) == 3
    assert answered(devices[0])[-1] == "kp1/home-v1/dcx/t0/json/1/error"


async def test_stopping_does_not_wait_for_those_who_are_held_up(house: House) -> None:
    kpc = await Gateway(house).start({"max-waiting": 1})
    kpc.answer = lambda _: None
    first, second = await kpc.device("a"), await kpc.device("b")
    first.publish(f"{JSON}/1")
    second.publish("kp1/home-v1/dcx/T2/json/1")
    await first.settle()
    closing = asyncio.ensure_future(kpc.door.close())  # noqa: TID251  it goes on when the first has its answer
    await second.settle()
    kpc.answer_late(kpc.said[0], (200, None, None))
    await first.settle()
    await closing
    await second.settle()
    assert [len(kpc.said), first.is_closed, second.is_closed] == [1, True, True]


async def test_a_burst_of_pushes_gives_others_their_turn(house: House) -> None:
    kpc = await Gateway(house).start()
    devices = await several(kpc, 300)
    for n in range(300):
        kpc.push(f"e{n}")
    turns = 0
    while not all(device.wire.written for device in devices):
        turns += 1
        done = sum(bool(device.wire.written) for device in devices)
        assert done % 32 == 0
        await asyncio.sleep(0)
    assert turns >= 9
    for device in devices:
        device.pump()
        assert len(answered(device)) == 1


async def test_a_gateway_that_is_pushed_to_for_all_its_endpoints_gets_them_in_few_writes(house: House) -> None:
    kpc = await Gateway(house).start()
    kpc.tokens |= {f"t{n}": f"e{n}" for n in range(200)}
    gateway = await kpc.device()
    for n in range(200):
        gateway.client.publish(f"kp1/home-v1/dcx/t{n}/json", b"{}")
    await gateway.until(lambda: len(kpc.said) == 200)
    await gateway.settle()
    gateway.events.clear()
    before = gateway.wire.writes
    for n in range(200):
        kpc.push(f"e{n}")
    await gateway.until(lambda: len(answered(gateway)) == 200)
    assert gateway.wire.writes - before <= 2
