"""19/EPMMP: metadata, read and written by services."""

import pytest
from contracts import (
    assert_same_schema,
    defaults,
    fingerprint,
    spelled,
)

from kaa.core.messages import decode, encode
from kaa.protocols.epmmp import (
    AppVersionsByEndpointsRequest,
    AppVersionsByEndpointsResponse,
    EndpointMetadataGetRequest,
    EndpointMetadataGetResponse,
    EndpointMetadataKeyBatchUpdateRequest,
    EndpointMetadataKeyBatchUpdateResponse,
    EndpointMetadataKeysGetRequest,
    EndpointMetadataKeysGetResponse,
    EndpointMetadataKeyUpdateCommand,
    EndpointMetadataKeyUpdateRequest,
    EndpointMetadataKeyUpdateResponse,
    EndpointMetadataPatchRequest,
    EndpointMetadataPatchResponse,
    app_versions,
    metadata,
    metadata_keys,
    patch_metadata,
    update_metadata_key,
    update_metadata_keys,
)

KINDS = [
    EndpointMetadataGetRequest,
    EndpointMetadataGetResponse,
    EndpointMetadataKeysGetRequest,
    EndpointMetadataKeysGetResponse,
    EndpointMetadataPatchRequest,
    EndpointMetadataPatchResponse,
    EndpointMetadataKeyUpdateRequest,
    EndpointMetadataKeyUpdateResponse,
    EndpointMetadataKeyBatchUpdateRequest,
    EndpointMetadataKeyBatchUpdateResponse,
    AppVersionsByEndpointsRequest,
    AppVersionsByEndpointsResponse,
]


@pytest.mark.parametrize(
    ("kind", "sha256"),
    [
        (EndpointMetadataGetRequest, "9de5e513ff2270c7528b93291b86a345017db9cecd713687a1b8dc8d00bdfbcc"),
        (EndpointMetadataGetResponse, "22c7524496fced6fe8f679a78bc2f595f7f5bf0e571db8f1da89e86160826610"),
        (EndpointMetadataKeysGetRequest, "349652af2d34fd6cefd414f826290a8bdd7458bfd82ee83e612bfcb841b0a3a9"),
        (EndpointMetadataKeysGetResponse, "f5de5c28e054156c058fe374d91f39ca7dfc7c81d9d6dcec9fd8ce090a77ee92"),
        (EndpointMetadataPatchRequest, "5beb8e616575ec4eb6bfca26f0529a529d7553b61516b938e8d649faa2130de6"),
        (EndpointMetadataPatchResponse, "73f490a0e9c65aebf4fb7519704f20fcf544adcbb644e823b2f826ce61ac08f3"),
        (EndpointMetadataKeyUpdateRequest, "9d8b44fa27012c7daa698898e048281b08b86b4f163b13cfa18c3fa56c798ad7"),
        (EndpointMetadataKeyUpdateResponse, "0b7f34f0cb3f8ac36616bb5f986e19ea45521a5630d520594bc5b2be0b0ab421"),
        (EndpointMetadataKeyBatchUpdateRequest, "07497af0b83926d2b385e71a5b762d8d209accea8b3c26ec7365e23f68417225"),
        (EndpointMetadataKeyBatchUpdateResponse, "79617a3a7e1a3bca53879bbef4990378011a86236f32f9b00283d23ccab2fc39"),
        (AppVersionsByEndpointsRequest, "803237435c6b77e645efc9f4b7b91b43f91c632a1e610add33946e2bd289bdd3"),
        (AppVersionsByEndpointsResponse, "0ca5938a8c0031d3d4eb4f51441861720fc4f2cc37aae2d776379aa3b49de4eb"),
    ],
)
def test_the_schema_has_the_fingerprint_of_the_rfc(kind, sha256):
    assert fingerprint(kind) == sha256


@pytest.mark.parametrize(
    ("kind", "name"),
    [
        (EndpointMetadataGetRequest, "endpoint-metadata-get-request"),
        (EndpointMetadataGetResponse, "endpoint-metadata-get-response"),
        (EndpointMetadataKeysGetRequest, "endpoint-metadata-keys-get-request"),
        (EndpointMetadataKeysGetResponse, "endpoint-metadata-keys-get-response"),
        (EndpointMetadataPatchRequest, "endpoint-metadata-patch-request"),
        (EndpointMetadataPatchResponse, "endpoint-metadata-patch-response"),
        (EndpointMetadataKeyUpdateRequest, "endpoint-metadata-key-update-request"),
        (EndpointMetadataKeyUpdateResponse, "endpoint-metadata-key-update-response"),
        (EndpointMetadataKeyBatchUpdateRequest, "endpoint-metadata-key-batch-update-request"),
        (EndpointMetadataKeyBatchUpdateResponse, "endpoint-metadata-key-batch-update-response"),
        (AppVersionsByEndpointsRequest, "endpoints-app-version-request"),
        (AppVersionsByEndpointsResponse, "endpoints-app-version-response"),
    ],
)
def test_the_whole_schema_is_that_of_the_rfc(kind, name):
    assert_same_schema(kind, f"0019-{name}.avsc")


def test_the_defaults():
    asked, answered = {"timeout": 0}, {"timeout": 0, "reasonPhrase": None}
    assert [defaults(kind) for kind in KINDS] == [
        {"timeout": 0, "include": [], "includeMetadata": True},
        {**answered, "eTag": None, "payload": None, "appVersionName": None},
        asked,
        {**answered, "keys": []},
        {**asked, "ifMatch": None},
        answered,
        asked,
        answered,
        asked,
        answered,
        asked,
        answered,
    ]


def test_the_subjects():
    for subject, request, reply, name in (
        (metadata, EndpointMetadataGetRequest, EndpointMetadataGetResponse, "ep-metadata-get"),
        (metadata_keys, EndpointMetadataKeysGetRequest, EndpointMetadataKeysGetResponse, "ep-metadata-keys-get"),
        (patch_metadata, EndpointMetadataPatchRequest, EndpointMetadataPatchResponse, "ep-metadata-patch"),
        (
            update_metadata_key,
            EndpointMetadataKeyUpdateRequest,
            EndpointMetadataKeyUpdateResponse,
            "ep-metadata-key-update",
        ),
        (
            update_metadata_keys,
            EndpointMetadataKeyBatchUpdateRequest,
            EndpointMetadataKeyBatchUpdateResponse,
            "ep-metadata-key-batch-update",
        ),
        (app_versions, AppVersionsByEndpointsRequest, AppVersionsByEndpointsResponse, "ep-app-version-get"),
    ):
        assert spelled(subject("epr")) == (
            f"kaa.v1.service.epr.epmmp.{name}-request",
            request,
            reply,
            f"epmmp.{name}-response",
        )


@pytest.mark.parametrize(
    ("message", "data"),
    [
        (
            EndpointMetadataGetRequest(
                correlation_id="c1", timestamp_ms=1, endpoint_id="e", include=("a",), include_metadata=False
            ),
            b"\x04c1\x02\x00\x02e\x02\x02a\x00\x00",
        ),
        (
            EndpointMetadataGetResponse(
                correlation_id="c1",
                timestamp_ms=1,
                endpoint_id="e",
                e_tag="t",
                payload=b"{}",
                status_code=200,
                app_version_name="v",
            ),
            b"\x04c1\x02\x00\x02e\x02\x02t\x02\x04{}\x90\x03\x00\x02\x02v",
        ),
        (
            EndpointMetadataPatchRequest(
                correlation_id="c1", timestamp_ms=1, endpoint_id="e", if_match=None, patch=b"[]"
            ),
            b"\x04c1\x02\x00\x02e\x00\x04[]",
        ),
        (
            EndpointMetadataKeyBatchUpdateRequest(
                correlation_id="c1",
                timestamp_ms=1,
                commands=(
                    EndpointMetadataKeyUpdateCommand(endpoint_id="e", metadata_key="k", metadata_value=b"1"),
                    EndpointMetadataKeyUpdateCommand(endpoint_id="f", metadata_key="k", metadata_value=b"2"),
                ),
            ),
            b"\x04c1\x02\x00\x04\x02e\x02k\x021\x02f\x02k\x022\x00",
        ),
        (
            AppVersionsByEndpointsResponse(
                correlation_id="c1",
                timestamp_ms=1,
                endpoint_ids=("e",),
                app_versions_to_endpoints={"v": ("e",)},
                status_code=404,
                reason_phrase="no",
            ),
            b"\x04c1\x02\x00\x02\x02e\x00\x02\x02v\x02\x02e\x00\x00\xa8\x06\x02\x04no",
        ),
    ],
)
def test_the_bytes_are_those_of_the_avro_specification(message, data):
    assert encode(message) == data
    assert decode(type(message), data) == message
