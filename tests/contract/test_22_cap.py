"""22/CAP: whether clients may connect."""

import pytest
from contracts import (
    assert_same_schema,
    defaults,
    fingerprint,
    spelled,
)

from kaa.core.messages import decode, encode
from kaa.protocols.cap import (
    ClientBasicAuthenticationRequest,
    ClientBasicAuthenticationResponse,
    ClientCertificateAuthenticationRequest,
    ClientCertificateAuthenticationResponse,
    ClientCredentialsRevokedEvent,
    authenticate_basic,
    authenticate_certificate,
    credentials_revoked,
)
from kaa.protocols.x_outbox import EventProcessed

KINDS = [
    ClientBasicAuthenticationRequest,
    ClientBasicAuthenticationResponse,
    ClientCertificateAuthenticationRequest,
    ClientCertificateAuthenticationResponse,
    ClientCredentialsRevokedEvent,
]


@pytest.mark.parametrize(
    ("kind", "sha256"),
    [
        (ClientBasicAuthenticationRequest, "f86f6c9eda49841ff6276850bf8f1dc6e8d522c0776398ac1382ec84cc6e8c6a"),
        (ClientBasicAuthenticationResponse, "a66aa33c667e8dd7560dfe5460d788df4551bc5eaa5905b0ca4a9ebb980e42f3"),
        (ClientCertificateAuthenticationRequest, "75205fb812382e7652eb49b87e38546d22b93ff406ceda90f81434ea99b1b703"),
        (ClientCertificateAuthenticationResponse, "4247f90c999040dee6b4ad1c000651d8023a921be1136a38e3a15a480fe0fc30"),
        (ClientCredentialsRevokedEvent, "4f0a4c9dccf5d36976e49a9243cc35ed678e08836e87e36e9bd8e38b0866af54"),
    ],
)
def test_the_schema_has_the_fingerprint_of_the_rfc(kind, sha256):
    assert fingerprint(kind) == sha256


@pytest.mark.parametrize(
    ("kind", "name"),
    [
        (ClientBasicAuthenticationRequest, "basic-authentication-request"),
        (ClientBasicAuthenticationResponse, "basic-authentication-response"),
        (ClientCertificateAuthenticationRequest, "certificate-authentication-request"),
        (ClientCertificateAuthenticationResponse, "certificate-authentication-response"),
        (ClientCredentialsRevokedEvent, "credentials-revoked"),
    ],
)
def test_the_whole_schema_is_that_of_the_rfc(kind, name):
    assert_same_schema(kind, f"0022-{name}.avsc")


def test_the_defaults():
    just_timeout, with_reason = {"timeout": 0}, {"timeout": 0, "reasonPhrase": None}
    assert [defaults(kind) for kind in KINDS] == [just_timeout, with_reason, just_timeout, with_reason, just_timeout]


def test_the_subjects():
    assert spelled(authenticate_basic("cm")) == (
        "kaa.v1.service.cm.cap.basic-request",
        ClientBasicAuthenticationRequest,
        ClientBasicAuthenticationResponse,
        "cap.basic-response",
    )
    assert spelled(authenticate_certificate("cm")) == (
        "kaa.v1.service.cm.cap.certificate-request",
        ClientCertificateAuthenticationRequest,
        ClientCertificateAuthenticationResponse,
        "cap.certificate-response",
    )
    for kind in ("basic", "certificate"):
        assert spelled(credentials_revoked(kind, originator="cm")) == (
            f"kaa.v1.events.cm.client-credentials.{kind}.revoked",
            ClientCredentialsRevokedEvent,
            EventProcessed,
        )
    assert str(credentials_revoked()) == "kaa.v1.events.*.client-credentials.*.revoked"


@pytest.mark.parametrize(
    ("message", "data"),
    [
        (
            ClientBasicAuthenticationRequest(
                correlation_id="c1", timestamp_ms=1, tenant_id="kaa", username="u", password="pw"
            ),
            b"\x04c1\x02\x00\x06kaa\x02u\x04pw",
        ),
        (
            ClientBasicAuthenticationResponse(
                correlation_id="c1", timestamp_ms=1, credentials_id="k", client_id="u", status_code=200
            ),
            b"\x04c1\x02\x00\x00\x02k\x00\x02u\x90\x03\x00",
        ),
        (
            ClientBasicAuthenticationResponse(
                correlation_id="c1",
                timestamp_ms=1,
                credentials_id=None,
                client_id=None,
                status_code=401,
                reason_phrase="no",
            ),
            b"\x04c1\x02\x00\x02\x02\xa2\x06\x02\x04no",  # null is branch 1 of the ids, and branch 0 of the phrase
        ),
        (
            ClientCertificateAuthenticationRequest(
                correlation_id="c1", timestamp_ms=1, issuer="CN=a", serial_number="12"
            ),
            b"\x04c1\x02\x00\x08CN=a\x0412",
        ),
        (
            ClientCertificateAuthenticationResponse(
                correlation_id="c1",
                timestamp_ms=1,
                tenant_id="kaa",
                credentials_id="k",
                client_id=None,
                status_code=200,
            ),
            b"\x04c1\x02\x00\x00\x06kaa\x00\x02k\x02\x90\x03\x00",
        ),
        (
            ClientCredentialsRevokedEvent(
                correlation_id="c1", timestamp_ms=1, tenant_id="kaa", credentials_id="k", originator_replica_id="r"
            ),
            b"\x04c1\x02\x00\x06kaa\x02k\x02r",
        ),
    ],
)
def test_the_bytes_are_those_of_the_avro_specification(message, data):
    assert encode(message) == data
    assert decode(type(message), data) == message
