import pytest

from kaa.core.errors import ProtocolError
from kaa.protocols.mqtt import packets as p
from kaa.protocols.mqtt import properties as prop
from kaa.protocols.mqtt.client import Acknowledged, ClientSession
from kaa.protocols.mqtt.codec import Decoder, encode


def connected(version=p.V311, *, properties=None):
    client = ClientSession("c", version=version)
    client.connect()
    client.take_output()
    client.receive(encode(p.ConnAck(False, 0, properties), version))
    return client


def sent(client):
    return Decoder(version=client.version).feed(client.take_output())


def test_a_refused_client_is_not_connected():
    client = ClientSession("c")
    client.connect()

    assert client.receive(bytes.fromhex("2002 0005")) == [p.ConnAck(False, 5)]
    assert not client.is_connected


def test_the_window_is_the_servers():
    client = connected(p.V5, properties={prop.RECEIVE_MAXIMUM: 2})
    client.publish("t", b"", 1)
    client.publish("t", b"", 0)
    client.publish("t", b"", 2)

    assert client.room == 0
    client.receive(bytes.fromhex("5002 0002"))
    assert client.room == 0
    client.receive(bytes.fromhex("4002 0001 7002 0002"))
    assert client.room == 2


def test_what_was_not_acknowledged_is_sent_again_in_its_order():
    client = connected()
    client.publish("t", b"1", 1)
    client.publish("t", b"2", 2)
    client.publish("t", b"3", 2)
    client.receive(bytes.fromhex("5002 0002"))
    client.connect(clean_start=False)
    client.take_output()
    client.receive(bytes.fromhex("2002 0100"))

    assert sent(client) == [
        p.Publish("t", b"1", 1, 1, dup=True),
        p.Publish("t", b"3", 2, 3, dup=True),
        p.PubRel(2),
    ]
    assert client.receive(bytes.fromhex("7002 0002")) == [Acknowledged(2)]


def test_messages_at_qos_2_are_given_once():
    client = connected()
    wire = encode(p.Publish("t", b"x", 2, 5), 4)

    assert len(client.receive(wire)) == 1
    assert client.receive(wire) == []
    client.receive(encode(p.PubRel(5), 4))
    assert sent(client) == [p.PubRec(5), p.PubRec(5), p.PubComp(5)]
    assert len(client.receive(wire)) == 1


def test_an_unknown_pubrec_is_told_so():
    client = connected(p.V5)

    assert client.receive(bytes.fromhex("5002 0009 5003 0008 97")) == []
    assert sent(client) == [p.PubRel(9, 0x92)]


def test_packet_ids_in_use_are_left_out():
    client = connected()
    client.publish("t", b"", 1)
    client._last_id = 0xFFFF

    assert client.subscribe(("a", 0)) == 2


def test_what_only_clients_send_is_a_protocol_error():
    with pytest.raises(ProtocolError):
        connected().receive(b"\xc0\0")
