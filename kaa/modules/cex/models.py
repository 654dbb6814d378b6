"""What CEX keeps."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import NamedTuple, NewType

from kaa.protocols.names import ApplicationName, EndpointId

CommandType = NewType("CommandType", str)
TaskId = NewType("TaskId", str)


class Status(StrEnum):
    """How far a command has come; any result makes it executed, and a deleted one is not shown to anybody."""

    PENDING = "PENDING"
    EXECUTED = "EXECUTED"
    EXPIRED = "EXPIRED"
    DELETED = "DELETED"


class Queue(NamedTuple):
    """All commands of one type for one endpoint."""

    endpoint_id: EndpointId
    command_type: CommandType


class CommandKey(NamedTuple):
    """What a command is known by."""

    endpoint_id: EndpointId
    command_type: CommandType
    command_id: int

    @property
    def queue(self) -> Queue:
        """The queue that it stands in."""
        return Queue(self.endpoint_id, self.command_type)


@dataclass(frozen=True, slots=True)
class Order:
    """A command that is to be made, for one endpoint or many.

    From `deliver_ms` on it is offered, until `expires_ms`; one that is pushed once is never offered to those who ask.
    `payload` is JSON.
    """

    application: ApplicationName
    command_type: CommandType
    payload: bytes | None
    created_ms: int
    deliver_ms: int
    expires_ms: int
    is_push_once: bool = False
    task_id: TaskId | None = None


@dataclass(frozen=True, slots=True)
class Limits:
    """How much may be outstanding for one endpoint: commands, and bytes of their payloads."""

    commands: int
    payload_bytes: int


@dataclass(frozen=True, slots=True)
class Made:
    """A command that was made, and whether the endpoint wants it pushed."""

    key: CommandKey
    is_observed: bool


@dataclass(frozen=True, slots=True)
class Outcome:
    """What has become of a command."""

    status: Status
    status_code: int | None = None
    reason_phrase: str | None = None
    payload: bytes | None = None


@dataclass(frozen=True, slots=True)
class Outstanding:
    """A command that an endpoint may get."""

    key: CommandKey
    payload: bytes | None


@dataclass(frozen=True, slots=True)
class Command:
    """A command, with all that is known of it."""

    key: CommandKey
    status: Status
    created_ms: int
    updated_ms: int
    deliver_ms: int
    expires_ms: int
    request: bytes | None
    status_code: int | None
    reason_phrase: str | None
    response: bytes | None

    @property
    def outcome(self) -> Outcome:
        """What has become of it."""
        return Outcome(self.status, self.status_code, self.reason_phrase, self.response)


@dataclass(frozen=True, slots=True)
class Task:
    """Commands that were made together; what has still to be made counts as pending."""

    id: TaskId
    filter_id: str | None
    command_type: CommandType
    request: bytes | None
    created_ms: int
    counts: Mapping[Status, int]


@dataclass(frozen=True, slots=True)
class Spreading:
    """A task whose commands are being made, and the endpoints that are left."""

    order: Order
    endpoint_ids: Sequence[EndpointId]
