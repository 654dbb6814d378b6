"""24/EPRMP: which endpoints are related to which."""

import pytest
from contracts import (
    assert_same_schema,
    defaults,
    fingerprint,
    spelled,
)

from kaa.core.messages import decode, encode
from kaa.protocols.eprmp import (
    EndpointRelationsGetRequest,
    EndpointRelationsGetResponse,
    EndpointRelationsUpdated,
    relations,
    relations_updated,
)
from kaa.protocols.x_outbox import EventProcessed

KINDS = [
    EndpointRelationsGetRequest,
    EndpointRelationsGetResponse,
    EndpointRelationsUpdated,
]


@pytest.mark.parametrize(
    ("kind", "sha256"),
    [
        (EndpointRelationsGetRequest, "1ac48561e380714a4c99665dcaacc3605c22b5a63d8b08532f7bd482bcf94297"),
        (EndpointRelationsGetResponse, "721d3c216ad286a23b950c53c0058a444a75e21750484e0d81b576f52b4c9143"),
        (EndpointRelationsUpdated, "4dea78d421bb07c5bec9c6c1a2a6d314baa0fd7f179fb6081887ae6ecd43fb4f"),
    ],
)
def test_the_schema_has_the_fingerprint_of_the_rfc(kind, sha256):
    assert fingerprint(kind) == sha256


@pytest.mark.parametrize(
    ("kind", "name"),
    [
        (EndpointRelationsGetRequest, "endpoint-relations-get-request"),
        (EndpointRelationsGetResponse, "endpoint-relations-get-response"),
        (EndpointRelationsUpdated, "endpoint-relations-updated"),
    ],
)
def test_the_whole_schema_is_that_of_the_rfc(kind, name):
    assert_same_schema(kind, f"0024-{name}.avsc")


def test_the_defaults():
    assert [defaults(kind) for kind in KINDS] == [
        {"timeout": 0},
        {"timeout": 0, "endpointIds": [], "reasonPhrase": None},
        {"timeout": 0, "endpointIds": []},
    ]


def test_the_subjects():
    assert spelled(relations("epr")) == (
        "kaa.v1.service.epr.eprmp.ep-relations-get-request",
        EndpointRelationsGetRequest,
        EndpointRelationsGetResponse,
        "eprmp.ep-relations-get-response",
    )
    assert spelled(relations_updated("epr")) == (
        "kaa.v1.events.epr.endpoint.relations.updated",
        EndpointRelationsUpdated,
        EventProcessed,
    )
    assert str(relations_updated()) == "kaa.v1.events.*.endpoint.relations.updated"


@pytest.mark.parametrize(
    ("message", "data"),
    [
        (
            EndpointRelationsGetRequest(correlation_id="c1", timestamp_ms=1, endpoint_id="e", relation="!contains"),
            b"\x04c1\x02\x00\x02e\x12!contains",
        ),
        (
            EndpointRelationsGetResponse(correlation_id="c1", timestamp_ms=1, endpoint_ids=("e", "f"), status_code=200),
            b"\x04c1\x02\x00\x04\x02e\x02f\x00\x90\x03\x00",
        ),
        (
            EndpointRelationsUpdated(correlation_id="c1", timestamp_ms=1, endpoint_ids=("e",)),
            b"\x04c1\x02\x00\x02\x02e\x00",
        ),
    ],
)
def test_the_bytes_are_those_of_the_avro_specification(message, data):
    assert encode(message) == data
    assert decode(type(message), data) == message
