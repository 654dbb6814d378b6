"""13/DSTP, data samples transport: from a data collection extension to whoever wants samples."""

from kaa.core.messages import Int, Long, message
from kaa.core.subjects import Subject
from kaa.protocols.ism import broadcast, to_replica
from kaa.protocols.names import AppVersionName, EndpointId


@message("org.kaaproject.ipc.dstp.gen.v1")
class DataSamplesProcessed:
    """A receiver has dealt with the samples."""

    correlation_id: str
    timestamp_ms: Long
    timeout_ms: Long = 0
    receiver_service_instance_name: str
    status_code: Int
    reason_phrase: None | str = None


@message("org.kaaproject.ipc.dstp.gen.v1")
class DataSamplesEvent:
    """Samples of one endpoint; each is the text of one JSON value, as it came from the device."""

    correlation_id: str
    timestamp_ms: Long
    timeout_ms: Long = 0
    app_version_name: AppVersionName
    endpoint_id: EndpointId
    content_type: str = "application/json"
    data_samples: tuple[bytes, ...]


def data_samples_received(transmitter: str = "*") -> Subject[DataSamplesEvent]:
    """Where samples are told; a receiver answers if a reply is asked for."""
    return broadcast(
        DataSamplesEvent,
        transmitter,
        "endpoint",
        "data-collection",
        "data-samples-received",
        reply=DataSamplesProcessed,
    )


def data_samples_processed(replica: str) -> Subject[DataSamplesProcessed]:
    """Where one replica of the transmitter takes the answers."""
    return to_replica(DataSamplesProcessed, replica, "dstp", "data-samples-processed")
