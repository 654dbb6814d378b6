"""What the tests of KPC share: KPC in a house, devices on wires without sockets, CM and an extension that obey."""

import asyncio
import hashlib
from collections.abc import Awaitable, Callable, Mapping
from typing import Any

from house import House
from waiting import until

from kaa.modules.kpc.config import Authentication
from kaa.modules.kpc.module import MODULE as KPC
from kaa.modules.kpc.transports.connection import Connection
from kaa.modules.kpc.transports.mqtt import MqttDoor
from kaa.protocols import cap, ecap, elce, esp
from kaa.protocols.esp import ClientData, ExtensionData
from kaa.protocols.mqtt import packets as p
from kaa.protocols.mqtt.client import Acknowledged, ClientSession

APPLICATIONS = {"home": ["home-v1", "home-v2"], "garden": ["garden-v1"]}
CLIENTS = {("ann", "pass-a"): "cred-ann", ("bob", "pass-b"): "cred-bob"}
TOKENS = {"T1": "dev-1", "T2": "dev-2", "T3": "dev-3", "T1b": "dev-1"}

Outcome = tuple[int, str | None, bytes | None] | None


class Wire:
    """The server's end of a connection: what is written to it gathers, what becomes of it is noted."""

    def __init__(self, certificate: bytes | None = None) -> None:
        self.certificate = certificate
        self.written: list[bytes] = []
        self.writes = 0
        self.is_reading = True
        self.end = ""
        self.high: int | None = None
        self.connection: Connection | None = None
        self.is_stuck = False

    def take(self) -> bytes:
        data = b"".join(self.written)
        self.written.clear()
        return data

    # asyncio.Transport, and the ssl.SSLObject that one with TLS has

    def get_extra_info(self, name: str) -> "Wire | None":
        assert name == "ssl_object"
        return self if self.certificate is not None else None

    def getpeercert(self, *, binary_form: bool) -> bytes | None:
        assert binary_form
        return self.certificate or None

    def set_write_buffer_limits(self, high: int | None = None, low: int | None = None) -> None:
        self.high = high

    def write(self, data: bytes) -> None:
        assert data
        assert not self.end
        self.writes += 1
        self.written.append(bytes(data))
        if self.is_stuck and self.high is not None and sum(map(len, self.written)) > self.high:
            assert self.connection is not None
            self.connection.pause_writing()

    def pause_reading(self) -> None:
        assert self.is_reading
        self.is_reading = False

    def resume_reading(self) -> None:
        assert not self.is_reading
        self.is_reading = True

    def close(self) -> None:
        if not self.is_stuck:
            self._end("closed")

    def abort(self) -> None:
        self._end("aborted")

    def _end(self, how: str) -> None:
        if not self.end:
            self.end = how
            assert self.connection is not None
            asyncio.get_running_loop().call_soon(self.connection.connection_lost, None)

    def lose(self) -> None:
        """Have the other side vanish."""
        if not self.end:
            self.end = "lost"
            assert self.connection is not None
            self.connection.connection_lost(ConnectionResetError())


class Device:
    """A client of MQTT on a wire."""

    def __init__(
        self,
        door: MqttDoor,
        client_id: str = "",
        version: int = p.V311,
        *,
        required: Authentication | None = None,
        certificate: bytes | None = None,
    ) -> None:
        self.door, self.certificate = door, certificate
        self.required: Authentication = door.config.client_authentication if required is None else required
        self.client = ClientSession(client_id, version=version)
        self.events: list[Any] = []
        self.dial()

    def dial(self) -> None:
        """Make a new wire."""
        self.wire = Wire(self.certificate)
        self.connection = self.wire.connection = self.door.new(self.required)
        self._unread = b""
        self.connection.connection_made(self.wire)  # type: ignore[arg-type]

    def feed(self, data: bytes) -> None:
        """Put bytes on the wire, as far as the server reads."""
        self._unread += data
        if self._unread and self.wire.is_reading and not self.wire.end:
            data, self._unread = self._unread, b""
            self.connection.data_received(data)

    def pump(self) -> None:
        """Let what is said go back and forth."""
        while True:
            self.feed(self.client.take_output())
            if self.wire.is_stuck or not (data := self.wire.take()):
                return
            self.events += self.client.receive(data)

    async def until(self, condition: Callable[[], Any], what: str = "") -> Any:
        """Let things happen until the condition is true."""

        def look() -> Any:
            self.pump()
            return condition()

        return await until(look, what=what)

    async def settle(self) -> None:
        """Let happen what is under way within the process."""
        for _ in range(60):
            self.pump()
            await asyncio.sleep(0)

    async def connect(self, **more: Any) -> p.ConnAck:
        """Shake hands."""
        self.client.connect(**more)
        found: p.ConnAck = await self.until(lambda: next((e for e in self.events if isinstance(e, p.ConnAck)), None))
        self.events.remove(found)
        return found

    async def again(self, **more: Any) -> p.ConnAck:
        """Connect once more, on a new wire."""
        self.dial()
        return await self.connect(**more)

    def publish(self, topic: str, payload: bytes = b"{}", qos: int = 0, **more: Any) -> int:
        """Say something, at once."""
        packet_id = self.client.publish(topic, payload, qos, **more)
        self.pump()
        return packet_id

    async def ask(self, topic: str, payload: bytes = b"{}", qos: int = 0, **more: Any) -> list[Any]:
        """Say something, and give all that comes back when all is done."""
        self.events.clear()
        self.publish(topic, payload, qos, **more)
        await self.settle()
        return self.heard()

    def heard(self) -> list[Any]:
        """Take what has come, in short: `("ack", id, reason)`, `(topic, payload)` or `("bye", reason)` each."""
        found: list[Any] = []
        for event in self.events:
            match event:
                case Acknowledged():
                    found.append(("ack", event.packet_id, event.reason_code))
                case p.Publish():
                    found.append((event.topic, event.payload))
                case p.Disconnect():
                    found.append(("bye", event.reason_code))
                case _:
                    found.append(event)
        self.events.clear()
        return found

    @property
    def is_closed(self) -> bool:
        return bool(self.wire.end)


class Gateway:
    """KPC in a house, between the devices and the rest."""

    def __init__(self, house: House) -> None:
        self.house = house
        self.tokens = dict(TOKENS)
        self.asked_tokens: list[str] = []
        self.said: list[ClientData] = []
        self.answer: Callable[[ClientData], Outcome] = lambda _: (200, None, None)
        self.token_gate: Callable[[], Awaitable[None]] | None = None
        self.token_status: dict[str, int] = {}
        self.clients = dict(CLIENTS)
        self.certificates: dict[tuple[str, str], str] = {}
        self.asked_clients: list[Any] = []
        self.client_gate: Callable[[], Awaitable[None]] | None = None
        self.client_status: dict[str, int] = {}

    async def start(self, config: Mapping[str, Any] | None = None, **more: Any) -> "Gateway":
        """Start KPC, and those who answer it."""
        house = self.house
        house.core.addresses = {"mqtt": ("127.0.0.1", 0)}
        self.connected = await house.hear(elce.connected("kpc"), name="listener-1")
        self.disconnected = await house.hear(elce.disconnected("kpc"), name="listener-2")
        bus, stack = house.bus, house._stack
        await stack.enter_async_context(
            bus.subscribe(ecap.validate_token("cm"), self._on_token, queue="cm", concurrency=8)
        )
        basic, certificate = cap.authenticate_basic("cm"), cap.authenticate_certificate("cm")
        await stack.enter_async_context(bus.subscribe(basic, self._on_basic, queue="cm", concurrency=50))
        await stack.enter_async_context(bus.subscribe(certificate, self._on_certificate, queue="cm", concurrency=50))
        extensions = (config or {}).get("extension-instances", {"dcx": {}})
        for name in extensions if more.pop("is_served", True) else ():
            block = bus.subscribe(esp.client_data(name), self._on_client_data, queue=name, concurrency=300)
            await stack.enter_async_context(block)
        await house.start(KPC, config=dict(config or {}), applications=more.pop("applications", APPLICATIONS), **more)
        self.door: MqttDoor = house.core.doors["mqtt"].func.__self__  # type: ignore[attr-defined]
        stack.callback(self._hang_up)
        return self

    def _hang_up(self) -> None:
        for connection in list(self.door._connections):
            wire = connection._transport
            if isinstance(wire, Wire):
                wire.lose()

    async def _on_token(self, request: ecap.EndpointTokenValidationRequest) -> ecap.EndpointTokenValidationResponse:
        self.asked_tokens.append(request.token)
        endpoint_id = self.tokens.get(request.token) if request.app_name == "home" else None
        if self.token_gate is not None:
            await self.token_gate()
        status = self.token_status.get(request.token, 200 if endpoint_id else 401)
        return ecap.EndpointTokenValidationResponse(
            correlation_id=request.correlation_id,
            timestamp_ms=self.house.clock.now_ms(),
            token_id=f"id-of-{request.token}" if endpoint_id and status == 200 else None,
            endpoint_id=endpoint_id if status == 200 else None,
            status_code=status,
            reason_phrase=None if status == 200 else f"the token is no good ({status})",
        )

    async def _on_basic(self, request: cap.ClientBasicAuthenticationRequest) -> cap.ClientBasicAuthenticationResponse:
        found = self.clients.get((request.username, request.password)) if request.tenant_id == "kaa" else None
        return cap.ClientBasicAuthenticationResponse(**await self._verdict(request, found))

    async def _on_certificate(
        self, request: cap.ClientCertificateAuthenticationRequest
    ) -> cap.ClientCertificateAuthenticationResponse:
        found = self.certificates.get((request.issuer, request.serial_number))
        return cap.ClientCertificateAuthenticationResponse(tenant_id="kaa", **await self._verdict(request, found))

    async def _verdict(self, request: Any, found: str | None) -> dict[str, Any]:
        self.asked_clients.append(request)
        status = self.client_status.get(found or "", 200 if found else 401)
        if self.client_gate is not None:
            await self.client_gate()
        return {
            "correlation_id": request.correlation_id,
            "timestamp_ms": self.house.clock.now_ms(),
            "credentials_id": found if status == 200 else None,
            "client_id": None,
            "status_code": status,
            "reason_phrase": None if status == 200 else f"the credentials are no good ({status})",
        }

    async def _on_client_data(self, message: ClientData) -> ExtensionData | None:
        self.said.append(message)
        outcome = self.answer(message)
        if outcome is None:
            return None
        return self.reply(message, outcome)

    def reply(self, message: ClientData, outcome: tuple[int, str | None, bytes | None]) -> ExtensionData:
        status, reason, payload = outcome
        return ExtensionData(
            correlation_id=message.correlation_id,
            timestamp_ms=self.house.clock.now_ms(),
            app_version_name=message.app_version_name,
            extension_instance_name=None,
            endpoint_id=message.endpoint_id,
            resource_path=message.resource_path,
            request_id=message.request_id,
            payload=payload,
            status_code=status,
            reason_phrase=reason,
        )

    def answer_late(self, message: ClientData, outcome: tuple[int, str | None, bytes | None]) -> None:
        """Answer a message that was left without an answer."""
        self.house.bus.publish(esp.extension_data_to_replica("replica-1"), self.reply(message, outcome))

    async def device(self, client_id: str = "", version: int = p.V311, **more: Any) -> Device:
        """Give a device that has connected."""
        made = Device(self.door, client_id, version)
        connack = await made.connect(**more)
        assert connack.reason_code == 0
        return made

    async def revoke(self, endpoint_id: str, *tokens: str) -> None:
        """Tell that tokens are good no longer."""
        self.house.publish(
            ecap.token_revoked("cm"),
            app_name="home",
            endpoint_id=endpoint_id,
            token_ids=tuple(f"id-of-{token}" for token in tokens),
        )
        for _ in range(20):
            await asyncio.sleep(0)

    async def revoke_client(self, credentials_id: str, kind: str = "basic") -> None:
        """Tell that credentials are good no longer."""
        subject = cap.credentials_revoked(kind, originator="cm")
        self.house.publish(subject, tenant_id="kaa", credentials_id=credentials_id)
        for _ in range(20):
            await asyncio.sleep(0)

    def push(self, endpoint_id: str, **fields: Any) -> None:
        """Have an extension say something unasked."""
        common = {
            "app_version_name": "home-v1",
            "extension_instance_name": "cex",
            "endpoint_id": endpoint_id,
            "resource_path": "/command/reboot",
            "request_id": None,
            "payload": b"[1]",
            "status_code": 200,
        }
        self.house.publish(esp.extension_data("kpc"), **(common | fields))

    async def refusals(self, count: int, **params: Any) -> list[Any]:
        """Read the refusals kept, newest first, when there are so many."""
        await self.house.clock.advance(300)

        async def read() -> list[Any] | None:
            found = (await self.house.get("/kpc/api/v1/refusals", **params))["content"]
            return list(found) if len(found) == count else None

        if count:
            return list(await until(read, what=f"{count} refusals are kept"))
        await until(lambda: not self.house.storage.under_way, what="what was noted is written")
        assert await read() == []
        return []

    def ended(self, reason: str) -> float:
        """How many connections have ended for that reason."""
        return self.door._ended.labels(reason)._value.get()


def arrivals(events: list[Any]) -> list[dict[str, str]]:
    return [dict(event.endpoints) for event in events]


def hash_of(token: str) -> str:
    return hashlib.sha256(token.encode()).hexdigest()[:16]
