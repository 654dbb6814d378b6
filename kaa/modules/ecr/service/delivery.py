"""6/CDTP and x-configurations: what consumers ask, and what endpoints say through them."""

from collections.abc import Sequence
from typing import Any

import structlog

from kaa.core.applications import Applications
from kaa.core.clock import Clock
from kaa.core.errors import InvalidInput, Refusal
from kaa.protocols import cdtp, elce, x_configurations
from kaa.protocols.cmp import DEFAULT
from kaa.protocols.x_outbox import EventProcessed

from ..models import Asked, Reported, Target
from ..presence import Presence
from ..repository import DeliveryRepository, SystemRepository
from ..repository.delivery import Found
from .answers import processed

log = structlog.get_logger(__name__)

NOTHING = b"null"
_MOST_ASKED = 1_000


class Delivery:
    """Answers consumers, and notes what became of what they were answered."""

    def __init__(
        self,
        *,
        name: str,
        delivery: DeliveryRepository,
        system: SystemRepository,
        applications: Applications[Any],
        presence: Presence,
        clock: Clock,
    ) -> None:
        self._name, self._delivery, self._system = name, delivery, system
        self._applications, self._presence, self._clock = applications, presence, clock

    async def on_requests(self, requests: list[cdtp.ConfigRequest]) -> list[cdtp.ConfigResponse]:
        """Answer all that have queued up, and note it in one step.

        Where the storage takes nothing at the moment they are answered all the same: a device gets its configuration,
        and only the history does not know.
        """
        known = [one for one in requests if self._applications.find_version(one.app_version_name) is not None]
        asked = [
            Asked(Target(one.endpoint_id, one.app_version_name), one.config_name or DEFAULT, one.config_id)
            for one in known
        ]
        try:
            found = await self._delivery.answer(asked, at_ms=self._clock.now_ms())
        except Refusal as no:
            log.warning("dispatch_not_noted", requests=len(asked), reason=no.reason)
            found = await self._delivery.look(asked)
        answers = {id(one): self._answer(one, what) for one, what in zip(known, found, strict=True)}
        return [answers.get(id(one)) or self._unknown(one) for one in requests]

    async def on_effective(self, request: x_configurations.EffectiveRequest) -> x_configurations.EffectiveResponse:
        """Say what endpoints are to have, without the contents."""
        if len(request.endpoints) > _MOST_ASKED:
            raise InvalidInput(f"endpoints: {len(request.endpoints)}, and at most {_MOST_ASKED} may be asked for")
        targets = [Target(one.endpoint_id, one.app_version_name) for one in request.endpoints]
        found = await self._delivery.effective(targets)
        return x_configurations.EffectiveResponse(
            correlation_id=request.correlation_id,
            timestamp_ms=self._clock.now_ms(),
            configurations=tuple(
                x_configurations.EffectiveConfiguration(
                    endpoint_id=target.endpoint_id, config_name=name, config_id=config_id
                )
                for target, configurations in found.items()
                for name, config_id in configurations.items()
            ),
            status_code=200,
        )

    async def on_names(self, request: x_configurations.NamesRequest) -> x_configurations.NamesResponse:
        """Say what configurations are called."""
        if len(request.config_ids) > _MOST_ASKED:
            raise InvalidInput(f"configIds: {len(request.config_ids)}, and at most {_MOST_ASKED} may be asked for")
        return x_configurations.NamesResponse(
            correlation_id=request.correlation_id,
            timestamp_ms=self._clock.now_ms(),
            names=await self._delivery.names(request.config_ids),
            status_code=200,
        )

    async def on_applied(self, events: list[cdtp.ConfigApplied]) -> list[EventProcessed]:
        """Note what endpoints say of their configurations."""
        await self._delivery.add_reports(
            [
                Reported(
                    Target(event.endpoint_id, event.app_version_name),
                    event.config_id,
                    event.status_code,
                    event.reason_phrase,
                    event.timestamp_ms,
                )
                for event in events
            ]
        )
        return processed(self._name, events, at_ms=self._clock.now_ms())

    async def on_unregistered(self, events: list[elce.UnregisteredEvent]) -> list[EventProcessed]:
        """Forget endpoints that are no more; what is newer belongs to one that has the id anew."""
        await self._forget([(event.endpoint_id, event.timestamp_ms) for event in events])
        return processed(self._name, events, at_ms=self._clock.now_ms())

    async def on_registered(self, events: list[elce.RegisteredEvent]) -> list[EventProcessed]:
        """Forget what was written for the id while its endpoint was being deleted."""
        await self._forget([(event.endpoint_id, event.timestamp_ms - 1) for event in events])
        return processed(self._name, events, at_ms=self._clock.now_ms())

    async def on_moved(self, event: elce.AppVersionUpdatedEvent) -> EventProcessed:
        """Have an endpoint found under its new version; the consumer asks what it is to have there."""
        self._presence.move(event.endpoint_id, event.app_version_name)
        [answer] = processed(self._name, [event], at_ms=self._clock.now_ms())
        return answer

    async def _forget(self, gone: Sequence[tuple[str, int]]) -> None:
        await self._delivery.forget_endpoints(gone)
        await self._system.remove_endpoints(gone)

    def _answer(self, request: cdtp.ConfigRequest, found: Found) -> cdtp.ConfigResponse:
        if found is None:
            # nothing is assigned: that has an identifier, too, and is not told twice
            found = ("", None if request.config_id == "" else NOTHING)
        config_id, content = found
        return cdtp.ConfigResponse(
            correlation_id=request.correlation_id,
            timestamp_ms=self._clock.now_ms(),
            app_version_name=request.app_version_name,
            endpoint_id=request.endpoint_id,
            config_id=None if content is None else config_id,
            content=content,
            status_code=200,
        )

    def _unknown(self, request: cdtp.ConfigRequest) -> cdtp.ConfigResponse:
        return cdtp.ConfigResponse(
            correlation_id=request.correlation_id,
            timestamp_ms=self._clock.now_ms(),
            app_version_name=request.app_version_name,
            endpoint_id=request.endpoint_id,
            status_code=404,
            reason_phrase=f"there is no application version {request.app_version_name!r}",
        )
