"""Those who wait for the outcome of a command, woken by what happens to it."""

import asyncio
from collections.abc import Set as AbstractSet

from kaa.core.clock import Clock

from .models import CommandKey, Outcome


class Waiting:
    """Knows who waits for which command."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._futures: dict[CommandKey, list[asyncio.Future[Outcome | None]]] = {}
        self._only: dict[CommandKey, asyncio.Future[Outcome | None]] = {}
        self._is_closed = False

    def __len__(self) -> int:
        return len(self._futures)

    async def wait(self, key: CommandKey, *, timeout_ms: int, is_only: bool = False) -> Outcome | None:
        """Give the outcome, or None if there was none in time, or nobody may wait any longer.

        Of those who are to be the only one, the last one is: who has waited so before waits no longer.
        """
        if timeout_ms <= 0 or self._is_closed:
            return None
        future: asyncio.Future[Outcome | None] = asyncio.get_running_loop().create_future()
        if is_only:
            if key in self._only:
                _settle(self._only[key], None)
            self._only[key] = future
        self._futures.setdefault(key, []).append(future)
        timer = self._clock.call_later(timeout_ms, lambda: _settle(future, None))
        try:
            return await future
        finally:
            timer.cancel()
            if self._only.get(key) is future:
                del self._only[key]
            others = [one for one in self._futures.get(key, ()) if one is not future]
            if others:
                self._futures[key] = others
            else:
                self._futures.pop(key, None)

    def tell(self, key: CommandKey, outcome: Outcome) -> None:
        """Wake those who wait for a command; called when what has happened is on the disk."""
        for future in self._futures.get(key, ()):
            _settle(future, outcome)

    def tell_endpoints(self, endpoint_ids: AbstractSet[str], outcome: Outcome) -> None:
        """Wake those who wait for any command of these endpoints."""
        for key in [key for key in self._futures if key.endpoint_id in endpoint_ids]:
            self.tell(key, outcome)

    def close(self) -> None:
        """Let nobody wait any longer."""
        self._is_closed = True
        for futures in self._futures.values():
            for future in futures:
                _settle(future, None)


def _settle(future: "asyncio.Future[Outcome | None]", outcome: Outcome | None) -> None:
    if not future.done():
        future.set_result(outcome)
