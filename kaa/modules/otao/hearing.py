"""What OTAO hears of endpoints and filters, and does about it. Events may come again, and in any order."""

from collections.abc import Sequence

from kaa.core.applications import Applications
from kaa.core.clock import Clock
from kaa.protocols import efe, elce, eme
from kaa.protocols.x_outbox import EventProcessed

from .catalogue import keys_from
from .catalogues import Catalogues
from .delivery import processed
from .offers import Check, Offers
from .register import Register
from .repository import SoftwareRepository

FilterEvent = efe.EndpointFilterActivatedEvent | efe.EndpointFilterDeletedEvent
MemberEvent = efe.EndpointMatchedFilterEvent | efe.EndpointUnmatchedFilterEvent


class Hearing:
    """Looks again at the endpoints that an event may concern."""

    def __init__(
        self,
        *,
        name: str,
        applications: Applications[None],
        catalogues: Catalogues,
        software: SoftwareRepository,
        offers: Offers,
        register: Register,
        clock: Clock,
    ) -> None:
        self._name, self._applications, self._clock = name, applications, clock
        self._catalogues, self._software, self._offers, self._register = catalogues, software, offers, register

    async def on_filter_pending(self, events: Sequence[efe.EndpointFilterPendingEvent]) -> list[EventProcessed]:
        """Forget a filter that is matched anew; what follows from it is told when it is active."""
        for event in events:
            self._register.on_filter(event.filter_id)
        return processed(self._name, self._clock, events, [None] * len(events))

    async def on_filter(self, events: Sequence[FilterEvent]) -> list[EventProcessed]:
        """Have endpoints looked at for which a filter has a say: it has become active, or is gone."""
        concerned: dict[str, set[str]] = {}
        for event in events:
            self._register.on_filter(event.filter_id)
            releases = self._catalogues.of(event.application_name).targeting(event.filter_id)
            concerned.setdefault(event.application_name, set()).update(keys_from(releases))
        now = self._clock.now_ms()
        for application, keys in concerned.items():
            if keys:
                self._catalogues.put(application, await self._software.touch(application, keys, at_ms=now))
        return processed(self._name, self._clock, events, [None] * len(events))

    async def on_member(self, events: Sequence[MemberEvent]) -> list[EventProcessed]:
        """Look at endpoints that have come to match a filter, or ceased to."""
        checks: dict[int, Check] = {}
        for at, event in enumerate(events):
            self._register.on_member(event.endpoint_id, event.filter_id)
            if self._catalogues.of(event.application_name).targeting(event.filter_id):
                checks[at] = Check(
                    event.endpoint_id,
                    event.timestamp_ms,
                    application=event.application_name,
                    app_version=event.app_version_name,
                )
        decided = dict(zip(checks, await self._offers.check(list(checks.values())), strict=True))
        return processed(self._name, self._clock, events, [decided.get(at) for at in range(len(events))])

    async def on_metadata(self, events: Sequence[eme.MetadataUpdatedEvent]) -> list[EventProcessed]:
        """Look at endpoints whose metadata may make another version fit."""
        checks: dict[int, Check] = {}
        for at, event in enumerate(events):
            version = self._applications.find_version(event.app_version_name)
            if version is not None and self._catalogues.of(version.application).has_queries:
                checks[at] = Check(event.endpoint_id, event.timestamp_ms, application=version.application)
        decided = dict(zip(checks, await self._offers.check(list(checks.values())), strict=True))
        return processed(self._name, self._clock, events, [decided.get(at) for at in range(len(events))])

    async def on_app_version(self, events: Sequence[elce.AppVersionUpdatedEvent]) -> list[EventProcessed]:
        """Have endpoints follow to another version of their application; what they run stays known."""
        checks = [Check(event.endpoint_id, event.timestamp_ms, app_version=event.app_version_name) for event in events]
        return processed(self._name, self._clock, events, await self._offers.check(checks))

    async def on_unregistered(self, events: Sequence[elce.UnregisteredEvent]) -> list[EventProcessed]:
        """Forget endpoints that are no more."""
        gone: dict[str, int] = {}
        for event in events:
            gone[event.endpoint_id] = max(event.timestamp_ms, gone.get(event.endpoint_id, 0))
        await self._offers.forget(gone)
        return processed(self._name, self._clock, events, [None] * len(events))
