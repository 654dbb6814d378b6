"""The MQTT door: what its connections share, and the listener without encryption."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from itertools import islice
from typing import Any

import structlog

from kaa.core.clock import Clock
from kaa.core.errors import Refusal
from kaa.core.ids import Ids
from kaa.core.metrics import Metrics
from kaa.core.tasks import Tasks
from kaa.protocols.mqtt.reasons import Reason

from ..clients import Clients
from ..config import Authentication, KpcConfig
from ..notes import Notes
from ..service import Communication
from ..sessions import Sessions
from .connection import Connection

log = structlog.get_logger(__name__)

BACKLOG = 1024
_SWEEP_MS = 1_000
_SESSIONS_MS = 60_000
_LAST_ANSWERS_MS = 2_000
_AT_A_TIME = 2_000
_GO_ON = 50


class MqttDoor:
    """Lets MQTT clients in, bounded in number and in time."""

    def __init__(
        self,
        *,
        communication: Communication,
        sessions: Sessions,
        clients: Clients,
        notes: Notes,
        config: KpcConfig,
        clock: Clock,
        ids: Ids,
        tasks: Tasks,
        metrics: Metrics,
    ) -> None:
        self.communication, self.sessions, self.clients, self.notes = communication, sessions, clients, notes
        self.config, self.clock, self.ids, self.tasks = config, clock, ids, tasks
        self._connections: dict[Connection, None] = {}
        self._held_up: dict[Connection, None] = {}
        self._going_on: asyncio.Task[None] | None = None
        self.is_closing = False
        self.connecting = 0
        """How many clients wait for their credentials to be checked."""
        self._server: asyncio.Server | None = None
        self._accepted = metrics.counter("kaa_kpc_accepted_total", "Connections accepted")
        self._ended = metrics.counter("kaa_kpc_ended_total", "Connections that ended, by reason", ("reason",))
        self.received_bytes = self.sent_bytes = 0
        """What all connections together have read and written, without the bytes of TLS."""
        metrics.counter_from("kaa_kpc_received_bytes_total", "Bytes of MQTT received", lambda: self.received_bytes)
        metrics.counter_from("kaa_kpc_sent_bytes_total", "Bytes of MQTT sent", lambda: self.sent_bytes)
        metrics.gauge_from("kaa_kpc_connections", "Connections open", lambda: len(self._connections))
        communication.on_room = self._on_room

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        """Look after the connections and sessions while the block lasts."""
        sweeping = [
            self.tasks.spawn(self._sweep(), name="mqtt door"),
            self.tasks.spawn(self._sweep_sessions(), name="mqtt sessions"),
        ]
        try:
            yield
        finally:
            await self.tasks.stop(*sweeping)
            if self._going_on is not None:
                await self.tasks.stop(self._going_on)

    @asynccontextmanager
    async def opened(self, host: str, port: int) -> AsyncIterator[tuple[str, int]]:
        """Let clients in while the block lasts; gives host and port, for port 0 takes a free one."""
        loop, required = asyncio.get_running_loop(), self.config.client_authentication
        server = self._server = await loop.create_server(lambda: self.new(required), host, port, backlog=BACKLOG)
        try:
            yield server.sockets[0].getsockname()[:2]
        finally:
            server.close()
            await self.close()
            with suppress(TimeoutError):
                async with asyncio.timeout(1):
                    await server.wait_closed()

    def new(self, required: Authentication) -> Connection:
        """Make the server's end of a connection, whose client needs such credentials."""
        return Connection(self, required)

    async def close(self) -> None:
        """Let nobody in any more, let what has been read get its answer, and say farewell."""
        self.is_closing = True
        self._held_up.clear()
        await self._let_finish()
        for connection in list(self._connections):
            connection.end("shutdown", Reason.SERVER_SHUTTING_DOWN, "the server is stopping")

    def problem(self) -> str | None:
        """Say what is wrong, for `/health`."""
        return None if self._server is not None and self._server.is_serving() else "the MQTT door is not open"

    def add(self, connection: Connection) -> bool:
        """Count a connection in; False if there are too many."""
        if self.is_closing or len(self._connections) >= self.config.max_connections:
            self._ended.labels("too_many_connections").inc()
            return False
        self._connections[connection] = None
        self._accepted.inc()
        return True

    def remove(self, connection: Connection, reason: str) -> None:
        """Count a connection out."""
        self._held_up.pop(connection, None)
        if self._connections.pop(connection, 0) is None:
            self._ended.labels(reason).inc()

    def hold_up(self, connection: Connection) -> None:
        """Have a connection go on when there is room for what it says."""
        self._held_up[connection] = None

    def in_background(self, work: Any, name: str) -> None:
        """Run something for a connection that need not wait for it."""

        async def run() -> None:
            try:
                await work
            except Refusal as no:
                log.warning("background_work_refused", what=name, reason=no.reason)

        self.tasks.spawn(run(), name=name)

    def _on_room(self) -> None:
        if self._held_up and (self._going_on is None or self._going_on.done()):
            self._going_on = self.tasks.spawn(self._go_on(), name="mqtt connections go on")

    async def _go_on(self) -> None:
        """Read from those that were held up, the first one first, as long as there is room."""
        while self._held_up and not self.communication.is_full:
            for connection in list(islice(self._held_up, _GO_ON)):
                if self.communication.is_full:
                    return
                if self._held_up.pop(connection, 0) is None:
                    connection.go_on()
            await asyncio.sleep(0)

    async def _sweep(self) -> None:
        while True:
            await self.clock.sleep_ms(_SWEEP_MS)
            now_ms = self.clock.monotonic_ms()
            for number, connection in enumerate(list(self._connections), 1):
                connection.check_time(now_ms)
                if not number % _AT_A_TIME:
                    await asyncio.sleep(0)

    async def _sweep_sessions(self) -> None:
        while True:
            await self.clock.sleep_ms(_SESSIONS_MS)
            try:
                await self.sessions.sweep()
            except Refusal as no:
                log.warning("sessions_not_swept", reason=no.reason)

    async def _let_finish(self) -> None:
        """Read no more, and let what has been read get its answer, for a while."""
        until = self.clock.monotonic_ms() + _LAST_ANSWERS_MS
        for connection in list(self._connections):
            connection.flush()  # and reads no more, as the door is closing
        while any(c.unsettled for c in self._connections) and self.clock.monotonic_ms() < until:  # noqa: ASYNC110  once
            await asyncio.sleep(0.01)
