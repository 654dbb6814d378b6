"""The bus: what the services say to each other, with the semantics of NATS.

At most once; order kept per publisher and subscription; one member of a queue group; a request to nobody fails at
once. What must not be lost is a request with a reply, or an event that goes through the outbox.
"""

from collections.abc import Awaitable, Callable, Sequence
from contextlib import AbstractAsyncContextManager
from typing import Any, Protocol, TypeVar

from kaa.core.errors import refusal
from kaa.core.subjects import RequestSubject, Subject

M = TypeVar("M")
R = TypeVar("R")

Handler = Callable[[M], Awaitable[Any]]
BatchHandler = Callable[[list[M]], Awaitable[Sequence[Any] | None]]


class Bus(Protocol):
    """Carries messages between instances; the modules know no more of it than this.

    `replica` names this process where replies are to go.
    """

    replica: str

    def publish(self, subject: Subject[M], message: M, *, reply_to: Subject[Any] | None = None) -> None:
        """Send and go on.

        With `reply_to` every listener that answers does so there. Where nobody listens, or a listener's queue is
        full, the refusal (503) comes there at once.
        """

    def is_heard(self, subject: Subject[Any]) -> bool:
        """Whether anybody may be listening, for a pattern on any subject of it; what nobody hears need not be built."""

    def listeners(self, subject: Subject[Any]) -> frozenset[str]:
        """Name the instances in this process that answer to what is published there."""

    async def request(self, subject: RequestSubject[M, R], message: M, *, timeout_ms: int = 10_000) -> R:
        """Send and wait for the one answer, whatever its status.

        Raises:
            Unavailable: nobody serves the subject.
            TimedOut: no answer came in time.
        """

    def subscribe(
        self, subject: Subject[M], handler: Handler[M], *, queue: str, concurrency: int = 1
    ) -> AbstractAsyncContextManager[None]:
        """Hear messages one by one while the block lasts; what the handler returns is the reply.

        Args:
            subject: what to hear; may have wildcards.
            handler: gets the message. A Refusal that it raises becomes the reply, any other error a reply of 500.
            queue: the group of which one member gets each message: the instance's name, or for what every replica
                must hear, the replica's (3/ISM).
            concurrency: how many messages may be in the handler at a time; they enter in order.
        """

    def subscribe_batches(
        self, subject: Subject[M], handler: BatchHandler[M], *, queue: str, concurrency: int = 1, max_batch: int = 1000
    ) -> AbstractAsyncContextManager[None]:
        """Hear all that is queued at a time, in order; the handler returns one reply (or None) a message."""

    def depths(self) -> dict[str, tuple[int, int]]:
        """Give each queue's length and limit, by `subject → queue`."""


def served_by(subject: Subject[Any]) -> str:
    """Name who serves a subject, in words for those who know nothing of subjects: devices, callers over HTTP."""
    _, _, kind, name, *_ = [*subject.name.split("."), "", "", "", ""]
    return f"the service {name}" if kind == "service" else "whoever listens"


def unreachable(subject: Subject[Any]) -> str:
    """Say that nobody serves a subject."""
    return f"{served_by(subject)} cannot be reached"


def expect(reply: R) -> R:
    """Give the reply back if it is a success; raise the Refusal that it carries if not."""
    status: int = reply.status_code  # type: ignore[attr-defined]
    if status >= 300:
        raise refusal(status, reply.reason_phrase or f"the answer was {status}")  # type: ignore[attr-defined]
    return reply
