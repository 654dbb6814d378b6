"""6/CDTP: configurations on their way from what keeps them to what delivers them."""

import pytest
from contracts import (
    assert_same_schema,
    defaults,
    fingerprint,
    spelled,
)

from kaa.core.messages import decode, encode
from kaa.protocols.cdtp import (
    ConfigApplied,
    ConfigRequest,
    ConfigResponse,
    ConfigUpdated,
    config_applied,
    config_updated,
    configuration,
)
from kaa.protocols.ism import to_replica
from kaa.protocols.x_outbox import EventProcessed

KINDS = [ConfigApplied, ConfigRequest, ConfigResponse, ConfigUpdated]


@pytest.mark.parametrize(
    ("kind", "sha256"),
    [
        (ConfigApplied, "c1a3ceb7bc11a2010d4431932a0e43cf53f460cd8350ea5b2c5a066e38d7b72e"),
        (ConfigRequest, "1102349c888ce418a6ab186bd7e2fb987005e9a07eaafdcef889b9d84449e367"),
        (ConfigResponse, "c849ad13f2589f85948012c0103f3263fb5896ad403f5f2b1877649d4037bd0e"),
        (ConfigUpdated, "ddeecc78eddef9509d6a927fa5e601716e71234b78bed2dda8acaa3188273e24"),
    ],
)
def test_the_schema_has_the_fingerprint_of_the_rfc(kind, sha256):
    assert fingerprint(kind) == sha256


@pytest.mark.parametrize(
    ("kind", "name"),
    [
        (ConfigApplied, "config-applied"),
        (ConfigRequest, "config-request"),
        (ConfigResponse, "config-response"),
        (ConfigUpdated, "config-updated"),
    ],
)
def test_the_whole_schema_is_that_of_the_rfc(kind, name):
    assert_same_schema(kind, f"0006-{name}.avsc")


def test_the_defaults():
    assert [defaults(kind) for kind in KINDS] == [
        {"timeout": 0, "originatorReplicaId": None, "statusCode": 200, "reasonPhrase": None},
        {"timeout": 0, "configId": None, "configName": None},
        {"timeout": 0, "configId": None, "contentType": "application/json", "content": None, "reasonPhrase": None},
        {"timeout": 0, "contentType": "application/json", "originatorReplicaId": None},
    ]


def test_the_subjects():
    assert spelled(configuration("ecr")) == (
        "kaa.v1.service.ecr.cdtp.request",
        ConfigRequest,
        ConfigResponse,
        "cdtp.response",
    )
    assert str(to_replica(ConfigResponse, "cmx-01", "cdtp", "response")) == "kaa.v1.replica.cmx-01.cdtp.response"
    assert spelled(config_updated("ecr")) == (
        "kaa.v1.events.ecr.endpoint.config.updated",
        ConfigUpdated,
        EventProcessed,
    )
    assert spelled(config_applied("cmx")) == (
        "kaa.v1.events.cmx.endpoint.config.applied",
        ConfigApplied,
        EventProcessed,
    )
    assert str(config_updated()) == "kaa.v1.events.*.endpoint.config.updated"
    assert str(config_applied()) == "kaa.v1.events.*.endpoint.config.applied"


@pytest.mark.parametrize(
    ("message", "data"),
    [
        (
            ConfigRequest(correlation_id="c1", timestamp_ms=1, app_version_name="v", endpoint_id="e"),
            b"\x04c1\x02\x00\x02v\x02e\x00\x00",
        ),
        (
            ConfigRequest(
                correlation_id="c1",
                timestamp_ms=1,
                timeout_ms=64,
                app_version_name="v",
                endpoint_id="e",
                config_id="i",
                config_name="n",
            ),
            b"\x04c1\x02\x80\x01\x02v\x02e\x02\x02i\x02\x02n",
        ),
        (
            ConfigResponse(
                correlation_id="c1",
                timestamp_ms=1,
                app_version_name="v",
                endpoint_id="e",
                config_id="i",
                content=b"{}",
                status_code=200,
            ),
            b"\x04c1\x02\x00\x02v\x02e\x02\x02i\x20application/json\x02\x04{}\x90\x03\x00",
        ),
        (
            ConfigResponse(
                correlation_id="c1",
                timestamp_ms=1,
                app_version_name="v",
                endpoint_id="e",
                content_type="t",
                status_code=404,
                reason_phrase="no",
            ),
            b"\x04c1\x02\x00\x02v\x02e\x00\x02t\x00\xa8\x06\x02\x04no",
        ),
        (
            ConfigUpdated(
                correlation_id="c1",
                timestamp_ms=1,
                app_version_name="v",
                endpoint_id="e",
                config_id="i",
                content_type="t",
                content=b"1",
                originator_replica_id="o",
            ),
            b"\x04c1\x02\x00\x02v\x02e\x02i\x02t\x021\x02\x02o",
        ),
        (
            ConfigApplied(correlation_id="c1", timestamp_ms=1, app_version_name="v", endpoint_id="e", config_id="i"),
            # whose replica it was stands before the status, which the RFC has added later
            b"\x04c1\x02\x00\x02v\x02e\x02i\x00\x90\x03\x00",
        ),
    ],
)
def test_the_bytes_are_those_of_the_avro_specification(message, data):
    assert encode(message) == data
    assert decode(type(message), data) == message
