"""Tells endpoints what is due to them: after a change of versions or filters, and when a date comes.

What is due is in the database before anybody is told that it will be done, so a restart takes it up. Endpoints are gone
through in parts, each one step, and the next part waits until those who deliver have taken the last: a hundred thousand
endpoints neither fill queues nor hold up telemetry.
"""

import asyncio

import structlog

from kaa.core.clock import Clock
from kaa.core.errors import Refusal
from kaa.core.storage.outbox import Outbox

from .catalogue import keys_from
from .catalogues import Catalogues
from .models import Rollout
from .offers import Offers
from .register import Register
from .repository import EndpointRepository, RolloutRepository, SoftwareRepository

log = structlog.get_logger(__name__)

_PART = 200
_AGAIN_MS = 1_000
_LATER_MS = 60_000


class Rollouts:
    """Works off what is due; `run` and `open_dates` are for tasks of their own."""

    def __init__(
        self,
        *,
        catalogues: Catalogues,
        software: SoftwareRepository,
        endpoints: EndpointRepository,
        rollouts: RolloutRepository,
        offers: Offers,
        register: Register,
        outbox: Outbox,
        clock: Clock,
    ) -> None:
        self._catalogues, self._software, self._endpoints = catalogues, software, endpoints
        self._rollouts, self._offers, self._register = rollouts, offers, register
        self._outbox, self._clock = outbox, clock
        self._has_work, self._has_dates = asyncio.Event(), asyncio.Event()
        self._not_before: dict[int, int] = {}
        catalogues.on_change(self._wake)

    async def run(self) -> None:
        """Go through endpoints, a part of each roll-out at a time, for as long as something is due."""
        while True:
            self._has_work.clear()
            try:
                wait_ms = await self._advance_all()
            except Refusal as no:
                log.warning("rollouts_put_off", reason=no.reason)
                wait_ms = _AGAIN_MS
            if wait_ms:
                await self._wait(self._has_work, wait_ms)

    async def open_dates(self) -> None:
        """Have endpoints looked at when the date of a filter comes."""
        while True:
            self._has_dates.clear()
            wait_ms = _LATER_MS
            try:
                wait_ms = await self._open_dates()
            except Refusal as no:
                log.warning("dates_put_off", reason=no.reason)
                wait_ms = _AGAIN_MS
            await self._wait(self._has_dates, wait_ms)

    async def _open_dates(self) -> int:
        """Act upon the dates that have come; gives how long to wait for the next."""
        now = self._clock.now_ms()
        next_ms = now + _LATER_MS
        for application, catalogue in self._catalogues.all().items():
            if opened := catalogue.opened(now_ms=now):
                new = await self._software.touch(application, keys_from(opened), at_ms=now, dates_until_ms=now)
                self._catalogues.put(application, new)
            next_ms = min(next_ms, catalogue.next_date_ms(now_ms=now) or next_ms)
        return max(next_ms - self._clock.now_ms(), 1)

    async def _advance_all(self) -> int:
        """Go through the next part of each roll-out; gives how long to wait, 0 if there is more to do at once."""
        due = await self._rollouts.find()
        now = self._clock.monotonic_ms()
        ready = [rollout for rollout in due if self._not_before.get(rollout.id, 0) <= now]
        for rollout in ready:
            self._not_before.pop(rollout.id, None)
            try:
                await self._advance(rollout)
            except Refusal as no:
                log.warning("rollout_put_off", application=rollout.application, reason=no.reason)
                self._not_before[rollout.id] = now + _AGAIN_MS
            # one that brings out a bug must neither end the process nor hold up the others
            except Exception:
                log.exception("rollout_failed", application=rollout.application)
                self._not_before[rollout.id] = now + _LATER_MS
        if ready:
            return 0
        if not due:
            self._register.let_go()
        return max(min((self._not_before[rollout.id] for rollout in due), default=now + _LATER_MS) - now, 1)

    async def _advance(self, rollout: Rollout) -> None:
        ids = await self._endpoints.find_running(rollout.application, rollout.keys, after=rollout.after, limit=_PART)
        if not ids:
            await self._rollouts.remove(rollout.id)
            return
        if len(ids) == _PART:  # for a few it is less to ask of each
            await self._register.hold(self._filters_for(rollout))
        await self._outbox.settled(await self._offers.advance(rollout, ids))

    def _filters_for(self, rollout: Rollout) -> set[str]:
        catalogue, now = self._catalogues.of(rollout.application), self._clock.now_ms()
        candidates = [one for key in rollout.keys for one in catalogue.candidates(key, None, now_ms=now)]
        return {filter_id for candidate in candidates for filter_id in candidate.filter_ids or ()}

    async def _wait(self, event: asyncio.Event, wait_ms: int) -> None:
        timer = self._clock.call_later(wait_ms, event.set)
        try:
            await event.wait()
        finally:
            timer.cancel()

    def _wake(self) -> None:
        self._has_work.set()
        self._has_dates.set()
