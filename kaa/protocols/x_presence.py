"""x-presence, a contract of ours: which endpoints are connected to a communication service."""

from kaa.core.messages import Int, Long, message
from kaa.core.subjects import RequestSubject
from kaa.protocols.ism import request
from kaa.protocols.names import AppVersionName, EndpointId

_NAMESPACE = "org.kaa.x_presence"


@message(_NAMESPACE)
class PresenceRequest:
    """Asks which of these endpoints (at most 1000) are connected."""

    correlation_id: str
    timestamp_ms: Long
    timeout_ms: Long = 0
    endpoint_ids: tuple[EndpointId, ...]


@message(_NAMESPACE)
class PresentEndpoint:
    """An endpoint that is connected: under which version, to which replica, and since when."""

    endpoint_id: EndpointId
    app_version_name: AppVersionName
    replica_id: str
    since_ms: Long


@message(_NAMESPACE)
class PresenceResponse:
    """Those that are connected."""

    correlation_id: str
    timestamp_ms: Long
    timeout_ms: Long = 0
    endpoints: tuple[PresentEndpoint, ...] = ()
    status_code: Int
    reason_phrase: None | str = None


@message(_NAMESPACE)
class ConnectedRequest:
    """Asks for all that are connected, by id: the first 1000 behind `after`; an answer without any is the end."""

    correlation_id: str
    timestamp_ms: Long
    timeout_ms: Long = 0
    after: None | EndpointId = None


def presence(communication: str) -> RequestSubject[PresenceRequest, PresenceResponse]:
    """Where it is asked who is connected."""
    return request(
        PresenceRequest, PresenceResponse, communication, "x-presence", "presence-request", "presence-response"
    )


def connected_endpoints(communication: str) -> RequestSubject[ConnectedRequest, PresenceResponse]:
    """Where all that are connected are asked for, page by page."""
    return request(
        ConnectedRequest, PresenceResponse, communication, "x-presence", "connected-request", "connected-response"
    )
