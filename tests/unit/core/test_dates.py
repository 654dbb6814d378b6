"""Points in time in JSON."""

import pytest
from pydantic import TypeAdapter

from kaa.core.dates import Date, iso


@pytest.mark.parametrize(
    ("at_ms", "text"),
    [
        (0, "1970-01-01T00:00:00.000Z"),
        (1_764_000_000_123, "2025-11-24T16:00:00.123Z"),
        (-1, "1969-12-31T23:59:59.999Z"),
        (253_402_300_799_999, "9999-12-31T23:59:59.999Z"),
    ],
)
def test_milliseconds_are_written_in_utc_with_a_z(at_ms: int, text: str) -> None:
    assert iso(at_ms) == text
    adapter = TypeAdapter(Date)
    assert adapter.dump_json(at_ms) == f'"{text}"'.encode()
    assert adapter.json_schema(mode="serialization") == {"type": "string", "format": "date-time"}
