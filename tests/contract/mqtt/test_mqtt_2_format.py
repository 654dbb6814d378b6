"""Chapter 2 of MQTT 3.1.1, chapters 1 and 2 of MQTT 5: headers, integers, strings, properties."""

import pytest

from kaa.core.errors import ProtocolError
from kaa.protocols.mqtt import packets as p
from kaa.protocols.mqtt.codec import Decoder


def refused(version, spelling, **limits):
    """Feed bytes and give the reason code they are refused with."""
    with pytest.raises(ProtocolError) as caught:
        Decoder(version=version, **limits).feed(bytes.fromhex(spelling))
    assert len(str(caught.value)) > 10
    return caught.value.reason_code


class TestFixedHeader:
    def test_a_length_of_five_bytes_is_malformed(self, version):
        assert refused(version, "30 ffffffff") == 0x81
        assert refused(version, "30 8080808001") == 0x81

    def test_a_length_longer_than_it_needs_to_be_is_malformed_in_mqtt_5_only(self):
        assert refused(5, "c0 8000") == 0x81  # [MQTT5-1.5.5-1]
        assert Decoder(version=4).feed(bytes.fromhex("c0 8000")) == [p.PingReq()]

    def test_a_packet_over_the_limit_is_refused_before_its_body_has_come(self, version):
        assert refused(version, "32 808010", max_packet_bytes=262144) == 0x95

    def test_a_packet_as_large_as_the_limit_is_taken(self):
        wire = b"\x30\x0e\0\1t" + bytes(11)

        assert len(Decoder(16, version=4).feed(wire)) == 1
        assert refused(4, wire.hex(), max_packet_bytes=15) == 0x95

    @pytest.mark.parametrize(
        "first", ["41", "52", "60", "64", "71", "80", "83", "a0", "91", "b4", "c1", "d1", "e1", "21"]
    )
    def test_reserved_flags_are_malformed(self, version, first):
        assert refused(version, first + "02 0001") == 0x81  # [MQTT-2.2.2-2]

    def test_mqtt_3_1_may_repeat_what_it_acknowledges(self):
        assert Decoder(version=3).feed(bytes.fromhex("6a02 0001")) == [p.PubRel(1)]
        assert refused(4, "6a02 0001") == 0x81

    def test_type_0_is_malformed(self, version):
        assert refused(version, "0000") == 0x81

    def test_auth_is_mqtt_5_only(self):
        assert refused(4, "f000") == 0x81


class TestPacketId:
    @pytest.mark.parametrize(
        "spelling", ["3205 0001 74 0000", "4002 0000", "5002 0000", "6202 0000", "7002 0000", "8206 0000 0001 74 00"]
    )
    def test_0_is_a_protocol_error(self, spelling):
        assert refused(4, spelling) == 0x82  # [MQTT-2.3.1-1]

    @pytest.mark.parametrize("spelling", ["4001 00", "3203 0001 74", "6200", "8201 00"])
    def test_one_that_is_cut_off_is_malformed(self, version, spelling):
        assert refused(version, spelling) == 0x81

    def test_what_goes_on_after_the_end_is_malformed(self):
        assert refused(4, "4003 0001 00") == 0x81
        assert refused(4, "c001 00") == 0x81
        assert refused(5, "4005 0001 00 00 00") == 0x81
        assert refused(5, "c001 00") == 0x81


class TestStrings:
    @pytest.mark.parametrize("raw", ["c080", "eda080", "ff", "f4908080", "e28c", "61 00"])
    def test_ill_formed_utf_8_surrogates_and_null_are_malformed(self, version, raw):
        topic = bytes.fromhex(raw)

        assert refused(version, (bytes((0x30, len(topic) + 3, 0, len(topic))) + topic + b"\0").hex()) == 0x81

    def test_a_byte_order_mark_is_a_character_like_any_other(self):
        [packet] = Decoder(version=4).feed(bytes.fromhex("3005 0003 efbbbf"))

        assert packet.topic == "\ufeff"  # [MQTT-1.5.3-3]


class TestProperties:
    def publish(self, properties):
        body = bytes.fromhex("0001 74") + bytes((len(bytes.fromhex(properties)),)) + bytes.fromhex(properties)
        return (bytes((0x30, len(body))) + body).hex()

    @pytest.mark.parametrize(
        ("properties", "reason"),
        [
            ("7f00", 0x81),  # no such property
            ("8000", 0x81),  # an identifier longer than needed
            ("2100ff", 0x81),  # Receive Maximum is not PUBLISH's
            ("0102", 0x82),  # a flag that is 2
            ("0100 0101", 0x82),  # twice
            ("0200", 0x81),  # cut off
            ("08 0001 2b", 0x82),  # a wildcard in the Response Topic
            ("0b00", 0x82),  # Subscription Identifier 0
            ("26 0001 61", 0x81),  # half a pair
            ("03 0001 00", 0x81),  # U+0000
        ],
    )
    def test_what_breaks_the_rules_is_refused(self, properties, reason):
        assert refused(5, self.publish(properties)) == reason

    def test_properties_longer_than_the_packet_are_malformed(self):
        assert refused(5, "3004 0001 74 05") == 0x81
        assert refused(5, "3003 0001 74") == 0x81

    def test_zeros_that_make_no_sense_are_protocol_errors(self):
        head = "0004 4d515454 05 02 0000"
        assert refused(0, f"1011 {head} 03 210000 0001 63") == 0x82  # Receive Maximum 0
        assert refused(0, f"1013 {head} 05 2700000000 0001 63") == 0x82  # Maximum Packet Size 0
        assert refused(0, f"1012 {head} 04 16000161 0001 63") == 0x82  # data without a method

    def test_the_number_of_user_properties_is_bounded(self):
        many = b"\x26\0\0\0\0" * 101
        body = b"\0\1t" + bytes((len(many) & 0x7F | 0x80, len(many) >> 7)) + many

        assert refused(5, (bytes((0x30, len(body) & 0x7F | 0x80, len(body) >> 7)) + body).hex()) == 0x97

    def test_a_subscription_identifier_is_single_in_subscribe(self):
        assert refused(5, "820b 0001 04 0b01 0b02 0001 61 00") == 0x82

    @pytest.mark.parametrize(
        "spelling", ["4003 0001 05", "e001 01", "2003 00 01 00", "9004 0001 00 03", "b004 0001 00 01", "f001 01"]
    )
    def test_a_reason_that_is_none_of_the_packets_is_a_protocol_error(self, spelling):
        assert refused(5, spelling) == 0x82


class TestWhatServersSend:
    def test_acknowledgements_without_a_reason_are_protocol_errors(self):
        assert refused(4, "9002 0001") == 0x82
        assert refused(5, "b003 0001 00") == 0x82

    def test_connack_with_a_reserved_flag_or_a_session_it_refuses(self):
        assert refused(4, "2002 0200") == 0x81
        assert refused(4, "2002 0105") == 0x82  # [MQTT-3.2.2-4]
        assert refused(4, "2002 0006") == 0x82
