"""16/ECAP, endpoint and client authentication.

What it says of clients is superseded by 22/CAP (`cap.py`); CM answers both.
"""

from kaa.core.messages import Int, Long, message
from kaa.core.subjects import RequestSubject, Subject
from kaa.protocols.ism import broadcast, request
from kaa.protocols.names import ApplicationName, CredentialsId, EndpointId, EndpointToken, TokenId
from kaa.protocols.x_outbox import EventProcessed

_NAMESPACE = "org.kaaproject.ipc.ecap.gen.v1"


@message(_NAMESPACE)
class EndpointTokenValidationRequest:
    """Asks whose token this is, and whether it is good."""

    correlation_id: str
    timestamp_ms: Long
    timeout_ms: Long = 0
    app_name: ApplicationName
    token: EndpointToken


@message(_NAMESPACE)
class EndpointTokenValidationResponse:
    """The endpoint behind the token; `status_code` is 200, 401 (unknown) or 403 (suspended or revoked)."""

    correlation_id: str
    timestamp_ms: Long
    timeout_ms: Long = 0
    token_id: TokenId | None
    endpoint_id: EndpointId | None
    status_code: Int
    reason_phrase: None | str = None


@message(_NAMESPACE)
class EndpointTokenStatusTransitionRequest:
    """Move a token to another status."""

    correlation_id: str
    timestamp_ms: Long
    timeout_ms: Long = 0
    app_name: ApplicationName
    token: EndpointToken
    target_status: str


@message(_NAMESPACE)
class EndpointTokenStatusTransitionResponse:
    """Whether the token has moved."""

    correlation_id: str
    timestamp_ms: Long
    timeout_ms: Long = 0
    status_code: Int
    reason_phrase: None | str = None


@message(_NAMESPACE)
class EndpointTokenRevokedEvent:
    """Tokens of an endpoint that are good no longer: suspended, revoked or deleted."""

    correlation_id: str
    timestamp_ms: Long
    timeout_ms: Long = 0
    app_name: ApplicationName
    endpoint_id: EndpointId
    token_ids: tuple[str, ...]
    originator_replica_id: str


@message(_NAMESPACE)
class ClientCertificateValidationRequest:
    """Asks whether a client's certificate, whose chain is good, was issued and holds (superseded by 22/CAP)."""

    correlation_id: str
    timestamp_ms: Long
    timeout_ms: Long = 0
    issuer: str
    serial_number: str


@message(_NAMESPACE)
class ClientCertificateValidationResponse:
    """Whose certificate it is."""

    correlation_id: str
    timestamp_ms: Long
    timeout_ms: Long = 0
    credential_id: CredentialsId | None
    client_id: str | None
    status_code: Int
    reason_phrase: None | str = None


@message(_NAMESPACE)
class ClientUsernamePasswordValidationRequest:
    """Asks whether a client's user name and password are good (superseded by 22/CAP)."""

    correlation_id: str
    timestamp_ms: Long
    timeout_ms: Long = 0
    username: str | None
    password: str | None


@message(_NAMESPACE)
class ClientUsernamePasswordValidationResponse:
    """Whose user name it is."""

    correlation_id: str
    timestamp_ms: Long
    timeout_ms: Long = 0
    credential_id: CredentialsId | None
    client_id: str | None
    status_code: Int
    reason_phrase: None | str = None


@message(_NAMESPACE)
class ClientCredentialRevokedEvent:
    """A client's credential is good no longer (superseded by 22/CAP)."""

    correlation_id: str
    timestamp_ms: Long
    timeout_ms: Long = 0
    credential_id: CredentialsId
    originator_replica_id: str


def validate_token(
    provider: str,
) -> RequestSubject[EndpointTokenValidationRequest, EndpointTokenValidationResponse]:
    """Where tokens are asked about."""
    return request(
        EndpointTokenValidationRequest,
        EndpointTokenValidationResponse,
        provider,
        "ecap",
        "ep-token-request",
        "ep-token-response",
    )


def move_token(
    provider: str,
) -> RequestSubject[EndpointTokenStatusTransitionRequest, EndpointTokenStatusTransitionResponse]:
    """Where a token's status is changed."""
    return request(
        EndpointTokenStatusTransitionRequest,
        EndpointTokenStatusTransitionResponse,
        provider,
        "ecap",
        "ep-token-status-transition-request",
        "ep-token-status-transition-response",
    )


def token_revoked(originator: str = "*") -> Subject[EndpointTokenRevokedEvent]:
    """Where it is told that tokens are good no longer."""
    return broadcast(EndpointTokenRevokedEvent, originator, "endpoint", "token", "revoked", reply=EventProcessed)


def validate_certificate(
    provider: str,
) -> RequestSubject[ClientCertificateValidationRequest, ClientCertificateValidationResponse]:
    """Where clients' certificates are asked about."""
    return request(
        ClientCertificateValidationRequest,
        ClientCertificateValidationResponse,
        provider,
        "ecap",
        "client-certificate-request",
        "client-certificate-response",
    )


def validate_username_password(
    provider: str,
) -> RequestSubject[ClientUsernamePasswordValidationRequest, ClientUsernamePasswordValidationResponse]:
    """Where clients' user names and passwords are asked about."""
    return request(
        ClientUsernamePasswordValidationRequest,
        ClientUsernamePasswordValidationResponse,
        provider,
        "ecap",
        "client-username-password-request",
        "client-username-password-response",
    )


def credential_revoked(originator: str = "*") -> Subject[ClientCredentialRevokedEvent]:
    """Where it is told that a client's credential is good no longer."""
    return broadcast(ClientCredentialRevokedEvent, originator, "client", "credential", "revoked", reply=EventProcessed)
