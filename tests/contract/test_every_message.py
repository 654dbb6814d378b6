"""What holds for every message, whatever it says: what is sent arrives, and no bytes do more than be refused."""

import pytest
from contracts import assert_junk_is_refused, assert_round_trip, every_message, few, made
from hypothesis import given
from hypothesis import strategies as st

MESSAGES = every_message()


@pytest.mark.parametrize("kind", MESSAGES)
@few
@given(data=st.data())
def test_what_is_sent_arrives(kind, data):
    assert_round_trip(data.draw(made(kind)))


@pytest.mark.parametrize("kind", MESSAGES)
@few
@given(junk=st.binary(max_size=80))
def test_junk_gives_a_protocol_error(kind, junk):
    assert_junk_is_refused(kind, junk)
