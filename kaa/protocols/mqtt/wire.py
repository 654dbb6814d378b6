"""The data types of MQTT: integers, strings, binary data; reading never goes beyond `stop`."""

from struct import Struct
from typing import Final

from kaa.core.errors import ProtocolError

MAX_STRING_BYTES: Final = 0xFFFF
MAX_VARINT: Final = 268_435_455

_U16: Final = Struct(">H")
_U32: Final = Struct(">I")


def read_byte(data: bytes, at: int, stop: int) -> tuple[int, int]:
    """Read one byte; gives the value and where to go on, as all of these do."""
    if at >= stop:
        raise ProtocolError("the packet ends where a byte was expected")
    return data[at], at + 1


def read_u16(data: bytes, at: int, stop: int) -> tuple[int, int]:
    """Read a two byte integer."""
    if at + 2 > stop:
        raise ProtocolError("the packet ends within a two byte integer")
    return data[at] << 8 | data[at + 1], at + 2


def read_u32(data: bytes, at: int, stop: int) -> tuple[int, int]:
    """Read a four byte integer."""
    if at + 4 > stop:
        raise ProtocolError("the packet ends within a four byte integer")
    return int.from_bytes(data[at : at + 4], "big"), at + 4


def read_varint(data: bytes, at: int, stop: int) -> tuple[int, int]:
    """Read a variable byte integer as MQTT 5 wants it: at most four bytes, and no more than needed."""
    value = shift = 0
    while True:
        if at >= stop:
            raise ProtocolError("the packet ends within a variable byte integer")
        byte = data[at]
        at += 1
        value |= (byte & 0x7F) << shift
        if byte < 0x80:
            break
        shift += 7
        if shift > 21:
            raise ProtocolError("a variable byte integer has more than four bytes")
    if shift and not byte:
        raise ProtocolError("a variable byte integer is longer than it needs to be")  # [MQTT5-1.5.5-1]
    return value, at


def read_binary(data: bytes, at: int, stop: int) -> tuple[bytes, int]:
    """Read binary data, which is preceded by its length."""
    if at + 2 > stop:
        raise ProtocolError("the packet ends within the length of a field")
    end = at + 2 + (data[at] << 8 | data[at + 1])
    if end > stop:
        raise ProtocolError("a field is longer than its packet")
    return data[at + 2 : end], end


def read_string(data: bytes, at: int, stop: int) -> tuple[str, int]:
    """Read a string, which is UTF-8 without surrogates and U+0000."""
    raw, at = read_binary(data, at, stop)
    return text(raw), at


def text(raw: bytes) -> str:
    """Decode UTF-8 as MQTT restricts it."""
    try:
        decoded = raw.decode()  # refuses surrogates [MQTT-1.5.3-1], keeps U+FEFF [MQTT-1.5.3-3]
    except UnicodeDecodeError as error:
        raise ProtocolError(f"a string is not UTF-8: {error.reason} at byte {error.start}") from None
    if "\0" in decoded:
        raise ProtocolError("a string holds U+0000")  # [MQTT-1.5.3-2]
    return decoded


def write_u16(value: int) -> bytes:
    """Write a two byte integer."""
    return _U16.pack(value)


def write_u32(value: int) -> bytes:
    """Write a four byte integer."""
    return _U32.pack(value)


def write_varint(value: int) -> bytes:
    """Write a variable byte integer; ValueError beyond 268,435,455."""
    if value < 0x80:
        return bytes((value,))
    if value < 0x4000:
        return bytes((value & 0x7F | 0x80, value >> 7))
    if value > MAX_VARINT:
        raise ValueError(f"{value} does not fit into a variable byte integer")
    if value < 0x200000:
        return bytes((value & 0x7F | 0x80, value >> 7 & 0x7F | 0x80, value >> 14))
    return bytes((value & 0x7F | 0x80, value >> 7 & 0x7F | 0x80, value >> 14 & 0x7F | 0x80, value >> 21))


def write_binary(value: bytes) -> bytes:
    """Write binary data after its length; ValueError beyond 65,535 bytes."""
    if len(value) > MAX_STRING_BYTES:
        raise ValueError(f"{len(value)} bytes do not fit into a field")
    return _U16.pack(len(value)) + value


def write_string(value: str) -> bytes:
    """Write a string after its length; ValueError beyond 65,535 bytes."""
    return write_binary(value.encode())
