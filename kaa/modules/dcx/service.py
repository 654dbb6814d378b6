"""The rules of DCX: every sample is told to all, and a message is done when each reliable receiver says so."""

import asyncio
from collections import Counter
from collections.abc import Mapping

import structlog

from kaa.core.applications import Applications
from kaa.core.bus import Bus
from kaa.core.clock import Clock
from kaa.core.errors import InvalidInput, Refusal
from kaa.core.log import is_debug
from kaa.core.subjects import Subject
from kaa.protocols.dstp import DataSamplesEvent, DataSamplesProcessed
from kaa.protocols.esp import ClientData, ExtensionData
from kaa.protocols.names import EndpointId

from .config import DcxSettings
from .enrichment import Metadata, enriched
from .samples import samples

log = structlog.get_logger(__name__)


class _Batch:
    """Messages that came together, and their answers so far."""

    __slots__ = ("done", "missing", "replies")

    def __init__(self, size: int) -> None:
        self.replies: list[ExtensionData | None] = [None] * size
        self.missing = 0
        self.done: asyncio.Future[None] | None = None


class _Waiting:
    """One message, and the receivers that it waits for."""

    __slots__ = ("at", "batch", "message", "receivers")

    def __init__(self, batch: _Batch, at: int, message: ClientData, receivers: tuple[str, ...]) -> None:
        self.batch, self.at, self.message, self.receivers = batch, at, message, receivers


class DataCollection:
    """Splits what endpoints send into samples, tells them, and answers when they are safe."""

    def __init__(
        self,
        *,
        applications: Applications[DcxSettings],
        bus: Bus,
        clock: Clock,
        heard_at: Subject[DataSamplesEvent],
        answered_at: Subject[DataSamplesProcessed],
        reliable: tuple[str, ...],
        timeout_ms: int,
        metadata: Metadata,
        max_enriched_bytes: int,
    ) -> None:
        self._applications, self._bus, self._clock = applications, bus, clock
        self._heard_at, self._answered_at = heard_at, answered_at
        self._reliable, self._timeout_ms = reliable, timeout_ms
        self._metadata, self._max_enriched_bytes = metadata, max_enriched_bytes
        self._waiting: dict[str, _Waiting] = {}
        self._held: Counter[EndpointId] = Counter()
        self._in_turn = asyncio.Lock()

    async def on_client_data(self, messages: list[ClientData]) -> list[ExtensionData | None]:
        """Tell the samples of each message, and answer it."""
        batch = _Batch(len(messages))
        sent: list[str] = []
        begun_ms = self._clock.monotonic_ms()
        left = self._tell(batch, list(enumerate(messages)), sent, {})
        if left:  # they need metadata that is not known here; the others are on their way meanwhile
            await self._tell_held(batch, left, sent)
        if batch.missing:
            await self._wait(batch, sent, self._timeout_ms - (self._clock.monotonic_ms() - begun_ms))
        return batch.replies

    async def _tell_held(self, batch: _Batch, messages: list[tuple[int, ClientData]], sent: list[str]) -> None:
        """Have the metadata of their endpoints asked for, and tell messages; none overtakes another of its endpoint."""
        endpoints = [message.endpoint_id for _, message in messages if message.endpoint_id is not None]
        self._held.update(endpoints)
        try:
            asked = self._metadata.ask(endpoints)
            async with self._in_turn:
                await asyncio.wait(asked.values())
                self._tell(batch, messages, sent, {endpoint_id: one.result() for endpoint_id, one in asked.items()})
        finally:
            self._held -= Counter(endpoints)  # which drops those of whom none is left

    def _tell(
        self,
        batch: _Batch,
        messages: list[tuple[int, ClientData]],
        sent: list[str],
        metadata: Mapping[EndpointId, bytes | Refusal],
    ) -> list[tuple[int, ClientData]]:
        """Tell the samples of messages; gives those that need metadata first, of which none has been told."""
        reply_to = self._answered_at if self._reliable else None
        has_log = is_debug()
        left = []
        for at, message in messages:
            try:
                event = self._event(message, metadata)
            except Refusal as no:
                batch.replies[at] = self._reply(message, no.status, no.reason)
                continue
            # a bug that one message brings out must not refuse those that came with it
            except Exception:
                log.exception("message_failed", correlation_id=message.correlation_id)
                batch.replies[at] = self._reply(message, 500, "internal error")
                continue
            if event is None:
                left.append((at, message))
                continue
            if has_log:
                log.debug("samples_told", correlation_id=event.correlation_id, samples=len(event.data_samples))
            if not event.data_samples or not self._reliable:
                batch.replies[at] = self._reply(message, 200)
            if event.data_samples:
                if self._reliable:
                    batch.missing += 1
                    self._waiting[message.correlation_id] = _Waiting(batch, at, message, self._reliable)
                    sent.append(message.correlation_id)
                self._bus.publish(self._heard_at, event, reply_to=reply_to)
        return left

    async def on_processed(self, answers: list[DataSamplesProcessed]) -> None:
        """Take the receivers' answers; the first failure decides, else the last success."""
        for answer in answers:
            waiting = self._waiting.get(answer.correlation_id)
            if waiting is None:
                continue
            receiver = answer.receiver_service_instance_name
            if not receiver:  # the bus itself: nobody listens
                self._settle(waiting, 503, f"none of {', '.join(waiting.receivers)} is there")
            elif receiver in waiting.receivers:
                if answer.status_code >= 300:
                    self._settle(waiting, answer.status_code, answer.reason_phrase or f"refused by {receiver}")
                elif len(waiting.receivers) == 1:
                    self._settle(waiting, 200, None)
                else:
                    waiting.receivers = tuple(one for one in waiting.receivers if one != receiver)

    async def _wait(self, batch: _Batch, sent: list[str], timeout_ms: int) -> None:
        batch.done = asyncio.get_running_loop().create_future()
        timer = self._clock.call_later(timeout_ms, lambda: self._give_up(sent))
        try:
            await batch.done
        finally:
            timer.cancel()

    def _give_up(self, sent: list[str]) -> None:
        for correlation_id in sent:
            waiting = self._waiting.get(correlation_id)
            if waiting is not None:
                reason = f"{', '.join(waiting.receivers)} did not answer within {self._timeout_ms / 1000:g} s"
                self._settle(waiting, 504, reason)

    def _settle(self, waiting: _Waiting, status_code: int, reason: str | None) -> None:
        del self._waiting[waiting.message.correlation_id]
        batch = waiting.batch
        batch.replies[waiting.at] = self._reply(waiting.message, status_code, reason)
        batch.missing -= 1
        if not batch.missing and batch.done is not None and not batch.done.done():
            batch.done.set_result(None)

    def _event(self, message: ClientData, metadata: Mapping[EndpointId, bytes | Refusal]) -> DataSamplesEvent | None:
        """Give what is told of a message; None if the endpoint's metadata has to be known first."""
        version = self._applications.find_version(message.app_version_name)
        is_relaxed = version is not None and version.settings.relaxed_paths
        if message.endpoint_id is None:
            raise InvalidInput("samples need an endpoint; the communication service has no token in their topics")
        found = samples(message.resource_path, message.payload, is_relaxed=is_relaxed)
        if version is not None and version.settings.metadata_enrichment.enabled and found:
            known = metadata.get(message.endpoint_id)
            if known is None and message.endpoint_id not in self._held:
                known = self._metadata.find(message.endpoint_id)
            if known is None:
                return None
            if isinstance(known, Refusal):  # samples without what they are to have would be stored for good
                raise known
            member = version.settings.metadata_enrichment.member
            found = enriched(found, known, member=member, max_bytes=self._max_enriched_bytes)
        return DataSamplesEvent(
            correlation_id=message.correlation_id,
            timestamp_ms=message.timestamp_ms,
            app_version_name=message.app_version_name,
            endpoint_id=message.endpoint_id,
            data_samples=found,
        )

    def _reply(self, message: ClientData, status_code: int, reason: str | None = None) -> ExtensionData:
        return ExtensionData(
            correlation_id=message.correlation_id,
            timestamp_ms=self._clock.now_ms(),
            app_version_name=message.app_version_name,
            extension_instance_name=None,
            endpoint_id=message.endpoint_id,
            resource_path=message.resource_path,
            request_id=message.request_id,
            payload=None,
            status_code=status_code,
            reason_phrase=reason,
        )
