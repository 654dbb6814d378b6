"""The MQTT listener with encryption: handshakes, bounded in number and in time, and nobody waits for a slow one."""

import asyncio
import socket
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import structlog

from kaa.core.metrics import Metrics
from kaa.core.tls import ServerCertificates

from ..config import TlsConfig
from .mqtt import BACKLOG, MqttDoor

log = structlog.get_logger(__name__)

_SHUTDOWN_S = 5.0
_NOT_ACCEPTED_MS = 1_000


class TlsListener:
    """Lets clients in through TLS.

    Connections are taken from the system one a turn of the loop, so that a thousand that come at once are a thousand
    short steps. While as many handshakes are under way as may be, the next connection waits, and those behind it stay
    with the system; then the oldest handshake makes room if it has had its time.
    """

    def __init__(
        self, door: MqttDoor, certificates: ServerCertificates, *, config: TlsConfig, metrics: Metrics
    ) -> None:
        self._door, self._certificates, self._config = door, certificates, config
        self._under_way: dict[asyncio.Task[None], int] = {}
        self._has_changed = asyncio.Event()
        self._listening: list[socket.socket] = []
        self._failed = metrics.counter("kaa_kpc_handshakes_failed_total", "TLS handshakes that failed", ("reason",))
        metrics.gauge_from("kaa_kpc_handshakes", "TLS handshakes under way", lambda: len(self._under_way))

    @asynccontextmanager
    async def opened(self, host: str, port: int) -> AsyncIterator[tuple[str, int]]:
        """Let clients in while the block lasts; gives host and port, for port 0 takes a free one."""
        tasks = self._door.tasks
        self._listening = await _listen(host, port)
        accepting = [tasks.spawn(self._accept(one), name="mqtts accepts") for one in self._listening]
        following = tasks.spawn(self._certificates.follow(), name="mqtts certificate")
        try:
            yield self._listening[0].getsockname()[:2]
        finally:
            await tasks.stop(*accepting, following, *self._under_way)
            for one in self._listening:
                one.close()
            self._listening = []
            await self._door.close()

    def problem(self) -> str | None:
        """Say what is wrong, for `/health`."""
        return self._certificates.problem if self._listening else "the MQTT door with TLS is not open"

    async def _accept(self, listening: socket.socket) -> None:
        loop = asyncio.get_running_loop()
        while True:
            try:
                accepted, _ = await loop.sock_accept(listening)
            except OSError as error:  # no file descriptor is left, or whoever came is gone again
                log.warning("connection_not_accepted", reason=error.strerror)
                await self._door.clock.sleep_ms(_NOT_ACCEPTED_MS)
                continue
            try:
                await self._make_room()
            except asyncio.CancelledError:
                accepted.close()
                raise
            task = self._door.tasks.spawn(self._shake_hands(accepted), name="mqtts handshake")
            self._under_way[task] = self._door.clock.monotonic_ms()
            task.add_done_callback(self._end)
            await asyncio.sleep(0)

    async def _make_room(self) -> None:
        """Wait until one more handshake may begin."""
        clock = self._door.clock
        while len(self._under_way) >= self._config.handshakes:
            oldest, began_ms = next(iter(self._under_way.items()))
            left_ms = began_ms + self._config.crowded_timeout - clock.monotonic_ms()
            if left_ms <= 0:
                del self._under_way[oldest]
                oldest.cancel()
                self._failed.labels("crowded").inc()
                return
            self._has_changed.clear()
            timer = clock.call_later(left_ms, self._has_changed.set)
            try:
                await self._has_changed.wait()
            finally:
                timer.cancel()

    async def _shake_hands(self, accepted: socket.socket) -> None:
        try:
            await asyncio.get_running_loop().connect_accepted_socket(
                lambda: self._door.new(self._config.client_authentication),
                accepted,
                ssl=self._certificates.context,
                ssl_handshake_timeout=self._config.handshake_timeout / 1000,
                ssl_shutdown_timeout=_SHUTDOWN_S,
            )
        except ssl.SSLCertVerificationError:
            self._failed.labels("certificate").inc()
        except ssl.SSLError:
            self._failed.labels("tls").inc()
        except OSError:
            self._failed.labels("lost").inc()

    def _end(self, task: asyncio.Task[None]) -> None:
        self._under_way.pop(task, None)
        self._has_changed.set()


async def _listen(host: str, port: int) -> list[socket.socket]:
    """Listen on every address of a host, as `create_server` does; on the same port, where any would do."""
    loop = asyncio.get_running_loop()
    found = await loop.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
    listening: list[socket.socket] = []
    try:
        for family, kind, protocol, _, address in dict.fromkeys(found):
            one = socket.socket(family, kind, protocol)
            listening.append(one)
            one.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            if family == socket.AF_INET6:
                one.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
            taken = listening[0].getsockname()[1] if len(listening) > 1 else port
            one.bind((address[0], taken, *address[2:]))
            one.listen(BACKLOG)
            one.setblocking(False)
    except OSError as error:
        for one in listening:
            one.close()
        raise OSError(error.errno, f"cannot listen on {host}:{port}: {error.strerror}") from error
    return listening
