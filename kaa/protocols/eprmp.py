"""24/EPRMP, endpoint relations.

`contains` asks for what an endpoint contains, `!contains` for what it is contained in.
"""

from kaa.core.messages import Int, Long, message
from kaa.core.subjects import RequestSubject, Subject
from kaa.protocols.ism import broadcast, request
from kaa.protocols.names import EndpointId
from kaa.protocols.x_outbox import EventProcessed

_NAMESPACE = "org.kaaproject.ipc.eprmp.gen.v1"


@message(_NAMESPACE)
class EndpointRelationsGetRequest:
    """Asks to which endpoints another one is related."""

    correlation_id: str
    timestamp_ms: Long
    timeout_ms: Long = 0
    endpoint_id: EndpointId
    relation: str


@message(_NAMESPACE)
class EndpointRelationsGetResponse:
    """The related endpoints."""

    correlation_id: str
    timestamp_ms: Long
    timeout_ms: Long = 0
    endpoint_ids: tuple[EndpointId, ...] = ()
    status_code: Int
    reason_phrase: None | str = None


@message(_NAMESPACE)
class EndpointRelationsUpdated:
    """Relations of these endpoints have changed."""

    correlation_id: str
    timestamp_ms: Long
    timeout_ms: Long = 0
    endpoint_ids: tuple[EndpointId, ...] = ()


def relations(repository: str) -> RequestSubject[EndpointRelationsGetRequest, EndpointRelationsGetResponse]:
    """Where relations are asked for."""
    return request(
        EndpointRelationsGetRequest,
        EndpointRelationsGetResponse,
        repository,
        "eprmp",
        "ep-relations-get-request",
        "ep-relations-get-response",
    )


def relations_updated(originator: str = "*") -> Subject[EndpointRelationsUpdated]:
    """Where changes of relations are told."""
    return broadcast(EndpointRelationsUpdated, originator, "endpoint", "relations", "updated", reply=EventProcessed)
