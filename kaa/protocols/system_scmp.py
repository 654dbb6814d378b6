"""27/SCMP, system configurations: what the platform, and never a device, is configured with."""

from kaa.core.messages import Long, message
from kaa.core.subjects import Subject
from kaa.protocols.ism import broadcast
from kaa.protocols.x_outbox import EventProcessed

_NAMESPACE = "org.kaaproject.ipc.event.gen.v1.system.config"


@message(_NAMESPACE)
class SystemConfigUpdated:
    """A system configuration was made or changed; `config_level` is TENANT, APPLICATION, APP_VERSION or ENDPOINT."""

    correlation_id: str
    timestamp_ms: Long
    timeout_ms: Long = 0
    tenant_id: str
    config_name: str
    config_level: str
    config_level_id: str
    content_type: str = "application/json"
    content: bytes
    originator_replica_id: None | str = None


def system_config_updated(originator: str = "*") -> Subject[SystemConfigUpdated]:
    """Where changes are told."""
    return broadcast(SystemConfigUpdated, originator, "system", "config", "updated", reply=EventProcessed)
