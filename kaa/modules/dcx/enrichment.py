"""Samples with the metadata of their endpoint in them, for applications that want it.

Metadata is asked of the register once an endpoint, and remembered until somebody changes it, for ten minutes at most.
It is spliced into the text of a sample: neither is parsed, unless the sample may have a member of that name itself.
"""

import asyncio
from collections.abc import Iterable, Sequence

import msgspec
from pydantic_core import to_json

from kaa.core.bus import Bus, expect
from kaa.core.clock import Clock
from kaa.core.errors import NotFound, Refusal, TooLarge, Unavailable
from kaa.core.ids import Ids
from kaa.core.tasks import Tasks
from kaa.protocols import epmmp
from kaa.protocols.elce import UnregisteredEvent
from kaa.protocols.eme import MetadataUpdatedEvent
from kaa.protocols.names import EndpointId
from kaa.protocols.x_outbox import EventProcessed

_LIFETIME_MS = 600_000
_ENTRY_BYTES = 200  # what remembering one takes besides its text, about
_TIMEOUT_MS = 3_000

Answer = asyncio.Future[bytes | Refusal]

_members = msgspec.json.Decoder(dict[str, msgspec.Raw]).decode


class Metadata:
    """Knows the metadata of endpoints."""

    def __init__(
        self, *, replica: str, register: str, max_bytes: int, bus: Bus, clock: Clock, ids: Ids, tasks: Tasks
    ) -> None:
        self._replica, self._where = replica, epmmp.metadata(register)
        self._max_bytes, self._bytes = max_bytes, 0
        self._bus, self._clock, self._ids, self._tasks = bus, clock, ids, tasks
        self._known: dict[EndpointId, tuple[bytes, int]] = {}
        self._asking: dict[EndpointId, _Question] = {}

    def find(self, endpoint_id: EndpointId) -> bytes | None:
        """Give the metadata as the text of a JSON object, if it is known."""
        found = self._known.get(endpoint_id)
        if found is None:
            return None
        if found[1] < self._clock.monotonic_ms():
            self._forget(endpoint_id)
            return None
        self._known[endpoint_id] = self._known.pop(endpoint_id)  # those not used for longest go first
        return found[0]

    def ask(self, endpoint_ids: Iterable[EndpointId]) -> dict[EndpointId, Answer]:
        """Have the metadata of each asked for, where it is not known: once for all who want it at a time."""
        return {endpoint_id: self._question(endpoint_id).answer for endpoint_id in endpoint_ids}

    async def on_metadata_updated(self, events: list[MetadataUpdatedEvent]) -> list[EventProcessed]:
        """Forget what has changed; it is asked for when it is needed again."""
        return self._on_changed(events)

    async def on_unregistered(self, events: list[UnregisteredEvent]) -> list[EventProcessed]:
        """Forget who is no more."""
        return self._on_changed(events)

    def _on_changed(self, events: Sequence[MetadataUpdatedEvent | UnregisteredEvent]) -> list[EventProcessed]:
        for event in events:
            self._forget(event.endpoint_id)
            # what is on its way may have been read before the change: good for those who wait, and not to be kept
            question = self._asking.pop(event.endpoint_id, None)
            if question is not None:
                question.is_stale = True
        now = self._clock.now_ms()
        return [
            EventProcessed(
                correlation_id=event.correlation_id,
                timestamp_ms=now,
                receiver_service_instance_name=self._replica,
                status_code=200,
            )
            for event in events
        ]

    def _question(self, endpoint_id: EndpointId) -> "_Question":
        question = self._asking.get(endpoint_id)
        if question is None:
            question = _Question()
            found = self.find(endpoint_id)
            if found is not None:
                question.answer.set_result(found)
            else:
                self._asking[endpoint_id] = question
                self._tasks.spawn(self._answer(endpoint_id, question), name=f"metadata of {endpoint_id}")
        return question

    async def _answer(self, endpoint_id: EndpointId, question: "_Question") -> None:
        answer: bytes | Refusal = Unavailable("the metadata of the endpoint cannot be had")
        try:
            answer = await self._asked(endpoint_id)
            if not question.is_stale:
                self._remember(endpoint_id, answer)
        except Refusal as no:
            answer = no
        finally:
            question.answer.set_result(answer)
            if self._asking.get(endpoint_id) is question:
                del self._asking[endpoint_id]

    async def _asked(self, endpoint_id: EndpointId) -> bytes:
        request = epmmp.EndpointMetadataGetRequest(
            correlation_id=self._ids.correlation_id(), timestamp_ms=self._clock.now_ms(), endpoint_id=endpoint_id
        )
        try:
            return expect(await self._bus.request(self._where, request, timeout_ms=_TIMEOUT_MS)).payload or b"{}"
        except NotFound:
            return b"{}"  # it was unregistered while its samples were on their way: they are samples all the same

    def _remember(self, endpoint_id: EndpointId, text: bytes) -> None:
        self._forget(endpoint_id)
        self._known[endpoint_id] = text, self._clock.monotonic_ms() + _LIFETIME_MS
        self._bytes += len(text) + _ENTRY_BYTES
        while self._bytes > self._max_bytes:
            self._forget(next(iter(self._known)))

    def _forget(self, endpoint_id: EndpointId) -> None:
        found = self._known.pop(endpoint_id, None)
        if found is not None:
            self._bytes -= len(found[0]) + _ENTRY_BYTES


class _Question:
    """What is being asked about an endpoint."""

    __slots__ = ("answer", "is_stale")

    def __init__(self) -> None:
        self.answer: Answer = asyncio.get_running_loop().create_future()
        self.is_stale = False


def enriched(samples: tuple[bytes, ...], metadata: bytes, *, member: str, max_bytes: int) -> tuple[bytes, ...]:
    """Give the samples, those that are objects with the metadata in the member; TooLarge if it becomes too much."""
    name = to_json(member)
    tail = name + b":" + metadata + b"}"
    grown = sum(map(len, samples)) + sum(len(tail) for sample in samples if sample[:1] == b"{")
    if grown > max_bytes:
        raise TooLarge(f"with the endpoint's metadata in each sample the message has {grown} bytes, over {max_bytes}")
    return tuple(_spliced(sample, name, member, tail) if sample[:1] == b"{" else sample for sample in samples)


def _spliced(sample: bytes, name: bytes, member: str, tail: bytes) -> bytes:
    if name in sample or b"\\" in sample:  # an escape may spell it, too
        found = _members(sample)
        if found.pop(member, None) is not None:  # the platform's word, not the device's
            sample = msgspec.json.encode(found)
    body = sample.rstrip()[:-1].rstrip()
    return body + tail if body == b"{" else body + b"," + tail
