"""The aiohttp application: takes requests in, asks the route's handler, sends its answer."""

import asyncio
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from contextvars import ContextVar
from typing import Protocol, runtime_checkable

import structlog
from aiohttp import web
from structlog.contextvars import bound_contextvars

from kaa.core.auth import ANONYMOUS, Caller, Keys
from kaa.core.clock import Clock
from kaa.core.config import Duration, Settings, Size
from kaa.core.errors import NotFound, Refusal
from kaa.core.health import Health
from kaa.core.ids import Ids
from kaa.core.log import is_debug
from kaa.core.metrics import Metrics

from . import render, root
from .auditing import Auditor, Witness, body_of
from .read import BodyReader, QueryReader, read_bytes
from .route import TENANT, TENANT_PARAMETER, Answer, Call, Mounted, Route, Stream
from .scope import NoOwners, Owners, Scope
from .wire import JsonRunner

log = structlog.get_logger(__name__)

_LONGEST_CORRELATION_ID = 128
_LONGEST_REQUEST_LINE = 65_536  # lists of endpoints travel in query strings
_LONGEST_HEADER = 8_190
_MOST_HEADERS = 100
_BACKLOG = 128
_HANDSHAKE_S = 10.0
_SHUTDOWN_S = 5.0
# aiohttp handles each request in a task of its own, so nobody else sees this one's.
_correlation_id: ContextVar[str] = ContextVar("correlation_id")

_METHODS = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"})


@runtime_checkable
class _Closable(Protocol):
    async def aclose(self) -> None: ...


class HttpSettings(Settings):
    """Bounds of the HTTP site."""

    max_body_bytes: Size = 1 << 20
    body_timeout_ms: Duration = 30_000
    write_timeout_ms: Duration = 60_000
    keep_alive_ms: Duration = 75_000
    stop_timeout_ms: Duration = 3_000


class Site:
    """The one HTTP site of the process; routes are mounted before it opens."""

    def __init__(
        self,
        *,
        keys: Keys,
        ids: Ids,
        clock: Clock,
        metrics: Metrics,
        health: Health,
        settings: HttpSettings | None = None,
        owners: Owners | None = None,
        auditor: Auditor | None = None,
    ) -> None:
        self._keys = keys
        self._ids = ids
        self._clock = clock
        self._settings = settings or HttpSettings()
        self._owners = owners or NoOwners()
        self._auditor = auditor
        self._mounted: list[Mounted] = []
        self._taken: set[tuple[str, str]] = set()
        self._endpoints: dict[object, Mounted] = {}
        self._opened = 0
        labels = ("instance", "method", "route", "status")
        self._requests = metrics.counter("kaa_http_requests_total", "HTTP requests answered", labels)
        self._seconds = metrics.histogram("kaa_http_request_seconds", "Time to an HTTP answer, in seconds", labels)
        self.mount_root(root.routes(health=health, metrics=metrics, mounted=lambda: self._mounted))

    def mount(self, instance: str, routes: Sequence[Route], *, prefix: str = "/api/v1") -> None:
        """Answer these below `/<instance><prefix>`."""
        self._add(instance, f"/{instance}{prefix}", routes)

    def mount_root(self, routes: Sequence[Route]) -> None:
        """Answer these at the site's root."""
        self._add("", "", routes)

    @property
    def mounted(self) -> Sequence[Mounted]:
        """All that is answered here."""
        return tuple(self._mounted)

    @asynccontextmanager
    async def opened(
        self, host: str, port: int, *, tls: ssl.SSLContext | None = None
    ) -> AsyncIterator[tuple[str, int]]:
        """Let requests in until the block is left; gives host and port, for port 0 takes a free one.

        It may be opened at several places, and over TLS with the context that is given.
        """
        application = web.Application(middlewares=[self._answer_all])
        application.on_response_prepare.append(_add_common_headers)
        for mounted in self._mounted:
            methods = ("GET", "HEAD") if mounted.route.method == "GET" else (mounted.route.method,)
            endpoint = self._endpoint(mounted)
            self._endpoints[endpoint] = mounted
            for method in methods:
                application.router.add_route(method, mounted.path, endpoint, expect_handler=_expect)
        self._opened += 1
        runner = JsonRunner(
            application,
            access_log=None,
            keepalive_timeout=self._settings.keep_alive_ms / 1000,
            shutdown_timeout=self._settings.stop_timeout_ms / 1000,
            lingering_time=2.0,
            max_line_size=_LONGEST_REQUEST_LINE,
            max_field_size=_LONGEST_HEADER,
            max_headers=_MOST_HEADERS,
        )
        await runner.setup()
        assert runner.server is not None
        server: asyncio.Server | None = None
        try:
            # as aiohttp does it, which has no word for how long a handshake may take
            server = await asyncio.get_running_loop().create_server(
                runner.server,
                host,
                port,
                ssl=tls,
                backlog=_BACKLOG,
                ssl_handshake_timeout=_HANDSHAKE_S if tls else None,
                ssl_shutdown_timeout=_SHUTDOWN_S if tls else None,
            )
            yield server.sockets[0].getsockname()[:2]
        finally:
            if server is not None:
                server.close()
            await runner.cleanup()
            self._opened -= 1

    def _add(self, instance: str, base: str, routes: Sequence[Route]) -> None:
        if self._opened:
            raise RuntimeError(f"{base}: the site is open already; mount before")
        for route in routes:
            mounted = Mounted(instance=instance, base=base, route=route)
            if (taken := (route.method, mounted.path)) in self._taken:
                raise ValueError(f"{route.method} {mounted.path} is mounted twice")
            self._taken.add(taken)
            self._mounted.append(mounted)

    @web.middleware
    async def _answer_all(
        self, request: web.Request, handler: Callable[[web.Request], Awaitable[web.StreamResponse]]
    ) -> web.StreamResponse:
        started_ms = self._clock.monotonic_ms()
        correlation_id = _printable(request.headers.get("Correlation-ID", "")) or self._ids.correlation_id()
        _correlation_id.set(correlation_id)
        with bound_contextvars(correlation_id=correlation_id):
            try:
                response = await handler(request)
            except Exception as raised:  # noqa: BLE001 - the edge: whatever a handler raises, the caller gets an answer
                response = render.failure(raised, correlation_id)
        mounted = self._endpoints.get(request.match_info.handler)
        if mounted is not None and mounted.route.prompts and response.status == 401:
            response.headers["WWW-Authenticate"] = render.PROMPT
        labels = (
            mounted.instance if mounted else "",
            request.method if request.method in _METHODS else "other",
            mounted.path if mounted else "unmatched",
            str(response.status),
        )
        if is_debug():
            log.debug(
                "request_answered",
                correlation_id=correlation_id,
                method=labels[1],
                route=labels[2],
                status=response.status,
            )
        self._requests.labels(*labels).inc()
        self._seconds.labels(*labels).observe((self._clock.monotonic_ms() - started_ms) / 1000)
        return response

    def _endpoint(self, mounted: Mounted) -> Callable[[web.Request], Awaitable[web.StreamResponse]]:
        route = mounted.route
        query = None if route.query is None else QueryReader(route.query)
        body = None if route.body is None else BodyReader(route.body, is_optional=route.body_optional)
        # one that names it itself decides itself what another tenant finds; at the root there are no tenants
        has_tenant_checked = bool(mounted.instance) and not (query is not None and query.knows(TENANT_PARAMETER))
        scope = Scope(route, mounted.parameters, self._owners)
        witness = self._witness(mounted, scope)
        max_bytes = self._settings.max_body_bytes if route.max_body_bytes is None else route.max_body_bytes

        async def endpoint(request: web.Request) -> web.StreamResponse:
            caller = ANONYMOUS if route.open else await self._caller(request, route)
            if has_tenant_checked:
                _check_tenant(request)
            call = Call(
                request=request,
                path=_path(request),
                query=None if query is None else query.read(request.query),
                caller=caller,
                correlation_id=_correlation_id.get(),
            )
            if body is not None:
                timeout_ms = self._settings.body_timeout_ms
                call.body = body.read(await read_bytes(request, max_bytes=max_bytes, timeout_ms=timeout_ms))
            await scope.check(call)
            if witness is None:
                return await self._answered(call, mounted, await route.handler(call))
            begun = await witness.begin(call)
            given = await route.handler(call)
            if isinstance(given, Stream):  # what goes out of it comes after the entry
                await witness.end(call, begun, route.status, None)
                return await self._answered(call, mounted, given)
            response = await self._answered(call, mounted, given)
            if response.status < 400:
                await witness.end(call, begun, response.status, body_of(response))
            return response

        return endpoint

    def _witness(self, mounted: Mounted, scope: Scope) -> Witness | None:
        if self._auditor is None or not mounted.route.audited:
            return None
        reading = (one for one in self._mounted if one.route.method == "GET" and one.path == mounted.path)
        return Witness(mounted, next(reading, None), scope, self._auditor)

    async def _answered(self, call: Call, mounted: Mounted, given: object) -> web.StreamResponse:
        if isinstance(given, Stream):
            return await self._send(call.request, given, mounted.route.status)
        if isinstance(given, web.StreamResponse):
            return given
        return render.answer(call, mounted, given if isinstance(given, Answer) else Answer(body=given))

    async def _caller(self, request: web.Request, route: Route) -> Caller:
        caller = await self._keys.caller(request.headers)
        assert route.needs is not None
        caller.require(route.needs)
        return caller

    async def _send(self, request: web.Request, stream: Stream, status: int) -> web.StreamResponse:
        headers = {"Content-Type": stream.content_type, **stream.headers}
        try:
            chunk: bytes | None = await anext(stream.chunks, None)
            if request.method == "HEAD":
                return web.Response(status=status, headers=headers)
            response = web.StreamResponse(status=status, headers=headers)
            await response.prepare(request)
            try:
                while chunk is not None:
                    if chunk:
                        async with asyncio.timeout(self._settings.write_timeout_ms / 1000):
                            await response.write(chunk)
                    chunk = await anext(stream.chunks, None)
                await response.write_eof()
            except Exception as error:  # the status has gone out: only a cut tells the reader that this is not all
                if request.transport is None or request.transport.is_closing():
                    log.debug("stream_reader_left", path=request.path)
                else:
                    if isinstance(error, Refusal):
                        log.warning("stream_broken_off", path=request.path, reason=error.reason)
                    else:
                        log.exception("stream_broke", path=request.path)
                    request.transport.abort()
            return response
        finally:
            if isinstance(stream.chunks, _Closable):
                await stream.chunks.aclose()


async def _expect(_: web.Request) -> None:
    """Say "100 Continue" only when the body is about to be read, not to one without a key."""


async def _add_common_headers(_: web.Request, response: web.StreamResponse) -> None:
    render.add_common_headers(response, _correlation_id.get(""))


def _check_tenant(request: web.Request) -> None:
    for tenant in request.query.getall(TENANT_PARAMETER, ()):
        if tenant != TENANT:
            raise NotFound(f"there is no tenant {tenant!r}")


def _path(request: web.Request) -> dict[str, str]:
    return dict(request.match_info)


def _printable(text: str) -> str:
    return "".join(char for char in text[:_LONGEST_CORRELATION_ID] if "\x20" <= char <= "\x7e").strip()
