"""What listeners answer to events that must not be lost."""

from collections.abc import Sequence
from typing import Any

from kaa.protocols.x_outbox import EventProcessed


def processed(name: str, events: Sequence[Any], *, at_ms: int) -> list[EventProcessed]:
    """Say of each event that what it asks for has been done."""
    return [
        EventProcessed(
            correlation_id=event.correlation_id,
            timestamp_ms=at_ms,
            receiver_service_instance_name=name,
            status_code=200,
        )
        for event in events
    ]
