"""3.1 CONNECT and 3.2 CONNACK."""

import pytest

from kaa.core.errors import ProtocolError
from kaa.protocols.mqtt import packets as p
from kaa.protocols.mqtt import properties as prop
from kaa.protocols.mqtt.codec import Decoder, encode
from kaa.protocols.mqtt.server import Received, ServerSession, SessionState, requested_expiry

V311 = "100d 0004 4d515454 04 02 0000 0001 63"
V5 = "100e 0004 4d515454 05 02 0000 00 0001 63"


def refused(spelling):
    """Give the reason a first packet is refused with, and what the client is told."""
    session = ServerSession()
    with pytest.raises(ProtocolError) as caught:
        session.receive(bytes.fromhex(spelling))
    session.fail(caught.value)
    return caught.value.reason_code, session.take_output()


class TestFirstPacket:
    @pytest.mark.parametrize("spelling", ["3003 0001 74", "c000", "4002 0001", "e000", "f000", "8206 0001 0001 74 00"])
    def test_anything_but_connect_is_a_protocol_error_and_not_answered(self, spelling):
        assert refused(spelling) == (0x82, b"")  # [MQTT-3.1.0-1]

    @pytest.mark.parametrize(
        "protocol",
        ["0004 4d515454 06", "0004 4d515454 03", "0006 4d5149736470 04", "0003 4d5154 04", "0004 6d717474 04"],
    )
    def test_another_protocol_is_told_so(self, protocol):
        body = bytes.fromhex(protocol) + bytes.fromhex("02 0000 0001 63")

        assert refused((bytes((0x10, len(body))) + body).hex()) == (0x84, bytes.fromhex("2002 0001"))  # [MQTT-3.1.2-2]

    def test_a_second_connect_is_a_protocol_error(self, served, version):
        session = served(version)

        with pytest.raises(ProtocolError) as caught:
            session.receive(bytes.fromhex(V311))  # [MQTT-3.1.0-2]
        assert caught.value.reason_code == 0x82


class TestFlags:
    @pytest.mark.parametrize(
        "flags", ["03", "0a", "22", "1e", "42"], ids=["reserved", "will qos", "will retain", "will qos 3", "password"]
    )
    def test_flags_that_contradict_each_other_are_malformed(self, flags):
        assert refused(f"1016 0004 4d515454 04 {flags} 0000 0001 63 0001 77 0001 78 0001 79")[0] == 0x81

    def test_mqtt_5_allows_a_password_without_a_user_name(self):
        [connect] = Decoder().feed(bytes.fromhex("1011 0004 4d515454 05 42 0000 00 0001 63 0001 78"))

        assert (connect.username, connect.password) == (None, b"x")

    def test_mqtt_3_1_allows_credentials_to_be_announced_and_left_out(self):
        [connect] = Decoder().feed(bytes.fromhex("100f 0006 4d5149736470 03 c2 0000 0001 63"))

        assert (connect.username, connect.password) == (None, None)

    def test_what_is_announced_and_missing_is_malformed(self):
        assert refused("100d 0004 4d515454 04 82 0000 0001 63")[0] == 0x81

    def test_what_is_left_over_is_malformed(self):
        assert refused("100e 0004 4d515454 04 02 0000 0001 63 00")[0] == 0x81


class TestClientId:
    def test_an_empty_one_is_fine_where_no_session_is_kept(self):
        for spelling in ("100c 0004 4d515454 04 02 0000 0000", "100d 0004 4d515454 05 00 0000 00 0000"):
            [connect] = ServerSession().receive(bytes.fromhex(spelling))
            assert connect.client_id == ""

    def test_an_empty_one_is_refused_where_the_session_is_to_be_kept(self):
        assert refused("100c 0004 4d515454 04 00 0000 0000") == (0x85, bytes.fromhex("2002 0002"))  # [MQTT-3.1.3-8]

    def test_an_empty_one_is_refused_in_mqtt_3_1(self):
        assert refused("100e 0006 4d5149736470 03 02 0000 0000") == (0x85, bytes.fromhex("2002 0002"))

    def test_a_long_one_is_taken_in_mqtt_3_1_as_others_do(self):
        wire = encode(p.Connect("x" * 100, 3), 3)

        assert ServerSession().receive(wire) == [p.Connect("x" * 100, 3)]

    @pytest.mark.parametrize(("version", "answer"), [(3, "2002 0002"), (4, "2002 0002"), (5, "2003 00 85 00")])
    def test_one_of_more_than_256_bytes_is_refused(self, version, answer):
        assert ServerSession().receive(encode(p.Connect("é" * 128, version), version))
        reason, said = refused(encode(p.Connect("é" * 128 + "x", version), version).hex())

        assert reason == 0x85
        assert said.startswith(bytes.fromhex(answer)[:1])
        assert said[3] == bytes.fromhex(answer)[3]


class TestWill:
    def test_a_topic_with_a_wildcard_is_malformed(self):
        assert refused(encode(p.Connect("c", 4, will=p.Will("a/+", b"")), 4).hex())[0] == 0x81

    def test_a_topic_beyond_the_limit_is_refused(self):
        assert refused(encode(p.Connect("c", 5, will=p.Will("a" * 1025, b"")), 5).hex())[0] == 0x90

    def test_retaining_it_is_refused_in_mqtt_5(self):
        reason, answer = refused(encode(p.Connect("c", 5, will=p.Will("a", b"", retain=True)), 5).hex())

        assert reason == 0x9A
        assert answer.startswith(bytes.fromhex("20")) and answer[3] == 0x9A  # noqa: PT018  one packet
        assert ServerSession().receive(encode(p.Connect("c", 4, will=p.Will("a", b"", retain=True)), 4))

    def test_extended_authentication_is_refused(self):
        connect = p.Connect("c", 5, properties={prop.AUTHENTICATION_METHOD: "SCRAM-SHA-1"})

        assert refused(encode(connect, 5).hex())[0] == 0x8C


class TestAcceptance:
    def test_mqtt_3_gets_two_bytes(self):
        session = ServerSession()
        session.receive(bytes.fromhex(V311))
        session.accept(True, SessionState())

        assert session.take_output() == bytes.fromhex("2002 0100")
        assert session.is_open

    def test_session_present_is_not_said_in_mqtt_3_1(self):
        session = ServerSession()
        session.receive(bytes.fromhex("100f 0006 4d5149736470 03 00 0000 0001 63"))
        session.accept(True, SessionState())

        assert session.take_output() == bytes.fromhex("2002 0000")

    def test_mqtt_5_is_told_what_it_may_do(self):
        session = ServerSession(max_packet_bytes=65536, in_flight=100, max_topic_aliases=7)
        session.receive(bytes.fromhex(V5))
        session.accept(False, SessionState(), assigned_client_id="auto", server_keep_alive=30)

        [connack] = Decoder(version=5).feed(session.take_output())
        assert connack == p.ConnAck(
            False,
            0,
            {
                prop.RECEIVE_MAXIMUM: 100,
                prop.MAXIMUM_PACKET_SIZE: 65536,
                prop.TOPIC_ALIAS_MAXIMUM: 7,
                prop.RETAIN_AVAILABLE: 0,
                prop.SHARED_SUBSCRIPTION_AVAILABLE: 0,
                prop.SUBSCRIPTION_IDENTIFIER_AVAILABLE: 0,
                prop.ASSIGNED_CLIENT_IDENTIFIER: "auto",
                prop.SERVER_KEEP_ALIVE: 30,
            },
        )
        assert session.keep_alive_s == 30

    def test_a_capped_session_expiry_is_told(self):
        connect = p.Connect("c", 5, properties={prop.SESSION_EXPIRY_INTERVAL: 0xFFFFFFFF})
        session = ServerSession()
        session.receive(encode(connect, 5))
        session.accept(False, SessionState(requested_expiry(connect)))

        [connack] = Decoder(version=5).feed(session.take_output())
        assert connack.properties[prop.SESSION_EXPIRY_INTERVAL] == 3600

    def test_the_requested_expiry(self):
        assert requested_expiry(p.Connect("c", 4, clean_start=True)) == 0
        assert requested_expiry(p.Connect("c", 3, clean_start=False)) == 3600
        assert requested_expiry(p.Connect("c", 5, clean_start=False)) == 0
        assert requested_expiry(p.Connect("c", 5, properties={prop.SESSION_EXPIRY_INTERVAL: 60})) == 60


class TestRefusal:
    @pytest.mark.parametrize(
        ("reason", "code"), [(0x84, 1), (0x85, 2), (0x88, 3), (0x97, 3), (0x86, 4), (0x87, 5), (0x8A, 5)]
    )
    def test_mqtt_3_has_its_own_codes(self, reason, code):
        session = ServerSession()
        session.receive(bytes.fromhex(V311))
        session.refuse(reason, "because")

        assert session.take_output() == bytes((0x20, 2, 0, code))
        assert session.receive(b"\xc0\0") == []

    def test_what_mqtt_3_cannot_say_is_not_said(self):
        session = ServerSession()
        session.receive(bytes.fromhex(V311))
        session.refuse(0x81)

        assert session.take_output() == b""

    def test_mqtt_5_is_told_why(self):
        session = ServerSession()
        session.receive(bytes.fromhex(V5))
        session.refuse(0x86, "no")

        assert session.take_output() == bytes.fromhex("2008 00 86 05 1f 0002 6e6f")

    def test_a_refusal_larger_than_the_client_takes_goes_without_its_text(self):
        session = ServerSession()
        session.receive(encode(p.Connect("c", 5, properties={prop.MAXIMUM_PACKET_SIZE: 8}), 5))
        session.refuse(0x86, "a long story")

        assert session.take_output() == bytes.fromhex("2003 00 86 00")


class TestWhatIsSentBeforeTheAnswer:
    def test_it_is_held_and_given_with_the_acceptance(self, version):
        session = ServerSession()
        early = encode(p.Publish("t", b"1", 1, 1), version) + encode(p.PingReq(), version)

        first = session.receive(encode(p.Connect("c", version), version) + early[:5])
        assert [type(event) for event in first] == [p.Connect]
        assert session.wants_pause
        assert session.receive(early[5:]) == []
        assert session.held_bytes == len(early)

        [message] = session.accept(False, SessionState())
        assert isinstance(message, Received)
        assert not session.wants_pause
        assert session.take_output().endswith(b"\xd0\0")

    def test_it_is_forgotten_with_a_refusal(self):
        session = ServerSession()
        session.receive(bytes.fromhex(V311) + encode(p.Publish("t", b"1"), 4))
        session.refuse(0x87)

        assert session.receive() == []

    def test_what_is_wrong_with_it_shows_at_the_acceptance(self, version):
        session = ServerSession()
        session.receive(encode(p.Connect("c", version), version) + encode(p.Publish("t", b"1"), version) + b"\0\0")

        with pytest.raises(ProtocolError) as caught:
            session.accept(False, SessionState())
        assert [event.payload for event in caught.value.before] == [b"1"]

    def test_a_shell_that_goes_on_reading_meets_a_bound(self):
        session = ServerSession(max_packet_bytes=1000)
        session.receive(bytes.fromhex(V311))
        session.receive(bytes(1 << 20))

        with pytest.raises(ProtocolError) as caught:
            session.receive(bytes(1001))
        assert caught.value.reason_code == 0x97

    def test_a_packet_that_is_too_large_is_not_collected_before_the_handshake(self):
        assert refused("10 ffff7f")[0] == 0x95
