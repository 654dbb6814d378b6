"""Metadata over HTTP, with conditions: `If-Match` and `If-None-Match` name the tag that a GET gives."""

from collections.abc import Callable
from typing import Any

from pydantic import Field

from kaa.core.errors import Conflict, InvalidInput, NotFound, PreconditionFailed
from kaa.core.http import Answer, Call, Camel, Route

from ..metadata import tag_of_value
from ..models import Metadata
from ..patch import MAX_PATCH_BYTES, Operations, Patch
from ..service import MetadataRegister
from ..service.metadata import Precondition, included, value_of


class MetadataQuery(Camel):
    """Which keys are wanted; all if none is named."""

    include: tuple[str, ...] = Field((), description="Only these keys")


def routes(register: MetadataRegister) -> list[Route]:
    """Give all that can be asked for."""
    api = _Api(register)
    whole, one = "/endpoints/{endpointId}/metadata", "/endpoints/{endpointId}/metadata/{key}"
    return [
        Route(
            method="GET",
            path=whole,
            handler=api.get_metadata,
            summary="The metadata of an endpoint",
            shows={"room": "kitchen", "floor": 2},
            query=MetadataQuery,
            returns=dict[str, Any],
            errors=(InvalidInput, NotFound),
            tagged=True,
        ),
        Route(
            method="PUT",
            path=whole,
            handler=api.put_metadata,
            summary="Replace the metadata of an endpoint",
            description="What is not in the body is gone.",
            example={"room": "kitchen", "floor": 2},
            shows={"room": "kitchen", "floor": 2},
            body=dict[str, Any],
            returns=dict[str, Any],
            errors=(InvalidInput, NotFound, PreconditionFailed),
        ),
        Route(
            method="PATCH",
            path=whole,
            handler=api.patch_metadata,
            summary="Change the metadata of an endpoint by a JSON Patch (RFC 6902)",
            description="All operations are done, or none.",
            example=[{"op": "add", "path": "/floor", "value": 3}],
            shows={"room": "kitchen", "floor": 3},
            means={409: "A test has failed, or there is no such place to change"},
            body=Operations,
            content_types=("application/json-patch+json",),
            max_body_bytes=MAX_PATCH_BYTES,
            returns=dict[str, Any],
            errors=(InvalidInput, NotFound, Conflict, PreconditionFailed),
        ),
        Route(
            method="GET",
            path="/endpoints/{endpointId}/metadata-keys",
            handler=api.get_keys,
            summary="The keys of an endpoint's metadata",
            shows=["floor", "room"],
            returns=list[str],
            errors=(NotFound,),
            tagged=True,
        ),
        Route(
            method="GET",
            path="/applications/{applicationName}/metadata-keys",
            handler=api.get_keys_of_application,
            summary="The metadata keys that the endpoints of an application have, by version",
            shows={"smart-home-v1": ["floor", "room"]},
            returns=dict[str, list[str]],
            errors=(NotFound,),
        ),
        Route(
            method="GET",
            path=one,
            handler=api.get_key,
            summary="The value of one metadata key",
            shows="kitchen",
            returns=Any,
            errors=(NotFound,),
            tagged=True,
        ),
        Route(
            method="PUT",
            path=one,
            handler=api.put_key,
            summary="Set one metadata key, to any JSON value",
            description="Whoever has read the whole may also name the tag of the whole in `If-Match`.",
            example="kitchen",
            means={404: "There is no such endpoint"},
            body=Any,
            status=204,
            errors=(InvalidInput, NotFound, PreconditionFailed),
        ),
        Route(
            method="DELETE",
            path=one,
            handler=api.delete_key,
            summary="Remove one metadata key",
            status=204,
            errors=(NotFound, PreconditionFailed),
        ),
    ]


class _Api:
    def __init__(self, register: MetadataRegister) -> None:
        self._register = register

    async def get_metadata(self, call: Call) -> Answer:
        query: MetadataQuery = call.query
        found = await self._register.get(call.path["endpointId"])
        return Answer(body=included(found, query.include), etag=found.tag)

    async def put_metadata(self, call: Call) -> Answer:
        changed = await self._register.replace(call.path["endpointId"], call.body, _condition(call, _tag))
        return _whole(changed)

    async def patch_metadata(self, call: Call) -> Answer:
        changed = await self._register.patch(call.path["endpointId"], Patch(call.body), _condition(call, _tag))
        return _whole(changed)

    async def get_keys(self, call: Call) -> Answer:
        found = await self._register.get(call.path["endpointId"])
        return Answer(body=list(found.values), etag=found.tag)

    async def get_keys_of_application(self, call: Call) -> dict[str, list[str]]:
        return await self._register.find_keys(call.path["applicationName"])

    async def get_key(self, call: Call) -> Answer:
        found = await self._register.get(call.path["endpointId"])
        value = value_of(found, call.path["key"])
        return Answer(body=value, etag=tag_of_value(value))

    async def put_key(self, call: Call) -> Answer:
        endpoint_id, key = call.path["endpointId"], call.path["key"]
        await self._register.put_key(endpoint_id, key, call.body, _condition(call, _tag_of(key)))
        return Answer(etag=tag_of_value(call.body))

    async def delete_key(self, call: Call) -> Answer:
        endpoint_id, key = call.path["endpointId"], call.path["key"]
        await self._register.remove_key(endpoint_id, key, _condition(call, _tag_of(key)))
        return Answer()


def _whole(metadata: Metadata) -> Answer:
    return Answer(body=dict(metadata.values), etag=metadata.tag)


def _tag(metadata: Metadata) -> str:
    return metadata.tag


def _tag_of(key: str) -> Callable[[Metadata], str | None]:
    return lambda metadata: tag_of_value(metadata.values[key]) if key in metadata.values else None


def _condition(call: Call, tag_of: Callable[[Metadata], str | None]) -> Precondition:
    """Hold the request's conditions against the state that it would change.

    A key may be changed upon the tag of the whole metadata, too: who has read the whole knows the key. The request's
    headers are read on the writer's thread, where the state is known.
    """
    is_any = call.headers.get("If-Match", "").strip() == "*"

    def check(metadata: Metadata) -> None:
        tag = tag_of(metadata)
        try:
            call.if_match(tag)
        except PreconditionFailed:
            if is_any:
                raise
            call.if_match(metadata.tag)
        if tag is not None and call.is_not_modified(tag):
            raise PreconditionFailed("If-None-Match names the current state")

    return check
