"""Devices that speak MQTT 3.1.1, as lean as Python allows.

The session of kaa.protocols.mqtt.client costs 3.5 µs a message, which on two cores would be measured along with the
server. These know only what a load needs: what they send is laid out beforehand but for a packet id and a counter, and
what they read is nearly always a run of PUBACKs, which is recognized as a whole.
"""

import asyncio
from collections.abc import Callable
from time import perf_counter
from typing import cast

FIELDS = 3
_FIRST, _LAST = 1_000_000, 9_999_999  # of seven digits each, so that all messages are of one length
_ONE = b'{"temperature":21.5,"humidity":48,"counter":'
_PUBACK, _CONNACK, _PUBLISH = 0x40, 0x20, 0x30


def string(data: bytes) -> bytes:
    """Spell a string as MQTT does."""
    return len(data).to_bytes(2, "big") + data


def packet(first: int, size: int) -> bytes:
    """Spell the fixed header of a packet."""
    out = bytearray([first])
    while True:
        size, digit = divmod(size, 128)
        out.append(digit | (0x80 if size else 0))
        if not size:
            return bytes(out)


class Device(asyncio.Protocol):
    """A connection: connects, acknowledges what it is sent, and counts."""

    is_reader = False
    """Whether it wants to see messages, which costs more than to count them."""

    def __init__(self, client_id: str) -> None:
        self.connected: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self.lost: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self.sent = self.acknowledged = self.answers = self.refused = 0
        self.refusal = ""
        self._client_id, self._rest = client_id.encode(), b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Say CONNECT, with a clean session and no keep-alive."""
        self.transport = cast("asyncio.Transport", transport)
        body = string(b"MQTT") + b"\x04\x02\x00\x00" + string(self._client_id)
        self.transport.write(packet(0x10, len(body)) + body)

    def connection_lost(self, exc: Exception | None) -> None:  # noqa: ARG002  asyncio gives it
        """Note it."""
        if not self.connected.done():
            self.connected.set_exception(ConnectionError("the server closed the connection"))
        if not self.lost.done():
            self.lost.set_result(None)

    def data_received(self, data: bytes) -> None:
        """Take apart what was read."""
        if self._rest:
            data, self._rest = self._rest + data, b""
        count = len(data) >> 2
        if not len(data) & 3 and data[::4] == b"\x40" * count and data[1::4] == b"\x02" * count:
            self.acknowledged += count
            self.on_pubacks(data, count)
            return
        self._take(data)

    def on_pubacks(self, data: bytes, count: int) -> None:
        """Acknowledgements have come, of four bytes each."""

    def on_answers(self) -> None:
        """Messages have come."""

    def on_message(self, topic: bytes, payload: bytes) -> None:
        """Take a message; called only where `is_reader`."""

    def on_connack(self) -> None:
        """Begin to send, if there is something."""

    def _take(self, data: bytes) -> None:
        at, replies = 0, list[bytes]()
        while (end := _end(data, at)) is not None and end <= len(data):
            kind = data[at] & 0xF0
            if kind == _PUBACK:
                self.acknowledged += 1
                self.on_pubacks(data[at:end], 1)
            elif kind == _PUBLISH:
                self._on_publish(data, at, end, replies)
            elif kind == _CONNACK:
                if data[end - 1]:
                    self.connected.set_exception(ConnectionError(f"the server refused CONNECT: {data[end - 1]}"))
                else:
                    self.connected.set_result(None)
                    self.on_connack()
            at = end
        self._rest = data[at:]
        if replies:
            self.transport.write(b"".join(replies))
            self.on_answers()

    def _on_publish(self, data: bytes, at: int, end: int, replies: list[bytes]) -> None:
        body = at + 2
        while data[body - 1] & 0x80:
            body += 1
        topic_end = body + 2 + int.from_bytes(data[body : body + 2], "big")
        payload = topic_end
        if data[at] & 0x06:  # an answer has the QoS of its request
            replies.append(b"\x40\x02" + data[topic_end : topic_end + 2])
            payload += 2
        self.answers += 1
        if data.endswith(b"/error", body, topic_end):
            self.refused += 1
            self.refusal = self.refusal or data[payload:end].decode(errors="replace")
        elif self.is_reader:
            self.on_message(data[body + 2 : topic_end], data[payload:end])


def _end(data: bytes, at: int) -> int | None:
    length, shift, body = 0, 0, at + 1
    while body < len(data):
        digit = data[body]
        length |= (digit & 0x7F) << shift
        shift += 7
        body += 1
        if not digit & 0x80:
            return body + length
    return None


class Message:
    """A PUBLISH of QoS 1, but for its packet id and its last counter."""

    def __init__(self, topic: str, samples: int) -> None:
        others = b"".join(_ONE + b"%d}," % (_FIRST + number) for number in range(samples - 1))
        self.before = (b"[" if others else b"") + others + _ONE
        self.after = b"}]" if others else b"}"
        spelled = string(topic.encode())
        size = len(spelled) + 2 + len(self.before) + 7 + len(self.after)
        self.head = packet(0x32, size) + spelled

    def write(self, number: int, out: list[bytes]) -> None:
        """Write the message with that number."""
        counter = b"%d" % (_FIRST + number % (_LAST - _FIRST))
        out += (self.head, (number % 0xFFFF + 1).to_bytes(2, "big"), self.before, counter, self.after)


class Flooder(Device):
    """Keeps so many messages under way until it is stopped, or has sent as many as it should."""

    def __init__(
        self,
        client_id: str,
        topics: tuple[str, ...],
        *,
        in_flight: int,
        samples: int = 1,
        messages: int | None = None,
        is_answered: bool = False,
    ) -> None:
        super().__init__(client_id)
        self.done: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self.is_stopped = False
        self._messages = [Message(topic, samples) for topic in topics]
        self._in_flight, self._most, self._is_answered = in_flight, messages, is_answered

    def on_pubacks(self, data: bytes, count: int) -> None:  # noqa: ARG002  every acknowledgement is alike
        """Send as many again."""
        self.send_more()

    def on_answers(self) -> None:
        """See whether that was the last that was awaited."""
        if self.is_stopped:
            self._finish()

    def stop(self) -> None:
        """Send nothing more; done when all is acknowledged."""
        self.is_stopped = True
        self._finish()

    def send_more(self) -> None:
        """Fill up what may be under way."""
        if self.is_stopped:
            self._finish()
            return
        until = self.acknowledged + self._in_flight
        if self._most is not None and until >= self._most:
            until = self._most
        sent, out, messages = self.sent, list[bytes](), self._messages
        for number in range(sent, until):
            messages[number % len(messages)].write(number, out)
        if out:
            self.sent = until
            self.transport.write(b"".join(out))
        elif self.acknowledged == self._most:
            self.stop()

    def _finish(self) -> None:
        is_over = self.acknowledged >= self.sent and (self.answers >= self.sent or not self._is_answered)
        if is_over and not self.done.done():
            self.done.set_result(None)


class Pacer(Device):
    """Sends when it is told to, and notes how long each acknowledgement took from the time by the schedule."""

    def __init__(self, client_id: str, topic: str, note: Callable[[float, float], None]) -> None:
        super().__init__(client_id)
        self._message, self._note = Message(topic, 1), note
        self._due: dict[int, float] = {}

    def send(self, due: float) -> None:
        """Send one that is due since then."""
        out: list[bytes] = []
        self._message.write(self.sent, out)
        self._due[self.sent % 0xFFFF + 1] = due
        self.sent += 1
        self.transport.write(b"".join(out))

    def on_pubacks(self, data: bytes, count: int) -> None:
        """Note the times."""
        now = perf_counter()
        for at in range(2, 4 * count, 4):
            due = self._due.pop(int.from_bytes(data[at : at + 2], "big"), None)
            if due is not None:
                self._note(due, now - due)
