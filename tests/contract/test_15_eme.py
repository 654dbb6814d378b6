"""15/EME: metadata that has changed."""

import pytest
from contracts import (
    assert_same_schema,
    defaults,
    fingerprint,
    spelled,
)

from kaa.core.messages import decode, encode
from kaa.protocols.eme import (
    MetadataKeyUpdatedDto,
    MetadataUpdatedEvent,
    metadata_updated,
)
from kaa.protocols.x_outbox import EventProcessed

KINDS = [
    MetadataUpdatedEvent,
]


@pytest.mark.parametrize(
    ("kind", "sha256"),
    [
        (MetadataUpdatedEvent, "ae3e929cc1bd914db5d38cd3b0d66da980d7c24cca7606e136d7409b6243e713"),
    ],
)
def test_the_schema_has_the_fingerprint_of_the_rfc(kind, sha256):
    assert fingerprint(kind) == sha256


@pytest.mark.parametrize(
    ("kind", "name"),
    [
        (MetadataUpdatedEvent, "ep-metadata-updated"),
    ],
)
def test_the_whole_schema_is_that_of_the_rfc(kind, name):
    assert_same_schema(kind, f"0015-{name}.avsc")


def test_the_defaults():
    assert [defaults(kind) for kind in KINDS] == [{"timeout": 0}]


def test_the_subjects():
    assert spelled(metadata_updated("epr")) == (
        "kaa.v1.events.epr.endpoint.metadata.updated",
        MetadataUpdatedEvent,
        EventProcessed,
    )
    assert str(metadata_updated()) == "kaa.v1.events.*.endpoint.metadata.updated"


@pytest.mark.parametrize(
    ("message", "data"),
    [
        (
            MetadataUpdatedEvent(
                correlation_id="c1",
                timestamp_ms=1,
                app_version_name="v",
                endpoint_id="e",
                removed={"r": None},
                added={"a": "1"},
                updated={"u": MetadataKeyUpdatedDto(new_value=None, old_value="{}")},
                originator_replica_id="o",
            ),
            (
                b"\x04c1\x02\x00\x02v\x02e"
                b"\x02\x02r\x00\x00"  # a map of one, its null, and the end of the map
                b"\x02\x02a\x02\x021\x00"
                b"\x02\x02u\x00\x02\x04{}\x00"  # the new value stands before the old one
                b"\x02o"
            ),
        ),
    ],
)
def test_the_bytes_are_those_of_the_avro_specification(message, data):
    assert encode(message) == data
    assert decode(type(message), data) == message
