"""What the server publishes to a client: packet ids, the client's window, a bounded queue in front of it."""

from collections import deque
from typing import Final

from kaa.protocols.mqtt.encoding import encode_publish
from kaa.protocols.mqtt.packets import Properties

MAX_QUEUED: Final = 256
MAX_QUEUED_BYTES: Final = 1 << 20
UNLIMITED: Final = 1 << 30


class Outbox:
    """At most `window` messages of QoS 1 without a PUBACK; what is beyond waits, and beyond that is dropped."""

    __slots__ = (
        "_last",
        "_out",
        "_queue",
        "_queued_bytes",
        "_sent",
        "dropped",
        "max_packet_bytes",
        "version",
        "window",
    )

    def __init__(self, out: list[bytes], window: int) -> None:
        self._out = out
        self._last = 0
        self._sent: set[int] | None = None
        self._queue: deque[tuple[str, bytes, Properties | None]] | None = None
        self._queued_bytes = 0
        self.version = 0
        self.window = window
        self.max_packet_bytes = UNLIMITED
        self.dropped = 0

    def publish(self, topic: str, payload: bytes, qos: int, properties: Properties | None) -> bool:
        """Send or queue; False for a message that was dropped instead."""
        packet_id = 0
        if qos:
            packet_id = 0 if self._queue is not None else self._take_id()
            if not packet_id:
                return self._put(topic, payload, properties)
        wire = self._encode(topic, payload, packet_id, properties)
        if not wire:
            return False
        self._out.append(wire)
        return True

    def answer(self, topic: str, payload: bytes, qos: int, properties: Properties | None) -> bytes:
        """Encode, to be sent later; at QoS 0 where the window is full, and nothing for a message that is dropped."""
        return self._encode(topic, payload, self._take_id() if qos else 0, properties)

    def on_puback(self, packet_id: int) -> None:
        """Forget the id, and send what waited for it; an unknown id means nothing."""
        if self._sent is not None:
            self._sent.discard(packet_id)
        while self._queue is not None and (packet_id := self._take_id()):
            topic, payload, properties = self._queue.popleft()
            self._queued_bytes -= len(topic) + len(payload)
            if not self._queue:
                self._queue = None
            if wire := self._encode(topic, payload, packet_id, properties):
                self._out.append(wire)

    def _encode(self, topic: str, payload: bytes, packet_id: int, properties: Properties | None) -> bytes:
        wire = encode_publish(
            topic, payload, 1 if packet_id else 0, packet_id, version=self.version, properties=properties
        )
        if len(wire) <= self.max_packet_bytes:
            return wire
        # [MQTT5-3.1.2-24], [MQTT5-3.1.2-25]: then one behaves as if it had been sent
        self.dropped += 1
        if packet_id and self._sent is not None:
            self._sent.discard(packet_id)
        return b""

    def _take_id(self) -> int:
        """Give an unused packet id, or 0 where the window is full [MQTT5-3.3.4-9]."""
        sent = self._sent
        if sent is None:
            sent = self._sent = set()
        if len(sent) >= self.window:
            return 0
        last = self._last % 0xFFFF + 1
        while last in sent:  # [MQTT-2.3.1-2]
            last = last % 0xFFFF + 1
        self._last = last
        sent.add(last)
        return last

    def _put(self, topic: str, payload: bytes, properties: Properties | None) -> bool:
        size = len(topic) + len(payload)
        queue = self._queue
        if queue is None:
            queue = self._queue = deque()
        if len(queue) >= MAX_QUEUED or (queue and self._queued_bytes + size > MAX_QUEUED_BYTES):
            self.dropped += 1
            return False
        queue.append((topic, payload, properties))
        self._queued_bytes += size
        return True
