"""Configurations for those that match a filter: now, or for as long as they do."""

from collections.abc import Sequence
from typing import Any

import structlog

from kaa.core.clock import Clock
from kaa.core.errors import Conflict, Refusal
from kaa.protocols import efe
from kaa.protocols.names import EndpointId
from kaa.protocols.x_outbox import EventProcessed

from ..repository import FilterRepository
from .answers import processed
from .configurations import Check, Configurations
from .register import Register
from .rollouts import Rollouts

log = structlog.get_logger(__name__)

Changed = Sequence[efe.EndpointMatchedFilterEvent] | Sequence[efe.EndpointUnmatchedFilterEvent]


class Filters:
    """Follows the filters that have configurations attached."""

    def __init__(
        self,
        *,
        name: str,
        configurations: Configurations,
        filters: FilterRepository,
        register: Register,
        rollouts: Rollouts,
        clock: Clock,
    ) -> None:
        self._name, self._configurations, self._filters = name, configurations, filters
        self._register, self._rollouts, self._clock = register, rollouts, clock

    async def put(self, filter_id: str, name: str, value: Any, *, is_attached: bool, check: Check) -> None:
        """Give those that match the configuration: as their own, or attached to the filter.

        Raises:
            NotFound: there is no such filter.
            Conflict: who matches is not known yet.
        """
        matching = await self._register.matching(filter_id)
        if not is_attached:
            await self._configurations.put_of_matching(matching, name, value)
            return
        was_attached = await self._filters.is_attached(filter_id)
        await self._configurations.put_of_filter(filter_id, list(matching), name, value, check)
        try:
            # asked again: from now on events count, and what they told before counted for nothing
            await self._load(filter_id)
        except Refusal as no:
            # who has matched before is known, and of a filter that is pending again it is told when it is known
            if not was_attached and not isinstance(no, Conflict):
                await self._configurations.remove_of_filter(filter_id, name, lambda _: None)
                raise
            log.warning("members_not_asked_for", filter_id=filter_id, reason=no.reason)

    async def on_matched(self, events: list[efe.EndpointMatchedFilterEvent]) -> list[EventProcessed]:
        """Take over who has come to match."""
        return await self._change(events, is_member=True)

    async def on_unmatched(self, events: list[efe.EndpointUnmatchedFilterEvent]) -> list[EventProcessed]:
        """Take over who has ceased to match."""
        return await self._change(events, is_member=False)

    async def on_activated(self, event: efe.EndpointFilterActivatedEvent) -> EventProcessed:
        """Ask anew who matches: the filter's query may have changed."""
        if await self._filters.is_attached(event.filter_id):
            await self._load(event.filter_id)
        return self._processed([event])

    async def on_deleted(self, event: efe.EndpointFilterDeletedEvent) -> EventProcessed:
        """Detach whatever was attached to a filter."""
        if await self._filters.remove_filter(event.filter_id):
            self._rollouts.wake()
        return self._processed([event])

    async def _change(self, events: Changed, *, is_member: bool) -> list[EventProcessed]:
        changes = [(event.filter_id, event.endpoint_id, is_member, event.timestamp_ms) for event in events]
        concerned = await self._filters.update_members(changes)
        await self._rollouts.tell([EndpointId(one) for one in sorted(concerned)], None)
        return processed(self._name, events, at_ms=self._clock.now_ms())

    async def _load(self, filter_id: str) -> None:
        asked_ms = self._clock.now_ms()
        matching = await self._register.matching(filter_id)
        endpoint_ids = [one for ids in matching.values() for one in ids]
        await self._filters.replace_members(filter_id, endpoint_ids, asked_ms=asked_ms)
        self._rollouts.wake()

    def _processed(self, events: Sequence[Any]) -> EventProcessed:
        [answer] = processed(self._name, events, at_ms=self._clock.now_ms())
        return answer
