"""17/SCMP, service configuration management: what has changed in the settings of applications.

Which of the three names are null gives the scope: all null is everything, a tenant is that tenant, an application name
besides is that application, a version name besides is that version.
"""

from typing import Annotated

from kaa.core.messages import Long, Wire, message
from kaa.core.subjects import Subject
from kaa.protocols.ism import broadcast, to_service
from kaa.protocols.names import ApplicationName, AppVersionName
from kaa.protocols.x_outbox import EventProcessed

_NAMESPACE = "org.kaaproject.scmp.event.gen.v1.service.configuration"


@message(_NAMESPACE)
class BroadcastConfigurationUpdateEvent:
    """Settings that concern every service have changed."""

    correlation_id: str
    timestamp_ms: Long
    originator_replica_id: str
    tenant_id: Annotated[None | str, Wire("tenantID")] = None
    app_name: None | ApplicationName = None
    app_ver_name: None | AppVersionName = None


@message(_NAMESPACE)
class ServiceSpecificConfigurationUpdateEvent:
    """Settings of one service instance have changed."""

    correlation_id: str
    timestamp_ms: Long
    tenant_id: Annotated[str, Wire("tenantID")]
    app_name: None | ApplicationName = None
    app_ver_name: None | AppVersionName = None


def configuration_changed(provider: str = "*", *, change: str = "*") -> Subject[BroadcastConfigurationUpdateEvent]:
    """Where changes for all are told; `change` is `upsert` or `delete`."""
    return broadcast(
        BroadcastConfigurationUpdateEvent, provider, "service", "configuration", change, reply=EventProcessed
    )


def instance_configuration_changed(
    instance: str, *, change: str = "*"
) -> Subject[ServiceSpecificConfigurationUpdateEvent]:
    """Where an instance hears of changes in its own settings; `change` is `upsert` or `delete`."""
    return to_service(
        ServiceSpecificConfigurationUpdateEvent, instance, "scmp", f"configuration.{change}", reply=EventProcessed
    )
