"""4.3.3 QoS 2: exactly once for as long as the session is kept."""

import pytest

from kaa.core.errors import ProtocolError
from kaa.protocols.mqtt import packets as p
from kaa.protocols.mqtt.codec import encode
from kaa.protocols.mqtt.server import Received, Repeated, SessionState


def wire(version, packet_id=1, *, dup=False, payload=b"x", topic="t"):
    return encode(p.Publish(topic, payload, 2, packet_id, dup=dup), version)


def test_the_four_packets(served, version):
    state = SessionState()
    session = served(version, state)
    [message] = session.receive(wire(version))
    assert set(state.incoming_qos2) == set()

    session.settle(message, answers=session.answer("a", b""))
    assert session.take_output() == bytes.fromhex("5002 0001") + encode(p.Publish("a", b""), version)
    assert set(state.incoming_qos2) == {1}

    assert session.receive(bytes.fromhex("6202 0001")) == []
    assert session.take_output() == bytes.fromhex("7002 0001")
    assert set(state.incoming_qos2) == set()


def test_a_repetition_gets_the_pubrec_again_and_is_not_handed_out(served, version):
    session = served(version)
    [message] = session.receive(wire(version))
    session.settle(message)
    session.take_output()

    assert session.receive(wire(version, dup=True)) == []  # [MQTT-4.3.3-2]
    assert session.take_output() == bytes.fromhex("5002 0001")
    assert session.unsettled == 0


def test_a_repetition_of_an_unsettled_one_is_neither_answered_nor_handed_out(served, version):
    session = served(version)
    [message] = session.receive(wire(version))

    assert session.receive(wire(version, dup=True)) == []
    assert session.take_output() == b""
    session.settle(message)
    assert session.take_output() == bytes.fromhex("5002 0001")


def test_the_repetitions_pubrec_waits_its_turn(served, version):
    state = SessionState(3600)
    earlier = served(version, state)
    earlier.settle(*earlier.receive(wire(version, 9)))
    session = served(version, state)
    [message] = session.receive(encode(p.Publish("t", b"x", 1, 1), version) + wire(version, 9, dup=True))

    assert session.take_output() == b""
    session.settle(message)
    assert session.take_output() == bytes.fromhex("4002 0001 5002 0009")


def test_the_ids_belong_to_the_session_and_outlive_the_connection(served, version):
    state = SessionState(3600)
    first = served(version, state)
    [message] = first.receive(wire(version))
    first.settle(message)

    second = served(version, state)
    assert second.receive(wire(version, dup=True)) == []
    assert second.receive(bytes.fromhex("6202 0001")) == []
    assert second.take_output() == bytes.fromhex("5002 0001 7002 0001")
    assert len(second.receive(wire(version))) == 1


def test_what_was_settled_is_remembered_before_its_pubrec_may_leave(served, version):
    state = SessionState(3600)
    session = served(version, state)
    [_, message] = session.receive(encode(p.Publish("t", b"", 1, 1), version) + wire(version, 2))
    session.settle(message)

    assert session.take_output() == b""
    assert served(version, state).receive(wire(version, 2, dup=True)) == []
    assert session.receive(wire(version, 2, dup=True)) == []


def test_a_refused_message_is_final_in_mqtt_3_and_forgotten_in_mqtt_5(served, version):
    state = SessionState()
    session = served(version, state)
    [message] = session.receive(wire(version))
    session.settle(message, 0x97)

    assert session.take_output() == bytes.fromhex("5003 0001 97" if version == 5 else "5002 0001")
    assert set(state.incoming_qos2) == (set() if version == 5 else {1})
    assert len(session.receive(wire(version))) == (1 if version == 5 else 0)


def test_the_release_of_an_unknown_id_is_told_in_mqtt_5(served, version):
    session = served(version)
    session.receive(bytes.fromhex("6202 0005"))

    assert session.take_output() == bytes.fromhex("7003 0005 92" if version == 5 else "7002 0005")


def test_receipts_of_what_was_never_sent_do_no_harm(served, version):
    session = served(version)

    assert session.receive(bytes.fromhex("4002 0001 5002 0002 7002 0003")) == []
    assert session.take_output() == bytes.fromhex("6203 0002 92" if version == 5 else "6202 0002")


def test_ids_that_are_never_released_are_bounded(served):
    session = served(4, in_flight=2)
    for packet_id in range(1, 33):
        [message] = session.receive(wire(4, packet_id))
        session.settle(message)

    with pytest.raises(ProtocolError) as caught:
        session.receive(wire(4, 33))
    assert caught.value.reason_code == 0x93


@pytest.mark.parametrize("dup", [False, True])
@pytest.mark.parametrize("other", [{"payload": b"y"}, {"topic": "u"}])
def test_another_message_under_a_remembered_id_is_handed_out(served, version, other, dup):
    state = SessionState(3600)
    first = served(version, state)
    first.settle(*first.receive(wire(version)))

    second = served(version, state)
    [message] = second.receive(wire(version, dup=dup, **other))
    second.settle(message)
    assert second.take_output() == bytes.fromhex("5002 0001")
    assert second.receive(wire(version, dup=True, **other)) == []


def test_a_repetition_needs_no_dup_to_be_known_as_one(served, version):
    state = SessionState(3600)
    first = served(version, state)
    first.settle(*first.receive(wire(version)))

    second = served(version, state)
    assert second.receive(wire(version)) == []
    assert second.take_output() == bytes.fromhex("5002 0001")


def test_another_message_under_the_id_of_an_unsettled_one_is_handed_out(served, version):
    session = served(version)
    [first, second] = session.receive(wire(version) + wire(version, payload=b"y"))

    session.settle(first)
    session.settle(second)
    assert session.take_output() == bytes.fromhex("5002 0001 5002 0001")
    assert session.receive(wire(version, payload=b"y", dup=True)) == []


def test_one_that_comes_again_while_its_first_delivery_has_no_outcome_waits_for_that(served, version):
    state = SessionState(3600)
    first, second = served(version, state), served(version, state)
    [message] = first.receive(wire(version))

    [repeated] = second.receive(wire(version, dup=True))
    assert type(repeated) is Repeated
    assert repeated.first.message is message
    assert second.receive(wire(version, dup=True)) == []
    assert second.unsettled == 1
    second.settle(repeated.message)
    assert second.take_output() == bytes.fromhex("5002 0001")
    assert second.receive(wire(version, dup=True)) == []


def test_an_outcome_after_the_end_of_the_connection_is_remembered(served, version):
    state = SessionState(3600)
    first = served(version, state)
    [before, message] = first.receive(encode(p.Publish("t", b"", 1, 1), version) + wire(version, 2))
    first.disconnect(0x83)
    assert first.leave(before) is None
    assert first.leave(message).message is message
    first.settle(message)

    assert state.under_way == {}
    assert served(version, state).receive(wire(version, 2, dup=True)) == []


def test_one_that_was_let_go_is_handed_out_again(served, version):
    state = SessionState(3600)
    first = served(version, state)
    [message] = first.receive(wire(version))
    first.leave(message)

    [again] = served(version, state).receive(wire(version, dup=True))
    assert type(again) is Received


def test_nothing_is_held_of_what_was_settled_when_the_connection_goes(served, version):
    state = SessionState(3600)
    first = served(version, state)
    [_, settled, open_one] = first.receive(
        encode(p.Publish("t", b"", 1, 1), version) + wire(version, 2) + wire(version, 3)
    )
    first.settle(settled)
    first.close()

    assert [under_way.message for under_way in state.under_way.values()] == [open_one]
    assert served(version, state).receive(wire(version, 2, dup=True)) == []
