"""Sessions that outlive their connection: whether there is one is kept on the disk, since clients act upon it.

A client that is told "no session" throws away what was not acknowledged; after a crash that would lose messages. What
is kept is the session's existence and its subscriptions; ids of QoS 2 messages live in memory.
"""

from collections.abc import Coroutine
from dataclasses import dataclass
from typing import Any

import structlog

from kaa.core.clock import Clock
from kaa.protocols.mqtt.session import SessionState

from .models import Client
from .repository import SessionRepository

log = structlog.get_logger(__name__)


@dataclass(slots=True)
class _Kept:
    state: SessionState
    is_live: bool
    until_ms: int = 0
    saved: tuple[int, dict[str, int]] | None = None
    is_saving: bool = False

    @property
    def is_changed(self) -> bool:
        return self.saved != (self.state.expiry_s, self.state.subscriptions)


class Sessions:
    """Finds the session of a client again, who is known by client id and credentials together."""

    def __init__(self, repository: SessionRepository, *, clock: Clock, most: int) -> None:
        self._repository, self._clock, self._most = repository, clock, most
        self._kept: dict[Client, _Kept] = {}

    async def load(self) -> None:
        """Take up what an earlier run has kept; the hour counts from now."""
        now = self._clock.monotonic_ms()
        for client, expiry_s, subscriptions in await self._repository.all():
            state = SessionState(expiry_s=expiry_s, subscriptions=subscriptions)
            saved = (expiry_s, dict(subscriptions))
            self._kept[client] = _Kept(state, is_live=False, until_ms=now + expiry_s * 1000, saved=saved)

    def is_known(self, client: Client) -> bool:
        """Whether something is kept for the client, so that `begin` is needed even for a clean start."""
        return client in self._kept

    async def begin(self, client: Client, *, is_clean: bool, expiry_s: int) -> tuple[bool, SessionState, bool]:
        """Give whether there was a session, the session, and whether it is kept.

        A session that another live connection holds is left to it: the new connection gets one of its own, which
        ends with it (anonymous clients with one id live side by side).
        """
        kept = self._kept.get(client)
        if kept is not None and kept.is_live:
            return False, SessionState(), False
        is_over = kept is not None and kept.until_ms <= self._clock.monotonic_ms()
        if kept is not None and not is_clean and not is_over:
            await self._resume(client, kept, expiry_s)
            return True, kept.state, True
        if not expiry_s:
            if kept is not None:
                del self._kept[client]
                await self._repository.remove([client])
            return False, SessionState(), False
        state = SessionState(expiry_s=expiry_s)
        made = self._kept[client] = _Kept(state, is_live=True)
        try:
            await self._make_room()
            await self._put(client, made)
        except BaseException:  # also where the work is cancelled
            if kept is None:
                del self._kept[client]
            else:
                self._kept[client] = kept
            raise
        return False, state, True

    async def _resume(self, client: Client, kept: _Kept, expiry_s: int) -> None:
        kept.is_live = True  # before the first wait, so that nobody else takes it up
        earlier_s, kept.state.expiry_s = kept.state.expiry_s, expiry_s
        try:
            if expiry_s and kept.is_changed:
                await self._put(client, kept)
        except BaseException:  # also where the work is cancelled
            kept.is_live = False
            kept.state.expiry_s = earlier_s
            raise

    def save(self, client: Client) -> Coroutine[Any, Any, None] | None:
        """Give the work of keeping the subscriptions; None where nothing has changed, or it is under way already."""
        kept = self._kept.get(client)
        if kept is None or kept.is_saving or not kept.is_changed:
            return None
        kept.is_saving = True
        return self._save(client, kept)

    async def _save(self, client: Client, kept: _Kept) -> None:
        try:
            while kept.is_changed and self._kept.get(client) is kept:
                await self._put(client, kept)
        finally:
            kept.is_saving = False

    async def _put(self, client: Client, kept: _Kept) -> None:
        saved = (kept.state.expiry_s, dict(kept.state.subscriptions))
        await self._repository.put(client, *saved)
        kept.saved = saved

    def leave(self, client: Client) -> None:
        """Note that the connection has ended; the session's time runs from now."""
        kept = self._kept.get(client)
        if kept is not None:
            kept.is_live = False
            kept.until_ms = self._clock.monotonic_ms() + kept.state.expiry_s * 1000

    async def sweep(self) -> None:
        """Forget the sessions whose time is over."""
        now = self._clock.monotonic_ms()
        over = [client for client, kept in self._kept.items() if not kept.is_live and kept.until_ms <= now]
        if over:
            for client in over:
                del self._kept[client]
            await self._repository.remove(over)

    async def _make_room(self) -> None:
        if len(self._kept) <= self._most:
            return
        waiting = ((kept.until_ms, client) for client, kept in self._kept.items() if not kept.is_live)
        _, oldest = min(waiting, default=(0, None))
        if oldest is not None:
            log.warning("session_forgotten_for_room", most=self._most)
            del self._kept[oldest]
            await self._repository.remove([oldest])
