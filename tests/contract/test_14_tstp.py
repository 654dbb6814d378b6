"""14/TSTP: data points, from whoever has them to whoever wants them."""

import pytest
from contracts import (
    LONG,
    TEXT,
    any_time,
    assert_junk_is_refused,
    assert_same_schema,
    defaults,
    double,
    few,
    fingerprint,
    long,
    spelled,
    text,
)
from hypothesis import given
from hypothesis import strategies as st

from kaa.core.messages import decode, encode
from kaa.protocols.tstp import DataPoint, TimeSeriesEvent, TimeSeriesProcessed, data_points_received


@pytest.mark.parametrize(
    ("kind", "sha256"),
    [
        (TimeSeriesEvent, "2c379a94d252bb1d09300fce058c898ceb9cf72ecbfb12f69e5195b3eec3fa9e"),
        (TimeSeriesProcessed, "16781041902ed5ee76f58786343b684322dc568482e7f84f343c9694383a4d8c"),
    ],
)
def test_the_schema_has_the_fingerprint_of_the_rfc(kind, sha256):
    assert fingerprint(kind) == sha256


@pytest.mark.parametrize(("kind", "name"), [(TimeSeriesEvent, "event"), (TimeSeriesProcessed, "processed")])
def test_the_whole_schema_is_that_of_the_rfc(kind, name):
    assert_same_schema(kind, f"0014-ep-time-series-{name}.avsc")


def test_the_defaults():
    assert defaults(TimeSeriesEvent) == {"timeout": 0}
    assert defaults(DataPoint) == {"ingestionTimestamp": 0}
    assert defaults(TimeSeriesProcessed) == {"timeout": 0, "reasonPhrase": None}


def test_the_subjects():
    received = "endpoint.data-collection.data-points-received"
    assert spelled(data_points_received("epts", "auto~t")) == (
        f"kaa.v1.events.epts.{received}.auto~t",
        TimeSeriesEvent,
        TimeSeriesProcessed,
    )
    assert str(data_points_received("epl")) == f"kaa.v1.events.epl.{received}.*"
    assert str(data_points_received()) == f"kaa.v1.events.*.{received}.*"


def event(**values):
    return TimeSeriesEvent(
        correlation_id="c1",
        timestamp_ms=1,
        app_version_name="v",
        endpoint_id="e",
        time_series_name="s",
        data_points=(DataPoint(ingestion_timestamp_ms=150, timestamp_ms=-1, values=values),),
    )


HEAD = b"\x04c1\x02\x00\x02v\x02e\x02s\x02\xac\x02\x01"
"""All of `event` up to the map of its values: one point in the block of the array."""


@pytest.mark.parametrize(
    ("value", "data"),
    [
        (True, b"\x00\x01"),
        (False, b"\x00\x00"),
        (0, b"\x02\x00"),
        (2**31 - 1, b"\x02\xfe\xff\xff\xff\x0f"),
        (-(2**31), b"\x02\xff\xff\xff\xff\x0f"),
        (2**31, b"\x04\x80\x80\x80\x80\x10"),
        (-(2**63), b"\x04\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01"),
        (21.5, b"\x08\x00\x00\x00\x00\x00\x80\x35\x40"),
        (0.1, b"\x08\x9a\x99\x99\x99\x99\x99\xb9\x3f"),
        (1.0, b"\x08\x00\x00\x00\x00\x00\x00\xf0\x3f"),
        ("ü", b"\x0a\x04\xc3\xbc"),
        (b"\x00", b"\x0c\x02\x00"),
        (None, b"\x0e"),
    ],
)
def test_each_kind_of_value_goes_into_its_own_branch(value, data):
    message = event(v=value)
    assert encode(message) == HEAD + b"\x02\x02v" + data + b"\x00\x00"
    again = decode(TimeSeriesEvent, encode(message))
    assert again == message
    assert type(again.data_points[0].values["v"]) is type(value)


def test_a_float_of_another_sender_is_read():
    data = HEAD + b"\x02\x02v" + b"\x06\x00\x00\xac\x41" + b"\x00\x00"
    assert decode(TimeSeriesEvent, data).data_points[0].values == {"v": 21.5}


def test_no_points_and_no_values():
    assert encode(event()) == HEAD + b"\x00\x00"
    bare = TimeSeriesEvent(
        correlation_id="",
        timestamp_ms=0,
        app_version_name="",
        endpoint_id="",
        time_series_name="",
        data_points=(),
    )
    assert encode(bare) == b"\x00" * 7


def test_processed():
    message = TimeSeriesProcessed(correlation_id="c1", timestamp_ms=1, status_code=403, reason_phrase="no")
    assert encode(message) == b"\x04c1\x02\x00\xa6\x06\x02\x04no"


@any_time
@given(st.floats(allow_nan=False))
def test_every_double_survives_exactly(value):
    found = decode(TimeSeriesEvent, encode(event(v=value))).data_points[0].values["v"]
    assert type(found) is float
    assert double(found) == double(value)
    assert encode(event(v=value)) == HEAD + b"\x02\x02v\x08" + double(value) + b"\x00\x00"


@any_time
@given(LONG)
def test_every_integer_of_64_bits_survives(value):
    branch = b"\x02" if -(2**31) <= value < 2**31 else b"\x04"
    assert encode(event(v=value)) == HEAD + b"\x02\x02v" + branch + long(value) + b"\x00\x00"
    assert decode(TimeSeriesEvent, encode(event(v=value))).data_points[0].values["v"] == value


@any_time
@given(TEXT, TEXT)
def test_every_text_survives(name, value):
    assert encode(event(**{name: value})) == HEAD + b"\x02" + text(name) + b"\x0a" + text(value) + b"\x00\x00"


@few
@given(junk=st.binary(max_size=40))
def test_junk_where_the_points_should_be_gives_a_protocol_error(junk):
    assert_junk_is_refused(TimeSeriesEvent, HEAD + junk)
