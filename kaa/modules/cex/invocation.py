"""The agent of 12/CIP: takes commands of other services and answers with their results.

The caller chooses the command's id, and endpoint, type and id are the command's identity: one that comes again is the
same command, never runs twice, and is answered with the same result. That is also how an answer is found that was
lost: the reply to a request goes when the result is there, after minutes if need be, but it hangs on this process and
is gone with it, and there is no room for more than so many that hang (the others get 503 at once, while their commands
go their way). Whoever has no answer asks again, and takes the place of his first request. The result itself is on the
disk.

A refusal has no application version, for it comes from no endpoint; a result has one.
"""

from dataclasses import replace

from kaa.core.clock import Clock
from kaa.core.errors import InvalidInput, NotFound, TimedOut, Unavailable
from kaa.protocols import cep
from kaa.protocols.cip import CommandInvocationRequest, CommandInvocationResult
from kaa.protocols.names import AppVersionName

from .endpoints import Endpoints
from .models import Command, CommandKey, Outcome, Status
from .repository import CommandRepository
from .service import LONGEST_MS, Commands, Orders
from .waiting import Waiting

CONCURRENCY = 512
_MOST_WAITING = CONCURRENCY - 32
_SPARE_MS = 5_000  # the end of a command is told when it has been written


class Invocation:
    """Runs commands for other services."""

    def __init__(
        self,
        *,
        orders: Orders,
        service: Commands,
        commands: CommandRepository,
        endpoints: Endpoints,
        waiting: Waiting,
        clock: Clock,
    ) -> None:
        self._orders, self._service, self._commands = orders, service, commands
        self._endpoints, self._waiting, self._clock = endpoints, waiting, clock
        self._hanging = 0

    async def on_invoke(self, request: CommandInvocationRequest) -> CommandInvocationResult:
        """Have a command run, unless it is there already, and give its result.

        Raises:
            InvalidInput: the type, the id or the payload is none.
            NotFound: there is no such endpoint, or the command was deleted.
            Conflict: the command is there with another payload.
            TimedOut: the endpoint gave no result in the command's time.
            Unavailable: there is no result yet, and no room for one more to wait for it.
        """
        if not 0 <= request.command_id <= cep.MAX_COMMAND_ID:
            raise InvalidInput(f"commandId: {request.command_id} is not from 0 to {cep.MAX_COMMAND_ID}")
        payload = None if request.payload is None else cep.check_json(request.payload, what="payload")
        left_ms = None
        if request.timeout_ms:
            left_ms = max(1, min(request.timestamp_ms + request.timeout_ms - self._clock.now_ms(), LONGEST_MS))
        order = self._orders.make(request.command_type, payload, ttl_ms=left_ms)
        known = await self._endpoints.get(request.endpoint_id)
        order = replace(order, application=known.application)
        key = CommandKey(request.endpoint_id, order.command_type, request.command_id)
        there = await self._commands.add_named(order, key)
        outcome: Outcome | None
        if isinstance(there, Command):
            outcome, expires_ms = there.outcome, there.expires_ms
        else:
            self._service.set_off(there, order, known.version)
            outcome, expires_ms = Outcome(Status.PENDING), order.expires_ms
        if outcome.status is Status.PENDING:
            outcome = await self._wait(key, expires_ms)
        return self._result(request, self._endpoints.version_of(key.endpoint_id, known.version), outcome)

    async def _wait(self, key: CommandKey, expires_ms: int) -> Outcome | None:
        if self._hanging >= _MOST_WAITING:
            return None
        self._hanging += 1
        left_ms = expires_ms - self._clock.now_ms() + _SPARE_MS
        try:
            return await self._waiting.wait(key, timeout_ms=left_ms, is_only=True)
        finally:
            self._hanging -= 1

    def _result(
        self, request: CommandInvocationRequest, version: AppVersionName, outcome: Outcome | None
    ) -> CommandInvocationResult:
        if outcome is None:
            raise Unavailable("the command has no result yet; ask for it again")
        if outcome.status is Status.DELETED:
            raise NotFound("the command was deleted")
        if outcome.status is Status.EXPIRED:
            raise TimedOut("the endpoint gave no result in the command's time")
        assert outcome.status_code is not None
        return CommandInvocationResult(
            correlation_id=request.correlation_id,
            timestamp_ms=self._clock.now_ms(),
            app_version_name=version,
            endpoint_id=request.endpoint_id,
            command_type=request.command_type,
            command_id=request.command_id,
            status_code=outcome.status_code,
            reason_phrase=outcome.reason_phrase,
            payload=outcome.payload,
        )
