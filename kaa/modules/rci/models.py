"""What RCI keeps."""

from dataclasses import dataclass
from enum import StrEnum

from kaa.protocols.names import EndpointId

FIRST_ID = 1 << 30
"""Ids below it belong to the agent itself."""


class Status(StrEnum):
    """How far a command has come; a refused one has never got to its endpoint."""

    PENDING = "PENDING"
    EXECUTED = "EXECUTED"
    EXPIRED = "EXPIRED"
    REFUSED = "REFUSED"


class CallbackStatus(StrEnum):
    """How far a result has come on its way to a callback."""

    PENDING = "PENDING"
    DELIVERED = "DELIVERED"
    FAILED = "FAILED"


@dataclass(frozen=True, slots=True)
class Outcome:
    """What has become of a command."""

    status: Status
    status_code: int | None = None
    reason_phrase: str | None = None
    payload: bytes | None = None


@dataclass(frozen=True, slots=True)
class NewCommand:
    """A command that is to be run; `payload` is JSON, `callback` where the result is to be posted."""

    endpoint_id: EndpointId
    command_type: str
    payload: bytes | None
    created_ms: int
    expires_ms: int
    callback: str | None = None


@dataclass(frozen=True, slots=True)
class Command:
    """A command, with all that is known of it."""

    key: int
    order: NewCommand
    outcome: Outcome
    updated_ms: int
    callback_status: CallbackStatus | None
    posts: int

    @property
    def id(self) -> int:
        """What the agent and the endpoint know it by."""
        return id_of(self.key)


def id_of(key: int) -> int:
    """Give the id of a command, from its number."""
    return FIRST_ID + (key - 1) % FIRST_ID
