"""13/DSTP: data samples, from a data collection extension to whoever wants them."""

import pytest
from contracts import (
    assert_same_schema,
    defaults,
    fingerprint,
    spelled,
)

from kaa.core.messages import decode, encode
from kaa.protocols.dstp import DataSamplesEvent, DataSamplesProcessed, data_samples_processed, data_samples_received


@pytest.mark.parametrize(
    ("kind", "sha256"),
    [
        (DataSamplesEvent, "912729b5d4c771a523037dc4209b19e128d848be3e82151ecc24ad9125ffd56a"),
        (DataSamplesProcessed, "cb1fa0cb5bbfd852fb51e7ca2174053435f7cecf73516c341144cd5c94858ffe"),
    ],
)
def test_the_schema_has_the_fingerprint_of_the_rfc(kind, sha256):
    assert fingerprint(kind) == sha256


@pytest.mark.parametrize(("kind", "name"), [(DataSamplesEvent, "event"), (DataSamplesProcessed, "processed")])
def test_the_whole_schema_is_that_of_the_rfc(kind, name):
    assert_same_schema(kind, f"0013-ep-data-samples-{name}.avsc")


def test_the_defaults():
    assert defaults(DataSamplesEvent) == {"timeout": 0, "contentType": "application/json"}
    assert defaults(DataSamplesProcessed) == {"timeout": 0, "reasonPhrase": None}


def test_the_subjects():
    received = "endpoint.data-collection.data-samples-received"
    assert spelled(data_samples_received("dcx")) == (
        f"kaa.v1.events.dcx.{received}",
        DataSamplesEvent,
        DataSamplesProcessed,
    )
    assert str(data_samples_received()) == f"kaa.v1.events.*.{received}"
    assert spelled(data_samples_processed("dcx-01")) == (
        "kaa.v1.replica.dcx-01.dstp.data-samples-processed",
        DataSamplesProcessed,
        None,
    )


EVENT = (
    DataSamplesEvent(
        correlation_id="c1",
        timestamp_ms=150,
        app_version_name="v",
        endpoint_id="e",
        data_samples=(b'{"t":1}', b"2"),
    ),
    (
        b'\x04c1\xac\x02\x00\x02v\x02e\x20application/json\x04\x0e{"t":1}\x022\x00'
    ),  # an array: a block of two, then the end
)
NOTHING = (
    DataSamplesEvent(
        correlation_id="c", timestamp_ms=0, app_version_name="", endpoint_id="", content_type="", data_samples=()
    ),
    b"\x02c\x00\x00\x00\x00\x00\x00",
)
DONE = (
    DataSamplesProcessed(
        correlation_id="c1", timestamp_ms=1, receiver_service_instance_name="epts", status_code=200, reason_phrase=None
    ),
    b"\x04c1\x02\x00\x08epts\x90\x03\x00",
)
REFUSED = (
    DataSamplesProcessed(
        correlation_id="c1",
        timestamp_ms=1,
        timeout_ms=10_000,
        receiver_service_instance_name="epts",
        status_code=403,
        reason_phrase="nö",
    ),
    b"\x04c1\x02\xa0\x9c\x01\x08epts\xa6\x06\x02\x06n\xc3\xb6",
)


@pytest.mark.parametrize(("message", "data"), [EVENT, NOTHING, DONE, REFUSED])
def test_the_bytes_are_those_of_the_avro_specification(message, data):
    assert encode(message) == data
    assert decode(type(message), data) == message
