"""Results on their way to callbacks: each is posted until it is taken, with longer and longer breaks, for a while.

What is to be posted stands in the database, so a restart forgets none; a result may be posted twice when the server
stops between the answer and its note of it.
"""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import aiohttp
import structlog

from kaa.core.clock import Clock
from kaa.core.errors import InvalidInput, Refusal
from kaa.core.metrics import Metrics
from kaa.core.tasks import Tasks

from .addresses import Allowed, AllowedResolver
from .models import CallbackStatus, Command
from .repository import CommandRepository
from .views import command_json

log = structlog.get_logger(__name__)

_TICK_MS = 250
_AT_A_TIME = 32
_FIRST_BREAK_MS = 1_000
_LONGEST_BREAK_MS = 900_000
_NEVER_MS = 1 << 62


class Callbacks:
    """Posts results."""

    def __init__(
        self,
        *,
        commands: CommandRepository,
        allowed: Allowed,
        timeout_ms: int,
        attempts: int,
        give_up_ms: int,
        clock: Clock,
        tasks: Tasks,
        metrics: Metrics,
    ) -> None:
        self._commands, self._allowed = commands, allowed
        self._timeout_ms, self._attempts, self._give_up_ms = timeout_ms, attempts, give_up_ms
        self._clock, self._tasks = clock, tasks
        self._posts = metrics.counter("kaa_rci_posts_total", "Attempts to post a result", ("outcome",))
        self._posting: dict[int, asyncio.Task[None]] = {}
        self._next_ms = 0

    def wake(self) -> None:
        """Look whether there is anything to post."""
        self._next_ms = 0

    @asynccontextmanager
    async def opened(self) -> AsyncIterator[None]:
        """Post while the block lasts."""
        resolver = AllowedResolver(self._allowed)
        connector = aiohttp.TCPConnector(resolver=resolver, use_dns_cache=False, force_close=True, limit=_AT_A_TIME)
        timeout = aiohttp.ClientTimeout(total=self._timeout_ms / 1000)
        jar = aiohttp.DummyCookieJar()
        async with aiohttp.ClientSession(connector=connector, timeout=timeout, cookie_jar=jar) as self._session:
            loop = self._tasks.spawn(self._run(), name="rci callbacks")
            try:
                yield
            finally:
                await self._tasks.stop(loop, *self._posting.values())
                await resolver.close()  # the connector closes none but its own

    async def _run(self) -> None:
        while True:
            if self._next_ms <= self._clock.now_ms() and len(self._posting) < _AT_A_TIME:
                try:
                    await self._start_due()
                except Refusal as no:
                    log.warning("callbacks_put_off", reason=no.reason)
                    await self._clock.sleep_ms(1_000)
            await self._clock.sleep_ms(_TICK_MS)

    async def _start_due(self) -> None:
        now = self._clock.now_ms()
        self._next_ms = _NEVER_MS
        # those that are being posted are found as well, even where that is noted before the answer is here
        posting = set(self._posting)
        try:
            due, later_ms = await self._commands.find_to_post(at_ms=now, limit=2 * _AT_A_TIME)
        except BaseException:
            self._next_ms = 0
            raise
        for command in due:
            if command.key not in posting and len(self._posting) < _AT_A_TIME:
                self._posting[command.key] = self._tasks.spawn(self._post(command), name=f"rci post {command.id}")
        self._next_ms = min(self._next_ms, 0 if due else later_ms or _NEVER_MS)

    async def _post(self, command: Command) -> None:
        try:
            is_taken = await self._is_taken(command)
            status, next_ms = CallbackStatus.DELIVERED, None
            if not is_taken:
                status, next_ms = self._after_failure(command)
            self._posts.labels("delivered" if is_taken else "failed").inc()
            await self._commands.note_post(command.key, status, next_ms=next_ms)
        except Refusal as no:  # posted once more, when the storage works again
            log.warning("post_not_noted", command_id=command.id, reason=no.reason)
            await self._clock.sleep_ms(1_000)
        finally:
            del self._posting[command.key]
            self.wake()

    async def _is_taken(self, command: Command) -> bool:
        assert command.order.callback is not None
        headers = {"Content-Type": "application/json"}
        try:
            url = self._allowed.check(command.order.callback)
            async with self._session.post(
                url, data=command_json(command), headers=headers, allow_redirects=False
            ) as response:
                return 200 <= response.status < 300
        except (aiohttp.ClientError, InvalidInput, TimeoutError, OSError, ValueError) as error:
            # its text may have the URL in it, and that may have a secret in it
            log.info("post_failed", command_id=command.id, error=type(error).__name__)
            return False

    def _after_failure(self, command: Command) -> tuple[CallbackStatus, int | None]:
        next_ms = self._clock.now_ms() + min(_FIRST_BREAK_MS << min(command.posts, 16), _LONGEST_BREAK_MS)
        if command.posts + 1 >= self._attempts or next_ms > command.updated_ms + self._give_up_ms:
            log.warning("callback_given_up", command_id=command.id, attempts=command.posts + 1)
            return CallbackStatus.FAILED, None
        return CallbackStatus.PENDING, next_ms
