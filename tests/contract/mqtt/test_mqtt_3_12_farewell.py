"""3.12 PINGREQ, 3.14 DISCONNECT, the will and the keep-alive."""

import pytest

from kaa.core.errors import ProtocolError
from kaa.protocols.mqtt import packets as p
from kaa.protocols.mqtt import properties as prop
from kaa.protocols.mqtt.codec import Decoder, encode
from kaa.protocols.mqtt.server import Disconnected, ServerSession, SessionState

WILL = p.Will("t", b"gone", 1)


def with_will(version, **properties):
    return encode(p.Connect("c", version, will=WILL, **properties), version)


class TestKeepAlive:
    def test_a_ping_is_answered_by_the_session(self, served, version):
        session = served(version)

        assert session.receive(b"\xc0\0\xc0\0") == []
        assert session.take_output() == b"\xd0\0\xd0\0"

    def test_the_deadline_is_one_and_a_half_times_the_interval(self, served, version):
        session = served(version, connect=encode(p.Connect("c", version, keep_alive_s=60), version))

        assert session.deadline(1000.0) == 1090.0  # [MQTT-3.1.2-24]

    def test_0_turns_it_off(self, served, version):
        assert served(version).deadline(1000.0) is None

    def test_the_servers_interval_counts_where_the_client_is_told(self):
        for version, deadline in ((4, 90.0), (5, 15.0)):
            session = ServerSession()
            session.receive(encode(p.Connect("c", version, keep_alive_s=60), version))
            session.accept(False, SessionState(), server_keep_alive=10)

            assert session.deadline(0.0) == deadline


class TestFarewell:
    def test_nothing_counts_after_it(self, served, version):
        session = served(version)
        wire = encode(p.Publish("t", b"1"), version) + b"\xe0\0" + encode(p.Publish("t", b"2"), version) + b"\0\0"
        message, farewell = session.receive(wire)

        assert message.payload == b"1"
        assert farewell == Disconnected()
        assert not session.is_open
        assert session.receive(b"\xff\xff\xff") == []

    def test_the_will_of_a_connect_that_was_not_accepted_counts_for_nothing(self, version):
        session = ServerSession()
        session.receive(with_will(version))
        assert session.will is None
        session.refuse(0x88)
        assert session.will is None

    def test_it_voids_the_will(self, served, version):
        session = served(version, connect=with_will(version))

        assert session.will == WILL
        session.receive(b"\xe0\0")  # [MQTT-3.14.4-3]
        assert session.will is None

    def test_unless_it_says_otherwise(self, served):
        session = served(5, connect=with_will(5))
        [farewell] = session.receive(bytes.fromhex("e001 04"))

        assert farewell == Disconnected(0x04)
        assert session.will == WILL

    def test_an_end_without_it_leaves_the_will(self, served, version):
        session = served(version, connect=with_will(version))
        with pytest.raises(ProtocolError):
            session.receive(b"\0\0")

        assert session.will == WILL

    def test_a_refused_client_has_no_will(self, version):
        session = ServerSession()
        session.receive(with_will(version))
        session.refuse(0x87)

        assert session.will is None

    def test_the_delay_of_the_will_is_told(self, served):
        will = p.Will("t", b"", properties={prop.WILL_DELAY_INTERVAL: 30})

        assert served(5, connect=encode(p.Connect("c", 5, will=will), 5)).will_delay_s == 30
        assert served(5).will_delay_s == 0

    def test_it_may_change_how_long_the_session_is_kept(self, served):
        connect = encode(p.Connect("c", 5, properties={prop.SESSION_EXPIRY_INTERVAL: 60}), 5)
        for asked, kept in ((0, 0), (30, 30), (0xFFFFFFFF, 3600)):
            state = SessionState(60)
            served(5, state, connect).receive(encode(p.Disconnect(0, {prop.SESSION_EXPIRY_INTERVAL: asked}), 5))

            assert state.expiry_s == kept

    def test_but_not_revive_one_that_was_not_to_be_kept(self, served):
        with pytest.raises(ProtocolError) as caught:
            served(5).receive(encode(p.Disconnect(0, {prop.SESSION_EXPIRY_INTERVAL: 1}), 5))
        assert caught.value.reason_code == 0x82


class TestTheServersFarewell:
    def test_only_mqtt_5_can_say_it(self, served, version):
        session = served(version)
        session.disconnect(0x8E, "elsewhere")
        session.disconnect(0x8B, "twice")

        packets = Decoder(version=version).feed(session.take_output())
        expected = [p.Disconnect(0x8E, {prop.REASON_STRING: "elsewhere"})] if version == 5 else []
        assert packets == expected
        assert session.receive(b"\xc0\0") == []
