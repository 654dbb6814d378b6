"""The rules of RCI: a caller of 12/CIP who keeps what he has asked for.

A command is on the disk before the agent hears of it, under an id that is never used twice; so it may be asked for
again and again, and never runs twice. That is done whenever there has been no answer for a minute, when the agent has
no room to keep one waiting, and after a restart: what the agent or this service forget the other still has.
"""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass

import structlog

from kaa.core.bus import Bus, unreachable
from kaa.core.clock import Clock
from kaa.core.errors import InvalidInput, NotFound, Refusal, TimedOut, Unavailable, refusal
from kaa.core.ids import Ids
from kaa.core.subjects import Subject
from kaa.protocols import cip
from kaa.protocols.cep import COMMAND_TYPE
from kaa.protocols.cip import CommandInvocationRequest, CommandInvocationResult
from kaa.protocols.names import ENDPOINT_ID, AppVersionName, EndpointId, checked

from .models import Command, NewCommand, Outcome, Status, id_of
from .repository import CommandRepository

log = structlog.get_logger(__name__)

_TICK_MS = 250
_AGAIN_MS = 60_000
_FIRST_RETRY_MS = 250
_LONGEST_RETRY_MS = 30_000
_SPARE_MS = 2_000  # after the end of a command, for the agent to say so
_RETENTION_EVERY_MS = 3_600_000
_AT_A_TIME = 500


@dataclass(slots=True, eq=False)
class _Open:
    """A command that has no result yet."""

    key: int
    order: NewCommand
    ask_ms: int
    correlation_id: str = ""
    refusals: int = 0
    waiting: "asyncio.Future[Outcome] | None" = None


class Invocations:
    """Has commands run, and keeps them and their results."""

    def __init__(
        self,
        *,
        agent: str,
        reply_to: Subject[CommandInvocationResult],
        commands: CommandRepository,
        retention_ms: int,
        on_finished: Callable[[], None],
        bus: Bus,
        clock: Clock,
        ids: Ids,
    ) -> None:
        self._subject, self._reply_to = cip.invoke_command(agent), reply_to
        self._commands, self._retention_ms, self._on_finished = commands, retention_ms, on_finished
        self._bus, self._clock, self._ids = bus, clock, ids
        self._open: dict[int, _Open] = {}
        self._asked: dict[str, _Open] = {}

    async def invoke(self, endpoint_id: str, command_type: str, payload: bytes | None, *, wait_ms: int) -> Outcome:
        """Have a command run and give its result.

        Raises:
            NotFound: there is no such endpoint.
            TimedOut: there was no result in time; the command is not run any more.
            Unavailable: nobody runs commands.
        """
        if not self._bus.is_heard(self._subject):
            raise Unavailable(unreachable(self._subject))
        ends_ms = self._clock.monotonic_ms() + wait_ms
        one = await self._add(endpoint_id, command_type, payload, ttl_ms=wait_ms)
        future: asyncio.Future[Outcome] = asyncio.get_running_loop().create_future()
        one.waiting = future
        late = TimedOut(f"the endpoint gave no result within {wait_ms / 1000:g} s")

        def give_up() -> None:
            if not future.done():
                future.set_exception(late)

        timer = self._clock.call_later(max(0, ends_ms - self._clock.monotonic_ms()), give_up)
        try:
            outcome = await future
        finally:
            timer.cancel()
            one.waiting = None
        if outcome.status is Status.EXPIRED:
            raise late
        if outcome.status is Status.REFUSED:
            raise refusal(outcome.status_code or 503, outcome.reason_phrase or "the command was refused")
        return outcome

    async def begin(
        self, endpoint_id: str, command_type: str, payload: bytes | None, *, ttl_ms: int, callback: str
    ) -> int:
        """Have a command run whose result is posted to a callback; gives its id."""
        return id_of((await self._add(endpoint_id, command_type, payload, ttl_ms=ttl_ms, callback=callback)).key)

    async def get(self, endpoint_id: str, command_type: str, command_id: int) -> Command:
        """Give a command and what has become of it."""
        return await self._commands.get(endpoint_id, command_type, command_id)

    async def on_results(self, results: list[CommandInvocationResult]) -> None:
        """Take what the agent answers; the results of all that has come together are one commit."""
        outcomes: dict[int, Outcome] = {}
        for result in results:
            one = self._asked.pop(result.correlation_id, None)
            if one is None:
                continue
            one.correlation_id = ""
            outcome = _outcome(result)
            if outcome is None:
                self._put_off(one)
            else:
                outcomes[one.key] = outcome
        if outcomes:
            await self._finish(outcomes)

    async def resume(self) -> None:
        """Take up the commands that an earlier run has left without a result."""
        now = self._clock.now_ms()
        for command in await self._commands.find_pending():
            self._open[command.key] = _Open(command.key, command.order, now)

    async def run(self) -> None:
        """Ask again where it is due, again and again; for a task of its own."""
        while True:
            await self._tick()
            await self._clock.sleep_ms(_TICK_MS)

    async def keep_clean(self) -> None:
        """Delete what has been kept long enough, every hour; for a task of its own."""
        while True:
            before_ms = self._clock.now_ms() - self._retention_ms
            try:
                while await self._commands.remove_finished(before_ms=before_ms, most=_AT_A_TIME) == _AT_A_TIME:
                    pass
            except Refusal as no:
                log.warning("clean_up_put_off", reason=no.reason)
            await self._clock.sleep_ms(_RETENTION_EVERY_MS)

    async def _add(
        self, endpoint_id: str, command_type: str, payload: bytes | None, *, ttl_ms: int, callback: str | None = None
    ) -> _Open:
        checked(COMMAND_TYPE, command_type, what="commandType")
        if ENDPOINT_ID.fullmatch(endpoint_id) is None:
            raise NotFound(f"there is no endpoint {endpoint_id!r}")
        if ttl_ms <= 0:
            raise InvalidInput("a command without time to live gives no result")
        now = self._clock.now_ms()
        order = NewCommand(EndpointId(endpoint_id), command_type, payload, now, now + ttl_ms, callback)
        key = await self._commands.add(order)
        one = self._open[key] = _Open(key, order, now)
        self._ask(one)
        return one

    async def _tick(self) -> None:
        now = self._clock.now_ms()
        over = {}
        for one in list(self._open.values()):
            if one.order.expires_ms + _SPARE_MS <= now:
                over[one.key] = Outcome(Status.EXPIRED, 504, "there was no result in the command's time")
            elif one.ask_ms <= now < one.order.expires_ms:
                self._ask(one)
        if over:
            await self._finish(over)

    def _ask(self, one: _Open) -> None:
        """Ask the agent for the result; an answer to an earlier request is of no interest any more."""
        self._asked.pop(one.correlation_id, None)
        now, order = self._clock.now_ms(), one.order
        one.correlation_id = self._ids.correlation_id()
        one.ask_ms = now + _AGAIN_MS
        self._asked[one.correlation_id] = one
        self._bus.publish(
            self._subject,
            CommandInvocationRequest(
                correlation_id=one.correlation_id,
                timestamp_ms=now,
                timeout_ms=max(1, order.expires_ms - now),
                endpoint_id=order.endpoint_id,
                command_type=order.command_type,
                command_id=id_of(one.key),
                payload=order.payload,
            ),
            reply_to=self._reply_to,
        )

    def _put_off(self, one: _Open) -> None:
        wait_ms = min(_FIRST_RETRY_MS << min(one.refusals, 16), _LONGEST_RETRY_MS)
        one.refusals += 1
        one.ask_ms = self._clock.now_ms() + wait_ms

    async def _finish(self, outcomes: dict[int, Outcome]) -> None:
        try:
            await self._commands.finish(outcomes, at_ms=self._clock.now_ms())
        except Refusal as no:  # asked for again by and by, the results are still there
            log.warning("results_put_off", results=len(outcomes), reason=no.reason)
            for key in outcomes:
                if key in self._open:
                    self._put_off(self._open[key])
            return
        for key, outcome in outcomes.items():
            one = self._open.pop(key, None)
            if one is None:
                continue
            self._asked.pop(one.correlation_id, None)
            if one.waiting is not None and not one.waiting.done():
                one.waiting.set_result(outcome)
        self._on_finished()


def _outcome(result: CommandInvocationResult) -> Outcome | None:
    """Tell a result from a refusal, which has no application version; None for one that is worth another try."""
    if result.app_version_name != AppVersionName("") or result.status_code < 300:
        return Outcome(Status.EXECUTED, result.status_code, result.reason_phrase, result.payload)
    if result.status_code in {500, 503, 507}:
        return None
    status = Status.EXPIRED if result.status_code == 504 else Status.REFUSED
    return Outcome(status, result.status_code, result.reason_phrase)
