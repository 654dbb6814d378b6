"""27/SCMP: system configurations that have changed."""

import pytest
from contracts import (
    assert_same_schema,
    defaults,
    fingerprint,
    spelled,
)

from kaa.core.messages import decode, encode
from kaa.protocols.system_scmp import SystemConfigUpdated, system_config_updated
from kaa.protocols.x_outbox import EventProcessed

KINDS = [SystemConfigUpdated]


@pytest.mark.parametrize(
    ("kind", "sha256"),
    [
        (SystemConfigUpdated, "fcf1a40fe0a68bb047f18e9b39d58d3b1f7f06f367683c8e6a6df9caf16a3bc8"),
    ],
)
def test_the_schema_has_the_fingerprint_of_the_rfc(kind, sha256):
    assert fingerprint(kind) == sha256


@pytest.mark.parametrize(
    ("kind", "name"),
    [
        (SystemConfigUpdated, "system-config-updated"),
    ],
)
def test_the_whole_schema_is_that_of_the_rfc(kind, name):
    assert_same_schema(kind, f"0027-{name}.avsc")


def test_the_defaults():
    expected = {"timeout": 0, "contentType": "application/json", "originatorReplicaId": None}
    assert [defaults(kind) for kind in KINDS] == [expected]


def test_the_subjects():
    assert spelled(system_config_updated("ecr")) == (
        "kaa.v1.events.ecr.system.config.updated",
        SystemConfigUpdated,
        EventProcessed,
    )
    assert str(system_config_updated()) == "kaa.v1.events.*.system.config.updated"


@pytest.mark.parametrize(
    ("message", "data"),
    [
        (
            SystemConfigUpdated(
                correlation_id="c1",
                timestamp_ms=1,
                tenant_id="kaa",
                config_name="n",
                config_level="TENANT",
                config_level_id="kaa",
                content=b"{}",
            ),
            b"\x04c1\x02\x00\x06kaa\x02n\x0cTENANT\x06kaa\x20application/json\x04{}\x00",
        ),
        (
            SystemConfigUpdated(
                correlation_id="c1",
                timestamp_ms=1,
                timeout_ms=64,
                tenant_id="kaa",
                config_name="n",
                config_level="ENDPOINT",
                config_level_id="e",
                content_type="t",
                content=b"",
                originator_replica_id="o",
            ),
            b"\x04c1\x02\x80\x01\x06kaa\x02n\x10ENDPOINT\x02e\x02t\x00\x02\x02o",
        ),
    ],
)
def test_the_bytes_are_those_of_the_avro_specification(message, data):
    assert encode(message) == data
    assert decode(type(message), data) == message
