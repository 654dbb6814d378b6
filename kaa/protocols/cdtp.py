"""6/CDTP, configuration data transport: between what keeps configurations and what delivers them.

A provider (ECR, OTAO) answers requests and tells of changes; a consumer (CMX) tells what endpoints have applied. The
records that tell of a configuration carry no name: it is found by `configId`, see `x_configurations`.
"""

from kaa.core.messages import Int, Long, message
from kaa.core.subjects import RequestSubject, Subject
from kaa.protocols.ism import broadcast, request
from kaa.protocols.names import AppVersionName, EndpointId
from kaa.protocols.x_outbox import EventProcessed

_NAMESPACE = "org.kaaproject.ipc.cdtp.gen.v1"
_EVENTS = "org.kaaproject.ipc.event.gen.v1.endpoint.config"


@message(_NAMESPACE)
class ConfigRequest:
    """Asks what configuration an endpoint is to have; `config_id` names the one that it has."""

    correlation_id: str
    timestamp_ms: Long
    timeout_ms: Long = 0
    app_version_name: AppVersionName
    endpoint_id: EndpointId
    config_id: None | str = None
    config_name: None | str = None


@message(_NAMESPACE)
class ConfigResponse:
    """The configuration; id and content are null on an error, and where the endpoint has the current one."""

    correlation_id: str
    timestamp_ms: Long
    timeout_ms: Long = 0
    app_version_name: AppVersionName
    endpoint_id: EndpointId
    config_id: None | str = None
    content_type: str = "application/json"
    content: None | bytes = None
    status_code: Int
    reason_phrase: None | str = None


@message(_EVENTS)
class ConfigUpdated:
    """An endpoint's configuration has changed; content is the whole new one."""

    correlation_id: str
    timestamp_ms: Long
    timeout_ms: Long = 0
    app_version_name: AppVersionName
    endpoint_id: EndpointId
    config_id: str
    content_type: str = "application/json"
    content: bytes
    originator_replica_id: None | str = None


@message(_EVENTS)
class ConfigApplied:
    """An endpoint has applied a configuration, or with a `status_code` of 300 and above has not."""

    correlation_id: str
    timestamp_ms: Long
    timeout_ms: Long = 0
    app_version_name: AppVersionName
    endpoint_id: EndpointId
    config_id: str
    originator_replica_id: None | str = None
    status_code: Int = 200
    reason_phrase: None | str = None


def configuration(provider: str) -> RequestSubject[ConfigRequest, ConfigResponse]:
    """Where a provider is asked."""
    return request(ConfigRequest, ConfigResponse, provider, "cdtp", "request", "response")


def config_updated(originator: str = "*") -> Subject[ConfigUpdated]:
    """Where a provider tells of changes."""
    return broadcast(ConfigUpdated, originator, "endpoint", "config", "updated", reply=EventProcessed)


def config_applied(originator: str = "*") -> Subject[ConfigApplied]:
    """Where a consumer tells what became of a configuration."""
    return broadcast(ConfigApplied, originator, "endpoint", "config", "applied", reply=EventProcessed)
