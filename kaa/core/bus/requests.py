"""Requests: one standing reply subject a type of reply (3/ISM), and who waits for which answer."""

import asyncio
from collections.abc import Callable
from typing import Any, TypeVar

from kaa.core.bus import served_by, unreachable
from kaa.core.clock import Clock
from kaa.core.errors import TimedOut, Unavailable
from kaa.core.subjects import RequestSubject, Subject

M = TypeVar("M")
R = TypeVar("R")


class Requests:
    """What this process has asked and not been answered yet.

    Args:
        replica: names this process in the subjects where its replies go.
        clock: what time it is.
        publish: sends a request.
        listen: has `on_replies` called with what comes on a subject, from now on.
    """

    def __init__(
        self,
        replica: str,
        *,
        clock: Clock,
        publish: Callable[[Subject[Any], Any, Subject[Any]], None],
        listen: Callable[[Subject[Any]], None],
    ) -> None:
        self._replica, self._clock, self._publish, self._listen = replica, clock, publish, listen
        self._subjects: dict[str, Subject[Any]] = {}
        self._waiting: dict[str, asyncio.Future[Any]] = {}

    async def ask(self, subject: RequestSubject[M, R], message: M, timeout_ms: int) -> R:
        """Send and wait for the one answer, whatever its status; TimedOut if none comes."""
        correlation_id: str = message.correlation_id  # type: ignore[attr-defined]
        reply_to = self._reply_subject(subject)
        waiting = asyncio.get_running_loop().create_future()
        self._waiting[correlation_id] = waiting
        timer = self._clock.call_later(timeout_ms, lambda: self._give_up(correlation_id, subject, timeout_ms))
        try:
            self._publish(subject, message, reply_to)
            reply: R = await waiting
            return reply
        finally:
            timer.cancel()
            self._waiting.pop(correlation_id, None)

    async def on_replies(self, replies: list[Any]) -> None:
        """Hand answers to those who wait for them."""
        for reply in replies:
            waiting = self._waiting.pop(reply.correlation_id, None)
            if waiting is not None and not waiting.done():
                waiting.set_result(reply)

    def fail(self, correlation_id: str, subject: Subject[Any]) -> bool:
        """Tell whoever waits that nobody serves the subject; whether anybody waits."""
        waiting = self._waiting.pop(correlation_id, None)
        if waiting is None:
            return False
        if not waiting.done():
            waiting.set_exception(Unavailable(unreachable(subject)))
        return True

    def _reply_subject(self, subject: RequestSubject[Any, Any]) -> Subject[Any]:
        known = self._subjects.get(subject.reply_suffix)
        if known is None:
            known = Subject(f"kaa.v1.replica.{self._replica}.{subject.reply_suffix}", subject.reply)
            self._subjects[subject.reply_suffix] = known
            self._listen(known)
        return known

    def _give_up(self, correlation_id: str, subject: Subject[Any], timeout_ms: int) -> None:
        waiting = self._waiting.pop(correlation_id, None)
        if waiting is not None and not waiting.done():
            waiting.set_exception(TimedOut(f"{served_by(subject)} did not answer within {timeout_ms / 1000:g} s"))
