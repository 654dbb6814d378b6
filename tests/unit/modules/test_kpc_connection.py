"""KPC, two machines on one wire: hand-shakes, limits, clocks, back pressure, and what is no business of ours."""

import random  # noqa: TID251  seeded: its numbers are always the same

import pytest
from gateway import Device, Gateway
from house import House

from kaa.protocols.mqtt import packets as p
from kaa.protocols.mqtt import properties as prop
from kaa.protocols.mqtt.reasons import Reason

JSON = "kp1/home-v1/dcx/T1/json"
VERSIONS = pytest.mark.parametrize("version", [p.V31, p.V311, p.V5], ids=["3.1", "3.1.1", "5"])


class TestConnect:
    @VERSIONS
    async def test_anybody_may_come(self, house: House, version: int) -> None:
        kpc = await Gateway(house).start()
        device = await kpc.device("c", version)
        assert not device.is_closed
        assert len(kpc.door._connections) == 1

    async def test_mqtt_5_is_told_what_it_may_do(self, house: House) -> None:
        kpc = await Gateway(house).start({"in-flight": 5, "max-packet": "2KiB"})
        device = Device(kpc.door, "", p.V5)
        connack = await device.connect()
        assert connack.properties is not None
        assert connack.properties[prop.RECEIVE_MAXIMUM] == 5
        assert connack.properties[prop.MAXIMUM_PACKET_SIZE] == 2048
        assert connack.properties[prop.RETAIN_AVAILABLE] == 0
        assert connack.properties[prop.ASSIGNED_CLIENT_IDENTIFIER]

    @pytest.mark.parametrize(("version", "code"), [(p.V311, 4), (p.V5, 0x86)])
    @pytest.mark.parametrize("credential", [{"username": "u"}, {"username": "u", "password": b"p"}])
    async def test_a_credential_that_nobody_gave_is_refused(
        self, house: House, version: int, code: int, credential: dict[str, str | bytes]
    ) -> None:
        kpc = await Gateway(house).start()
        device = Device(kpc.door, "c", version)
        connack = await device.connect(**credential)
        await device.settle()
        assert connack.reason_code == code
        assert device.is_closed
        assert kpc.ended("bad_credentials") == 1

    async def test_what_was_sent_behind_it_is_taken_too(self, house: House) -> None:
        kpc = await Gateway(house).start()
        for clean_start in (True, False):
            device = Device(kpc.door, f"c-{clean_start}")
            device.client.connect(clean_start=clean_start)
            for number in range(3):
                device.client.publish(f"{JSON}/{number}", b"{}", 1)
            await device.until(lambda device=device: len(device.events) == 7)
        assert [message.request_id for message in kpc.said] == [0, 1, 2] * 2

    async def test_whole_or_byte_by_byte_is_all_the_same(self, house: House) -> None:
        kpc = await Gateway(house).start()
        device = Device(kpc.door, "c", p.V5)
        device.client.connect()
        device.client.publish(f"{JSON}/1", b'{"t":1}', 1)
        device.client.subscribe(("kp1/#", 1))
        device.client.publish(f"{JSON}/2", b'{"t":2}', 2)
        for byte in device.client.take_output():
            device.feed(bytes([byte]))
        await device.settle()
        kinds = [type(event).__name__ for event in device.events]
        assert sorted(kinds) == ["Acknowledged", "Acknowledged", "ConnAck", "Publish", "Publish", "SubAck"]
        assert [message.request_id for message in kpc.said] == [1, 2]

    async def test_so_many_connections_and_no_more(self, house: House) -> None:
        kpc = await Gateway(house).start({"max-connections": 2})
        kept = [await kpc.device("a"), await kpc.device("b")]
        late = Device(kpc.door, "c")
        assert late.is_closed
        assert kpc.ended("too_many_connections") == 1
        await late.settle()
        kept[0].wire.lose()
        await kpc.device("d")
        assert not kept[1].is_closed


class TestClocks:
    async def test_a_connect_that_does_not_come_in_time_ends_it(self, house: House) -> None:
        kpc = await Gateway(house).start()
        device = Device(kpc.door)
        await house.clock.advance(10_000)
        assert not device.is_closed
        await house.clock.advance(2_000)
        assert device.is_closed
        assert device.wire.take() == b""
        await device.settle()
        assert kpc.ended("connect_timeout") == 1

    async def test_one_that_drips_in_neither(self, house: House) -> None:
        kpc = await Gateway(house).start()
        device = Device(kpc.door, "a long name")
        device.client.connect()
        for byte in device.client.take_output()[:-1]:
            device.feed(bytes([byte]))
            await house.clock.advance(1_000)
        assert device.is_closed

    @VERSIONS
    async def test_silence_of_one_and_a_half_keep_alives_ends_it(self, house: House, version: int) -> None:
        kpc = await Gateway(house).start()
        device = await kpc.device("c", version, keep_alive_s=10)
        await house.clock.advance(14_000)
        device.client.ping()
        device.pump()
        await house.clock.advance(14_900)
        assert not device.is_closed
        await house.clock.advance(2_000)
        await device.settle()
        assert device.is_closed
        assert kpc.ended("keep_alive") == 1
        if version == p.V5:
            assert device.heard()[-1] == ("bye", 0x8D)

    async def test_without_a_keep_alive_it_lasts(self, house: House) -> None:
        kpc = await Gateway(house).start()
        device = await kpc.device()
        house.clock.set(house.clock.now_ms() + 10 * 86_400_000)
        await house.clock.advance(3_000)
        assert not device.is_closed

    async def test_while_reading_stands_still_so_does_the_keep_alive(self, house: House) -> None:
        kpc = await Gateway(house).start({"in-flight": 1, "request-timeout": "100s"})
        kpc.answer = lambda _: None
        device = await kpc.device(keep_alive_s=10)
        device.publish(f"{JSON}/1")
        await device.settle()
        assert not device.wire.is_reading
        await house.clock.advance(60_000)
        assert not device.is_closed
        kpc.answer_late(kpc.said[0], (200, None, None))
        await device.settle()
        assert device.wire.is_reading
        await house.clock.advance(14_900)
        assert not device.is_closed
        await house.clock.advance(2_000)
        assert device.is_closed

    async def test_a_farewell_that_nobody_takes_is_cut_off(self, house: House) -> None:
        kpc = await Gateway(house).start()
        device = await kpc.device("c", p.V5)
        await device.ask(JSON)
        device.wire.is_stuck = True
        await kpc.revoke("dev-1", "T1")
        assert device.wire.end == ""
        await house.clock.advance(7_000)
        assert device.wire.end == "aborted"
        await device.settle()
        assert len(kpc.door._connections) == 0


class TestBackPressure:
    async def test_at_the_limit_in_flight_reading_stops_and_goes_on(self, house: House) -> None:
        kpc = await Gateway(house).start({"in-flight": 4})
        kpc.answer = lambda _: None
        device = await kpc.device()
        for number in range(10):
            device.client.publish(f"{JSON}/{number}", b"{}", qos=number % 2)
        await device.settle()
        assert not device.wire.is_reading
        assert len(kpc.said) == 4
        kpc.answer_late(kpc.said[0], (200, None, None))
        await device.settle()
        assert len(kpc.said) == 5
        for at in range(1, 10):
            await device.until(lambda at=at: len(kpc.said) > at)
            kpc.answer_late(kpc.said[at], (200, None, None))
            await device.settle()
        assert device.wire.is_reading
        assert [message.request_id for message in kpc.said] == list(range(10))
        answers = [event.topic for event in device.events if isinstance(event, p.Publish)]
        assert answers == [f"{JSON}/{number}/status" for number in range(10)]

    async def test_acknowledgements_leave_in_the_order_of_the_messages(self, house: House) -> None:
        kpc = await Gateway(house).start()
        kpc.answer = lambda _: None
        device = await kpc.device()
        for number in range(20):
            device.client.publish(f"{JSON}/{number}", b"{}", qos=1 + number % 2)
        await device.until(lambda: len(kpc.said) == 20)
        device.events.clear()
        order = list(kpc.said)
        random.Random(3).shuffle(order)
        for message in order:
            kpc.answer_late(message, (200, None, None))
            await device.settle()
        answers = [event.topic for event in device.events if isinstance(event, p.Publish)]
        assert answers == [f"{JSON}/{number}/status" for number in range(20)]

    async def test_a_reader_that_does_not_read_is_cut_off(self, house: House) -> None:
        kpc = await Gateway(house).start({"max-unsent": "64KiB"})
        kpc.answer = lambda _: (200, None, b"x" * 10_000)
        device = await kpc.device()
        assert device.wire.high == 65_536
        device.wire.is_stuck = True
        for number in range(10):
            device.client.publish(f"{JSON}/{number}", b"{}")
            device.pump()
            await house.clock.advance(0)
        assert device.wire.end == "aborted"
        await house.clock.advance(0)
        assert kpc.ended("slow_reader") == 1
        assert [dict(event.endpoints) for event in kpc.disconnected] == [{"dev-1": "home-v1"}]

    async def test_a_full_queue_refuses_at_once(self, house: House) -> None:
        kpc = await Gateway(house).start({"extension-instances": {"dcx": {}, "slow": {}}})
        slow = next(s for s in house.bus._subscriptions if s.subject.name == "kaa.v1.service.slow.esp.ClientData")
        device = await kpc.device()
        await device.ask(JSON)
        for number in range(30):
            device.client.publish(f"kp1/home-v1/slow/T1/x/{number}", b"{}")
        slow.limit = 20
        device.pump()  # nobody has had a turn to take something
        assert len(slow) == 20
        await device.settle()
        answers = [event for event in device.events if isinstance(event, p.Publish)]
        assert [event.topic.rsplit("/", 2)[1:] for event in answers] == [
            [str(number), "status" if number < 20 else "error"] for number in range(30)
        ]
        assert all(b'"statusCode":503' in event.payload for event in answers[20:])


class TestElsewhere:
    """A server, not a broker."""

    TOPICS = {
        "sensors/temperature": "sensors/temperature",
        "kp1/home-v1/dcx": "kp1/home-v1/dcx",
        "kp2/home-v1/dcx/T1/json": "kp2/home-v1/*/*/*",
        "kp1/home-v1/dcx/a.b/json": "kp1/home-v1/dcx/*/*",
        "/kp1/home-v1/dcx/T1/json": "/kp1/home-v1/dcx/*/*",
    }

    @VERSIONS
    async def test_a_publish_elsewhere_is_acknowledged_and_goes_nowhere(self, house: House, version: int) -> None:
        kpc = await Gateway(house).start()
        device, other = await kpc.device("c", version), await kpc.device("d", version)
        other.client.subscribe(("#", 1))
        await other.settle()
        other.heard()
        for packet_id, topic in enumerate(self.TOPICS, 1):
            code = 0x90 if version == p.V5 else 0
            assert await device.ask(topic, qos=1) == [("ack", packet_id, code)]
            assert await device.ask(topic) == []
        await other.settle()
        assert other.heard() == []
        assert not device.is_closed
        assert kpc.said == []
        kept = await kpc.refusals(2 * len(self.TOPICS))
        assert {(refusal["topic"], refusal["statusCode"]) for refusal in kept} == {
            (shape, 404) for shape in self.TOPICS.values()
        }
        assert not any("T1" in refusal["reason"] for refusal in kept)

    @pytest.mark.parametrize(("version", "code"), [(p.V311, 0x80), (p.V5, 0x8F)])
    async def test_subscribing_is_granted_and_changes_nothing(self, house: House, version: int, code: int) -> None:
        kpc = await Gateway(house).start()
        device = await kpc.device("c", version)
        device.client.subscribe(("#", 2), ("kp1/+/dcx/T1/json/+/status", 1), ("a/#/b", 0), ("+", 0))
        await device.settle()
        assert device.events[-1].reason_codes == (2, 1, code, 0)
        assert await device.ask(f"{JSON}/1") == [(f"{JSON}/1/status", b"")]
        device.client.unsubscribe("#", "never")
        await device.settle()
        assert isinstance(device.events[-1], p.UnsubAck)

    @pytest.mark.parametrize(("version", "code"), [(p.V311, 0x80), (p.V5, 0x9E)])
    async def test_shared_subscriptions_are_refused(self, house: House, version: int, code: int) -> None:
        kpc = await Gateway(house).start()
        device = await kpc.device("c", version)
        device.client.subscribe(("$share/group/kp1/#", 1))
        await device.settle()
        assert device.events[-1].reason_codes == (code,)

    async def test_retain_is_nothing_to_mqtt_3_and_the_end_to_mqtt_5(self, house: House) -> None:
        kpc = await Gateway(house).start()
        old, new = await kpc.device("a", p.V311), await kpc.device("b", p.V5)
        assert await old.ask(f"{JSON}/1", retain=True) == [(f"{JSON}/1/status", b"")]
        assert await new.ask(f"{JSON}/1", retain=True) == [("bye", 0x9A)]
        assert new.is_closed
        assert len(kpc.said) == 1
        assert kpc.ended("retain") == 1


class TestBadInput:
    @pytest.mark.parametrize(
        "data",
        [
            b"GET / HTTP/1.1\r\nHost: example.org\r\nUser-Agent: somebody\r\nAccept: text/html\r\n\r\n",
            b"\x00" * 20,
            b"\xff" * 20,
            b"\x30\xff\xff\xff\x7f",
            b"\x10\xff\xff\xff\xff\x01",
            b"\x10\x02\x00\x00",
            b"\xc0\x00",
        ],
        ids=repr,
    )
    async def test_what_is_no_connect_ends_it_and_is_counted(self, house: House, data: bytes) -> None:
        kpc = await Gateway(house).start()
        device, other = Device(kpc.door), await kpc.device("other")
        device.feed(data)
        await other.settle()
        assert device.is_closed
        counted = sum(kpc.ended(reason) for reason in ("malformed_packet", "protocol_error", "packet_too_large"))
        assert counted == 1
        assert await other.ask(f"{JSON}/1") == [(f"{JSON}/1/status", b"")]

    @VERSIONS
    async def test_a_packet_that_is_announced_too_large_is_refused_at_its_head(
        self, house: House, version: int
    ) -> None:
        kpc = await Gateway(house).start()
        device = await kpc.device("c", version)
        device.feed(b"\x30\xff\xff\xff\x7f" + b"\x00\x04")  # 256 MB to come
        await device.settle()
        assert device.is_closed
        assert device.heard() == ([("bye", 0x95)] if version == p.V5 else [])
        assert kpc.ended("packet_too_large") == 1

    async def test_a_topic_that_is_too_long_is_refused(self, house: House) -> None:
        kpc = await Gateway(house).start({"max-topic": 64})
        device = await kpc.device("c", p.V5)
        found = await device.ask(f"kp1/home-v1/dcx/T1/{'x' * 64}", qos=1)
        assert found in ([("bye", 0x90)], [("ack", 1, 0x90)])

    async def test_a_second_connect_ends_it(self, house: House) -> None:
        kpc = await Gateway(house).start()
        device = await kpc.device("c", p.V5)
        device.client.connect()
        await device.settle()
        assert device.is_closed
        assert kpc.ended("protocol_error") == 1

    async def test_what_came_before_the_bad_packet_counts(self, house: House) -> None:
        kpc = await Gateway(house).start()
        device = await kpc.device()
        device.client.publish(JSON, b"[1]")
        device.feed(device.client.take_output() + b"\x00\x00")
        await device.settle()
        assert [message.payload for message in kpc.said] == [b"[1]"]
        assert device.is_closed

    async def test_random_bytes_trouble_nobody_else(self, house: House) -> None:
        kpc = await Gateway(house).start()
        other = await kpc.device("other")
        dice = random.Random(6)
        for number in range(60):
            device = Device(kpc.door, f"c{number}", dice.choice([p.V31, p.V311, p.V5]))
            if number % 2:
                await device.connect()
            for _ in range(3):
                device.feed(dice.randbytes(dice.randint(1, 200)))
            await device.settle()
            device.wire.lose()
        assert await other.ask(f"{JSON}/1") == [(f"{JSON}/1/status", b"")]
        assert len(kpc.door._connections) == 1


class TestUnknownTokens:
    async def test_more_than_ten_within_a_minute_end_a_connection_that_has_shown_none(self, house: House) -> None:
        kpc = await Gateway(house).start()
        device = await kpc.device("c", p.V5)
        for number in range(10):
            await device.ask(f"kp1/home-v1/dcx/guess{number}/json", qos=1)
        await device.ask("kp1/home-v1/dcx/guess3/json", qos=1)
        assert not device.is_closed
        found = await device.ask("kp1/home-v1/dcx/guess10/json", qos=1)
        assert found[-1] == ("bye", 0x87)
        assert device.is_closed
        assert kpc.ended("status_401") == 1

    async def test_after_a_minute_they_are_counted_anew(self, house: House) -> None:
        kpc = await Gateway(house).start()
        device = await kpc.device()
        for minute in range(3):
            for number in range(10):
                await device.ask(f"kp1/home-v1/dcx/guess{minute}-{number}/json")
            await house.clock.advance(60_001)
        assert not device.is_closed

    async def test_who_has_shown_a_valid_one_may_err(self, house: House) -> None:
        kpc = await Gateway(house).start()
        device = await kpc.device()
        await device.ask(JSON)
        for number in range(15):
            await device.ask(f"kp1/home-v1/dcx/guess{number}/json")
        assert not device.is_closed

    async def test_the_limit_can_be_configured(self, house: House) -> None:
        kpc = await Gateway(house).start({"unknown-tokens-per-minute": 0})
        device = await kpc.device()
        await device.ask("kp1/home-v1/dcx/guess/json")
        assert device.is_closed


class TestShutdown:
    async def test_who_is_there_gets_a_farewell(self, house: House) -> None:
        kpc = await Gateway(house).start()
        device, old = await kpc.device("a", p.V5), await kpc.device("b", p.V311)
        await device.ask(f"{JSON}/1")
        kpc.door.is_closing = True
        for connection in list(kpc.door._connections):
            connection.end("shutdown", Reason.SERVER_SHUTTING_DOWN, "the server is stopping")
        await device.settle()
        old.pump()
        assert device.heard() == [("bye", 0x8B)]
        assert device.is_closed
        assert old.is_closed
        assert [dict(event.endpoints) for event in kpc.disconnected] == [{"dev-1": "home-v1"}]

    async def test_while_it_closes_nobody_comes_in(self, house: House) -> None:
        kpc = await Gateway(house).start()
        kpc.door.is_closing = True
        assert Device(kpc.door).is_closed
