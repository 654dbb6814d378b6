"""Any packet survives the wire, and any bytes give packets or a ProtocolError, however they are cut."""

from itertools import pairwise

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from kaa.protocols.mqtt import packets as p
from kaa.protocols.mqtt import properties as prop
from kaa.protocols.mqtt.codec import Decoder, StreamError, encode
from kaa.protocols.mqtt.reasons import ALLOWED, ALLOWED_V3

TEXT = st.text(st.characters(codec="utf-8", exclude_characters="\0"), max_size=20)
TOPIC = st.text(st.characters(codec="utf-8", exclude_characters="\0+#"), min_size=1, max_size=20)
BINARY = st.binary(max_size=20)
PACKET_ID = st.integers(1, 0xFFFF)
U16 = st.integers(0, 0xFFFF)
U32 = st.integers(0, 0xFFFFFFFF)
FLAG = st.integers(0, 1)

VALUES = {
    prop.PAYLOAD_FORMAT_INDICATOR: FLAG,
    prop.MESSAGE_EXPIRY_INTERVAL: U32,
    prop.CONTENT_TYPE: TEXT,
    prop.RESPONSE_TOPIC: TOPIC,
    prop.CORRELATION_DATA: BINARY,
    prop.SUBSCRIPTION_IDENTIFIER: st.lists(st.integers(1, 268_435_455), min_size=1, max_size=3),
    prop.SESSION_EXPIRY_INTERVAL: U32,
    prop.ASSIGNED_CLIENT_IDENTIFIER: TEXT,
    prop.SERVER_KEEP_ALIVE: U16,
    prop.AUTHENTICATION_METHOD: TEXT,
    prop.REQUEST_PROBLEM_INFORMATION: FLAG,
    prop.WILL_DELAY_INTERVAL: U32,
    prop.REQUEST_RESPONSE_INFORMATION: FLAG,
    prop.RESPONSE_INFORMATION: TEXT,
    prop.SERVER_REFERENCE: TEXT,
    prop.REASON_STRING: TEXT,
    prop.RECEIVE_MAXIMUM: PACKET_ID,
    prop.TOPIC_ALIAS_MAXIMUM: U16,
    prop.TOPIC_ALIAS: U16,
    prop.MAXIMUM_QOS: FLAG,
    prop.RETAIN_AVAILABLE: FLAG,
    prop.USER_PROPERTY: st.lists(st.tuples(TEXT, TEXT), min_size=1, max_size=3),
    prop.MAXIMUM_PACKET_SIZE: st.integers(1, 0xFFFFFFFF),
    prop.WILDCARD_SUBSCRIPTION_AVAILABLE: FLAG,
    prop.SUBSCRIPTION_IDENTIFIER_AVAILABLE: FLAG,
    prop.SHARED_SUBSCRIPTION_AVAILABLE: FLAG,
}
MESSAGE = [0x01, 0x02, 0x03, 0x08, 0x09, 0x26]
BY_PACKET = {
    p.CONNECT: [0x11, 0x15, 0x17, 0x19, 0x21, 0x22, 0x26, 0x27],
    p.CONNACK: [0x11, 0x12, 0x13, 0x15, 0x1A, 0x1C, 0x1F, 0x21, 0x22, 0x24, 0x25, 0x26, 0x27, 0x28, 0x29, 0x2A],
    p.PUBLISH: [*MESSAGE, 0x0B, 0x23],
    p.WILL: [*MESSAGE, 0x18],
    p.UNSUBSCRIBE: [0x26],
    p.DISCONNECT: [0x11, 0x1C, 0x1F, 0x26],
    p.AUTH: [0x15, 0x1F, 0x26],
}


def properties(version, kind):
    if version != p.V5:
        return st.none()
    allowed = BY_PACKET.get(kind, [0x1F, 0x26])
    return st.fixed_dictionaries({}, optional={key: VALUES[key] for key in allowed}).map(lambda found: found or None)


def reason(version, kind):
    if version != p.V5:
        return st.sampled_from(sorted(ALLOWED_V3.get(kind, {0})))
    return st.sampled_from(sorted(ALLOWED[kind]))


@st.composite
def connects(draw, version):
    username = draw(st.none() | TEXT)
    may_have_password = username is not None or version == p.V5
    will = st.builds(p.Will, TOPIC, BINARY, st.integers(0, 2), st.booleans(), properties(version, p.WILL))
    return p.Connect(
        draw(TEXT),
        version,
        draw(st.booleans()),
        draw(U16),
        username,
        draw(st.none() | BINARY) if may_have_password else None,
        draw(st.none() | will),
        draw(properties(version, p.CONNECT)),
    )


@st.composite
def publishes(draw, version):
    qos = draw(st.integers(0, 2))
    found = draw(properties(version, p.PUBLISH))
    topic = draw(TOPIC | st.just("")) if found and prop.TOPIC_ALIAS in found else draw(TOPIC)
    packet_id = draw(PACKET_ID) if qos else 0
    return p.Publish(
        topic,
        draw(st.binary(max_size=300)),
        qos,
        packet_id,
        draw(st.booleans()),
        bool(qos) and draw(st.booleans()),
        found,
    )


def receipts(version):
    return [
        st.builds(make, PACKET_ID, reason(version, kind) if version == p.V5 else st.just(0), properties(version, kind))
        for make, kind in [(p.PubAck, 4), (p.PubRec, 5), (p.PubRel, 6), (p.PubComp, 7)]
    ]


def subscribes(version):
    item = st.builds(p.Subscription, TEXT, st.integers(0, 2))
    found = st.none()
    if version == p.V5:
        item = st.builds(p.Subscription, TEXT, st.integers(0, 2), st.booleans(), st.booleans(), st.integers(0, 2))
        found = st.none() | st.just({prop.SUBSCRIPTION_IDENTIFIER: [5]})
    return st.builds(p.Subscribe, PACKET_ID, st.lists(item, min_size=1, max_size=4).map(tuple), found)


def packets(version, *, with_connect=True):
    codes = st.lists(reason(version, p.SUBACK), min_size=1, max_size=4).map(tuple)
    kinds = [
        publishes(version),
        *receipts(version),
        subscribes(version),
        st.builds(p.SubAck, PACKET_ID, codes, properties(version, p.SUBACK)),
        st.builds(
            p.Unsubscribe,
            PACKET_ID,
            st.lists(TEXT, min_size=1, max_size=4).map(tuple),
            properties(version, p.UNSUBSCRIBE),
        ),
        st.just(p.PingReq()),
        st.just(p.PingResp()),
        st.builds(p.ConnAck, st.booleans() if version != p.V31 else st.just(False), st.just(0), properties(version, 2)),
        st.builds(p.ConnAck, st.just(False), reason(version, p.CONNACK), properties(version, 2)),
    ]
    if version == p.V5:
        kinds += [
            st.builds(p.Disconnect, reason(5, p.DISCONNECT), properties(5, p.DISCONNECT)),
            st.builds(p.Auth, reason(5, p.AUTH), properties(5, p.AUTH)),
            st.builds(
                p.UnsubAck,
                PACKET_ID,
                st.lists(reason(5, p.UNSUBACK), min_size=1, max_size=4).map(tuple),
                properties(5, p.UNSUBACK),
            ),
        ]
    else:
        kinds += [st.just(p.Disconnect()), st.builds(p.UnsubAck, PACKET_ID)]
    if with_connect:
        kinds.append(connects(version))
    return st.one_of(kinds)


def taken(pieces, version, max_packet_bytes=4096):
    """Feed piece by piece and give what came out: packets, and the error if there was one."""
    decoder = Decoder(max_packet_bytes, version=version)
    found = []
    for piece in pieces:
        try:
            found += decoder.feed(piece)
        except StreamError as error:
            return found + list(error.before), (error.reason_code, str(error))
        assert decoder.held_bytes <= max_packet_bytes
    return found, None


def cut(data, places):
    edges = [0, *sorted(place % (len(data) + 1) for place in places), len(data)]
    return [data[start:end] for start, end in pairwise(edges)]


@pytest.mark.parametrize("version", [3, 4, 5])
@settings(max_examples=100, deadline=None)
@given(data=st.data())
def test_any_packet_survives_the_wire(version, data):
    packet = data.draw(packets(version))
    spelling = encode(packet, version)

    assert Decoder(version=0 if type(packet) is p.Connect else version).feed(spelling) == [packet]


@pytest.mark.parametrize("version", [3, 4, 5])
@settings(max_examples=100, deadline=None)
@given(data=st.data())
def test_a_stream_of_packets_may_be_cut_anywhere_and_taken_in_any_portions(version, data):
    sent = data.draw(st.lists(packets(version, with_connect=False), max_size=8))
    wire = b"".join(encode(packet, version) for packet in sent)
    pieces = cut(wire, data.draw(st.lists(st.integers(0, 1000), max_size=5)))
    limit = data.draw(st.integers(1, 4))

    decoder = Decoder(version=version)
    found = []
    for piece in pieces:
        found += decoder.feed(piece, data.draw(st.integers(0, 2)))
    while portion := decoder.feed(b"", limit):
        assert len(portion) <= limit
        found += portion
    assert found == sent
    assert decoder.held_bytes == 0


@pytest.mark.parametrize("version", [0, 3, 4, 5])
@settings(max_examples=200, deadline=None)
@given(data=st.binary(max_size=200))
@example(data=bytes.fromhex("30ffffffff"))
@example(data=bytes.fromhex("30ffff7f"))
@example(data=b"\x10\x00")
def test_any_bytes_give_packets_or_a_protocol_error_and_the_same_byte_by_byte(version, data):
    assert taken([data], version) == taken([bytes((byte,)) for byte in data], version)


@pytest.mark.parametrize("version", [3, 4, 5])
@settings(max_examples=100, deadline=None)
@given(data=st.data())
def test_damaged_packets_give_packets_or_a_protocol_error_and_the_same_byte_by_byte(version, data):
    first = data.draw(connects(version))
    sent = data.draw(st.lists(packets(version), min_size=1, max_size=3))
    wire = bytearray(b"".join(encode(packet, version) for packet in [first, *sent]))
    for _ in range(data.draw(st.integers(0, 3))):
        place = data.draw(st.integers(0, len(wire) - 1))
        if data.draw(st.booleans()):
            wire[place] = data.draw(st.integers(0, 255))
        else:
            del wire[place : place + data.draw(st.integers(1, 5))]
        if not wire:
            return

    whole = taken([bytes(wire)], 0, 200)
    assert whole == taken([bytes((byte,)) for byte in wire], 0, 200)
    assert whole[1] is None or whole[1][0] >= 0x80


def test_a_large_packet_in_small_pieces_is_collected_once():
    payload = bytes(200_000)
    wire = encode(p.Publish("t", payload), 4)
    decoder = Decoder(version=4)
    found = []
    for at in range(0, len(wire), 7):
        found += decoder.feed(wire[at : at + 7])

    assert found == [p.Publish("t", payload)]
    assert decoder.held_bytes == 0
