"""Devices that are there run commands, take configurations, and note how long their telemetry takes."""

import json

import pytest

from kaa.bench.attendants import Attendant
from kaa.protocols import cep, cmp, kp
from kaa.protocols.mqtt import packets as p
from kaa.protocols.mqtt.codec import Decoder
from kaa.protocols.mqtt.encoding import encode, encode_puback, encode_publish


class Gateway:
    """A connection of two devices, seen from the server's end."""

    def __init__(self):
        self.noted, self.got = [], []
        note, got = (lambda *times: self.noted.append(times)), (lambda *what: self.got.append(what))
        self.decoder = Decoder(1 << 20, max_topic_bytes=1024)
        self.packets = []
        self.device = Attendant("d", "v", ("one", "two"), note, got)
        self.device.connection_made(self)
        self.device.data_received(encode(p.ConnAck(), p.V311))
        self.published()

    def write(self, data):
        self.packets += self.decoder.feed(data)

    def push(self, extension, token, path, payload):
        topic = kp.push_topic("v", extension, token, path)
        self.device.data_received(encode_publish(topic, payload, 1, 7, version=p.V311))

    def published(self):
        packets, self.packets = self.packets, []
        return [one for one in packets if isinstance(one, p.Publish)]


@pytest.fixture
async def gateway():
    return Gateway()


async def test_every_device_speaks_once(gateway):
    gateway.device.greet()
    assert [one.topic for one in gateway.published()] == ["kp1/v/dcx/one/json", "kp1/v/dcx/two/json"]


async def test_only_what_was_due_is_noted(gateway):
    gateway.device.greet()
    gateway.device.send(-5.0)
    for one in gateway.published():
        gateway.device.data_received(encode_puback(one.packet_id))
    [(due, took)] = gateway.noted
    assert due == -5.0
    assert took > 5


async def test_commands_are_run_by_the_device_that_they_are_for(gateway):
    gateway.push("cex", "two", f"{cep.COMMAND}blink", cep.render_commands([(4, None), (5, b'{"times":3}')]))
    [said] = gateway.published()
    assert (said.topic, said.qos) == ("kp1/v/cex/two/result/blink", 1)
    assert [(one.id, one.status_code) for one in cep.parse_results(said.payload)] == [(4, 200), (5, 200)]


async def test_a_configuration_is_noted_and_reported_as_applied(gateway):
    gateway.push("cmx", "one", cmp.push_path(cmp.DEFAULT), cmp.configuration("c1", b'{"number":3}'))
    assert gateway.got == [(b"one", 3)]
    [said] = gateway.published()
    assert said.topic == "kp1/v/cmx/one/applied/json"
    assert cmp.read(cmp.APPLIED, said.payload).config_id == "c1"


async def test_that_there_is_no_configuration_is_no_news(gateway):
    gateway.push("cmx", "one", cmp.push_path(cmp.DEFAULT), json.dumps({"configId": "", "config": None}).encode())
    assert (gateway.got, gateway.published()) == ([], [])


async def test_what_it_says_has_packet_ids_of_its_own(gateway):
    gateway.device.greet()
    gateway.push("cex", "one", f"{cep.COMMAND}blink", b'[{"id":1}]')
    gateway.device.send(0.0)
    ids = [one.packet_id for one in gateway.published()]
    assert len(set(ids)) == len(ids) == 4
