"""Messages that have been handed on, and wait for what becomes of them."""

from typing import Any

from .models import Connection, Route, TokenEntry


class Acknowledged:
    """Stands for a connection where the message has been acknowledged: all that is left is to tell the answer."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self.endpoints, self.tally, self.has_shown_token = connection.endpoints, connection.tally, True

    @property
    def is_gone(self) -> bool:
        """Whether it has ended."""
        return self._connection.is_gone

    def finish(
        self,
        message: Any,
        status_code: int,
        reason: str | None = None,
        payload: bytes | None = None,
        *,
        has_answer: bool = True,
        is_given_up: bool = False,  # noqa: ARG002  there is nothing left to give up
    ) -> None:
        """Tell the answer, if there is one."""
        if has_answer:
            self._connection.tell(message, status_code, reason, payload)

    def tell(self, message: Any, status_code: int, reason: str | None, payload: bytes | None) -> None:
        """Send the answer."""
        self._connection.tell(message, status_code, reason, payload)

    def push(self, topic: str, payload: bytes, *, is_reliable: bool) -> None:
        """Send something that was not asked for."""
        self._connection.push(topic, payload, is_reliable=is_reliable)

    def flush(self) -> None:
        """Write what has gathered."""
        self._connection.flush()

    def close(self, status_code: int, reason: str) -> None:
        """End the connection."""
        self._connection.close(status_code, reason)


class Waiting:
    """A message that an extension service has not answered yet."""

    __slots__ = ("connection", "entry", "message", "request_id", "route", "since_ms")

    def __init__(
        self,
        connection: Connection,
        message: Any,
        route: Route,
        entry: TokenEntry | None,
        request_id: int | None,
        ms: int,
    ) -> None:
        self.connection, self.message, self.route = connection, message, route
        self.entry, self.request_id, self.since_ms = entry, request_id, ms
