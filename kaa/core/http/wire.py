"""Where aiohttp ends and the house begins: its server, taught to answer in JSON even to what is no HTTP."""

import structlog
from aiohttp import web
from aiohttp.http_exceptions import HttpProcessingError
from aiohttp.web_protocol import RequestHandler

from . import render

log = structlog.get_logger(__name__)


class JsonRunner(web.AppRunner):
    """A runner whose connections answer every error in JSON."""

    async def _make_server(self) -> web.Server:
        server = await super()._make_server()
        return _JsonServer(server.request_handler, request_factory=server.request_factory, **server._kwargs)  # noqa: SLF001 - aiohttp has no other door to its connection class


class _JsonServer(web.Server):
    def __call__(self) -> RequestHandler:
        return _JsonConnection(self, loop=self._loop, **self._kwargs)


class _JsonConnection(RequestHandler):
    __slots__ = ()

    def handle_error(
        self,
        request: web.BaseRequest,
        status: int = 500,
        exc: BaseException | None = None,
        message: str | None = None,
    ) -> web.StreamResponse:
        """Answer what did not get as far as a route; the connection is closed after it."""
        if request.writer.output_size > 0:
            raise ConnectionError("an answer has begun already")
        if isinstance(exc, HttpProcessingError):
            log.debug("not_http", peer=request.remote)
            response = render.error(400, f"this is not valid HTTP: {(message or 'malformed').splitlines()[0]}")
        else:
            log.error("request_failed", exc_info=exc)
            response = render.error(status, "internal error")
        render.add_common_headers(response, "")  # there is no request that could have named it
        response.force_close()
        return response
