"""x-credentials, a contract of ours: tokens for endpoints that are being registered."""

from kaa.core.messages import Int, Long, message
from kaa.core.subjects import RequestSubject
from kaa.protocols.ism import request
from kaa.protocols.names import ApplicationName

_NAMESPACE = "org.kaa.x_credentials"


@message(_NAMESPACE)
class TokenOrder:
    """A token wanted for an endpoint; null has one made."""

    endpoint_id: str
    token: None | str = None


@message(_NAMESPACE)
class IssuedToken:
    """A token as it was issued, told this once; 409 where the value is another endpoint's."""

    endpoint_id: str
    token: None | str = None
    status: None | str = None
    status_code: Int
    reason_phrase: None | str = None


@message(_NAMESPACE)
class IssueTokensRequest:
    """Issue tokens, at most 1000. The same order twice, with the value given, is answered like the first time."""

    correlation_id: str
    timestamp_ms: Long
    timeout_ms: Long = 0
    app_name: ApplicationName
    orders: tuple[TokenOrder, ...]


@message(_NAMESPACE)
class IssueTokensResponse:
    """What became of each order, in their order."""

    correlation_id: str
    timestamp_ms: Long
    timeout_ms: Long = 0
    tokens: tuple[IssuedToken, ...] = ()
    status_code: Int
    reason_phrase: None | str = None


def issue_tokens(provider: str) -> RequestSubject[IssueTokensRequest, IssueTokensResponse]:
    """Where tokens are ordered."""
    return request(
        IssueTokensRequest, IssueTokensResponse, provider, "x-credentials", "issue-request", "issue-response"
    )
