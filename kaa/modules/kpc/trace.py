"""The life of a message in the log, at level debug: each line has its correlation id, none its token or payload."""

import structlog

from kaa.core.errors import Refusal

from .models import Inbound, Route, TokenEntry
from .waiting import Waiting

log = structlog.get_logger(__name__)


def received(correlation_id: str, message: Inbound, route: Route, entry: TokenEntry | None) -> None:
    """Say that a message has come and is handed on."""
    log.debug(
        "message_received",
        correlation_id=correlation_id,
        endpoint_id=None if entry is None else entry.endpoint_id,
        extension=route.extension,
        qos=message.qos,
        bytes=len(message.payload),
    )


def refused(correlation_id: str, message: Inbound, route: Route, no: Refusal) -> None:
    """Say that a message was not handed on, and why."""
    log.debug(
        "message_refused",
        correlation_id=correlation_id,
        endpoint_id=None if route.entry is None else route.entry.endpoint_id,
        extension=route.extension,
        qos=message.qos,
        status=no.status,
        reason=no.reason,
    )


def answered(correlation_id: str, waiting: Waiting, status: int, reason: str | None) -> None:
    """Say how a message was answered."""
    extension = waiting.route.extension
    log.debug("message_answered", correlation_id=correlation_id, extension=extension, status=status, reason=reason)
