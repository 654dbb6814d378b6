"""3.3 PUBLISH, 3.4 PUBACK."""

import pytest

from kaa.core.errors import ProtocolError
from kaa.protocols.mqtt import packets as p
from kaa.protocols.mqtt import properties as prop
from kaa.protocols.mqtt.codec import Decoder, encode


def refused(session, *packets, version):
    with pytest.raises(ProtocolError) as caught:
        session.receive(b"".join(encode(packet, version) for packet in packets))
    return caught.value.reason_code


class TestDecoding:
    @pytest.mark.parametrize("first", ["36", "37", "3e", "3f"])
    def test_qos_3_is_malformed(self, version, first):
        with pytest.raises(ProtocolError) as caught:
            Decoder(version=version).feed(bytes.fromhex(first + "06 0001 74 0001 00"))  # [MQTT-3.3.1-4]
        assert caught.value.reason_code == 0x81

    def test_dup_at_qos_0_is_malformed(self, version):
        with pytest.raises(ProtocolError):
            Decoder(version=version).feed(bytes.fromhex("3804 0001 74 00"))  # [MQTT-3.3.1-2]

    @pytest.mark.parametrize("topic", ["a/+", "#", "a+b", "+"])
    def test_a_wildcard_in_the_topic_is_malformed(self, version, topic):
        with pytest.raises(ProtocolError) as caught:
            Decoder(version=version).feed(encode(p.Publish(topic, b""), version))  # [MQTT-3.3.2-2]
        assert caught.value.reason_code == 0x81

    def test_an_empty_topic_needs_an_alias(self):
        for version, reason in ((3, 0x81), (4, 0x81), (5, 0x82)):
            with pytest.raises(ProtocolError) as caught:
                Decoder(version=version).feed(encode(p.Publish("", b"x"), version))
            assert caught.value.reason_code == reason

    def test_a_topic_beyond_the_limit_is_refused_even_if_another_decoder_has_taken_it(self, version):
        wire = encode(p.Publish("a" * 100, b""), version)

        assert Decoder(version=version, max_topic_bytes=100).feed(wire)
        with pytest.raises(ProtocolError) as caught:
            Decoder(version=version, max_topic_bytes=99).feed(wire)
        assert caught.value.reason_code == 0x90

    def test_a_topic_that_reaches_beyond_its_packet_is_malformed_even_if_it_is_a_known_one(self):
        decoder = Decoder(version=4)
        decoder.feed(bytes.fromhex("3006 0004 61623000"[:-2] + "63"))

        with pytest.raises(ProtocolError):
            decoder.feed(bytes.fromhex("3004 0004 6162 3063"))

    def test_a_publish_that_ends_early_is_malformed(self, version):
        for spelling in ("3000", "3001 00", "3002 0001", "3204 0001 74 00"):
            with pytest.raises(ProtocolError) as caught:
                Decoder(version=version).feed(bytes.fromhex(spelling))
            assert caught.value.reason_code == 0x81

    def test_topics_beyond_the_cache_are_decoded_like_any(self):
        decoder = Decoder(version=4)
        for number in range(5000):
            [packet] = decoder.feed(encode(p.Publish(f"t/{number}", b""), 4))
            assert packet.topic == f"t/{number}"


class TestAcknowledgement:
    def test_qos_0_is_not_acknowledged(self, served, version):
        session = served(version)
        [message] = session.receive(encode(p.Publish("t", b"x"), version))
        session.settle(message)

        assert session.take_output() == b""
        assert session.unsettled == 0

    def test_qos_1_is_acknowledged_when_it_is_settled_and_not_before(self, served, version):
        session = served(version)
        [message] = session.receive(encode(p.Publish("t", b"x", 1, 258, retain=True, dup=True), version))

        assert (message.topic, message.payload, message.retain, message.dup) == ("t", b"x", True, True)
        assert not session.has_output
        session.settle(message)
        assert session.take_output() == bytes.fromhex("4002 0102")

    def test_a_failure_is_told_in_mqtt_5_only(self, served, version):
        session = served(version)
        [message] = session.receive(encode(p.Publish("t", b"x", 1, 1), version))
        session.settle(message, 0x99, reason_string="bad")

        told = "400a 0001 99 06 1f 0003 626164" if version == 5 else "4002 0001"
        assert session.take_output() == bytes.fromhex(told)

    def test_the_reason_string_is_left_out_where_it_is_not_wanted_or_does_not_fit(self, served):
        for wish in ({prop.REQUEST_PROBLEM_INFORMATION: 0}, {prop.MAXIMUM_PACKET_SIZE: 10}):
            session = served(5, connect=encode(p.Connect("c", 5, properties=wish), 5))
            [message] = session.receive(encode(p.Publish("t", b"x", 1, 1), 5))
            session.settle(message, 0x99, reason_string="bad")

            assert session.take_output() == bytes.fromhex("4003 0001 99")

    def test_answers_go_right_behind(self, served, version):
        session = served(version)
        one, two, three = session.receive(
            b"".join(encode(p.Publish("t", b"x", qos, qos), version) for qos in (0, 1, 1))
        )
        session.settle(one, answers=session.answer("t/status", b"0"))
        session.settle(two, answers=[session.answer("t/status", b"1"), session.answer("t/status", b"2", 1)])
        session.settle(three)

        packets = Decoder(version=version).feed(session.take_output())
        assert packets == [
            p.Publish("t/status", b"0"),
            p.PubAck(1),
            p.Publish("t/status", b"1"),
            p.Publish("t/status", b"2", 1, 1),
            p.PubAck(1),
        ]

    def test_the_first_outcome_counts(self, served):
        session = served(5)
        [message] = session.receive(encode(p.Publish("t", b"x", 1, 1), 5))
        session.settle(message, 0x97)
        session.settle(message)

        assert session.take_output() == bytes.fromhex("4003 0001 97")


class TestTopicAlias:
    def alias(self, number, topic=""):
        return p.Publish(topic, b"x", properties={prop.TOPIC_ALIAS: number})

    def test_an_alias_stands_for_the_topic_it_was_last_given(self, served):
        session = served(5)
        packets = [
            self.alias(1, "a"),
            self.alias(16, "b"),
            self.alias(1),
            self.alias(1, "c"),
            self.alias(1),
            self.alias(16),
        ]
        events = session.receive(b"".join(encode(packet, 5) for packet in packets))

        assert [event.topic for event in events] == ["a", "b", "a", "c", "c", "b"]

    def test_0_and_more_than_was_granted_are_refused(self, served):
        for number in (0, 17, 0xFFFF):
            assert refused(served(5), self.alias(number, "a"), version=5) == 0x94
        assert refused(served(5, max_topic_aliases=0), self.alias(1, "a"), version=5) == 0x94

    def test_one_that_was_never_given_is_a_protocol_error(self, served):
        assert refused(served(5), self.alias(1), version=5) == 0x82

    def test_it_belongs_to_the_connection(self, served):
        served(5).receive(encode(self.alias(1, "a"), 5))

        assert refused(served(5), self.alias(1), version=5) == 0x82


def test_a_client_does_not_send_subscription_identifiers(served):
    packet = p.Publish("t", b"", properties={prop.SUBSCRIPTION_IDENTIFIER: [1]})

    assert refused(served(5), packet, version=5) == 0x82  # [MQTT5-3.3.4-6]


@pytest.mark.parametrize("packet", [p.ConnAck(), p.SubAck(1, (0,)), p.UnsubAck(1, (0,)), p.PingResp()])
def test_what_only_servers_send_is_a_protocol_error(served, version, packet):
    assert refused(served(version), packet, version=version) == 0x82


def test_auth_is_a_protocol_error(served):
    assert refused(served(5), p.Auth(), version=5) == 0x82


def test_what_came_before_the_error_is_not_lost(served, version):
    session = served(version)
    with pytest.raises(ProtocolError) as caught:
        session.receive(encode(p.Publish("t", b"1"), version) + encode(p.PingResp(), version))

    assert [event.payload for event in caught.value.before] == [b"1"]
    session.fail(caught.value)
    [*farewell] = Decoder(version=version).feed(session.take_output())
    assert [packet.reason_code for packet in farewell] == ([0x82] if version == 5 else [])
