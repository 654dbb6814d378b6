"""9/ELCE: events of an endpoint's life and of its connectivity."""

from collections.abc import Mapping

from kaa.core.messages import Long, message
from kaa.core.subjects import Subject
from kaa.protocols.ism import broadcast
from kaa.protocols.names import AppVersionName, EndpointId
from kaa.protocols.x_outbox import EventProcessed

_LIFECYCLE = "org.kaaproject.ipc.event.gen.v1.endpoint.lifecycle"
_CONNECTIVITY = "org.kaaproject.ipc.event.gen.v1.endpoint.connectivity"
_TRAFFIC = "org.kaaproject.ipc.event.gen.v1.endpoint.traffic.reporting"


@message(_LIFECYCLE)
class RegisteredEvent:
    """An endpoint has come to be."""

    correlation_id: str
    timestamp_ms: Long
    timeout_ms: Long = 0
    app_version_name: AppVersionName
    endpoint_id: EndpointId
    originator_replica_id: str


@message(_LIFECYCLE)
class UnregisteredEvent:
    """An endpoint is no more."""

    correlation_id: str
    timestamp_ms: Long
    timeout_ms: Long = 0
    app_version_name: AppVersionName
    endpoint_id: EndpointId
    originator_replica_id: str


@message(_LIFECYCLE)
class AppVersionUpdatedEvent:
    """An endpoint has moved to another application version."""

    correlation_id: str
    timestamp_ms: Long
    timeout_ms: Long = 0
    app_version_name: AppVersionName
    previous_app_version_name: AppVersionName
    endpoint_id: EndpointId
    originator_replica_id: str


@message(_CONNECTIVITY)
class ConnectedEvent:
    """Endpoints have connected; `endpoints` maps each to the application version that it speaks."""

    correlation_id: str
    timestamp_ms: Long
    timeout_ms: Long = 0
    endpoints: Mapping[EndpointId, AppVersionName]
    originator_replica_id: str


@message(_CONNECTIVITY)
class DisconnectedEvent:
    """Endpoints have gone off a connection; all of one connection in one event."""

    correlation_id: str
    timestamp_ms: Long
    timeout_ms: Long = 0
    endpoints: Mapping[EndpointId, AppVersionName]
    originator_replica_id: str


@message(_TRAFFIC, name="trafficStat")
class TrafficStat:
    """What one endpoint has sent and been sent: bytes of payload, and messages."""

    total_received_payload: Long = 0
    total_sent_payload: Long = 0
    total_received_message_count: Long = 0
    total_sent_message_count: Long = 0


@message(_TRAFFIC)
class TrafficReportEvent:
    """The traffic of a span of time, by tenant, application and endpoint."""

    tenant_traffic_stats: Mapping[str, Mapping[str, Mapping[str, TrafficStat]]]
    time_from_ns: Long
    time_to_ns: Long
    correlation_id: str
    originator_replica_id: str
    timestamp_ms: Long
    timeout_ms: Long = 0


def registered(originator: str = "*") -> Subject[RegisteredEvent]:
    """Where registrations are told."""
    return broadcast(RegisteredEvent, originator, "endpoint", "lifecycle", "registered", reply=EventProcessed)


def unregistered(originator: str = "*") -> Subject[UnregisteredEvent]:
    """Where deletions are told."""
    return broadcast(UnregisteredEvent, originator, "endpoint", "lifecycle", "unregistered", reply=EventProcessed)


def app_version_updated(originator: str = "*") -> Subject[AppVersionUpdatedEvent]:
    """Where changes of the application version are told."""
    return broadcast(
        AppVersionUpdatedEvent, originator, "endpoint", "lifecycle", "appversion-updated", reply=EventProcessed
    )


def connected(originator: str = "*") -> Subject[ConnectedEvent]:
    """Where connections are told."""
    return broadcast(ConnectedEvent, originator, "endpoint", "connectivity", "connected")


def disconnected(originator: str = "*") -> Subject[DisconnectedEvent]:
    """Where disconnections are told."""
    return broadcast(DisconnectedEvent, originator, "endpoint", "connectivity", "disconnected")


def traffic_report(originator: str = "*") -> Subject[TrafficReportEvent]:
    """Where traffic is told."""
    return broadcast(TrafficReportEvent, originator, "endpoint", "traffic-reporting", "payload")
