"""Whatever a peer sends and however the shell plays with it, a session raises ProtocolError or nothing."""

import sys
from contextlib import suppress

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kaa.core.errors import ProtocolError
from kaa.protocols.mqtt import packets as p
from kaa.protocols.mqtt import properties as prop
from kaa.protocols.mqtt.client import ClientSession
from kaa.protocols.mqtt.codec import Decoder, encode
from kaa.protocols.mqtt.server import Received, Repeated, ServerSession, SessionState
from kaa.protocols.mqtt.session import UnderWay, digest_of

IN_FLIGHT = 3
ID = st.integers(1, 4)


def alias(version):
    if version != p.V5:
        return st.none()
    return st.none() | st.builds(lambda number: {prop.TOPIC_ALIAS: number}, st.integers(0, 17))


def messages(version):
    topic = st.sampled_from(["a", "b/c", "", "+"])
    return st.builds(
        lambda topic, qos, packet_id, dup, properties: p.Publish(
            topic, b"x", qos, packet_id if qos else 0, False, dup and qos > 0, properties
        ),
        topic,
        st.integers(0, 2),
        ID,
        st.booleans(),
        alias(version),
    )


def client_packets(version):
    items = st.lists(
        st.builds(p.Subscription, st.sampled_from(["a", "#", "", "a#", "$share/x/y"]), st.integers(0, 2)),
        min_size=1,
        max_size=3,
    ).map(tuple)
    return st.one_of(
        messages(version),
        messages(version),
        st.builds(p.PubAck, ID),
        st.builds(p.PubRec, ID),
        st.builds(p.PubRel, ID),
        st.builds(p.PubComp, ID),
        st.builds(p.Subscribe, ID, items),
        st.builds(p.Unsubscribe, ID, st.just(("a", "z"))),
        st.just(p.PingReq()),
        st.just(p.PingResp()),
        st.just(p.Connect("c", version)),
        st.builds(p.Disconnect, st.sampled_from([0, 4]) if version == p.V5 else st.just(0)),
    )


@pytest.mark.parametrize("version", [3, 4, 5])
@settings(max_examples=100, deadline=None)
@given(data=st.data())
def test_a_server_session_raises_nothing_but_protocol_error(version, data):
    digests = st.sampled_from([b"", digest_of(p.Publish("t", b"x"))])
    state = SessionState(incoming_qos2=data.draw(st.dictionaries(ID, digests)))
    for packet_id, digest in data.draw(st.dictionaries(ID, digests)).items():
        state.under_way[packet_id] = UnderWay(Received("t", b"x", 2, packet_id), digest, None)
    session = ServerSession(in_flight=IN_FLIGHT, max_packet_bytes=1000)
    sent = data.draw(st.lists(client_packets(version), max_size=12))
    limits = st.none()
    if version == p.V5:
        limits |= st.just({prop.RECEIVE_MAXIMUM: 1, prop.MAXIMUM_PACKET_SIZE: 12})
    first = p.Connect("c", version, properties=data.draw(limits))
    wire = b"".join(encode(packet, version) for packet in [first, *sent])
    size = data.draw(st.sampled_from([1, 5, 1000]))
    pieces = [wire[at : at + size] for at in range(0, len(wire), size)]
    open_messages = []
    output = b""

    def act(events):
        for event in events:
            match event:
                case p.Connect():
                    act(session.accept(True, state))
                case Received():
                    open_messages.append(event)
                case Repeated():
                    open_messages.append(event.message)
                case p.Subscribe():
                    session.grant(event)
                case p.Unsubscribe():
                    session.release(event)

    def settle_one():
        message = open_messages.pop(data.draw(st.integers(0, len(open_messages) - 1)))
        reason = data.draw(st.sampled_from([0, 0x97]))
        session.settle(message, reason, answers=session.answer("s", b"", min(message.qos, 1)), reason_string="why")

    try:
        while pieces or open_messages or session.has_more:
            if pieces and not session.wants_pause:
                act(session.receive(pieces.pop(0)))
            elif session.has_more:
                act(session.receive())
            elif open_messages:
                settle_one()
            else:
                break
            if data.draw(st.booleans()):
                session.publish("p", b"x", data.draw(st.integers(0, 1)))
            assert session.unsettled <= IN_FLIGHT + 1
            assert session.unsettled >= len(open_messages)
            output += session.take_output()
    except ProtocolError as error:
        session.fail(error)
        session.fail(error)
    else:
        assert session.unsettled == 0
    output += session.take_output()
    # What the server says is always something that a client understands.
    assert Decoder(version=version).feed(output) or not output


@pytest.mark.parametrize("version", [3, 4, 5])
@settings(max_examples=60, deadline=None)
@given(data=st.data())
def test_a_client_session_raises_nothing_but_protocol_error(version, data):
    client = ClientSession("c", version=version)
    client.connect()
    for qos in data.draw(st.lists(st.integers(0, 2), max_size=4)):
        client.publish("t", b"x", qos)
    sent = data.draw(
        st.lists(
            client_packets(version)
            | st.builds(p.ConnAck, st.booleans())
            | st.builds(p.SubAck, ID, st.just((0,)))
            | st.builds(p.PubRec, ID, st.sampled_from([0, 0x97]) if version == p.V5 else st.just(0)),
            max_size=10,
        )
    )
    with suppress(ProtocolError):
        client.receive(b"".join(encode(packet, version) for packet in sent))
    assert Decoder().feed(client.take_output())


def test_an_idle_session_costs_few_hundred_bytes():
    session = ServerSession()
    session.receive(encode(p.Connect("c", 4), 4))
    session.accept(False, SessionState())
    session.take_output()
    parts = [session, session._decoder, session._inbox, session._outbox, session._out]

    assert sum(map(sys.getsizeof, parts)) < 700
    assert session._decoder._rest is None
    assert session._inbox._unsettled is None
