"""16/ECAP: endpoint tokens, and the clients' credentials that 22/CAP has taken over."""

import pytest
from contracts import (
    assert_same_schema,
    defaults,
    fingerprint,
    spelled,
)

from kaa.core.messages import decode, encode
from kaa.protocols.ecap import (
    ClientCertificateValidationRequest,
    ClientCertificateValidationResponse,
    ClientCredentialRevokedEvent,
    ClientUsernamePasswordValidationRequest,
    ClientUsernamePasswordValidationResponse,
    EndpointTokenRevokedEvent,
    EndpointTokenStatusTransitionRequest,
    EndpointTokenStatusTransitionResponse,
    EndpointTokenValidationRequest,
    EndpointTokenValidationResponse,
    credential_revoked,
    move_token,
    token_revoked,
    validate_certificate,
    validate_token,
    validate_username_password,
)
from kaa.protocols.x_outbox import EventProcessed

KINDS = [
    ClientCertificateValidationRequest,
    ClientCertificateValidationResponse,
    ClientCredentialRevokedEvent,
    ClientUsernamePasswordValidationRequest,
    ClientUsernamePasswordValidationResponse,
    EndpointTokenRevokedEvent,
    EndpointTokenStatusTransitionRequest,
    EndpointTokenStatusTransitionResponse,
    EndpointTokenValidationRequest,
    EndpointTokenValidationResponse,
]


@pytest.mark.parametrize(
    ("kind", "sha256"),
    [
        (ClientCertificateValidationRequest, "5869c6fd00a26b818a01adb8070259579b9aba92f20104b468eee83fe31f79d7"),
        (ClientCertificateValidationResponse, "32f7d15cf600fb607a3ccd4ea141ee7c77965729f53186b4ef2bdc2b637a5d2e"),
        (ClientCredentialRevokedEvent, "a70fe38a0da144c2fc482a8b410a76255a7e27e2414bed3a439d3460a293c7c3"),
        (ClientUsernamePasswordValidationRequest, "2d70efadc3037a36a6a71ef9e8c1b852afd262a7aad8b9e3b69751fa4c32d4d5"),
        (ClientUsernamePasswordValidationResponse, "4b144e076d65ecc876ebd28feb7aa76bf160cecb638846aa85a4cd084b8cee1d"),
        (EndpointTokenRevokedEvent, "5ae6c1edf39b6e98555d8f376a5a04b1a597ebd69901d65d4e5d9eb58879dc55"),
        (EndpointTokenStatusTransitionRequest, "5d6de79274bb5406a517524f6037026b1e925fddade1214b7cd751f6b379c601"),
        (EndpointTokenStatusTransitionResponse, "d84b3cb72a814da40892c8d9d89a72f2381744835cf475a6ded2b05595185a04"),
        (EndpointTokenValidationRequest, "a4067e566e7d001050a1ca5b666e1ecb6df728ef71be24c3ffed63ace2d23492"),
        (EndpointTokenValidationResponse, "bd2ef7a0e828dd2c96f2326e4877368f1485d38f11c9a39fc4b9ade3a7a5c2f9"),
    ],
)
def test_the_schema_has_the_fingerprint_of_the_rfc(kind, sha256):
    assert fingerprint(kind) == sha256


@pytest.mark.parametrize(
    ("kind", "name"),
    [
        (ClientCertificateValidationRequest, "client-certificate-validation-request"),
        (ClientCertificateValidationResponse, "client-certificate-validation-response"),
        (ClientCredentialRevokedEvent, "client-credential-revoked"),
        (ClientUsernamePasswordValidationRequest, "client-username-password-validation-request"),
        (ClientUsernamePasswordValidationResponse, "client-username-password-validation-response"),
        (EndpointTokenRevokedEvent, "endpoint-token-revoked"),
        (EndpointTokenStatusTransitionRequest, "endpoint-token-status-transition-request"),
        (EndpointTokenStatusTransitionResponse, "endpoint-token-status-transition-response"),
        (EndpointTokenValidationRequest, "endpoint-token-validation-request"),
        (EndpointTokenValidationResponse, "endpoint-token-validation-response"),
    ],
)
def test_the_whole_schema_is_that_of_the_rfc(kind, name):
    assert_same_schema(kind, f"0016-{name}.avsc")


def test_the_defaults():
    just_timeout, with_reason = {"timeout": 0}, {"timeout": 0, "reasonPhrase": None}
    assert [defaults(kind) for kind in KINDS] == [
        with_reason if kind.__name__.endswith("Response") else just_timeout for kind in KINDS
    ]


def test_the_subjects():
    assert spelled(validate_token("cm")) == (
        "kaa.v1.service.cm.ecap.ep-token-request",
        EndpointTokenValidationRequest,
        EndpointTokenValidationResponse,
        "ecap.ep-token-response",
    )
    assert spelled(move_token("cm")) == (
        "kaa.v1.service.cm.ecap.ep-token-status-transition-request",
        EndpointTokenStatusTransitionRequest,
        EndpointTokenStatusTransitionResponse,
        "ecap.ep-token-status-transition-response",
    )
    assert spelled(token_revoked("cm")) == (
        "kaa.v1.events.cm.endpoint.token.revoked",
        EndpointTokenRevokedEvent,
        EventProcessed,
    )
    assert spelled(validate_certificate("cm")) == (
        "kaa.v1.service.cm.ecap.client-certificate-request",
        ClientCertificateValidationRequest,
        ClientCertificateValidationResponse,
        "ecap.client-certificate-response",
    )
    assert spelled(validate_username_password("cm")) == (
        "kaa.v1.service.cm.ecap.client-username-password-request",
        ClientUsernamePasswordValidationRequest,
        ClientUsernamePasswordValidationResponse,
        "ecap.client-username-password-response",
    )
    assert spelled(credential_revoked("cm")) == (
        "kaa.v1.events.cm.client.credential.revoked",
        ClientCredentialRevokedEvent,
        EventProcessed,
    )
    assert str(token_revoked()) == "kaa.v1.events.*.endpoint.token.revoked"


@pytest.mark.parametrize(
    ("message", "data"),
    [
        (
            ClientCertificateValidationRequest(correlation_id="c1", timestamp_ms=1, issuer="CN=a", serial_number="12"),
            b"\x04c1\x02\x00\x08CN=a\x0412",
        ),
        (
            ClientCertificateValidationResponse(
                correlation_id="c1", timestamp_ms=1, credential_id="k", client_id=None, status_code=200
            ),
            b"\x04c1\x02\x00\x00\x02k\x02\x90\x03\x00",
        ),
        (
            ClientUsernamePasswordValidationRequest(correlation_id="c1", timestamp_ms=1, username="u", password=None),
            b"\x04c1\x02\x00\x00\x02u\x02",
        ),
        (
            ClientUsernamePasswordValidationResponse(
                correlation_id="c1",
                timestamp_ms=1,
                credential_id=None,
                client_id=None,
                status_code=401,
                reason_phrase="no",
            ),
            b"\x04c1\x02\x00\x02\x02\xa2\x06\x02\x04no",
        ),
        (
            ClientCredentialRevokedEvent(
                correlation_id="c1", timestamp_ms=1, credential_id="k", originator_replica_id="r"
            ),
            b"\x04c1\x02\x00\x02k\x02r",
        ),
        (
            EndpointTokenValidationRequest(correlation_id="c1", timestamp_ms=1, app_name="home", token="T0k"),
            b"\x04c1\x02\x00\x08home\x06T0k",
        ),
        (
            EndpointTokenValidationResponse(
                correlation_id="c1", timestamp_ms=1, token_id="t1", endpoint_id="e", status_code=200
            ),
            b"\x04c1\x02\x00\x00\x04t1\x00\x02e\x90\x03\x00",
        ),
        (
            EndpointTokenValidationResponse(
                correlation_id="c1",
                timestamp_ms=1,
                token_id=None,
                endpoint_id=None,
                status_code=403,
                reason_phrase="no",
            ),
            b"\x04c1\x02\x00\x02\x02\xa6\x06\x02\x04no",  # null is branch 1 of the ids, and branch 0 of the phrase
        ),
        (
            EndpointTokenStatusTransitionRequest(
                correlation_id="c1", timestamp_ms=1, app_name="home", token="T", target_status="Suspended"
            ),
            b"\x04c1\x02\x00\x08home\x02T\x12Suspended",
        ),
        (
            EndpointTokenStatusTransitionResponse(correlation_id="c1", timestamp_ms=1, status_code=200),
            b"\x04c1\x02\x00\x90\x03\x00",
        ),
        (
            EndpointTokenRevokedEvent(
                correlation_id="c1",
                timestamp_ms=1,
                app_name="home",
                endpoint_id="e",
                token_ids=("t1", "t2"),
                originator_replica_id="r",
            ),
            b"\x04c1\x02\x00\x08home\x02e\x04\x04t1\x04t2\x00\x02r",
        ),
    ],
)
def test_the_bytes_are_those_of_the_avro_specification(message, data):
    assert encode(message) == data
    assert decode(type(message), data) == message
