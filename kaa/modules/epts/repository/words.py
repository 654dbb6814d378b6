"""How SQLite puts a row into words, so that the interpreter is free while it does.

These are expressions over `at_us`, `value`, `label` and `millionths`.
"""

from dataclasses import dataclass

_TIME = "strftime('%Y-%m-%dT%H:%M:%fZ', at_us / 1000 / 1000.0, 'unixepoch')"
_PRECISE = "strftime('%Y-%m-%dT%H:%M:%S', at_us / 1000000, 'unixepoch') || printf('.%06dZ', at_us % 1000000)"
# SQLite's own way of writing a number is not exact. What has at most six decimals is a quotient of two whole numbers
# that a double holds, and IEEE 754 rounds a quotient as it rounds a decimal: then its digits are those of the dividend.
MILLIONTHS = "case when typeof(value) = 'real' and abs(value) < 9e9 then cast(round(value * 1e6) as integer) end"
_SHORT = (
    "case when millionths % 1000000 = 0 then millionths / 1000000 || '.0' else rtrim(printf('%s%d.%06d', "
    "iif(millionths < 0, '-', ''), abs(millionths) / 1000000, abs(millionths) % 1000000), '0') end"
)
# Any other is told by its bits, as a whole number times a power of two, between bytes that no text has; Python puts it
# into words. Eleven powers of two fit a window, so that the whole number fits 64 bits.
_MARK = "cast(x'ff' as text)"
_WINDOWS = ((-2, 54), (9, 43), (-13, 65), (20, 32), (31, 21), (-24, 76), (42, 10), (-35, 87))


def _scaled(power: int) -> str:
    return f"value * {2**power}" if power <= 62 else f"value * {2**62} * {2 ** (power - 62)}"


def _reach(power: int) -> str:
    return str(2**power) if power >= 0 else f"1.0 / {2**-power}"


_EXACT = "".join(
    f" when abs(value) >= {_reach(low)} and abs(value) < {_reach(low + 11)} "
    f"then {_MARK} || cast({_scaled(power)} as integer) || '{power}' || {_MARK}"
    for low, power in _WINDOWS
)
_REAL = f"case when millionths / 1e6 = value then {_SHORT}{_EXACT} else in_words(value) end"
_POWERS = {str(power).encode(): 2.0**-power for _, power in _WINDOWS}
_JSON = (
    f"case typeof(value) when 'real' then {_REAL} when 'integer' then value when 'null' then 'null' "
    "when 'blob' then case value when x'01' then 'true' else 'false' end else json_quote(value) end"
)
_CSV = (
    f"case typeof(value) when 'real' then {_REAL} when 'integer' then value when 'null' then '' "
    "when 'blob' then case value when x'01' then 'true' else 'false' end "
    "else '\"' || replace(value, '\"', '\"\"') || '\"' end"
)


@dataclass(frozen=True, slots=True)
class Layout:
    """What a point becomes: `head`, an `item` for each of its values with `between` them, `tail`."""

    head: str
    item: str
    between: str
    tail: str

    def one(self) -> str:
        """Write a point of a single value."""
        return f"{self.head} || {self.item} || {self.tail}"

    def many(self) -> str:
        """Write a point of several values, which are grouped by time."""
        return f"{self.head} || group_concat({self.item}, {self.between}) || {self.tail}"


def json(*, is_precise: bool) -> Layout:
    """Give the layout of objects; `is_precise` says their times in microseconds instead of milliseconds."""
    time = _PRECISE if is_precise else _TIME
    return Layout(f'\'{{"timestamp":"\' || {time} || \'","values":{{\'', f"label || {_JSON}", "','", "'}}'")


def csv(start: str, *, is_precise: bool) -> Layout:
    """Give the layout of lines that begin with `start`; `is_precise` as for `json`."""
    time = _PRECISE if is_precise else _TIME
    quoted = start.replace("'", "''")
    return Layout("''", f"'{quoted}' || {time} || ',' || label || ',' || {_CSV}", "char(10)", "''")


def in_words(piece: bytes) -> bytes:
    """Finish a piece: put the numbers into words that were told by their bits."""
    parts = piece.split(b"\xff")
    # the last two digits are those of the power
    parts[1::2] = [repr(float(marked[:-2]) * _POWERS[marked[-2:]]).encode() for marked in parts[1::2]]
    return b"".join(parts)
