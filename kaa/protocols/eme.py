"""15/EME, endpoint metadata events.

Values are JSON as text; the null of Avro is the null of JSON.
"""

from collections.abc import Mapping

from kaa.core.messages import Long, message
from kaa.core.subjects import Subject
from kaa.protocols.ism import broadcast
from kaa.protocols.names import AppVersionName, EndpointId
from kaa.protocols.x_outbox import EventProcessed

_NAMESPACE = "org.kaaproject.ipc.event.gen.v1.endpoint.metadata"


@message(_NAMESPACE)
class MetadataKeyUpdatedDto:
    """A value, as it was and as it is."""

    new_value: None | str
    old_value: None | str


@message(_NAMESPACE)
class MetadataUpdatedEvent:
    """Keys of an endpoint's metadata were added, changed or removed; `removed` holds the former values."""

    correlation_id: str
    timestamp_ms: Long
    timeout_ms: Long = 0
    app_version_name: AppVersionName
    endpoint_id: EndpointId
    removed: Mapping[str, None | str]
    added: Mapping[str, None | str]
    updated: Mapping[str, MetadataKeyUpdatedDto]
    originator_replica_id: str


def metadata_updated(originator: str = "*") -> Subject[MetadataUpdatedEvent]:
    """Where changes of metadata are told."""
    return broadcast(MetadataUpdatedEvent, originator, "endpoint", "metadata", "updated", reply=EventProcessed)
