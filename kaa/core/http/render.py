"""From what a handler gives, or raises, to an HTTP response; the one place where errors become JSON."""

from typing import Any
from urllib.parse import quote

import pydantic_core
import structlog
from aiohttp import web

from kaa.core.errors import Refusal, TooLarge, Unauthenticated

from .route import Answer, Call, Mounted, bare_etag

log = structlog.get_logger(__name__)

JSON = "application/json"
PROMPT = 'Basic realm="kaa", charset="UTF-8"'
"""Has a browser ask for a key; without it nothing but the page of documents does."""
_BODILESS = frozenset({204, 304})
_KEPT_HEADERS = ("Allow", "Location", "Retry-After")


def to_json(value: Any) -> bytes:
    """JSON by wire names; what is not finite becomes null, for JSON has no word for it."""
    return pydantic_core.to_json(value, by_alias=True, inf_nan_mode="null")


def error(status: int, message: str) -> web.Response:
    """Give the response that every error has."""
    return web.Response(status=status, body=to_json({"message": message}), content_type=JSON)


def add_common_headers(response: web.StreamResponse, correlation_id: str) -> None:
    """Add what every response has."""
    if correlation_id:
        response.headers["Correlation-ID"] = correlation_id
    response.headers["X-Content-Type-Options"] = "nosniff"
    response.headers["Server"] = "kaa"


def answer(call: Call, mounted: Mounted, answer: Answer) -> web.Response:
    """Give the response for an answer."""
    route = mounted.route
    status = answer.status or route.status
    headers = dict(answer.headers)
    if answer.etag is not None:
        headers["ETag"] = f'"{bare_etag(answer.etag)}"'
        if status == 200 and call.request.method in {"GET", "HEAD"} and call.is_not_modified(answer.etag):
            status = 304
    if answer.location is not None:
        headers["Location"] = f"{call.base_url}{mounted.base}{quote(answer.location, safe=_PATH_SAFE)}"
    # A body that is declared and None is the JSON null; one that is not declared is nothing.
    is_empty = answer.body is None and (route.returns is None or status != route.status)
    if status in _BODILESS or is_empty:
        return web.Response(status=status, headers=headers)
    if isinstance(answer.body, bytes):
        headers.setdefault("Content-Type", "application/octet-stream")
        return web.Response(status=status, headers=headers, body=answer.body)
    headers.setdefault("Content-Type", JSON)
    return web.Response(status=status, headers=headers, body=to_json(answer.body))


def failure(raised: Exception, correlation_id: str) -> web.Response:
    """Give the response for whatever was raised; what is not a refusal is logged here, and its cause stays here."""
    if isinstance(raised, Refusal):
        response = error(raised.status, raised.reason)
        if isinstance(raised, Unauthenticated):
            response.headers["WWW-Authenticate"] = "Bearer"
        if isinstance(raised, TooLarge):
            response.force_close()  # the rest of the body is not waited for
        return response
    if isinstance(raised, web.HTTPException):
        response = error(raised.status, _SENTENCES.get(raised.status, raised.reason))
        for name in _KEPT_HEADERS:
            if name in raised.headers:
                response.headers[name] = raised.headers[name]
        return response
    log.error("request_failed", exc_info=raised)
    return error(500, f"internal error; see the log for correlation id {correlation_id}")


_PATH_SAFE = "/~:@!$&'()*+,;="
_SENTENCES = {
    404: "there is nothing at this path",
    405: "this path does not take that method; Allow names those it takes",
}
