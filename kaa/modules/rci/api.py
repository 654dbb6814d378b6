"""RCI over HTTP."""

from typing import Any

from pydantic import Field

from kaa.core.errors import InvalidInput, NotFound, TimedOut, TooLarge, TooMany, Unavailable
from kaa.core.http import Answer, Call, Camel, Route
from kaa.protocols import cep

from .addresses import Allowed
from .models import FIRST_ID
from .service import Invocations
from .views import CommandView, command_json

_JSON = {"Content-Type": "application/json"}
_LONGEST_WAIT_S = 60
_LONGEST_TTL_MS = 366 * 86_400_000


class InvocationQuery(Camel):
    """How long the result is waited for, in seconds; or where it is posted, and how long the command lives then."""

    await_timeout: float | None = Field(
        default=None, gt=0, le=_LONGEST_WAIT_S, description="How long the result is waited for, in seconds"
    )
    callback: str | None = Field(default=None, description="A URL that the result is posted to, instead of waiting")
    command_ttl: int | None = Field(
        default=None,
        ge=1,
        le=_LONGEST_TTL_MS,
        description="With a callback: how long the command lives, in milliseconds",
    )


def routes(
    invocations: Invocations, allowed: Allowed, *, wait_ms: int, ttl_ms: int, max_payload_bytes: int
) -> list[Route]:
    """Give all that can be asked for."""
    api = _Api(invocations, allowed, wait_ms=wait_ms, ttl_ms=ttl_ms)
    path = "/endpoints/{endpointId}/commands/{commandType}"
    return [
        Route(
            method="POST",
            path=path,
            handler=api.post_command,
            summary="Have a command run: 200 with the result's payload; with a callback 202, and the result is posted",
            description=(
                "The endpoint's own status and phrase are in `X-Command-Status-Code` and `X-Command-Reason-Phrase`."
            ),
            example={"on": True},
            means={
                200: "The endpoint has answered; the body is its payload, empty if it gave none",
                202: "The result will be posted to the callback; `Location` says where it can be read",
                503: "The service of commands is not there; the command was not sent",
                504: "The endpoint gave no result in time",
            },
            query=InvocationQuery,
            body=bytes,
            body_optional=True,
            content_types=("application/json", cep.TEXT),
            max_body_bytes=max_payload_bytes,
            returns=Any,
            also={202: None},
            errors=(InvalidInput, NotFound, TooLarge, TooMany, Unavailable, TimedOut),
        ),
        Route(
            method="GET",
            path=f"{path}/{{commandId}}",
            handler=api.get_command,
            summary="One command, and what has become of it",
            description="Ids from here are from 2^30 up; those of `cex` are below.",
            returns=CommandView,
            errors=(NotFound,),
        ),
    ]


class _Api:
    def __init__(self, invocations: Invocations, allowed: Allowed, *, wait_ms: int, ttl_ms: int) -> None:
        self._invocations, self._allowed = invocations, allowed
        self._wait_ms, self._ttl_ms = wait_ms, ttl_ms

    async def post_command(self, call: Call) -> Answer:
        query: InvocationQuery = call.query
        endpoint_id, command_type = call.path["endpointId"], call.path["commandType"]
        payload = cep.payload_of(call.body, call.request.content_type)
        if query.callback is not None:
            self._allowed.check(query.callback)
            ttl_ms = self._ttl_ms if query.command_ttl is None else query.command_ttl
            command_id = await self._invocations.begin(
                endpoint_id, command_type, payload, ttl_ms=ttl_ms, callback=query.callback
            )
            return Answer(status=202, location=f"/endpoints/{endpoint_id}/commands/{command_type}/{command_id}")
        wait_ms = self._wait_ms if query.await_timeout is None else round(query.await_timeout * 1_000)
        outcome = await self._invocations.invoke(endpoint_id, command_type, payload, wait_ms=wait_ms)
        headers = cep.result_headers(outcome.status_code, outcome.reason_phrase)
        return Answer(body=outcome.payload or b"", headers=headers)

    async def get_command(self, call: Call) -> Answer:
        text = call.path["commandId"]
        is_id = text.isascii() and text.isdecimal() and len(text) <= 10
        if not is_id or not FIRST_ID <= int(text) <= cep.MAX_COMMAND_ID:
            raise NotFound(f"there is no command {text[:80]!r}: ids from here are from {FIRST_ID} up")
        found = await self._invocations.get(call.path["endpointId"], call.path["commandType"], int(text))
        return Answer(body=command_json(found), headers=_JSON)
