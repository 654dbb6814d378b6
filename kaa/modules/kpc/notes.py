"""What is noted of messages that were refused, and of those that fail again and again."""

import hashlib

import structlog

from kaa.core.clock import Clock
from kaa.core.errors import ProtocolError, Refusal

from .models import Connection, Inbound, KeptRefusal, Route, TokenEntry, token_hash
from .refusals import HEAD_BYTES, Refusals
from .routing import Routing

log = structlog.get_logger(__name__)

_GIVE_UP_AFTER = 3
_MOST_FAILING = 1_000


class Notes:
    """Writes refusals down without what must not be read in them; knows which messages to give up."""

    def __init__(self, *, routing: Routing, refusals: Refusals, clock: Clock) -> None:
        self._routing, self._refusals, self._clock = routing, refusals, clock
        self._failing: dict[bytes, int] = {}

    def elsewhere(self, message: Inbound, error: ProtocolError) -> str:
        """Keep that somebody published where nobody listens; give the topic as it may be read."""
        shape = self._routing.shape(message.topic, has_path=False)
        self._refusals.note(
            KeptRefusal(
                at_ms=self._clock.now_ms(),
                endpoint_id=None,
                token_hash=None,
                topic=shape,
                status_code=404,
                reason=str(error),
                payload=message.payload[:HEAD_BYTES],
                payload_size=len(message.payload),
            )
        )
        return shape

    def refused(self, message: Inbound, route: Route, entry: TokenEntry | None, status_code: int, reason: str) -> None:
        """Keep that a message was refused."""
        self._refusals.note(self._kept(message, route, entry or route.entry, status_code, reason, whole=False))

    def has_failed_too_often(self, message: Inbound) -> bool:
        """Count the deliveries of a message that our own bug keeps from being stored."""
        digest = hashlib.sha256(message.topic.encode() + b"\0" + message.payload).digest()
        count = self._failing.pop(digest, 0) + 1
        if count >= _GIVE_UP_AFTER:
            return True
        while len(self._failing) >= _MOST_FAILING:
            del self._failing[next(iter(self._failing))]
        self._failing[digest] = count
        return False

    async def give_up(
        self, connection: Connection, message: Inbound, route: Route, entry: TokenEntry | None, reason: str
    ) -> None:
        """Keep a message that failed three times, whole; then acknowledge it, and tell its sender."""
        kept = self._kept(message, route, entry, 500, reason, whole=True)
        told = "internal error; the message was put aside, and can be read among the refusals"
        try:
            await self._refusals.keep(kept)
        except Refusal as no:
            connection.finish(message, no.status, no.reason)
        else:
            log.error("message_given_up", topic=kept.topic, endpoint_id=kept.endpoint_id, size=kept.payload_size)
            connection.finish(message, 500, told, is_given_up=True)
        connection.flush()

    def _kept(
        self, message: Inbound, route: Route, entry: TokenEntry | None, status_code: int, reason: str, *, whole: bool
    ) -> KeptRefusal:
        endpoint_id = entry.endpoint_id if entry is not None else None
        return KeptRefusal(
            at_ms=self._clock.now_ms(),
            endpoint_id=endpoint_id,
            token_hash=token_hash(route.token) if route.token is not None and endpoint_id is None else None,
            topic=self._routing.shape(message.topic),
            status_code=status_code,
            reason=reason,
            payload=message.payload if whole else message.payload[:HEAD_BYTES],
            payload_size=len(message.payload),
        )
