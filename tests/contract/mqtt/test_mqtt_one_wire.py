"""Two machines, one wire: a client session against a server session, whole and one byte at a time."""

import pytest

from kaa.protocols.mqtt import packets as p
from kaa.protocols.mqtt.client import Acknowledged, ClientSession
from kaa.protocols.mqtt.server import Received, ServerSession, SessionState


def whole(data):
    return [data] if data else []


def byte_by_byte(data):
    return [bytes((byte,)) for byte in data]


@pytest.fixture(params=[whole, byte_by_byte])
def cut(request):
    return request.param


class Wire:
    """Carries bytes until neither side has more to say; the server refuses what speaks of it and answers all else."""

    def __init__(self, client, cut, store=None):
        self.client = client
        self.cut = cut
        self.store = store if store is not None else {}
        self.server = ServerSession()
        self.received = []
        self.heard = []

    def run(self):
        while True:
            out = self.client.take_output()
            for piece in self.cut(out):
                self.serve(self.server.receive(piece))
            back = self.server.take_output()
            for piece in self.cut(back):
                self.heard += self.client.receive(piece)
            if not out and not back:
                return self

    def serve(self, events):
        for event in events:
            match event:
                case p.Connect():
                    known = event.client_id in self.store
                    state = self.store.setdefault(event.client_id, SessionState())
                    self.serve(self.server.accept(known, state))
                case Received():
                    self.received.append((event.topic, event.payload))
                    answer = self.server.answer(event.topic + "/status", b"ok", min(event.qos, 1))
                    self.server.settle(event, 0x97 if b"refuse" in event.payload else 0, answers=answer)
                case p.Subscribe():
                    self.server.grant(event)
                case p.Unsubscribe():
                    self.server.release(event)


def test_a_conversation(version, cut):
    client = ClientSession("c", version=version)
    client.connect()
    ids = [client.publish("t", bytes((48 + number,)), number % 3) for number in range(12)]  # does not wait
    client.subscribe(("a/#", 1), ("$share/x/y", 0))
    client.unsubscribe("a/#")
    client.ping()
    wire = Wire(client, cut).run()

    assert wire.received == [("t", bytes((48 + number,))) for number in range(12)]
    assert sorted(event.packet_id for event in wire.heard if type(event) is Acknowledged) == sorted(filter(None, ids))
    assert sum(type(event) is p.Publish for event in wire.heard) == 12
    assert client.unacknowledged == 0
    assert wire.server.unsettled == 0
    [suback] = [event for event in wire.heard if type(event) is p.SubAck]
    assert suback.reason_codes == (1, 0x9E if version == 5 else 0x80)
    assert p.PingResp() in wire.heard
    client.disconnect()
    wire.run()
    assert not wire.server.is_open


def test_refusals_reach_a_client_of_mqtt_5(version, cut):
    client = ClientSession("c", version=version)
    client.connect()
    client.publish("t", b"refuse", 1)
    client.publish("t", b"refuse", 2)
    wire = Wire(client, cut).run()

    reasons = [event.reason_code for event in wire.heard if type(event) is Acknowledged]
    assert reasons == ([0x97, 0x97] if version == 5 else [0, 0])
    assert client.unacknowledged == 0


def test_after_a_break_at_any_byte_qos_2_arrives_exactly_once_and_qos_1_at_least_once(cut):
    for lost_after in range(0, 120, 3):
        store = {}
        client = ClientSession("c", version=4)
        first = Wire(client, cut, store)
        client.connect(clean_start=False)
        first.run()
        for number in range(6):
            client.publish("t", bytes((48 + number,)), 1 + number % 2)
        first.serve(first.server.receive(client.take_output()[:lost_after]))
        client.receive(first.server.take_output()[: lost_after // 2])

        second = Wire(client, cut, store)
        client.connect(clean_start=False)
        second.run()

        seen = [payload for _, payload in first.received + second.received]
        assert set(seen) == {b"0", b"1", b"2", b"3", b"4", b"5"}
        assert [seen.count(payload) for payload in (b"1", b"3", b"5")] == [1, 1, 1]
        assert client.unacknowledged == 0
        assert store["c"].incoming_qos2 == {}


def test_a_client_that_is_told_its_session_is_gone_forgets_what_was_under_way():
    client = ClientSession("c", version=4)
    client.connect(clean_start=False)
    Wire(client, whole).run()
    client.publish("t", b"x", 2)
    client.take_output()
    client.connect(clean_start=False)
    wire = Wire(client, whole).run()

    assert wire.received == []
    assert client.unacknowledged == 0


def test_pushes_are_acknowledged_by_the_client(pair, version):
    client, server = pair(version)
    server.publish("a", b"1", 1)
    server.publish("a", b"0")
    wire = server.take_output()
    events = client.receive(wire)

    assert [event.payload for event in events] == [b"1", b"0"]
    assert client.take_output() == bytes.fromhex("4002 0001")
