"""22/CAP, client authentication: between the communication service and what keeps clients' credentials.

A serial number is written in base 10.
"""

from kaa.core.messages import Int, Long, message
from kaa.core.subjects import RequestSubject, Subject
from kaa.protocols.ism import broadcast, request
from kaa.protocols.names import CredentialsId
from kaa.protocols.x_outbox import EventProcessed

_NAMESPACE = "org.kaaproject.ipc.cap.gen.v1"


@message(_NAMESPACE)
class ClientBasicAuthenticationRequest:
    """Asks whether a user name and its password are good."""

    correlation_id: str
    timestamp_ms: Long
    timeout_ms: Long = 0
    tenant_id: str
    username: str
    password: str


@message(_NAMESPACE)
class ClientBasicAuthenticationResponse:
    """Whose they are; `status_code` is 200, 401 (unknown or wrong) or 403 (suspended or revoked)."""

    correlation_id: str
    timestamp_ms: Long
    timeout_ms: Long = 0
    credentials_id: CredentialsId | None
    client_id: str | None
    status_code: Int
    reason_phrase: None | str = None


@message(_NAMESPACE)
class ClientCertificateAuthenticationRequest:
    """Asks whether a certificate, whose chain is good, is one that was issued and holds."""

    correlation_id: str
    timestamp_ms: Long
    timeout_ms: Long = 0
    issuer: str
    serial_number: str


@message(_NAMESPACE)
class ClientCertificateAuthenticationResponse:
    """Whose it is; `status_code` is 200, 401 (unknown) or 403 (suspended or revoked)."""

    correlation_id: str
    timestamp_ms: Long
    timeout_ms: Long = 0
    tenant_id: str | None
    credentials_id: CredentialsId | None
    client_id: str | None
    status_code: Int
    reason_phrase: None | str = None


@message(_NAMESPACE)
class ClientCredentialsRevokedEvent:
    """Credentials of a client are good no longer: suspended, revoked or deleted."""

    correlation_id: str
    timestamp_ms: Long
    timeout_ms: Long = 0
    tenant_id: str
    credentials_id: CredentialsId
    originator_replica_id: str


def authenticate_basic(
    provider: str,
) -> RequestSubject[ClientBasicAuthenticationRequest, ClientBasicAuthenticationResponse]:
    """Where user names and passwords are checked."""
    return request(
        ClientBasicAuthenticationRequest,
        ClientBasicAuthenticationResponse,
        provider,
        "cap",
        "basic-request",
        "basic-response",
    )


def authenticate_certificate(
    provider: str,
) -> RequestSubject[ClientCertificateAuthenticationRequest, ClientCertificateAuthenticationResponse]:
    """Where certificates are checked."""
    return request(
        ClientCertificateAuthenticationRequest,
        ClientCertificateAuthenticationResponse,
        provider,
        "cap",
        "certificate-request",
        "certificate-response",
    )


def credentials_revoked(kind: str = "*", *, originator: str = "*") -> Subject[ClientCredentialsRevokedEvent]:
    """Where it is told that credentials are good no longer; `kind` is `basic` or `certificate`."""
    return broadcast(
        ClientCredentialsRevokedEvent, originator, "client-credentials", kind, "revoked", reply=EventProcessed
    )
