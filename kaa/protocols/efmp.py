"""20/EFMP, endpoint filter management: which filters an endpoint matches, and which endpoints a filter."""

from collections.abc import Mapping

from kaa.core.messages import Int, Long, message
from kaa.core.subjects import RequestSubject
from kaa.protocols.ism import request
from kaa.protocols.names import EndpointId, FilterId

_NAMESPACE = "org.kaaproject.ipc.efmp.gen.v1"


@message(_NAMESPACE)
class EndpointFiltersRequest:
    """Asks which filters an endpoint matches."""

    correlation_id: str
    timestamp_ms: Long
    timeout_ms: Long = 0
    endpoint_id: EndpointId


@message(_NAMESPACE)
class EndpointFiltersResponse:
    """The filters."""

    correlation_id: str
    timestamp_ms: Long
    timeout_ms: Long = 0
    endpoint_id: EndpointId
    filter_ids: tuple[str, ...]
    status_code: Int
    reason_phrase: None | str = None


@message(_NAMESPACE)
class EndpointListByFilterRequest:
    """Asks which endpoints match a filter."""

    correlation_id: str
    timestamp_ms: Long
    timeout_ms: Long = 0
    filter_id: FilterId


@message(_NAMESPACE)
class EndpointListByFilterResponse:
    """The endpoints, by their versions; 409 while the filter is pending."""

    correlation_id: str
    timestamp_ms: Long
    timeout_ms: Long = 0
    filter_id: FilterId
    app_versions_to_endpoints: Mapping[str, tuple[str, ...]]
    status_code: Int
    reason_phrase: None | str = None


def filters_of(repository: str) -> RequestSubject[EndpointFiltersRequest, EndpointFiltersResponse]:
    """Where the filters of an endpoint are asked for."""
    return request(
        EndpointFiltersRequest, EndpointFiltersResponse, repository, "efmp", "ep-filters-request", "ep-filters-response"
    )


def endpoints_by_filter(repository: str) -> RequestSubject[EndpointListByFilterRequest, EndpointListByFilterResponse]:
    """Where the endpoints of a filter are asked for."""
    return request(
        EndpointListByFilterRequest,
        EndpointListByFilterResponse,
        repository,
        "efmp",
        "ep-list-by-filter-request",
        "ep-list-by-filter-response",
    )
