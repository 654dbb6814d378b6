"""What a change over REST leaves for the audit log: what a GET of the same path gives before it and after it."""

import asyncio
import re
from collections.abc import AsyncGenerator, AsyncIterator
from dataclasses import dataclass
from typing import Any, Protocol

import structlog
from aiohttp import web
from pydantic_core import from_json

from kaa.core.auth import Caller
from kaa.core.errors import Refusal

from . import render
from .read import QueryReader
from .route import Answer, Call, Mounted, Stream
from .scope import Scope

log = structlog.get_logger(__name__)

LONGEST_BYTES = 16 * 1024
HIDDEN = "***"
_LONGEST_PATH = 2_048
# What streams beyond this is not read to its end; what is larger than that is not looked at on the loop.
_LONGEST_STREAM = 256 * 1024
_LARGE_BYTES = 64 * 1024
_SECRETS = ("password", "passwd", "passphrase", "token", "secret", "privatekey", "apikey", "accesskey", "authorization")


@dataclass(frozen=True, slots=True)
class Shown:
    """A state as JSON, without its secrets; None if there was none. Only its beginning if it is cut."""

    text: str | None = None
    is_cut: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Change:
    """A change that was made."""

    caller: Caller
    method: str
    path: str
    operation: str
    application: str | None = None
    status: int
    correlation_id: str
    before: Shown = Shown()
    after: Shown = Shown()


class Auditor(Protocol):
    """Where changes are kept."""

    async def record(self, change: Change) -> None:
        """Keep a change, on the disk on return; never raises, for the change has been made."""


@dataclass(frozen=True, slots=True)
class Begun:
    """What was there before a change."""

    application: str | None
    before: Shown


class Witness:
    """Sees the changes that are made by one route; `reading` is the GET of the same path, where there is one."""

    def __init__(self, mounted: Mounted, reading: Mounted | None, scope: Scope, auditor: Auditor) -> None:
        self._mounted, self._scope, self._auditor = mounted, scope, auditor
        self._reading = reading if mounted.route.method in {"PUT", "PATCH", "DELETE"} else None
        query = None if self._reading is None else self._reading.route.query
        self._query = None if query is None else QueryReader(query)
        # what a GET would give is what the change is answered with
        returns = mounted.route.returns
        self._is_told = self._reading is None or (returns is not None and returns == self._reading.route.returns)

    async def begin(self, call: Call) -> Begun:
        """Look before the change."""
        async with asyncio.TaskGroup() as together:
            application = together.create_task(self._application(call))
            before = together.create_task(self._look(call))
        return Begun(application.result(), before.result())

    async def end(self, call: Call, begun: Begun, status: int, body: bytes | None) -> None:
        """Look after the change, and have it kept; `body` is the JSON that it is answered with."""
        try:
            await self._end(call, begun, status, body)
        except Exception:  # a bug of ours makes no failure of a change that was made
            log.exception("change_not_logged", path=self._mounted.path)

    async def _end(self, call: Call, begun: Begun, status: int, body: bytes | None) -> None:
        after = await _shown(body, _last(call)) if self._is_told else await self._look(call)
        route = self._mounted.route
        change = Change(
            caller=call.caller,
            method=route.method,
            path=call.request.rel_url.raw_path[:_LONGEST_PATH],
            operation=route.summary,
            application=begun.application,
            status=status,
            correlation_id=call.correlation_id,
            before=begun.before,
            after=after,
        )
        await self._auditor.record(change)

    async def _application(self, call: Call) -> str | None:
        try:
            return await self._scope.application_of(call)
        except Refusal:
            return None
        except Exception:  # as below
            log.exception("application_not_known", path=self._mounted.path)
            return None

    async def _look(self, call: Call) -> Shown:
        if self._reading is None:
            return Shown()
        try:
            query = None if self._query is None else self._query.read(call.request.query)
            asked = Call(request=call.request, path=call.path, query=query, caller=call.caller)
            given = await self._reading.route.handler(asked)
            if isinstance(given, Stream):
                data = await _head(given.chunks)
            else:
                answer = given if isinstance(given, Answer) else Answer(body=given)
                data = body_of(render.answer(asked, self._reading, answer))
        except Refusal:  # there is nothing, or it cannot be asked for as the change is
            return Shown()
        except Exception:  # the log shall not stand in the way of the change
            log.exception("state_not_seen", path=self._mounted.path)
            return Shown()
        return Shown(None, is_cut=True) if data is None else await _shown(data, _last(call))


def body_of(response: web.StreamResponse) -> bytes:
    """Give the JSON that a response has; nothing if it has something else."""
    if isinstance(response, web.Response) and response.content_type == render.JSON and isinstance(response.body, bytes):
        return response.body
    return b""


def is_secret(name: str) -> bool:
    """Whether what stands under a name is not to be kept."""
    plain = re.sub(r"[\W_]", "", name).lower()
    return plain == "key" or plain.endswith(_SECRETS)


def hidden(value: Any) -> Any:
    """Give a value of JSON with its secrets hidden."""
    if isinstance(value, dict):
        return {name: HIDDEN if held is not None and is_secret(name) else hidden(held) for name, held in value.items()}
    if isinstance(value, list):
        return [hidden(one) for one in value]
    return value


def shown(data: bytes, name: str = "") -> Shown:
    """Give what is kept of JSON; under a secret's name nothing is."""
    try:
        value = from_json(data)
    except ValueError:
        return Shown()
    text = render.to_json(HIDDEN if is_secret(name) and value is not None else hidden(value))
    if len(text) <= LONGEST_BYTES:
        return Shown(text.decode())
    return Shown(text[:LONGEST_BYTES].decode(errors="ignore"), is_cut=True)


async def _shown(data: bytes | None, name: str) -> Shown:
    if not data:
        return Shown()
    return await asyncio.to_thread(shown, data, name) if len(data) > _LARGE_BYTES else shown(data, name)


async def _head(chunks: AsyncIterator[bytes]) -> bytes | None:
    """Read a stream; None if it is too long."""
    data = b""
    try:
        async for chunk in chunks:
            data += chunk
            if len(data) > _LONGEST_STREAM:
                return None
    finally:
        if isinstance(chunks, AsyncGenerator):
            await chunks.aclose()
    return data


def _last(call: Call) -> str:
    """Give the last parameter of the path: a value that has a path of its own has its name there."""
    return next(reversed(call.path.values()), "")
