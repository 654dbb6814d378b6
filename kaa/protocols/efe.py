"""18/EFE, endpoint filter events: what becomes of a filter, and which endpoints it matches.

The subject carries the filter's id.
"""

from kaa.core.messages import Long, message
from kaa.core.subjects import Subject
from kaa.protocols.ism import broadcast
from kaa.protocols.names import ApplicationName, AppVersionName, EndpointId, FilterId
from kaa.protocols.x_outbox import EventProcessed

_NAMESPACE = "org.kaaproject.ipc.event.gen.v1.endpoint.filter"


@message(_NAMESPACE)
class EndpointFilterPendingEvent:
    """A filter is new, or its query has changed: who matches is not known yet."""

    timestamp_ms: Long
    timeout_ms: Long = 0
    correlation_id: str
    originator_replica_id: str
    filter_id: FilterId
    application_name: ApplicationName
    filter_name: None | str


@message(_NAMESPACE)
class EndpointFilterActivatedEvent:
    """It is known who matches a filter."""

    timestamp_ms: Long
    timeout_ms: Long = 0
    correlation_id: str
    originator_replica_id: str
    filter_id: FilterId
    application_name: ApplicationName
    filter_name: None | str


@message(_NAMESPACE)
class EndpointFilterDeletedEvent:
    """A filter is no more."""

    timestamp_ms: Long
    timeout_ms: Long = 0
    correlation_id: str
    originator_replica_id: str
    filter_id: FilterId
    application_name: ApplicationName
    filter_name: None | str


@message(_NAMESPACE)
class EndpointMatchedFilterEvent:
    """An endpoint has come to match a filter."""

    timestamp_ms: Long
    timeout_ms: Long = 0
    correlation_id: str
    originator_replica_id: str
    filter_id: FilterId
    application_name: ApplicationName
    app_version_name: AppVersionName
    filter_name: None | str
    endpoint_id: EndpointId


@message(_NAMESPACE)
class EndpointUnmatchedFilterEvent:
    """An endpoint has ceased to match a filter."""

    timestamp_ms: Long
    timeout_ms: Long = 0
    correlation_id: str
    originator_replica_id: str
    filter_id: FilterId
    application_name: ApplicationName
    app_version_name: AppVersionName
    filter_name: None | str
    endpoint_id: EndpointId


def filter_pending(filter_id: str = "*", *, originator: str = "*") -> Subject[EndpointFilterPendingEvent]:
    """Where it is told that a filter is being matched."""
    return broadcast(
        EndpointFilterPendingEvent, originator, "endpoint-filter", filter_id, "pending", reply=EventProcessed
    )


def filter_activated(filter_id: str = "*", *, originator: str = "*") -> Subject[EndpointFilterActivatedEvent]:
    """Where it is told that a filter can be used."""
    return broadcast(
        EndpointFilterActivatedEvent, originator, "endpoint-filter", filter_id, "activated", reply=EventProcessed
    )


def filter_deleted(filter_id: str = "*", *, originator: str = "*") -> Subject[EndpointFilterDeletedEvent]:
    """Where it is told that a filter is gone."""
    return broadcast(
        EndpointFilterDeletedEvent, originator, "endpoint-filter", filter_id, "deleted", reply=EventProcessed
    )


def endpoint_matched(filter_id: str = "*", *, originator: str = "*") -> Subject[EndpointMatchedFilterEvent]:
    """Where it is told that an endpoint matches."""
    return broadcast(
        EndpointMatchedFilterEvent, originator, "endpoint-filter", filter_id, "ep-matched", reply=EventProcessed
    )


def endpoint_unmatched(filter_id: str = "*", *, originator: str = "*") -> Subject[EndpointUnmatchedFilterEvent]:
    """Where it is told that an endpoint matches no longer."""
    return broadcast(
        EndpointUnmatchedFilterEvent, originator, "endpoint-filter", filter_id, "ep-unmatched", reply=EventProcessed
    )
