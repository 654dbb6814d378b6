"""The devices of the load speak MQTT as our own codec does."""

import json

import pytest

from kaa.bench.devices import FIELDS, Flooder, Pacer
from kaa.protocols.mqtt import packets as p
from kaa.protocols.mqtt.codec import Decoder
from kaa.protocols.mqtt.encoding import encode, encode_puback, encode_publish

CONNACK = encode(p.ConnAck(), p.V311)


class Wire:
    """What the server's end would see."""

    def __init__(self):
        self.decoder = Decoder(1 << 20, max_topic_bytes=1024)
        self.packets = []

    def write(self, data):
        self.packets += self.decoder.feed(data)

    def taken(self):
        packets, self.packets = self.packets, []
        return packets


@pytest.fixture
async def wire():
    return Wire()


def connected(device, wire):
    device.connection_made(wire)
    device.data_received(CONNACK)
    assert device.connected.done()
    [connect] = wire.taken()
    assert connect.client_id == "d"
    device.send_more()
    return device


def flooder(wire, *topics, in_flight=3, **more):
    return connected(Flooder("d", topics, in_flight=in_flight, **more), wire)


async def test_a_message_has_three_numbers_and_quality_1(wire):
    flooder(wire, "a/b", in_flight=1)
    [message] = wire.taken()
    assert (message.topic, message.qos) == ("a/b", 1)
    sample = json.loads(message.payload)
    assert len(sample) == FIELDS
    assert all(isinstance(value, int | float) for value in sample.values())


async def test_an_array_has_as_many_samples_as_are_wanted(wire):
    flooder(wire, "a", in_flight=1, samples=1000)
    [message] = wire.taken()
    assert len(json.loads(message.payload)) == 1000


async def test_so_many_are_under_way_and_each_acknowledgement_lets_one_go(wire):
    device = flooder(wire, "a", "b", in_flight=3)
    first = wire.taken()
    assert [message.topic for message in first] == ["a", "b", "a"]
    assert len({message.packet_id for message in first}) == 3
    device.data_received(encode_puback(first[0].packet_id) + encode_puback(first[1].packet_id))
    assert (device.acknowledged, len(wire.taken())) == (2, 2)


@pytest.mark.parametrize("size", [1, 3, 4, 5, 1000])
async def test_acknowledgements_count_however_they_are_cut_and_answers_are_acknowledged(wire, size):
    device = flooder(wire, "a", in_flight=8)
    ids = [message.packet_id for message in wire.taken()]
    answers = [encode_publish("a/1/status", b"", 1, 700 + number, version=p.V311) for number in ids]
    data = b"".join(encode_puback(number) + answer for number, answer in zip(ids, answers, strict=True))
    for at in range(0, len(data), size):
        device.data_received(data[at : at + size])
    assert (device.acknowledged, device.answers, device.refused) == (8, 8, 0)
    acknowledged = [packet.packet_id for packet in wire.taken() if isinstance(packet, p.PubAck)]
    assert acknowledged == [700 + number for number in ids]


async def test_an_error_is_kept(wire):
    device = flooder(wire, "a", in_flight=1)
    device.data_received(encode_publish("a/error", b"no", 1, 7, version=p.V311))
    assert (device.refused, device.refusal) == (1, "no")


async def test_it_is_done_when_all_is_acknowledged(wire):
    device = flooder(wire, "a", in_flight=2, messages=3)
    for _ in range(3):
        assert not device.done.done()
        device.data_received(encode_puback(1))
    assert device.done.done()
    assert device.sent == 3


async def test_one_that_is_stopped_waits_for_what_is_under_way(wire):
    device = flooder(wire, "a", in_flight=2)
    device.stop()
    device.data_received(encode_puback(1))
    assert not device.done.done()
    device.data_received(encode_puback(2))
    assert device.done.done()


async def test_one_that_waits_for_answers_is_done_with_the_last(wire):
    device = flooder(wire, "a", in_flight=1, messages=1, is_answered=True)
    device.data_received(encode_puback(1))
    assert not device.done.done()
    device.data_received(encode_publish("a/status", b"", 1, 7, version=p.V311))
    assert device.done.done()


async def test_a_refused_connect_is_an_error(wire):
    device = Flooder("d", ("a",), in_flight=1)
    device.connection_made(wire)
    device.data_received(b"\x20\x02\x00\x05")
    with pytest.raises(ConnectionError):
        await device.connected


async def test_the_time_counts_from_when_a_message_was_due(wire):
    noted = []
    device = Pacer("d", "a", lambda due, took: noted.append((due, took)))
    device.connection_made(wire)
    device.data_received(CONNACK)
    device.send(-5.0)
    *_, message = wire.taken()
    device.data_received(encode_puback(message.packet_id))
    [(due, took)] = noted
    assert due == -5.0
    assert took > 5
