"""A webhook: samples are posted in order, and safe when it says 2xx.

What fails for the moment is tried again, with back-off, for a while. Then whatever comes is refused at once, and from
time to time one batch tries whether it is back: so an address that does not answer holds up nothing else.
"""

import asyncio
from collections.abc import Iterable

import aiohttp
import structlog

from kaa.core.clock import Clock
from kaa.core.errors import Unavailable

log = structlog.get_logger(__name__)

_PAUSE_MS = 250
_CLOSED_MS = 1_000
_CLOSED_MOST_MS = 30_000
_ANSWER_BYTES = 65_536
_FOR_NOW = frozenset({408, 425, 429})


class Webhook:
    """Posts JSON arrays to a URL."""

    def __init__(
        self, session: aiohttp.ClientSession, url: str, *, authorization: str | None, retry_for_ms: int, clock: Clock
    ) -> None:
        self._session, self._url, self._clock = session, url, clock
        self._headers = {"Content-Type": "application/json"}
        if authorization is not None:
            self._headers["Authorization"] = authorization
        self._retry_for_ms = retry_for_ms
        self._in_turn = asyncio.Lock()
        self._fault: str | None = None
        self._closed_ms, self._closed_until_ms = _CLOSED_MS, 0

    @property
    def fault(self) -> str | None:
        """Why the last batch was not taken, if it was not."""
        return self._fault

    async def post(self, bodies: Iterable[bytes]) -> None:
        """Post all; Unavailable if one of them was not taken."""
        self._check()
        async with self._in_turn:
            self._check()
            # one that has failed is tried once, and patiently again when it has answered
            deadline_ms = self._clock.monotonic_ms() + (self._retry_for_ms if self._fault is None else 0)
            for body in bodies:
                await self._deliver(body, deadline_ms)

    def _check(self) -> None:
        if self._fault is not None and self._clock.monotonic_ms() < self._closed_until_ms:
            raise Unavailable(self._fault)

    async def _deliver(self, body: bytes, deadline_ms: int) -> None:
        pause_ms = _PAUSE_MS
        while True:
            reason, is_for_now = await self._try(body)
            if reason is None:
                if self._fault is not None:
                    log.info("webhook_answers_again")
                self._fault, self._closed_ms = None, _CLOSED_MS
                return
            if not is_for_now or self._clock.monotonic_ms() + pause_ms > deadline_ms:
                break
            await self._clock.sleep_ms(pause_ms)
            pause_ms *= 2
        if self._fault is None:
            log.warning("webhook_failed", reason=reason)
        self._fault = reason
        self._closed_until_ms = self._clock.monotonic_ms() + self._closed_ms
        self._closed_ms = min(self._closed_ms * 2, _CLOSED_MOST_MS)
        raise Unavailable(reason)

    async def _try(self, body: bytes) -> tuple[str | None, bool]:
        """Post once; gives why it was not taken, if it was not, and whether trying again may help."""
        try:
            async with self._session.post(
                self._url, data=body, headers=self._headers, allow_redirects=False
            ) as response:
                await response.content.read(_ANSWER_BYTES)
                if 200 <= response.status < 300:
                    return None, False
                is_for_now = response.status >= 500 or response.status in _FOR_NOW
                return f"the webhook answered {response.status}", is_for_now
        except TimeoutError:
            return "the webhook did not answer in time", True
        except (aiohttp.ClientError, OSError) as error:
            return f"the webhook cannot be reached: {type(error).__name__}", True
