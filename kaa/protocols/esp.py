"""4/ESP: between the communication service and the extension services."""

from kaa.core.messages import Int, Long, message
from kaa.core.subjects import Subject
from kaa.protocols.ism import to_replica, to_service
from kaa.protocols.names import AppVersionName, EndpointId


@message("org.kaaproject.ipc.esp.gen.v1")
class ClientData:
    """What a client sent, on its way to an extension service."""

    correlation_id: str
    timestamp_ms: Long
    timeout_ms: Long = 0
    app_version_name: AppVersionName
    endpoint_id: EndpointId | None
    resource_path: str
    request_id: Int | None
    payload: bytes
    config_name: None | str = None


@message("org.kaaproject.ipc.esp.gen.v1")
class ExtensionData:
    """What an extension service answers or pushes."""

    correlation_id: str
    timestamp_ms: Long
    timeout_ms: Long = 0
    app_version_name: AppVersionName | None
    extension_instance_name: str | None
    endpoint_id: EndpointId | None
    resource_path: str
    request_id: Int | None
    payload: bytes | None
    status_code: Int
    reason_phrase: None | str = None


def client_data(extension: str) -> Subject[ClientData]:
    """Where an extension service hears its clients."""
    return to_service(ClientData, extension, "esp", "ClientData", reply=ExtensionData)


def extension_data(communication: str) -> Subject[ExtensionData]:
    """Where a communication service takes pushes."""
    return to_service(ExtensionData, communication, "esp", "ExtensionData")


def extension_data_to_replica(replica: str) -> Subject[ExtensionData]:
    """Where one replica of a communication service takes the answers to what it sent."""
    return to_replica(ExtensionData, replica, "esp", "ExtensionData")
