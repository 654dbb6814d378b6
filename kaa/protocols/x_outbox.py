"""x-outbox, a contract of ours: the answer of a listener to an event that must not be lost.

Events that change another service's state are kept by their publisher until the listeners that matter have answered
with this message; `correlationId` is that of the event, and the event's identity.
"""

from kaa.core.messages import Int, Long, message
from kaa.core.subjects import Subject
from kaa.protocols.ism import to_replica


@message("org.kaa.x_outbox")
class EventProcessed:
    """A listener has done what the event asks of it, or says why it has not."""

    correlation_id: str
    timestamp_ms: Long
    timeout_ms: Long = 0
    receiver_service_instance_name: str
    status_code: Int
    reason_phrase: None | str = None


def event_processed(replica: str) -> Subject[EventProcessed]:
    """Where the publisher's replica takes the answers."""
    return to_replica(EventProcessed, replica, "x-outbox", "processed")
