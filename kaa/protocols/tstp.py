"""14/TSTP, time series transport: data points as they are stored, and points from other transmitters."""

from collections.abc import Mapping

from kaa.core.messages import Int, Long, Scalar, message
from kaa.core.subjects import Subject
from kaa.protocols.ism import broadcast, to_replica
from kaa.protocols.names import AppVersionName, EndpointId, SeriesName


@message("org.kaaproject.ipc.tstp.gen.v1")
class DataPoint:
    """A time (ms since 1970) and its named values; `ingestion_timestamp_ms` is when the platform got it."""

    ingestion_timestamp_ms: Long = 0
    timestamp_ms: Long
    values: Mapping[str, Scalar]


@message("org.kaaproject.ipc.tstp.gen.v1")
class TimeSeriesProcessed:
    """A receiver has dealt with the points."""

    correlation_id: str
    timestamp_ms: Long
    timeout_ms: Long = 0
    status_code: Int
    reason_phrase: None | str = None


@message("org.kaaproject.ipc.tstp.gen.v1")
class TimeSeriesEvent:
    """Points of one series of one endpoint."""

    correlation_id: str
    timestamp_ms: Long
    timeout_ms: Long = 0
    app_version_name: AppVersionName
    endpoint_id: EndpointId
    time_series_name: SeriesName
    data_points: tuple[DataPoint, ...]


def data_points_received(transmitter: str = "*", series: str = "*") -> Subject[TimeSeriesEvent]:
    """Where points are told; with no arguments, every series of every transmitter."""
    return broadcast(
        TimeSeriesEvent,
        transmitter,
        "endpoint",
        "data-collection",
        "data-points-received",
        series,
        reply=TimeSeriesProcessed,
    )


def time_series_processed(replica: str) -> Subject[TimeSeriesProcessed]:
    """Where one replica of the transmitter takes the answers."""
    return to_replica(TimeSeriesProcessed, replica, "tstp", "time-series-processed")
