"""From samples to lines: one JSON object each, the sample in it as the device wrote it."""

from collections.abc import Callable, Iterator, Sequence

from pydantic_core import to_json

from kaa.protocols.dstp import DataSamplesEvent
from kaa.protocols.names import AppVersionName

# line ends can stand in JSON between tokens only
_FLAT = bytes.maketrans(b"\r\n", b"  ")


def rendered(events: Sequence[DataSamplesEvent], application_of: Callable[[AppVersionName], str | None]) -> list[bytes]:
    """Give a line, with its end, for each sample of the events."""
    lines = []
    for event in events:
        head = to_json(
            {
                "serverTimestamp": event.timestamp_ms,
                "applicationName": application_of(event.app_version_name),
                "appVersionName": event.app_version_name,
                "endpointId": event.endpoint_id,
            }
        )
        start = head[:-1] + b',"dataSample":'
        lines += [start + sample.translate(_FLAT).strip() + b"}\n" for sample in event.data_samples]
    return lines


def bodies(lines: Sequence[bytes], max_bytes: int) -> Iterator[bytes]:
    """Give JSON arrays of the lines, each as large as may be; a line that is larger by itself stands alone."""
    part: list[bytes] = []
    size = 1
    for line in lines:
        if part and size + len(line) > max_bytes:
            yield b"[" + b",".join(part) + b"]"
            part, size = [], 1
        part.append(line[:-1])
        size += len(line)
    if part:
        yield b"[" + b",".join(part) + b"]"
