"""The rules of commands: how one is made, waited for, read and deleted.

A command is on the disk before it is pushed, and its result before anybody hears of it. From its delivery on it is
offered until its time to live is over: at once to an endpoint that is connected, whenever it connects, and to whoever
asks. One with a time to live of zero is pushed once and never offered again; its result is taken for as long as that
of a command whose time to live nobody has named.
"""

from dataclasses import replace

from kaa.core.clock import Clock
from kaa.core.errors import InvalidInput, NotFound, TooLarge
from kaa.protocols.cep import COMMAND_TYPE
from kaa.protocols.names import ApplicationName, AppVersionName, checked

from .endpoints import Endpoints
from .models import Command, CommandKey, CommandType, Made, Order, Outcome, Outstanding, Queue, Status
from .pushing import Pushes
from .repository import CommandReader, CommandRepository
from .sweeping import Deadlines
from .waiting import Waiting

LONGEST_MS = 366 * 86_400_000
"""The longest that a command may live, and that it may be held back."""


class Orders:
    """Says when commands are to be delivered, and when their time is over."""

    def __init__(self, *, clock: Clock, default_ttl_ms: int, max_payload_bytes: int) -> None:
        self._clock, self._default_ttl_ms, self._max_payload_bytes = clock, default_ttl_ms, max_payload_bytes

    def make(
        self,
        command_type: str,
        payload: bytes | None,
        *,
        ttl_ms: int | None = None,
        deliver_ms: int | None = None,
        wait_ms: int = 0,
    ) -> Order:
        """Give the order, but for the application that its endpoints belong to.

        Args:
            command_type: the type.
            payload: JSON.
            ttl_ms: the time to live; None for the default, 0 for a command that is pushed once.
            deliver_ms: when the command is to be delivered, if not at once.
            wait_ms: how long the caller waits for the result, which is taken so long at least if it is pushed once.

        Raises:
            InvalidInput: the type is none, or the delivery is too far ahead.
            TooLarge: the payload is.
        """
        checked(COMMAND_TYPE, command_type, what="commandType")
        if len(payload or b"") > self._max_payload_bytes:
            raise TooLarge(f"the payload has more than {self._max_payload_bytes} bytes")
        now = self._clock.now_ms()
        deliver_ms = max(now, deliver_ms or 0)
        if deliver_ms > now + LONGEST_MS:
            raise InvalidInput(f"deliverAt: more than {LONGEST_MS // 86_400_000} days ahead")
        lives_ms = self._default_ttl_ms if ttl_ms is None else ttl_ms or max(self._default_ttl_ms, wait_ms)
        return Order(
            application=ApplicationName(""),
            command_type=CommandType(command_type),
            payload=payload,
            created_ms=now,
            deliver_ms=deliver_ms,
            expires_ms=deliver_ms + lives_ms,
            is_push_once=ttl_ms == 0,
        )


class Commands:
    """Commands for single endpoints."""

    def __init__(
        self,
        *,
        orders: Orders,
        commands: CommandRepository,
        reader: CommandReader,
        endpoints: Endpoints,
        waiting: Waiting,
        pushes: Pushes,
        deadlines: Deadlines,
        clock: Clock,
    ) -> None:
        self._orders, self._commands, self._reader = orders, commands, reader
        self._endpoints, self._waiting, self._pushes = endpoints, waiting, pushes
        self._deadlines, self._clock = deadlines, clock

    async def create(
        self,
        endpoint_id: str,
        command_type: str,
        payload: bytes | None,
        *,
        ttl_ms: int | None = None,
        deliver_ms: int | None = None,
        wait_ms: int = 0,
    ) -> tuple[CommandKey, Outcome | None]:
        """Make a command and wait for its result, for a while; gives what it is known by, and the result if it came.

        Raises:
            InvalidInput: the type or the delivery is none.
            TooLarge: the payload is.
            NotFound: there is no such endpoint, or it or the command was deleted meanwhile.
            TooMany: the endpoint has too many commands outstanding.
        """
        waits_until_ms = self._clock.monotonic_ms() + wait_ms
        order = self._orders.make(command_type, payload, ttl_ms=ttl_ms, deliver_ms=deliver_ms, wait_ms=wait_ms)
        known = await self._endpoints.get(endpoint_id)
        made = await self._commands.add(replace(order, application=known.application), endpoint_id)
        self.set_off(made, order, known.version)
        left_ms = waits_until_ms - self._clock.monotonic_ms()
        outcome = await self._waiting.wait(made.key, timeout_ms=left_ms)
        if outcome is not None and outcome.status is Status.DELETED:
            raise NotFound("the command was deleted while its result was waited for")
        return made.key, outcome if outcome is not None and outcome.status is Status.EXECUTED else None

    def set_off(self, made: Made, order: Order, version: AppVersionName) -> None:
        """Push a command that has just been made, unless it is held back or the endpoint does not want it."""
        self._deadlines.note(order)
        if made.is_observed and order.deliver_ms <= order.created_ms:
            self._pushes.push(
                [Outstanding(made.key, order.payload)], lambda one: self._endpoints.version_of(one, version)
            )

    async def get(self, key: CommandKey) -> Command:
        """Give a command."""
        return await self._reader.get(key)

    async def get_last(self, queue: Queue) -> Command:
        """Give the youngest command of a type."""
        return await self._reader.get_last(queue)

    async def remove(self, key: CommandKey) -> None:
        """Delete a command: it is shown no more, and not delivered."""
        await self._commands.remove(key, at_ms=self._clock.now_ms())
        self._waiting.tell(key, Outcome(Status.DELETED))
