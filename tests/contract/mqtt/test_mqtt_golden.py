"""Every packet in every version, byte for byte, spelled from the standards by hand."""

import pytest

from kaa.protocols.mqtt import packets as p
from kaa.protocols.mqtt import properties as prop
from kaa.protocols.mqtt.codec import Decoder, encode

WILL = p.Will("w/t", b"bye", 1, True)
FULL = {"client_id": "dev", "clean_start": False, "keep_alive_s": 60, "username": "u", "password": b"pw", "will": WILL}
WILL5 = p.Will("w/t", b"bye", 2, False, {prop.WILL_DELAY_INTERVAL: 5})
USER = {prop.USER_PROPERTY: [("a", "b"), ("a", "c")]}

# version, packet, bytes
VECTORS = [
    (3, p.Connect("c", 3), "100f 0006 4d5149736470 03 02 0000 0001 63"),
    (4, p.Connect("c", 4), "100d 0004 4d515454 04 02 0000 0001 63"),
    (5, p.Connect("c", 5), "100e 0004 4d515454 05 02 0000 00 0001 63"),
    (
        3,
        p.Connect(version=3, **FULL),
        "1022 0006 4d5149736470 03 ec 003c 0003 646576 0003 772f74 0003 627965 0001 75 0002 7077",
    ),
    (
        4,
        p.Connect(version=4, **FULL),
        "1020 0004 4d515454 04 ec 003c 0003 646576 0003 772f74 0003 627965 0001 75 0002 7077",
    ),
    (
        5,
        p.Connect(
            "", 5, True, 10, None, b"t", WILL5, {prop.SESSION_EXPIRY_INTERVAL: 0xFFFFFFFF, prop.RECEIVE_MAXIMUM: 20}
        ),
        "1028 0004 4d515454 05 56 000a 08 11ffffffff 210014 0000 05 1800000005 0003 772f74 0003 627965 0001 74",
    ),
    (3, p.ConnAck(False, 0), "2002 0000"),
    (4, p.ConnAck(True, 0), "2002 0100"),
    (4, p.ConnAck(False, 5), "2002 0005"),
    (5, p.ConnAck(False, 0x87), "2003 0087 00"),
    (
        5,
        p.ConnAck(True, 0, {prop.RECEIVE_MAXIMUM: 256, prop.RETAIN_AVAILABLE: 0, prop.ASSIGNED_CLIENT_IDENTIFIER: "x"}),
        "200c 0100 09 210100 2500 12000178",
    ),
    (3, p.Publish("a/b", b"hi"), "3007 0003 612f62 6869"),
    (4, p.Publish("a/b", b"hi", 1, 10), "3209 0003 612f62 000a 6869"),
    (4, p.Publish("a/b", b"", 2, 0xFFFF, True, True), "3d07 0003 612f62 ffff"),
    (5, p.Publish("a/b", b"hi"), "3008 0003 612f62 00 6869"),
    (5, p.Publish("a/b", b"hi", 1, 10), "320a 0003 612f62 000a 00 6869"),
    (5, p.Publish("", b"hi", 0, 0, properties={prop.TOPIC_ALIAS: 3}), "3008 0000 03 230003 6869"),
    (
        5,
        p.Publish("a", b"", 1, 1, properties={prop.RESPONSE_TOPIC: "r", prop.CORRELATION_DATA: b"\x00", **USER}),
        "321c 0001 61 0001 16 08000172 09000100 26000161000162 26000161000163",
    ),
    (5, p.Publish("a", b"", properties={prop.SUBSCRIPTION_IDENTIFIER: [1, 200]}), "3009 0001 61 05 0b01 0bc801"),
    (4, p.PubAck(10), "4002 000a"),
    (5, p.PubAck(10), "4002 000a"),
    (5, p.PubAck(10, 0x10), "4003 000a 10"),
    (5, p.PubAck(10, 0x97, {prop.REASON_STRING: "no"}), "4009 000a 97 05 1f00026e6f"),
    (4, p.PubRec(10), "5002 000a"),
    (5, p.PubRec(10, 0x99), "5003 000a 99"),
    (3, p.PubRel(10), "6202 000a"),
    (5, p.PubRel(10, 0x92), "6203 000a 92"),
    (4, p.PubComp(10), "7002 000a"),
    (5, p.PubComp(10, 0x92), "7003 000a 92"),
    (4, p.Subscribe(1, (p.Subscription("a/#", 1), p.Subscription("+", 0))), "820c 0001 0003 612f23 01 0001 2b 00"),
    (
        5,
        p.Subscribe(1, (p.Subscription("a", 2, True, True, 2),), {prop.SUBSCRIPTION_IDENTIFIER: [1]}),
        "8209 0001 02 0b01 0001 61 2e",
    ),
    (4, p.SubAck(1, (0, 2, 0x80)), "9005 0001 00 02 80"),
    (5, p.SubAck(1, (1, 0x9E)), "9005 0001 00 01 9e"),
    (4, p.Unsubscribe(1, ("a", "b")), "a208 0001 0001 61 0001 62"),
    (5, p.Unsubscribe(1, ("a",)), "a206 0001 00 0001 61"),
    (4, p.UnsubAck(1), "b002 0001"),
    (5, p.UnsubAck(1, (0, 0x11)), "b005 0001 00 00 11"),
    (4, p.PingReq(), "c000"),
    (5, p.PingResp(), "d000"),
    (4, p.Disconnect(), "e000"),
    (5, p.Disconnect(), "e000"),
    (5, p.Disconnect(0x04), "e001 04"),
    (5, p.Disconnect(0x8E, {prop.REASON_STRING: "x"}), "e006 8e 04 1f000178"),
    (5, p.Auth(0x18, {prop.AUTHENTICATION_METHOD: "m"}), "f006 18 04 1500016d"),
]


@pytest.mark.parametrize(("version", "packet", "spelling"), VECTORS, ids=[f"{v[1]!r:.60}-{v[0]}" for v in VECTORS])
class TestSpelledByHand:
    def test_a_packet_is_encoded_as_the_standard_says(self, version, packet, spelling):
        assert encode(packet, version) == bytes.fromhex(spelling)

    def test_and_decoded_to_the_same_packet(self, version, packet, spelling):
        decoder = Decoder(version=0 if isinstance(packet, p.Connect) else version)

        assert decoder.feed(bytes.fromhex(spelling)) == [packet]
        assert decoder.version == version


def test_the_remaining_length_of_the_standards_examples():
    for size, length in [(127, "7f"), (128, "8001"), (16383, "ff7f"), (16384, "808001"), (2097151, "ffff7f")]:
        wire = encode(p.Publish("t", bytes(size - 3)), 4)

        assert wire[1:].startswith(bytes.fromhex(length))
        assert Decoder(1 << 28, version=4).feed(wire) == [p.Publish("t", bytes(size - 3))]


def test_a_reason_of_zero_may_be_spelled_out():
    assert Decoder(version=5).feed(bytes.fromhex("4003 000a 00 4004 000a 00 00 e001 00 e002 00 00 f000")) == [
        p.PubAck(10),
        p.PubAck(10),
        p.Disconnect(),
        p.Disconnect(),
        p.Auth(),
    ]
