"""Metadata: read and changed, by REST and by other services, and told when it changes."""

import asyncio
from collections.abc import Callable, Iterable, Mapping
from typing import Any

from pydantic_core import to_json

from kaa.core.applications import Applications
from kaa.core.clock import Clock
from kaa.core.errors import InvalidInput, NotFound, PreconditionFailed, Refusal
from kaa.core.storage.outbox import Outbox
from kaa.protocols import epmmp
from kaa.protocols.names import AppVersionName, EndpointId

from ..events import Events
from ..metadata import check, check_value, read_value
from ..models import Change, Metadata
from ..patch import Patch, read_patch
from ..repository import EndpointRepository, MetadataRepository

_MAX_COMMANDS = 10_000
_STEP = 250  # the events of one commit go out in one go, and nothing else meanwhile
_MAX_VERSIONS_ASKED = 10_000
_NAMED = 3

Precondition = Callable[[Metadata], None]
"""Refuses a change of metadata that is not as the caller thinks."""


def _always(_: Metadata) -> None:
    pass


class MetadataRegister:
    """Keeps metadata.

    Who changes it by REST, or one endpoint's by message, is answered when those who listen have heard of it, or after
    a second.
    """

    def __init__(
        self,
        *,
        endpoints: EndpointRepository,
        metadata: MetadataRepository,
        events: Events,
        applications: Applications[Any],
        outbox: Outbox,
        clock: Clock,
    ) -> None:
        self._endpoints, self._metadata, self._applications = endpoints, metadata, applications
        self._events, self._outbox, self._clock = events, outbox, clock

    async def get(self, endpoint_id: str) -> Metadata:
        """Give an endpoint's metadata; NotFound if there is no such endpoint."""
        return await self._metadata.get(endpoint_id)

    async def find_keys(self, application: str) -> dict[str, list[str]]:
        """Give the metadata keys that the endpoints of each version have, at most ten thousand in all.

        NotFound if there is no such application.
        """
        versions = sorted(self._applications.get(application).versions)
        found = await self._metadata.find_keys(versions)
        return {version: found.get(version, []) for version in versions}

    async def replace(self, endpoint_id: str, values: Mapping[str, Any], precondition: Precondition) -> Metadata:
        """Have metadata replaced as a whole."""
        check(values)
        return await self._change(endpoint_id, precondition, lambda _: values)

    async def patch(self, endpoint_id: str, patch: Patch, precondition: Precondition) -> Metadata:
        """Change metadata by a JSON Patch.

        Raises:
            Conflict: a place is not there, or a test has failed.
        """
        return await self._change(endpoint_id, precondition, lambda now: patch.apply(dict(now.values)))

    async def put_key(self, endpoint_id: str, key: str, value: Any, precondition: Precondition) -> Metadata:
        """Set one key."""
        check_value(value, f"metadata.{key[:80]}")
        return await self._change(endpoint_id, precondition, _setting({key: value}))

    async def remove_key(self, endpoint_id: str, key: str, precondition: Precondition) -> Metadata:
        """Remove one key; NotFound if it is not there."""

        def without(now: Metadata) -> Mapping[str, Any]:
            value_of(now, key)
            return {name: value for name, value in now.values.items() if name != key}

        return await self._change(endpoint_id, precondition, without)

    async def on_get(self, request: epmmp.EndpointMetadataGetRequest) -> epmmp.EndpointMetadataGetResponse:
        """Give metadata, or those of its keys that are asked for and there, or neither, with tag and version."""
        found = await self._metadata.get(request.endpoint_id)
        return epmmp.EndpointMetadataGetResponse(
            correlation_id=request.correlation_id,
            timestamp_ms=self._clock.now_ms(),
            endpoint_id=request.endpoint_id,
            e_tag=found.tag,
            payload=to_json(included(found, request.include)) if request.include_metadata else None,
            status_code=200,
            app_version_name=found.app_version,
        )

    async def on_keys(self, request: epmmp.EndpointMetadataKeysGetRequest) -> epmmp.EndpointMetadataKeysGetResponse:
        """Name the keys."""
        found = await self._metadata.get(request.endpoint_id)
        return epmmp.EndpointMetadataKeysGetResponse(
            correlation_id=request.correlation_id,
            timestamp_ms=self._clock.now_ms(),
            endpoint_id=request.endpoint_id,
            keys=tuple(found.values),
            status_code=200,
        )

    async def on_patch(self, request: epmmp.EndpointMetadataPatchRequest) -> epmmp.EndpointMetadataPatchResponse:
        """Patch metadata, if it is as `ifMatch` says."""
        await self.patch(request.endpoint_id, read_patch(request.patch), _matching(request.if_match))
        return epmmp.EndpointMetadataPatchResponse(
            correlation_id=request.correlation_id,
            timestamp_ms=self._clock.now_ms(),
            endpoint_id=request.endpoint_id,
            status_code=200,
        )

    async def on_update_key(
        self, request: epmmp.EndpointMetadataKeyUpdateRequest
    ) -> epmmp.EndpointMetadataKeyUpdateResponse:
        """Set one key."""
        value = read_value(request.metadata_value, "metadataValue")
        await self.put_key(request.endpoint_id, request.metadata_key, value, _always)
        return epmmp.EndpointMetadataKeyUpdateResponse(
            correlation_id=request.correlation_id,
            timestamp_ms=self._clock.now_ms(),
            endpoint_id=request.endpoint_id,
            status_code=200,
        )

    async def on_update_keys(
        self, request: epmmp.EndpointMetadataKeyBatchUpdateRequest
    ) -> epmmp.EndpointMetadataKeyBatchUpdateResponse:
        """Set keys of many endpoints, a few hundred in one step.

        What is wrong in itself refuses all of it. Endpoints that are not there, or whose metadata is full, are left
        alone, and the phrase of the answer names some: they must not keep the others from being written for ever.
        """
        if len(request.commands) > _MAX_COMMANDS:
            raise InvalidInput(f"commands: more than {_MAX_COMMANDS}")
        wanted: dict[EndpointId, dict[str, Any]] = {}
        for at, command in enumerate(request.commands):
            if at % _STEP == 0:
                await asyncio.sleep(0)
            value = read_value(command.metadata_value, f"commands[{at}].metadataValue")
            wanted.setdefault(command.endpoint_id, {})[command.metadata_key] = value
        changes = [(endpoint_id, _setting(values)) for endpoint_id, values in wanted.items()]
        left: dict[EndpointId, Refusal] = {}
        for at in range(0, len(changes), _STEP):
            left |= await self._metadata.update_all(
                dict(changes[at : at + _STEP]), at_ms=self._clock.now_ms(), tell=self._events.metadata_updated
            )
        return epmmp.EndpointMetadataKeyBatchUpdateResponse(
            correlation_id=request.correlation_id,
            timestamp_ms=self._clock.now_ms(),
            status_code=200,
            reason_phrase=_named(left) if left else None,
        )

    async def on_app_versions(
        self, request: epmmp.AppVersionsByEndpointsRequest
    ) -> epmmp.AppVersionsByEndpointsResponse:
        """Give the versions of endpoints, as far as they are there."""
        if len(request.endpoint_ids) > _MAX_VERSIONS_ASKED:
            raise InvalidInput(f"endpointIds: more than {_MAX_VERSIONS_ASKED}")
        versions: dict[AppVersionName, list[EndpointId]] = {}
        for one in await self._endpoints.find_by_id(request.endpoint_ids):
            versions.setdefault(one.app_version, []).append(one.id)
        return epmmp.AppVersionsByEndpointsResponse(
            correlation_id=request.correlation_id,
            timestamp_ms=self._clock.now_ms(),
            endpoint_ids=request.endpoint_ids,
            app_versions_to_endpoints={version: tuple(ids) for version, ids in versions.items()},
            status_code=200,
        )

    async def _change(self, endpoint_id: str, precondition: Precondition, change: Change) -> Metadata:
        def run(now: Metadata) -> Mapping[str, Any]:
            precondition(now)
            return change(now)

        changed, told = await self._metadata.update(
            endpoint_id, run, at_ms=self._clock.now_ms(), tell=self._events.metadata_updated
        )
        await self._outbox.settled([message.correlation_id for _, message in told])
        return changed


def value_of(metadata: Metadata, key: str) -> Any:
    """Give the value of a key; NotFound if it is not there."""
    if key not in metadata.values:
        raise NotFound(f"there is no metadata key {key[:80]!r}")
    return metadata.values[key]


def included(metadata: Metadata, keys: Iterable[str]) -> dict[str, Any]:
    """Give those keys that are there, in the order of the metadata; all if none is named."""
    named = frozenset(keys)
    return {key: value for key, value in metadata.values.items() if not named or key in named}


def _setting(values: Mapping[str, Any]) -> Change:
    return lambda now: {**now.values, **values}


def _matching(tags: str | None) -> Precondition:
    """Read `ifMatch` of 19/EPMMP, which means what the header of HTTP does."""
    if tags is None:
        return _always
    named = {tag.strip().removeprefix("W/").strip('"') for tag in tags.split(",")}

    def check_tag(now: Metadata) -> None:
        if now.tag not in named and "*" not in named:
            raise PreconditionFailed("ifMatch names another state than the current one; read it again and retry")

    return check_tag


def _named(left: Mapping[EndpointId, Refusal]) -> str:
    some = "; ".join(no.reason for no in list(left.values())[:_NAMED])
    return f"{len(left)} endpoints were left alone: {some}" + ("; …" if len(left) > _NAMED else "")
