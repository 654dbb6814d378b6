"""20/EFMP: endpoint filter management."""

import pytest
from contracts import (
    assert_same_schema,
    defaults,
    fingerprint,
    spelled,
)

from kaa.core.messages import decode, encode
from kaa.protocols.efmp import (
    EndpointFiltersRequest,
    EndpointFiltersResponse,
    EndpointListByFilterRequest,
    EndpointListByFilterResponse,
    endpoints_by_filter,
    filters_of,
)

KINDS = [
    EndpointFiltersRequest,
    EndpointFiltersResponse,
    EndpointListByFilterRequest,
    EndpointListByFilterResponse,
]


@pytest.mark.parametrize(
    ("kind", "sha256"),
    [
        (EndpointFiltersRequest, "27234643bd96dab671b73b0669f16c703c6a1fd07536e6d225926d5909959688"),
        (EndpointFiltersResponse, "67c701a2180ff4b1da55d286cbfb1b21659762a97051c9854eeb5aade257f345"),
        (EndpointListByFilterRequest, "d0fd30433a25cb34ae805a0854aae120fd7118a3b9914629b476cda101455a12"),
        (EndpointListByFilterResponse, "449b80af39dd4ec199fae9b12e32df74b2d35aecdbf51f06e8fa0e94182bdd0b"),
    ],
)
def test_the_schema_has_the_fingerprint_of_the_rfc(kind, sha256):
    assert fingerprint(kind) == sha256


@pytest.mark.parametrize(
    ("kind", "name"),
    [
        (EndpointFiltersRequest, "filters-request"),
        (EndpointFiltersResponse, "filters-response"),
        (EndpointListByFilterRequest, "list-by-filter-request"),
        (EndpointListByFilterResponse, "list-by-filter-response"),
    ],
)
def test_the_whole_schema_is_that_of_the_rfc(kind, name):
    assert_same_schema(kind, f"0020-endpoint-{name}.avsc")


def test_the_defaults():
    just_timeout, with_reason = {"timeout": 0}, {"timeout": 0, "reasonPhrase": None}
    assert [defaults(kind) for kind in KINDS] == [just_timeout, with_reason] * 2


def test_the_subjects():
    assert spelled(filters_of("epr")) == (
        "kaa.v1.service.epr.efmp.ep-filters-request",
        EndpointFiltersRequest,
        EndpointFiltersResponse,
        "efmp.ep-filters-response",
    )
    assert spelled(endpoints_by_filter("epr")) == (
        "kaa.v1.service.epr.efmp.ep-list-by-filter-request",
        EndpointListByFilterRequest,
        EndpointListByFilterResponse,
        "efmp.ep-list-by-filter-response",
    )


@pytest.mark.parametrize(
    ("message", "data"),
    [
        (EndpointFiltersRequest(correlation_id="c1", timestamp_ms=1, endpoint_id="e"), b"\x04c1\x02\x00\x02e"),
        (
            EndpointFiltersResponse(
                correlation_id="c1", timestamp_ms=1, endpoint_id="e", filter_ids=("f1", "f2"), status_code=200
            ),
            b"\x04c1\x02\x00\x02e\x04\x04f1\x04f2\x00\x90\x03\x00",
        ),
        (EndpointListByFilterRequest(correlation_id="c1", timestamp_ms=1, filter_id="f1"), b"\x04c1\x02\x00\x04f1"),
        (
            EndpointListByFilterResponse(
                correlation_id="c1",
                timestamp_ms=1,
                filter_id="f1",
                app_versions_to_endpoints={"v1": ("e", "g")},
                status_code=200,
            ),
            b"\x04c1\x02\x00\x04f1\x02\x04v1\x04\x02e\x02g\x00\x00\x90\x03\x00",
        ),
        (
            EndpointListByFilterResponse(
                correlation_id="c1",
                timestamp_ms=1,
                filter_id="f1",
                app_versions_to_endpoints={},
                status_code=409,
                reason_phrase="no",
            ),
            b"\x04c1\x02\x00\x04f1\x00\xb2\x06\x02\x04no",
        ),
    ],
)
def test_the_bytes_are_those_of_the_avro_specification(message, data):
    assert encode(message) == data
    assert decode(type(message), data) == message
