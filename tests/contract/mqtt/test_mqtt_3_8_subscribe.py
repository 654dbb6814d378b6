"""3.8 SUBSCRIBE to 3.11 UNSUBACK."""

import pytest

from kaa.core.errors import ProtocolError
from kaa.protocols.mqtt import packets as p
from kaa.protocols.mqtt import properties as prop
from kaa.protocols.mqtt.codec import encode
from kaa.protocols.mqtt.decoding import MAX_FILTERS
from kaa.protocols.mqtt.server import SessionState


def subscribe(session, *items, version, properties=None):
    packet = p.Subscribe(7, tuple(p.Subscription(*item) for item in items), properties)
    [event] = session.receive(encode(packet, version))
    return session.grant(event).reason_codes


class TestSubscribe:
    def test_valid_filters_are_granted_what_they_ask_for(self, served, version):
        state = SessionState()
        session = served(version, state)

        assert subscribe(session, ("a/#", 0), ("+/b", 1), ("$SYS/x", 2), version=version) == (0, 1, 2)
        assert state.subscriptions == {"a/#": 0, "+/b": 1, "$SYS/x": 2}
        assert session.take_output() == bytes.fromhex("9006 0007 00 000102" if version == 5 else "9005 0007 000102")

    @pytest.mark.parametrize("spelling", ["", "a/#/b", "a#", "a+/b", "#/"])
    def test_invalid_filters_fail_one_by_one(self, served, version, spelling):
        state = SessionState()
        codes = subscribe(served(version, state), (spelling, 1), ("ok", 1), version=version)

        assert codes == (0x8F if version == 5 else 0x80, 1)
        assert state.subscriptions == {"ok": 1}

    def test_shared_subscriptions_are_refused(self, served, version):
        codes = subscribe(served(version), ("$share/g/a", 1), version=version)

        assert codes == (0x9E if version == 5 else 0x80,)

    def test_a_filter_beyond_the_topic_limit_is_refused(self, served, version):
        assert subscribe(served(version), ("a" * 1025, 1), version=version)[0] >= 0x80

    def test_a_subscription_identifier_is_refused(self, served):
        wish = {prop.SUBSCRIPTION_IDENTIFIER: [1]}

        assert subscribe(served(5), ("a", 1), version=5, properties=wish) == (0xA1,)

    def test_the_number_of_subscriptions_is_bounded_and_replacing_one_needs_no_room(self, served, version):
        session = served(version, max_subscriptions=2)

        assert subscribe(session, ("a", 0), ("b", 0), ("c", 0), ("a", 2), version=version) == (
            0,
            0,
            0x97 if version == 5 else 0x80,
            2,
        )

    def test_their_bytes_are_bounded_too(self, served, version):
        state = SessionState()
        session = served(version, state, max_subscription_bytes=10)
        full = 0x97 if version == 5 else 0x80

        assert subscribe(session, ("ééa", 0), ("bcd", 0), ("efg", 0), version=version) == (0, 0, full)
        assert subscribe(session, ("hi", 1), ("ééa", 2), ("j", 0), version=version) == (1, 2, full)
        assert state.subscriptions == {"ééa": 2, "bcd": 0, "hi": 1}

    @pytest.mark.parametrize(
        ("version", "spelling", "reason"),
        [
            (4, "8202 0001", 0x82),  # no filter [MQTT-3.8.3-3]
            (5, "8203 0001 00", 0x82),
            (4, "8206 0001 0001 61 03", 0x81),  # QoS 3
            (5, "8207 0001 00 0001 61 03", 0x81),
            (4, "8206 0001 0001 61 04", 0x81),  # reserved bits
            (5, "8207 0001 00 0001 61 40", 0x81),
            (5, "8207 0001 00 0001 61 30", 0x82),  # Retain Handling 3
            (4, "8205 0001 0001 61", 0x81),  # no options
            (4, "8206 0001 0001 00 00", 0x81),  # U+0000
        ],
    )
    def test_what_is_no_subscribe_breaks_the_connection(self, served, version, spelling, reason):
        with pytest.raises(ProtocolError) as caught:
            served(version).receive(bytes.fromhex(spelling))
        assert caught.value.reason_code == reason

    def test_the_number_of_filters_in_one_packet_is_bounded(self, served, version):
        items = (p.Subscription("a"),) * MAX_FILTERS
        served(version).receive(encode(p.Subscribe(1, items), version))

        for packet in (p.Subscribe(1, (*items, p.Subscription("a"))), p.Unsubscribe(1, ("a",) * (MAX_FILTERS + 1))):
            with pytest.raises(ProtocolError) as caught:
                served(version).receive(encode(packet, version))
            assert caught.value.reason_code == 0x97


class TestUnsubscribe:
    def test_it_always_succeeds(self, served, version):
        state = SessionState(subscriptions={"a": 1})
        session = served(version, state)
        [event] = session.receive(encode(p.Unsubscribe(9, ("a", "b")), version))
        answer = session.release(event)

        assert answer.reason_codes == (0x00, 0x11)
        assert state.subscriptions == {}
        assert session.take_output() == bytes.fromhex("b005 0009 00 0011" if version == 5 else "b002 0009")

    def test_one_without_a_filter_is_a_protocol_error(self, served, version):
        with pytest.raises(ProtocolError) as caught:
            served(version).receive(bytes.fromhex("a203 0001 00" if version == 5 else "a202 0001"))  # [MQTT-3.10.3-2]
        assert caught.value.reason_code == 0x82
