"""4.6 Message ordering, and 4.9 of MQTT 5, flow control."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kaa.core.errors import ProtocolError
from kaa.protocols.mqtt import packets as p
from kaa.protocols.mqtt import properties as prop
from kaa.protocols.mqtt.codec import Decoder, encode
from kaa.protocols.mqtt.outbox import MAX_QUEUED
from kaa.protocols.mqtt.server import ServerSession, SessionState


def messages(version, *kinds):
    return b"".join(
        encode(p.Publish("t", b"x", qos, number if qos else 0), version) for number, qos in enumerate(kinds, 1)
    )


class TestOrder:
    def test_what_is_settled_out_of_order_waits(self, served, version):
        session = served(version)
        one, two, three = session.receive(messages(version, 1, 2, 0))

        session.settle(three, answers=session.answer("c", b""))
        session.settle(two)
        assert not session.has_output
        assert session.unsettled == 3
        session.settle(one)
        assert session.take_output() == bytes.fromhex("4002 0001 5002 0002") + encode(p.Publish("c", b""), version)
        assert session.unsettled == 0

    @given(order=st.permutations(range(6)), qos=st.lists(st.integers(0, 2), min_size=6, max_size=6))
    def test_acknowledgements_have_the_order_of_the_messages_in_whatever_order_they_are_settled(self, order, qos):
        session = ServerSession()
        session.receive(encode(p.Connect("c", 4), 4))
        session.accept(False, SessionState())
        session.take_output()
        events = session.receive(messages(4, *qos))
        for place in order:
            session.settle(events[place], answers=session.answer(str(place), b""))

        expected = []
        for number, kind in enumerate(qos, 1):
            expected += [[], [p.PubAck(number)], [p.PubRec(number)]][kind] + [p.Publish(str(number - 1), b"")]
        assert Decoder(version=4).feed(session.take_output()) == expected


class TestIncomingWindow:
    def test_reading_pauses_when_the_window_is_full(self, served, version):
        session = served(version, in_flight=3)
        events = session.receive(messages(version, 1, 1, 0))

        assert session.wants_pause
        session.settle(events[0])
        assert not session.wants_pause

    def test_what_was_read_beyond_the_window_is_held_and_goes_on_when_there_is_room(self, served):
        session = served(4, in_flight=3)
        wire = messages(4, *[1] * 10)
        seen = []
        events = session.receive(wire)
        while events:
            assert len(events) <= 3
            assert session.unsettled == len(events)
            seen += events
            for event in events:
                session.settle(event)
            events = session.receive() if session.has_more else []

        assert [event.packet_id for event in seen] == list(range(1, 11))
        assert session.take_output() == b"".join(encode(p.PubAck(number), 4) for number in range(1, 11))
        assert (session.held_bytes, session.has_more) == (0, False)

    @pytest.mark.parametrize("size", [1, 2, 3, 100])
    def test_a_part_of_a_packet_is_not_more(self, served, version, size):
        session = served(version)
        wire = encode(p.Publish("t", bytes(200), 1, 1), version)
        session.receive(wire[:size])

        assert not session.has_more
        assert session.held_bytes == size
        assert len(session.receive(wire[size:])) == 1

    def test_what_is_settled_after_the_window_was_full_makes_room_for_a_part_of_a_packet_only_once(self, served):
        session = served(4, in_flight=1)
        [message] = session.receive(messages(4, 1) + b"\x32")
        session.settle(message)

        assert session.has_more
        assert session.receive() == []
        assert not session.has_more

    def test_many_packets_that_are_no_messages_need_no_window(self, served, version):
        session = served(version, in_flight=3)
        session.receive(b"\xc0\0" * 1000)

        assert session.take_output() == b"\xd0\0" * 1000

    def test_few_large_messages_pause_reading_as_well(self, served):
        session = served(4, max_packet_bytes=1000)
        events = []
        while not session.wants_pause:
            events += session.receive(encode(p.Publish("t", bytes(900), 1, len(events) + 1), 4))
        assert len(events) == 5

        for event in events:
            session.settle(event)
        assert not session.wants_pause

    def test_mqtt_5_has_a_receive_maximum_and_qos_0_does_not_count(self, served):
        session = served(5, in_flight=3)
        with pytest.raises(ProtocolError) as caught:
            session.receive(messages(5, 1, 2, 1, 1))
        assert caught.value.reason_code == 0x93
        assert len(caught.value.before) == 4

        assert len(served(5, in_flight=3).receive(messages(5, 1, 0, 1, 1))) == 4

    def test_qos_2_counts_until_the_pubcomp(self, served):
        session = served(5, in_flight=2)
        for message in session.receive(messages(5, 2, 2)):
            session.settle(message)
        session.receive(bytes.fromhex("6202 0001"))
        session.receive(messages(5, 1))

        with pytest.raises(ProtocolError) as caught:
            session.receive(encode(p.Publish("t", b"", 1, 9), 5))
        assert caught.value.reason_code == 0x93


class TestOutgoingWindow:
    def connect(self, **properties):
        return encode(p.Connect("c", 5, properties=properties.get("properties")), 5)

    def test_qos_0_needs_no_window(self, served, version):
        session = served(version)

        assert session.publish("a", b"x")
        assert session.take_output() == encode(p.Publish("a", b"x"), version)

    def test_beyond_the_clients_receive_maximum_messages_wait_and_keep_their_order(self, served):
        session = served(5, connect=self.connect(properties={prop.RECEIVE_MAXIMUM: 2}))
        assert all(session.publish("a", bytes((number,)), 1) for number in range(4))

        first = Decoder(version=5).feed(session.take_output())
        assert [(packet.packet_id, packet.payload) for packet in first] == [(1, b"\0"), (2, b"\1")]
        session.receive(bytes.fromhex("4002 0002"))
        [third] = Decoder(version=5).feed(session.take_output())
        assert (third.packet_id, third.payload) == (3, b"\2")
        session.receive(bytes.fromhex("4002 0001"))
        [fourth] = Decoder(version=5).feed(session.take_output())
        assert fourth.payload == b"\3"
        session.receive(bytes.fromhex("4002 0003 4002 0004"))
        assert session.take_output() == b""

    def test_the_queue_is_bounded_in_number(self, served, version):
        session = served(version, in_flight=1)
        sent = [session.publish("a", b"x", 1) for _ in range(MAX_QUEUED + 3)]

        assert sent.count(True) == MAX_QUEUED + 1
        assert session.dropped == 2

    def test_and_in_bytes(self, served, version):
        session = served(version, in_flight=1)
        sent = [session.publish("a", bytes(1 << 19), 1) for _ in range(5)]

        assert sent == [True, True, False, False, False]

    def test_an_answer_beyond_the_window_goes_at_qos_0(self, served):
        session = served(5, connect=self.connect(properties={prop.RECEIVE_MAXIMUM: 1}))
        answers = session.answer("a", b"", 1) + session.answer("b", b"", 1)

        assert [packet.qos for packet in Decoder(version=5).feed(answers)] == [1, 0]

    def test_nothing_larger_than_the_client_takes_is_sent(self, served):
        session = served(5, connect=self.connect(properties={prop.MAXIMUM_PACKET_SIZE: 20}))

        assert session.publish("a", bytes(14))
        assert not session.publish("a", bytes(15))
        assert not session.publish("a", bytes(13), 1)
        assert session.answer("a", bytes(13), 1) == b""
        assert session.dropped == 3
        assert len(session.take_output()) == 20
        assert not session.publish("a", bytes(15))
        assert not session.has_output

    def test_nor_anything_that_had_to_wait_for_the_window(self, served):
        session = served(5, connect=self.connect(properties={prop.MAXIMUM_PACKET_SIZE: 20, prop.RECEIVE_MAXIMUM: 1}))
        for size in (1, 100, 2):
            session.publish("a", bytes(size), 1)
        session.take_output()
        session.receive(bytes.fromhex("4002 0001"))

        [packet] = Decoder(version=5).feed(session.take_output())
        assert packet.payload == bytes(2)
        assert session.dropped == 1

    def test_packet_ids_start_again_and_leave_out_those_in_use(self, served):
        session = served(4)
        session.publish("a", b"", 1)
        for _ in range(0xFFFF):
            session.publish("a", b"", 1)
            packet_id = Decoder(version=4).feed(session.take_output())[-1].packet_id
            session.receive(encode(p.PubAck(packet_id), 4))

        assert packet_id == 2  # 1 is still in use [MQTT-2.3.1-2]

    def test_nothing_is_published_to_a_client_that_is_not_there(self, served):
        session = served(4)
        session.receive(b"\xe0\0")

        assert not session.publish("a", b"x")
        assert not session.has_output
