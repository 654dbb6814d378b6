"""What OTAO says to the instance that delivers software (6/CDTP, x-configurations), and hears of it."""

from collections.abc import Sequence
from typing import Protocol

from kaa.core.applications import Applications
from kaa.core.clock import Clock
from kaa.core.errors import InvalidInput, NotFound, Refusal, Unavailable
from kaa.protocols import cdtp, x_configurations
from kaa.protocols.x_outbox import EventProcessed

from .models import Report
from .offers import Check, Offer, Offers

DEFAULT = "default"
"""The name of the one configuration that software is."""

_MAX_ASKED = 1_000
_MAX_CONFIG_ID = 256
_MAX_REASON = 1_000
_IMPLICITLY = "implicitly applied"


class Told(Protocol):
    """An event, as far as its answer needs to know it."""

    @property
    def correlation_id(self) -> str:
        """Its identity."""


class Delivery:
    """Answers for the software of endpoints, and takes in what became of it."""

    def __init__(self, *, name: str, applications: Applications[None], offers: Offers, clock: Clock) -> None:
        self._name, self._applications, self._offers, self._clock = name, applications, offers, clock

    async def on_request(self, requests: list[cdtp.ConfigRequest]) -> list[cdtp.ConfigResponse]:
        """Say what endpoints are to install; one that names a version runs it."""
        checks = [self._check_of(request) for request in requests]
        decided = iter(await self._offers.check([check for check in checks if isinstance(check, Check)]))
        return [
            self._response(request, next(decided) if isinstance(check, Check) else check)
            for request, check in zip(requests, checks, strict=True)
        ]

    async def on_effective(self, request: x_configurations.EffectiveRequest) -> x_configurations.EffectiveResponse:
        """Say which versions endpoints are to have, without content; those with nothing to install are left out."""
        if len(request.endpoints) > _MAX_ASKED:
            raise InvalidInput(f"endpoints: more than {_MAX_ASKED}")
        asked = []
        for one in request.endpoints:
            version = self._applications.find_version(one.app_version_name)
            if version is not None:
                asked.append((version.application, one.app_version_name, one.endpoint_id, one.config_id))
        found = await self._offers.preview(asked)
        return x_configurations.EffectiveResponse(
            correlation_id=request.correlation_id,
            timestamp_ms=self._clock.now_ms(),
            configurations=tuple(
                x_configurations.EffectiveConfiguration(
                    endpoint_id=endpoint_id, config_name=DEFAULT, config_id=release.version
                )
                for (_, _, endpoint_id, _), release in zip(asked, found, strict=True)
                if release is not None
            ),
            status_code=200,
        )

    async def on_names(self, request: x_configurations.NamesRequest) -> x_configurations.NamesResponse:
        """Say that whatever there is, is the default configuration."""
        return x_configurations.NamesResponse(
            correlation_id=request.correlation_id, timestamp_ms=self._clock.now_ms(), names={}, status_code=200
        )

    async def on_applied(self, events: list[cdtp.ConfigApplied]) -> list[EventProcessed]:
        """Take in what endpoints run, or could not install; what is due next is pushed."""
        checks = [self._check_of_report(event) for event in events]
        decided = iter(await self._offers.check([check for check in checks if isinstance(check, Check)]))
        outcomes = [next(decided) if isinstance(check, Check) else check for check in checks]
        return processed(self._name, self._clock, events, outcomes)

    def _check_of(self, request: cdtp.ConfigRequest) -> Check | Refusal:
        if request.config_name not in {None, DEFAULT}:
            return NotFound(f"software has no configuration named {request.config_name!r}")
        report = None
        if request.config_id:  # an empty one stands for "nothing"
            if len(request.config_id) > _MAX_CONFIG_ID:
                return InvalidInput(f"configId: more than {_MAX_CONFIG_ID} characters")
            report = Report(
                request.correlation_id, request.config_id, request.timestamp_ms, reason=_IMPLICITLY, is_implicit=True
            )
        application = self._application_of(request.app_version_name)
        if isinstance(application, Refusal):
            return application
        return Check(
            request.endpoint_id,
            request.timestamp_ms,
            application=application,
            app_version=request.app_version_name,
            report=report,
            is_asked=True,
        )

    def _check_of_report(self, event: cdtp.ConfigApplied) -> Check | Refusal:
        if not event.config_id or len(event.config_id) > _MAX_CONFIG_ID:
            return InvalidInput(f"configId: from 1 to {_MAX_CONFIG_ID} characters are a version")
        application = self._application_of(event.app_version_name)
        if isinstance(application, Refusal):
            return application
        reason = None if event.reason_phrase is None else event.reason_phrase[:_MAX_REASON]
        # such a report belongs to a request, and the answer to that is on its way
        is_implicit = event.status_code == 200 and (reason or "").lower() == _IMPLICITLY
        report = Report(
            event.correlation_id, event.config_id, event.timestamp_ms, event.status_code, reason, is_implicit
        )
        return Check(
            event.endpoint_id,
            event.timestamp_ms,
            application=application,
            app_version=event.app_version_name,
            report=report,
            is_asked=is_implicit,
        )

    def _application_of(self, app_version: str) -> str | Refusal:
        version = self._applications.find_version(app_version)
        if version is not None:
            return version.application
        if not self._applications.is_known:
            return Unavailable("the applications are not known yet; try again")
        return NotFound(f"there is no application version {app_version!r}")

    def _response(self, request: cdtp.ConfigRequest, decided: Offer | Refusal | None) -> cdtp.ConfigResponse:
        refusal = decided if isinstance(decided, Refusal) else None
        offer = decided if isinstance(decided, Offer) else None
        return cdtp.ConfigResponse(
            correlation_id=request.correlation_id,
            timestamp_ms=self._clock.now_ms(),
            app_version_name=request.app_version_name,
            endpoint_id=request.endpoint_id,
            config_id=None if offer is None else offer.version,
            content=None if offer is None else offer.content,
            status_code=200 if refusal is None else refusal.status,
            reason_phrase=None if refusal is None else refusal.reason,
        )


def processed(name: str, clock: Clock, events: Sequence[Told], outcomes: Sequence[object]) -> list[EventProcessed]:
    """Answer events, each by its outcome: a Refusal, or anything else for a success."""
    now = clock.now_ms()
    return [
        EventProcessed(
            correlation_id=event.correlation_id,
            timestamp_ms=now,
            receiver_service_instance_name=name,
            status_code=outcome.status if isinstance(outcome, Refusal) else 200,
            reason_phrase=outcome.reason if isinstance(outcome, Refusal) else None,
        )
        for event, outcome in zip(events, outcomes, strict=True)
    ]
