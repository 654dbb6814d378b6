"""x-register, a contract of ours: what others need to know of the endpoint register."""

from kaa.core.messages import Int, Long, message
from kaa.core.subjects import RequestSubject
from kaa.protocols.ism import request
from kaa.protocols.names import ApplicationName, AppVersionName

_NAMESPACE = "org.kaa.x_register"


@message(_NAMESPACE)
class CountRequest:
    """Asks how many endpoints an application has, or one version of it."""

    correlation_id: str
    timestamp_ms: Long
    timeout_ms: Long = 0
    app_name: ApplicationName
    app_version_name: None | AppVersionName = None


@message(_NAMESPACE)
class CountResponse:
    """The number of endpoints."""

    correlation_id: str
    timestamp_ms: Long
    timeout_ms: Long = 0
    count: Long
    status_code: Int
    reason_phrase: None | str = None


@message(_NAMESPACE)
class FindRequest:
    """Asks which of these endpoints (at most 1000) are there."""

    correlation_id: str
    timestamp_ms: Long
    timeout_ms: Long = 0
    endpoint_ids: tuple[str, ...]


@message(_NAMESPACE)
class FoundEndpoint:
    """An endpoint, and where it belongs."""

    endpoint_id: str
    app_name: ApplicationName
    app_version_name: AppVersionName


@message(_NAMESPACE)
class FindResponse:
    """Those that are there."""

    correlation_id: str
    timestamp_ms: Long
    timeout_ms: Long = 0
    endpoints: tuple[FoundEndpoint, ...]
    status_code: Int
    reason_phrase: None | str = None


@message(_NAMESPACE)
class FindFiltersRequest:
    """Asks which of these filters (at most 1000) are there."""

    correlation_id: str
    timestamp_ms: Long
    timeout_ms: Long = 0
    filter_ids: tuple[str, ...]


@message(_NAMESPACE)
class FoundFilter:
    """A filter, and where it belongs."""

    filter_id: str
    app_name: ApplicationName


@message(_NAMESPACE)
class FindFiltersResponse:
    """Those that are there."""

    correlation_id: str
    timestamp_ms: Long
    timeout_ms: Long = 0
    filters: tuple[FoundFilter, ...]
    status_code: Int
    reason_phrase: None | str = None


def count_endpoints(provider: str) -> RequestSubject[CountRequest, CountResponse]:
    """Where the number of endpoints is asked for."""
    return request(CountRequest, CountResponse, provider, "x-register", "count-request", "count-response")


def find_endpoints(provider: str) -> RequestSubject[FindRequest, FindResponse]:
    """Where endpoints are looked up."""
    return request(FindRequest, FindResponse, provider, "x-register", "find-request", "find-response")


def find_filters(provider: str) -> RequestSubject[FindFiltersRequest, FindFiltersResponse]:
    """Where filters are looked up."""
    return request(
        FindFiltersRequest,
        FindFiltersResponse,
        provider,
        "x-register",
        "find-filters-request",
        "find-filters-response",
    )
