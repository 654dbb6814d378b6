"""Devices: thin shells over the MQTT clients that people use, all with one face, and one over our own session.

A device connects, sends, hears, and tells which of its messages have been acknowledged. The shells add nothing that
the libraries do not do by themselves.
"""

import asyncio
from collections.abc import AsyncIterator, Callable, Coroutine, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from itertools import count
from typing import Any, ClassVar, Protocol, TypeVar

import aiomqtt
import gmqtt
import paho.mqtt.client as paho
from gmqtt.storage import PersistentStorage
from paho.mqtt.enums import CallbackAPIVersion
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties

from kaa.protocols.mqtt import packets as p
from kaa.protocols.mqtt.client import Acknowledged, ClientSession

PATIENCE_S = 10.0
V311, V5 = p.V311, p.V5

E = TypeVar("E")
_numbers = count(1)


@dataclass(frozen=True, slots=True)
class Message:
    """What a device has heard; `properties` as the library gives them, where the test looks at them."""

    topic: str
    payload: bytes
    qos: int = 0
    properties: Any = field(default=None, compare=False)


class Device(Protocol):
    """An MQTT client, whatever library it is made with."""

    inbox: asyncio.Queue[Message]
    sessions_present: list[bool]
    """What CONNACK has said at each connection, where the library tells."""

    async def open(self) -> None:
        """Connect."""

    async def close(self) -> None:
        """Say farewell."""

    def send(self, topic: str, payload: bytes, qos: int) -> "asyncio.Future[int | None]":
        """Publish; the future is done when the message is acknowledged, with the reason if the library tells."""

    async def subscribe(self, *filters: str) -> list[int]:
        """Subscribe at QoS 1, and give the codes of the SUBACK."""


async def heard(device: Device) -> Message:
    """Give the next message that a device hears."""
    async with asyncio.timeout(PATIENCE_S):
        return await device.inbox.get()


async def sent(device: Device, topic: str, payload: bytes, qos: int = 1) -> int | None:
    """Publish and wait for the acknowledgement."""
    async with asyncio.timeout(PATIENCE_S):
        return await device.send(topic, payload, qos)


def new_id(library: str) -> str:
    return f"{library}-{next(_numbers)}"


class Paho:
    """paho-mqtt with its network thread."""

    def __init__(
        self, address: tuple[str, int], version: int, *, client_id: str = "", keeps_session: bool = False
    ) -> None:
        self._address, self._version, self._keeps = address, version, keeps_session
        self._loop = asyncio.get_running_loop()
        self.inbox: asyncio.Queue[Message] = asyncio.Queue()
        self.sessions_present: list[bool] = []
        self.disconnects: list[int] = []
        self._connected = asyncio.Event()
        self._pending: dict[int, asyncio.Future[int | None]] = {}
        self._subscribing: dict[int, asyncio.Future[list[int]]] = {}
        arguments: dict[str, Any] = {} if version == V5 else {"clean_session": not keeps_session}
        self.client = paho.Client(
            CallbackAPIVersion.VERSION2, client_id=client_id or new_id("paho"), protocol=version, **arguments
        )
        self.client.reconnect_delay_set(1, 1)
        self.client._reconnect_min_delay = self.client._reconnect_max_delay = 0.1  # whole seconds are too long here
        self.client.on_connect = self._on_connect
        self.client.on_disconnect = lambda _c, _u, _f, code, _p: self.disconnects.append(code.value)
        self.client.on_message = self._on_message
        self.client.on_publish = lambda _c, _u, mid, code, _p: self._soon(self._acknowledged, mid, code.value)
        self.client.on_subscribe = lambda _c, _u, mid, codes, _p: self._soon(
            self._subscribed, mid, [code.value for code in codes]
        )

    async def open(self) -> None:
        arguments: dict[str, Any] = {}
        if self._version == V5:
            expiry = Properties(PacketTypes.CONNECT)
            expiry.SessionExpiryInterval = 3600 if self._keeps else 0
            arguments = {"clean_start": not self._keeps, "properties": expiry}
        self._connected.clear()
        await asyncio.to_thread(self.client.connect, *self._address, 60, **arguments)
        self.client.loop_start()
        async with asyncio.timeout(PATIENCE_S):
            await self._connected.wait()

    async def close(self) -> None:
        self.client.disconnect()
        await asyncio.to_thread(self.client.loop_stop)

    def send(
        self, topic: str, payload: bytes, qos: int, properties: Properties | None = None
    ) -> "asyncio.Future[int | None]":
        done: asyncio.Future[int | None] = self._loop.create_future()
        # the callback cannot overtake this: it comes through the loop
        self._pending[self.client.publish(topic, payload, qos, properties=properties).mid] = done
        return done

    async def subscribe(self, *filters: str) -> list[int]:
        _, mid = self.client.subscribe([(spelling, 1) for spelling in filters])
        assert mid is not None
        self._subscribing[mid] = self._loop.create_future()
        async with asyncio.timeout(PATIENCE_S):
            return await self._subscribing[mid]

    def _soon(self, call: Callable[..., None], *arguments: Any) -> None:
        self._loop.call_soon_threadsafe(call, *arguments)

    def _on_connect(self, _c: object, _u: object, flags: Any, code: Any, _p: object) -> None:
        if not code.is_failure:
            self.sessions_present.append(flags.session_present)
            self._soon(self._connected.set)

    def _on_message(self, _c: object, _u: object, message: paho.MQTTMessage) -> None:
        made = Message(message.topic, message.payload, message.qos, message.properties)
        self._soon(self.inbox.put_nowait, made)

    def _acknowledged(self, mid: int, code: int) -> None:
        done = self._pending.pop(mid)
        if not done.done():
            done.set_result(code)

    def _subscribed(self, mid: int, codes: list[int]) -> None:
        self._subscribing.pop(mid).set_result(codes)


class _GmqttStorage(PersistentStorage):  # type: ignore[misc]
    """gmqtt tells of acknowledgements nowhere else: what has been acknowledged leaves its storage."""

    def __init__(self) -> None:
        super().__init__()
        self.pending: dict[int, asyncio.Future[int | None]] = {}
        self.newest = 0
        self.discarded: list[int] = []

    def push_message(self, mid: int, raw_package: Any) -> None:
        super().push_message(mid, raw_package)
        if mid not in self.pending:
            self.pending[mid] = asyncio.get_running_loop().create_future()
            self.newest = mid

    def remove_message_by_mid(self, mid: int) -> None:
        super().remove_message_by_mid(mid)
        done = self.pending.pop(mid, None)
        if done is not None and not done.done():
            done.set_result(None)

    def clear(self) -> None:
        self.discarded += self.pending
        super().clear()


class Gmqtt:
    """gmqtt."""

    def __init__(
        self, address: tuple[str, int], version: int, *, client_id: str = "", keeps_session: bool = False
    ) -> None:
        self._address, self._version = address, version
        self.inbox: asyncio.Queue[Message] = asyncio.Queue()
        self.sessions_present: list[bool] = []
        self.storage = _GmqttStorage()
        self._subscribing: dict[int, asyncio.Future[list[int]]] = {}
        properties = {"session_expiry_interval": 3600} if version == V5 and keeps_session else {}
        self.client = gmqtt.Client(
            client_id or new_id("gmqtt"),
            clean_session=not keeps_session,
            persistent_storage=self.storage,
            **properties,
        )
        self.client.set_config({"reconnect_delay": 0.1})
        self.client.on_connect = self._on_connect
        self.client.on_message = self._on_message
        self.client.on_subscribe = self._on_subscribe

    async def open(self) -> None:
        async with asyncio.timeout(PATIENCE_S):
            await self.client.connect(*self._address, version=self._version)

    async def close(self) -> None:
        await self.client.disconnect()

    def send(self, topic: str, payload: bytes, qos: int) -> "asyncio.Future[int | None]":
        self.client.publish(topic, payload, qos=qos)
        if qos:
            return self.storage.pending[self.storage.newest]
        done: asyncio.Future[int | None] = asyncio.get_running_loop().create_future()
        done.set_result(None)
        return done

    async def subscribe(self, *filters: str) -> list[int]:
        mid = self.client.subscribe([gmqtt.Subscription(spelling, qos=1) for spelling in filters])
        self._subscribing[mid] = asyncio.get_running_loop().create_future()
        async with asyncio.timeout(PATIENCE_S):
            return await self._subscribing[mid]

    def _on_connect(self, _c: object, flags: int, _code: int, _p: object) -> None:
        self.sessions_present.append(bool(flags))

    def _on_message(self, _c: object, topic: str, payload: bytes, qos: int, properties: Mapping[str, Any]) -> int:
        self.inbox.put_nowait(Message(topic, bytes(payload), qos, properties))
        return 0

    def _on_subscribe(self, _c: object, mid: int, codes: tuple[int, ...], _p: object) -> None:
        self._subscribing.pop(mid).set_result(list(codes))


class Aiomqtt:
    """aiomqtt; it neither connects again by itself nor tells reasons."""

    def __init__(self, address: tuple[str, int], version: int, *, client_id: str = "") -> None:
        host, port = address
        self.inbox: asyncio.Queue[Message] = asyncio.Queue()
        self.sessions_present: list[bool] = []
        self.client = aiomqtt.Client(
            host,
            port,
            identifier=client_id or new_id("aiomqtt"),
            protocol=aiomqtt.ProtocolVersion(version),
            timeout=PATIENCE_S,
            max_inflight_messages=100,
        )
        self.client.pending_calls_threshold = 1000
        self._loop = asyncio.get_running_loop()
        self._tasks: set[asyncio.Task[None]] = set()
        self._stack = AsyncExitStack()

    async def open(self) -> None:
        await self._stack.enter_async_context(self.client)
        self._start(self._listen())

    async def close(self) -> None:
        try:
            await self._stack.aclose()
        finally:
            for task in self._tasks:
                task.cancel()
            if self._tasks:
                await asyncio.wait(self._tasks)

    def send(self, topic: str, payload: bytes, qos: int) -> "asyncio.Future[int | None]":
        return self._start(self._publish(topic, payload, qos))

    async def subscribe(self, *filters: str) -> list[int]:
        codes = await self.client.subscribe([(spelling, 1) for spelling in filters])
        return [code if isinstance(code, int) else code.value for code in codes]

    def _start(self, work: Coroutine[Any, Any, None]) -> "asyncio.Task[None]":
        task = self._loop.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return task

    async def _publish(self, topic: str, payload: bytes, qos: int) -> None:
        await self.client.publish(topic, payload, qos=qos)

    async def _listen(self) -> None:
        try:
            async for message in self.client.messages:
                assert isinstance(message.payload, bytes)
                self.inbox.put_nowait(Message(str(message.topic), message.payload, message.qos, message.properties))
        except aiomqtt.MqttError:
            return  # the connection is lost, and the library says so here


LIBRARIES: dict[str, Callable[..., Device]] = {"paho": Paho, "gmqtt": Gmqtt, "aiomqtt": Aiomqtt}


@asynccontextmanager
async def opened(device: E) -> AsyncIterator[E]:
    """Have a device connected while the block lasts."""
    await device.open()  # type: ignore[attr-defined]
    try:
        yield device
    finally:
        await device.close()  # type: ignore[attr-defined]


class Wire:
    """Our own client session on a socket: shows every packet, and sends whatever bytes it is given."""

    _left: ClassVar[list[asyncio.StreamWriter]] = []

    def __init__(self, address: tuple[str, int], version: int = V311, *, client_id: str = "") -> None:
        self._address = address
        self.connack = p.ConnAck()
        self.session = ClientSession(client_id or new_id("wire"), version=version)
        self._events: list[Any] = []

    async def dial(self) -> None:
        """Open the socket and say nothing."""
        self.reader, self.writer = await asyncio.open_connection(*self._address)
        self._left.append(self.writer)
        self._events.clear()

    async def open(self, **connect: Any) -> p.ConnAck:
        """Connect, and give the CONNACK."""
        await self.dial()
        self.session.connect(**connect)
        self.flush()
        self.connack = await self.next(p.ConnAck)
        return self.connack

    @classmethod
    async def drop_all(cls) -> None:
        """Drop the connections that a test has left, for it may have failed."""
        for writer in cls._left:
            writer.transport.abort()
        cls._left.clear()
        await asyncio.sleep(0)

    async def close(self) -> None:
        """Drop the connection without a farewell."""
        self.writer.close()
        try:
            await self.writer.wait_closed()
        except OSError:
            return  # the other side was faster

    def publish(self, topic: str, payload: bytes, qos: int = 1, **arguments: Any) -> int:
        """Send a message, and give its packet id."""
        packet_id = self.session.publish(topic, payload, qos, **arguments)
        self.flush()
        return packet_id

    def flush(self) -> None:
        """Write what the session has to say."""
        self.writer.write(self.session.take_output())

    def write(self, data: bytes) -> None:
        """Write bytes as they are."""
        self.writer.write(data)

    async def next(self, kind: type[E]) -> E:
        """Give the next packet of a kind; what comes before it stays for later."""
        async with asyncio.timeout(PATIENCE_S):
            while True:
                for at, event in enumerate(self._events):
                    if isinstance(event, kind):
                        return self._events.pop(at)  # type: ignore[no-any-return]
                if not await self._read():
                    raise ConnectionError(f"the server hung up; before it said {self._events}")

    async def answer(self, topic: str, payload: bytes, qos: int = 1, **arguments: Any) -> tuple[int, Message]:
        """Send a message and give the reason code of its acknowledgement (0 at QoS 0), and the answer."""
        self.publish(topic, payload, qos, **arguments)
        reason = (await self.next(Acknowledged)).reason_code if qos else 0
        answer = await self.next(p.Publish)
        return reason, Message(answer.topic, answer.payload, answer.qos, answer.properties)

    async def hung_up(self) -> list[Any]:
        """Wait until the server has closed the connection, and give all that it had still said."""
        async with asyncio.timeout(PATIENCE_S):
            while await self._read():
                pass
        left, self._events = self._events, []
        return left

    async def barrier(self) -> list[Any]:
        """Give all that has come until the answer to a ping."""
        self.session.ping()
        self.flush()
        await self.next(p.PingResp)
        left, self._events = self._events, []
        return left

    async def _read(self) -> bool:
        try:
            data = await self.reader.read(65_536)
        except ConnectionError:
            return False
        self._events += self.session.receive(data)
        if self.session._out and not self.writer.is_closing():
            self.flush()
        return bool(data)
