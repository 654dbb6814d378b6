"""KPC, what the outcome of a message does: the table of delivery, row by row, for MQTT 3 and 5."""

import pytest
from gateway import Device, Gateway
from house import House

from kaa.protocols.mqtt import packets as p
from kaa.protocols.mqtt import properties as prop

TOPIC = "kp1/home-v1/dcx/T1/json"
BOTH = pytest.mark.parametrize("version", [p.V31, p.V311, p.V5], ids=["3.1", "3.1.1", "5"])
QOS = pytest.mark.parametrize("qos", [0, 1, 2])


def acks(qos: int, reason: int = 0, packet_id: int = 1) -> list[tuple[str, int, int]]:
    return [("ack", packet_id, reason)] if qos else []


def error(status: int, reason: str) -> bytes:
    return b'{"statusCode":%d,"reasonPhrase":"%s"}' % (status, reason.encode())


async def started(
    house: House, version: int, outcome: tuple[int, str | None, bytes | None] | None
) -> tuple[Gateway, Device]:
    kpc = await Gateway(house).start()
    kpc.answer = lambda _: outcome
    return kpc, await kpc.device("c", version)


def in_order(heard: list[object], qos: int) -> list[object]:
    """At QoS 2 the PUBCOMP comes after the answer; the receipt is what counts."""
    return sorted(heard, key=lambda item: item[0] != "ack") if qos == 2 else heard  # type: ignore[index]


class TestSuccess:
    @BOTH
    @QOS
    async def test_with_a_request_id_there_is_a_status(self, house: House, version: int, qos: int) -> None:
        _, device = await started(house, version, (200, None, None))
        assert in_order(await device.ask(f"{TOPIC}/7", qos=qos), qos) == [*acks(qos), (f"{TOPIC}/7/status", b"")]

    @BOTH
    @QOS
    async def test_without_one_and_without_a_payload_there_is_silence(
        self, house: House, version: int, qos: int
    ) -> None:
        kpc, device = await started(house, version, (200, None, None))
        assert await device.ask(TOPIC, qos=qos) == acks(qos)
        assert len(kpc.said) == 1

    @BOTH
    @QOS
    async def test_a_payload_is_sent_with_or_without_a_request_id(self, house: House, version: int, qos: int) -> None:
        _, device = await started(house, version, (200, None, b'{"token":1}'))
        assert in_order(await device.ask(TOPIC, qos=qos), qos) == [*acks(qos), (f"{TOPIC}/status", b'{"token":1}')]
        found = in_order(await device.ask(f"{TOPIC}/0", qos=qos), qos)
        assert found == [*acks(qos, packet_id=2), (f"{TOPIC}/0/status", b'{"token":1}')]

    async def test_acknowledgement_and_status_leave_in_one_write(self, house: House) -> None:
        _, device = await started(house, p.V311, (200, None, None))
        before = device.wire.writes
        await device.ask(f"{TOPIC}/7", qos=1)
        assert device.wire.writes == before + 1

    @pytest.mark.parametrize(("qos", "answer_qos"), [(0, 0), (1, 1), (2, 1)])
    async def test_the_answer_has_the_qos_of_the_request_at_most_1(
        self, house: House, qos: int, answer_qos: int
    ) -> None:
        _, device = await started(house, p.V311, (200, None, None))
        device.events.clear()
        device.publish(f"{TOPIC}/7", qos=qos)
        await device.settle()
        assert [event.qos for event in device.events if isinstance(event, p.Publish)] == [answer_qos]


class TestRefusal:
    CODES = {
        400: 0x99,
        401: 0x87,
        403: 0x87,
        404: 0x90,
        413: 0x97,
        429: 0x97,
        507: 0x97,
        304: 0x83,
        409: 0x83,
        412: 0x83,
        499: 0x83,
    }

    @BOTH
    async def test_a_final_no_is_acknowledged_and_told(self, house: House, version: int) -> None:
        kpc, device = await started(house, version, None)
        packet_id = 0
        for status, reason_code in self.CODES.items():
            kpc.answer = lambda _, status=status: (status, "because", None)  # type: ignore[misc]
            code = reason_code if version == p.V5 else 0
            for qos in (0, 1, 2):
                for topic in (f"{TOPIC}/7", TOPIC):
                    packet_id += qos > 0
                    found = in_order(await device.ask(topic, qos=qos), qos)
                    assert found == [*acks(qos, code, packet_id), (f"{topic}/error", error(status, "because"))]
        assert not device.is_closed

    async def test_the_reason_is_on_the_puback_of_mqtt_5_too(self, house: House) -> None:
        _, device = await started(house, p.V5, (400, "the payload is not JSON", None))
        device.events.clear()
        device.publish(TOPIC, qos=1)
        await device.settle()
        assert device.events[0].properties == {prop.REASON_STRING: "the payload is not JSON"}

    async def test_without_a_reason_the_extension_is_named(self, house: House) -> None:
        _, device = await started(house, p.V311, (409, None, None))
        ((_, payload),) = await device.ask(TOPIC)
        assert b"dcx" in payload


class TestFailure:
    CODES = {503: 0x97, 504: 0x83, 500: 0x83, 502: 0x83, 501: 0x83}

    @BOTH
    async def test_at_qos_0_it_is_told(self, house: House, version: int) -> None:
        kpc, device = await started(house, version, None)
        for status in self.CODES:
            kpc.answer = lambda _, status=status: (status, "later", None)  # type: ignore[misc]
            for topic in (f"{TOPIC}/7", TOPIC):
                assert await device.ask(topic) == [(f"{topic}/error", error(status, "later"))]
        assert not device.is_closed

    @BOTH
    async def test_above_it_there_is_no_acknowledgement_and_the_connection_ends(
        self, house: House, version: int
    ) -> None:
        kpc, device = await started(house, version, None)
        for status, farewell in self.CODES.items():
            kpc.answer = lambda _, status=status: (status, "later", None)  # type: ignore[misc]
            for qos in (1, 2):
                expected = [("bye", farewell)] if version == p.V5 else []
                assert await device.ask(f"{TOPIC}/7", b"%d%d" % (status, qos), qos=qos) == expected
                assert device.is_closed
                await device.again()
            assert kpc.ended(f"status_{status}") == 2
        assert [event.endpoints for event in kpc.disconnected] == [{"dev-1": "home-v1"}] * 10

    async def test_mqtt_5_is_told_why(self, house: House) -> None:
        _, device = await started(house, p.V5, (503, "the storage is failing", None))
        device.publish(TOPIC, qos=1)
        await device.settle()
        assert device.events[-1].properties == {prop.REASON_STRING: "the storage is failing"}

    async def test_what_was_not_acknowledged_is_sent_again_and_stored_then(self, house: House) -> None:
        kpc, device = await started(house, p.V311, (503, "later", None))
        device.client.disconnect()
        device.pump()
        await device.again(clean_start=False)
        await device.ask(f"{TOPIC}/1", b"[1]", qos=1)
        assert device.is_closed
        kpc.answer = lambda _: (200, None, None)
        connack = await device.again(clean_start=False)
        assert connack.session_present
        await device.settle()
        assert device.heard() == [("ack", 1, 0), (f"{TOPIC}/1/status", b"")]
        assert [message.payload for message in kpc.said] == [b"[1]", b"[1]"]


class TestNoAnswer:
    @BOTH
    async def test_within_the_request_timeout_is_504_and_closes(self, house: House, version: int) -> None:
        kpc, device = await started(house, version, None)
        device.events.clear()
        device.publish(f"{TOPIC}/7", qos=1)
        await device.settle()
        await house.clock.advance(9_999)
        assert device.heard() == []
        assert not device.is_closed
        await house.clock.advance(251)
        await device.settle()
        assert device.heard() == ([("bye", 0x83)] if version == p.V5 else [])
        assert device.is_closed
        assert kpc.ended("status_504") == 1

    async def test_at_qos_0_is_told(self, house: House) -> None:
        _, device = await started(house, p.V311, None)
        device.events.clear()
        device.publish(TOPIC)
        await device.settle()
        await house.clock.advance(10_250)
        await device.settle()
        ((topic, payload),) = device.heard()
        assert topic == f"{TOPIC}/error"
        assert b'"statusCode":504' in payload
        assert b"10 s" in payload

    async def test_an_answer_that_comes_later_goes_nowhere(self, house: House) -> None:
        kpc, device = await started(house, p.V311, None)
        await device.ask(f"{TOPIC}/7")
        await house.clock.advance(10_250)
        await device.settle()
        device.events.clear()
        kpc.answer_late(kpc.said[0], (200, None, b"late"))
        await device.settle()
        assert device.heard() == []

    async def test_the_timeout_can_be_configured(self, house: House) -> None:
        kpc = await Gateway(house).start({"request-timeout": "1s"})
        kpc.answer = lambda _: None
        device = await kpc.device()
        device.publish(TOPIC)
        await device.settle()
        await house.clock.advance(1_250)
        await device.settle()
        assert device.heard()[0][0] == f"{TOPIC}/error"

    @pytest.mark.parametrize("config", [{"receipts": True}, {"receipts": False}])
    async def test_an_extension_that_is_not_there_is_503_at_once(self, house: House, config: dict[str, bool]) -> None:
        kpc = await Gateway(house).start({"extension-instances": {"ext": config}}, is_served=False)
        device = await kpc.device()
        topic = "kp1/home-v1/ext/T1/thing/1"
        assert await device.ask(topic) == [(f"{topic}/error", error(503, "the service ext cannot be reached"))]
        assert await device.ask(topic, qos=1) == []
        assert device.is_closed


class TestPoison:
    """500, our own bug: the third delivery of the same message is put aside, whole, acknowledged and told."""

    @pytest.mark.parametrize("version", [p.V311, p.V5])  # to a client of 3.1 nobody says that there was a session
    @pytest.mark.parametrize("qos", [1, 2])
    async def test_the_third_delivery_is_acknowledged_and_kept_whole(
        self, house: House, version: int, qos: int
    ) -> None:
        kpc, device = await started(house, version, (500, "internal error", None))
        expiry = {prop.SESSION_EXPIRY_INTERVAL: 60} if version == p.V5 else None
        poison = b"[" + b"1," * 500 + b"1]"
        device.client.disconnect()
        device.pump()
        await device.again(clean_start=False, properties=expiry)
        assert await device.ask(f"{TOPIC}/1", poison, qos=qos) in ([], [("bye", 0x83)])
        assert device.is_closed
        await device.again(clean_start=False, properties=expiry)
        await device.until(lambda: device.is_closed)
        await device.settle()
        device.events.clear()
        await device.again(clean_start=False, properties=expiry)
        await device.until(lambda: len(device.events) == 2)
        assert not device.is_closed
        heard = in_order(device.heard(), qos)
        assert heard[0] == ("ack", 1, 0x83 if version == p.V5 else 0)
        topic, payload = heard[1]  # type: ignore[misc]
        assert topic == f"{TOPIC}/1/error"
        assert b'"statusCode":500' in payload
        kept = await kpc.refusals(3)
        assert {refusal["statusCode"] for refusal in kept} == {500}
        assert {refusal["payloadSize"] for refusal in kept} == {len(poison)}
        whole, *heads = sorted((refusal["payload"] for refusal in kept), key=len, reverse=True)
        assert whole == poison.decode()
        assert heads == [poison[:256].decode()] * 2

    async def test_other_messages_are_counted_apart(self, house: House) -> None:
        _, device = await started(house, p.V311, (500, "internal error", None))
        for payload in (b"[1]", b"[2]", b"[1]", b"[2]"):
            await device.ask(TOPIC, payload, qos=1)
            assert device.is_closed
            await device.again()
        device.events.clear()
        device.publish(TOPIC, b"[1]", qos=1)
        await device.until(lambda: device.events or device.is_closed)  # it is kept on the disk first
        assert not device.is_closed

    async def test_where_it_cannot_be_kept_it_is_not_acknowledged(self, house: House) -> None:
        kpc, device = await started(house, p.V311, (500, "internal error", None))
        for _ in range(2):
            await device.ask(TOPIC, b"[1]", qos=1)
            await device.again()

        async def fails(_: object) -> None:
            from kaa.core.errors import Unavailable

            raise Unavailable("the storage is failing")

        kpc.door.notes._refusals._repository.add = fails  # type: ignore[method-assign]
        assert await device.ask(TOPIC, b"[1]", qos=1) == []
        assert device.is_closed


class TestWithoutReceipts:
    """A foreign extension that does not answer every message."""

    CONFIG = {"extension-instances": {"dcx": {}, "ext": {"receipts": False}}}
    TOPIC = "kp1/home-v1/ext/T1/thing"

    async def start(self, house: House, version: int = p.V311) -> tuple[Gateway, Device]:
        kpc = await Gateway(house).start(self.CONFIG)
        kpc.answer = lambda _: None
        return kpc, await kpc.device("c", version)

    @QOS
    async def test_a_message_is_acknowledged_when_it_has_been_handed_on(self, house: House, qos: int) -> None:
        kpc, device = await self.start(house)
        assert await device.ask(self.TOPIC, qos=qos) == acks(qos)
        assert await device.ask(f"{self.TOPIC}/7", qos=qos) == acks(qos, packet_id=2)
        assert len(kpc.said) == 2

    @QOS
    @pytest.mark.parametrize("version", [p.V311, p.V5])
    async def test_an_answer_still_goes_to_who_asked(self, house: House, version: int, qos: int) -> None:
        kpc, device = await self.start(house, version)
        await device.ask(f"{self.TOPIC}/7", qos=qos)
        kpc.answer_late(kpc.said[0], (200, None, b"yes"))
        await device.settle()
        assert device.heard() == [(f"{self.TOPIC}/7/status", b"yes")]
        await device.ask(self.TOPIC, qos=qos)
        kpc.answer_late(kpc.said[1], (400, "no", None))
        await device.settle()
        assert device.heard() == [(f"{self.TOPIC}/error", error(400, "no"))]
        assert not device.is_closed

    @QOS
    async def test_silence_is_no_failure_where_no_answer_was_asked_for(self, house: House, qos: int) -> None:
        kpc, device = await self.start(house)
        await device.ask(self.TOPIC, qos=qos)
        await house.clock.advance(11_000)
        await device.settle()
        assert device.heard() == []
        assert not device.is_closed
        await kpc.refusals(0)

    @QOS
    async def test_where_one_was_silence_is_told_and_closes_nothing(self, house: House, qos: int) -> None:
        _, device = await self.start(house)
        await device.ask(f"{self.TOPIC}/7", qos=qos)
        await house.clock.advance(11_000)
        await device.settle()
        ((topic, payload),) = device.heard()
        assert topic == f"{self.TOPIC}/7/error"
        assert b'"statusCode":504' in payload
        assert not device.is_closed

    @QOS
    async def test_a_late_failure_is_told_and_closes_nothing(self, house: House, qos: int) -> None:
        kpc, device = await self.start(house)
        await device.ask(f"{self.TOPIC}/7", qos=qos)
        kpc.answer_late(kpc.said[0], (503, "later", None))
        await device.settle()
        assert device.heard() == [(f"{self.TOPIC}/7/error", error(503, "later"))]
        assert not device.is_closed


class TestResponseTopic:
    async def test_mqtt_5_gets_the_answer_where_it_wants_it_besides(self, house: House) -> None:
        _, device = await started(house, p.V5, (200, None, b"yes"))
        properties = {prop.RESPONSE_TOPIC: "my/answers", prop.CORRELATION_DATA: b"\x01"}
        device.events.clear()
        device.publish(f"{TOPIC}/7", qos=1, properties=properties)
        await device.settle()
        answers = [event for event in device.events if isinstance(event, p.Publish)]
        assert [(e.topic, e.payload) for e in answers] == [(f"{TOPIC}/7/status", b"yes"), ("my/answers", b"yes")]
        assert answers[1].properties == {prop.CORRELATION_DATA: b"\x01"}

    async def test_so_it_does_with_an_error(self, house: House) -> None:
        _, device = await started(house, p.V5, (400, "no", None))
        found = await device.ask(TOPIC, properties={prop.RESPONSE_TOPIC: "my/answers"})
        assert found == [(f"{TOPIC}/error", error(400, "no")), ("my/answers", error(400, "no"))]
