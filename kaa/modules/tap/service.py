"""The rules of the tap: samples are answered when they are safe, which is where every one of its ends has them."""

from collections.abc import Awaitable, Callable, Sequence
from typing import Protocol, TypeVar

import structlog

from kaa.core.applications import Applications
from kaa.core.clock import Clock
from kaa.core.errors import Refusal
from kaa.core.metrics import Metrics
from kaa.protocols.dstp import DataSamplesEvent, DataSamplesProcessed
from kaa.protocols.names import AppVersionName

from .lines import rendered

log = structlog.get_logger(__name__)

T = TypeVar("T")


class Sink(Protocol):
    """Where lines go."""

    async def take(self, lines: Sequence[bytes]) -> None:
        """Return when they are safe; a Refusal says why they are not."""


class Tap:
    """Hands samples on."""

    def __init__(
        self,
        *,
        name: str,
        applications: Applications[None],
        sinks: Sequence[Sink],
        apart: Callable[[Callable[[], list[bytes]]], Awaitable[list[bytes]]],
        clock: Clock,
        metrics: Metrics,
    ) -> None:
        self._name, self._applications, self._sinks = name, applications, sinks
        self._apart, self._clock = apart, clock
        self._samples = metrics.counter(
            "kaa_tap_samples_total", "Samples that came by the tap", ("instance", "outcome")
        )
        self.fault: str | None = None
        """Why the last samples were not taken, if they were not."""

    async def on_data_samples(self, events: list[DataSamplesEvent]) -> list[DataSamplesProcessed]:
        """Hand on the samples of many events together, and answer each."""
        status, reason, outcome = 200, None, "taken"
        try:
            lines = await self._apart(lambda: rendered(events, self._application_of))
            for sink in self._sinks:
                await sink.take(lines)
        except Refusal as no:
            status, reason, outcome = no.status, no.reason, "refused"
            if self.fault is None:
                log.warning("samples_not_taken", instance=self._name, reason=reason)
        self.fault = reason
        self._samples.labels(self._name, outcome).inc(sum(len(event.data_samples) for event in events))
        now = self._clock.now_ms()
        return [
            DataSamplesProcessed(
                correlation_id=event.correlation_id,
                timestamp_ms=now,
                receiver_service_instance_name=self._name,
                status_code=status,
                reason_phrase=reason,
            )
            for event in events
        ]

    def _application_of(self, version: AppVersionName) -> str | None:
        found = self._applications.find_version(version)
        return None if found is None else found.application
