"""How much endpoints send and are sent, told once in a while (9/ELCE)."""

import asyncio
from collections import deque
from collections.abc import Iterator, Mapping

from kaa.core.bus import Bus
from kaa.core.clock import Clock
from kaa.core.ids import Ids
from kaa.protocols import elce
from kaa.protocols.names import TENANT, ApplicationName, EndpointId

from .models import TokenEntry

_AT_A_TIME = 1_000
_MOST_IN_A_REPORT = 4_000

_Counts = list[int]


class Traffic:
    """Gathers the counts of the tokens' entries, and reports them if anybody listens.

    `spoken` is for whoever counts: an entry is put there with the first count since the last report.
    """

    def __init__(self, *, name: str, replica: str, interval_ms: int, bus: Bus, clock: Clock, ids: Ids) -> None:
        self._subject = elce.traffic_report(name)
        self._replica, self._interval_ms = replica, interval_ms
        self._bus, self._clock, self._ids = bus, clock, ids
        # without reports nothing gathers
        self.spoken: deque[TokenEntry] = deque(maxlen=None if interval_ms else 0)
        self._since_us = clock.now_us()

    def note_sent(self, entry: TokenEntry, size_bytes: int) -> None:
        """Count what an endpoint is sent."""
        if not (entry.sent_count or entry.received_count):
            self.spoken.append(entry)
        entry.sent_count += 1
        entry.sent_bytes += size_bytes

    async def run(self) -> None:
        """Report; for a task of its own."""
        while self._interval_ms:
            await self._clock.sleep_ms(self._interval_ms)
            await self.report()

    async def report(self) -> None:
        """Tell what has passed since the last time, and count anew."""
        if not self._interval_ms:
            return
        spoken, self._since_us, since_us = list(self.spoken), self._clock.now_us(), self._since_us
        self.spoken.clear()
        is_heard = self._bus.is_heard(self._subject)
        counts: dict[tuple[ApplicationName, EndpointId], _Counts] = {}
        for number, entry in enumerate(spoken, 1):
            taken = _take(entry)
            if is_heard and entry.endpoint_id is not None:
                key = entry.application, entry.endpoint_id
                before = counts.get(key)  # an endpoint may have spoken with several tokens, or under a renewed entry
                counts[key] = taken if before is None else [a + b for a, b in zip(before, taken, strict=True)]
            if not number % _AT_A_TIME:
                await asyncio.sleep(0)
        for part in _parts(counts):
            self._bus.publish(
                self._subject,
                elce.TrafficReportEvent(
                    tenant_traffic_stats={TENANT: part},
                    time_from_ns=since_us * 1_000,
                    time_to_ns=self._since_us * 1_000,
                    correlation_id=self._ids.correlation_id(),
                    originator_replica_id=self._replica,
                    timestamp_ms=self._clock.now_ms(),
                ),
            )
            await asyncio.sleep(0)


def _take(entry: TokenEntry) -> _Counts:
    taken = [entry.received_bytes, entry.sent_bytes, entry.received_count, entry.sent_count]
    entry.received_bytes = entry.sent_bytes = entry.received_count = entry.sent_count = 0
    return taken


def _parts(
    counts: Mapping[tuple[ApplicationName, EndpointId], _Counts],
) -> Iterator[dict[str, dict[str, elce.TrafficStat]]]:
    """Cut what is to be told into reports of a size that any bus carries."""
    part: dict[str, dict[str, elce.TrafficStat]] = {}
    for number, ((application, endpoint_id), found) in enumerate(counts.items(), 1):
        received_bytes, sent_bytes, received_count, sent_count = found
        part.setdefault(application, {})[endpoint_id] = elce.TrafficStat(
            total_received_payload=received_bytes,
            total_sent_payload=sent_bytes,
            total_received_message_count=received_count,
            total_sent_message_count=sent_count,
        )
        if not number % _MOST_IN_A_REPORT:
            yield part
            part = {}
    if part:
        yield part
