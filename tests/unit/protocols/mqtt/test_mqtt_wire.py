import pytest
from hypothesis import given
from hypothesis import strategies as st

from kaa.core.errors import ProtocolError
from kaa.protocols.mqtt import wire
from kaa.protocols.mqtt.encoding import encode, encode_publish
from kaa.protocols.mqtt.packets import V5, Connect


@given(value=st.integers(0, wire.MAX_VARINT))
def test_variable_byte_integers_survive(value):
    spelling = wire.write_varint(value)

    assert wire.read_varint(spelling, 0, len(spelling)) == (value, len(spelling))


@pytest.mark.parametrize(
    ("value", "spelling"),
    [
        (0, "00"),
        (127, "7f"),
        (128, "8001"),
        (16383, "ff7f"),
        (16384, "808001"),
        (2097151, "ffff7f"),
        (2097152, "80808001"),
        (268435455, "ffffff7f"),
    ],
)
def test_the_standards_table_of_variable_byte_integers(value, spelling):
    assert wire.write_varint(value).hex() == spelling


@pytest.mark.parametrize("spelling", ["", "80", "80808080", "ffffffff01", "8000", "ff00"])
def test_variable_byte_integers_that_are_none(spelling):
    data = bytes.fromhex(spelling)

    with pytest.raises(ProtocolError):
        wire.read_varint(data, 0, len(data))


def test_nothing_is_read_beyond_the_stop():
    data = bytes(10)
    for read, size in [
        (wire.read_byte, 1),
        (wire.read_u16, 2),
        (wire.read_u32, 4),
        (wire.read_binary, 2),
        (wire.read_string, 2),
    ]:
        assert read(data, 0, size)[1] == size
        with pytest.raises(ProtocolError):
            read(data, 0, size - 1)


def test_what_cannot_be_spelled_is_our_own_mistake():
    with pytest.raises(ValueError):
        wire.write_varint(wire.MAX_VARINT + 1)
    with pytest.raises(ValueError):
        encode(Connect("c" * 65536), V5)
    with pytest.raises(ValueError):
        encode_publish("t" * 65536, b"", version=V5)
