"""The rules of EPMX: it keeps nothing, and changes no key that the device may not write.

What depends on the metadata as it is (a replacement, a deletion) is read, worked out, and written only if nobody has
written meanwhile; else it is done over. So two writers never lose each other's keys. Messages of one endpoint take
effect in the order in which they came.
"""

import asyncio
from collections.abc import Callable, Mapping, Sequence
from typing import Any, TypeVar
from weakref import WeakValueDictionary

import msgspec

from kaa.core.applications import Applications
from kaa.core.bus import Bus, expect
from kaa.core.clock import Clock
from kaa.core.errors import Forbidden, InvalidInput, NotFound, PreconditionFailed, TimedOut, Unavailable
from kaa.core.ids import Ids
from kaa.core.subjects import RequestSubject
from kaa.protocols import epmmp, epmp
from kaa.protocols.esp import ClientData, ExtensionData
from kaa.protocols.names import EndpointId

from .config import EpmxSettings

R = TypeVar("R")
Operations = list[dict[str, Any]]

_ATTEMPTS = 10


class Metadata:
    """What devices may do with the metadata of their endpoint."""

    def __init__(
        self,
        *,
        register: str,
        applications: Applications[EpmxSettings],
        bus: Bus,
        clock: Clock,
        ids: Ids,
        timeout_ms: int,
    ) -> None:
        self._register, self._applications = register, applications
        self._bus, self._clock, self._ids = bus, clock, ids
        self._timeout_ms = timeout_ms
        self._turns: WeakValueDictionary[EndpointId, asyncio.Lock] = WeakValueDictionary()

    async def on_client_data(self, message: ClientData) -> ExtensionData:
        """Do what a device asks; a Refusal tells it why not."""
        if message.endpoint_id is None:
            raise InvalidInput("metadata needs an endpoint; the communication service has no token in these topics")
        if message.resource_path not in epmp.RESOURCES:
            known = ", ".join(epmp.RESOURCES)
            raise NotFound(f"there is no resource {message.resource_path[:80]!r}; there are {known}")
        exchange = _Exchange(self, message.endpoint_id, self._clock.monotonic_ms() + self._timeout_ms)
        access = self._access(message)
        turn = self._turns.get(message.endpoint_id)
        if turn is None:
            turn = self._turns[message.endpoint_id] = asyncio.Lock()
        async with turn:
            answer = await exchange.run(message.resource_path, message.payload, access)
        return ExtensionData(
            correlation_id=message.correlation_id,
            timestamp_ms=self._clock.now_ms(),
            app_version_name=message.app_version_name,
            extension_instance_name=None,
            endpoint_id=message.endpoint_id,
            resource_path=message.resource_path,
            request_id=message.request_id,
            payload=answer if message.request_id is not None else None,
            status_code=200,
        )

    async def ask(self, subject: Callable[[str], RequestSubject[Any, R]], deadline_ms: int, **fields: Any) -> R:
        """Put a question to the register; the Refusal that it answers with, or TimedOut."""
        left_ms = deadline_ms - self._clock.monotonic_ms()
        if left_ms <= 0:
            raise TimedOut(f"{self._register} did not answer within {self._timeout_ms / 1000:g} s")
        where = subject(self._register)
        common = {"correlation_id": self._ids.correlation_id(), "timestamp_ms": self._clock.now_ms()}
        request = where.message(**common, timeout_ms=left_ms, **fields)
        return expect(await self._bus.request(where, request, timeout_ms=left_ms))

    def _access(self, message: ClientData) -> EpmxSettings:
        version = self._applications.find_version(message.app_version_name)
        if version is None:
            if not self._applications.is_known:
                raise Unavailable("the settings of the application are not known yet; try again later")
            raise NotFound(f"there is no application version {message.app_version_name!r}")
        # settings that could not be understood are the defaults, and these would open what was closed
        if not self._applications.get(version.application).is_valid:
            raise Unavailable(f"the settings of application {version.application!r} are not valid; see to them")
        return version.settings


class _Exchange:
    """One message of a device, and the time that is left for it."""

    def __init__(self, service: Metadata, endpoint_id: EndpointId, deadline_ms: int) -> None:
        self._service, self._endpoint_id, self._deadline_ms = service, endpoint_id, deadline_ms

    async def run(self, resource: str, payload: bytes, access: EpmxSettings) -> bytes:
        """Do what the message asks, and give the payload of the answer."""
        if resource == epmp.GET:
            return await self._get(epmp.read_get(payload), access)
        if resource == epmp.GET_KEYS:
            return await self._get_keys(access)
        if resource == epmp.DELETE_KEYS:
            await self._delete(epmp.read_delete(payload), access)
            return b""
        values = epmp.read_update(payload)
        _check(values, access.may_write, "written")
        if resource == epmp.UPDATE:
            await self._replace(values, access)
        else:
            # each key for itself, whatever the others are; no key has to be escaped
            await self._patch(
                [{"op": "add", "path": f"/{key}", "value": msgspec.Raw(value)} for key, value in values.items()], None
            )
        return b""

    async def _get(self, names: Sequence[str] | None, access: EpmxSettings) -> bytes:
        if names is not None:
            _check(names, access.may_read, "read")
        found, _ = await self._current(names or ())
        if names is None:
            return epmp.metadata({key: value for key, value in found.items() if access.may_read(key)})
        missing = next((name for name in names if name not in found), None)
        if missing is not None:
            raise NotFound(f"the endpoint has no metadata key {missing!r}")
        return epmp.metadata({name: found[name] for name in names})

    async def _get_keys(self, access: EpmxSettings) -> bytes:
        found = await self._service.ask(epmmp.metadata_keys, self._deadline_ms, endpoint_id=self._endpoint_id)
        return epmp.keys(key for key in found.keys if access.may_read(key))

    async def _replace(self, values: Mapping[str, bytes], access: EpmxSettings) -> None:
        def change(current: Mapping[str, bytes]) -> Mapping[str, bytes]:
            kept = {key: value for key, value in current.items() if not access.may_write(key)}
            return {**kept, **values}

        await self._change(change)

    async def _delete(self, names: Sequence[str], access: EpmxSettings) -> None:
        _check(names, access.may_write, "deleted")
        # one that is not there is as wanted: a device that sends again what was done must not be told that it failed
        await self._change(lambda current: {key: value for key, value in current.items() if key not in names})

    async def _change(self, change: Callable[[Mapping[str, bytes]], Mapping[str, bytes]]) -> None:
        for _ in range(_ATTEMPTS):
            current, tag = await self._current(())
            changed = change(current)
            if changed == current:
                return
            if tag is None:
                raise Unavailable("the metadata has no tag, so what others write could be lost")
            whole = {key: msgspec.Raw(value) for key, value in changed.items()}
            try:
                await self._patch([{"op": "replace", "path": "", "value": whole}], tag)
            except PreconditionFailed:
                continue
            return
        raise Unavailable("the metadata is being changed by others all the time; try again later")

    async def _current(self, names: Sequence[str]) -> tuple[dict[str, bytes], str | None]:
        """Give these keys, or all, with the tag of the whole."""
        found = await self._service.ask(
            epmmp.metadata, self._deadline_ms, endpoint_id=self._endpoint_id, include=tuple(names)
        )
        return epmp.read_metadata(found.payload), found.e_tag

    async def _patch(self, operations: Operations, tag: str | None) -> None:
        await self._service.ask(
            epmmp.patch_metadata,
            self._deadline_ms,
            endpoint_id=self._endpoint_id,
            if_match=tag,
            patch=msgspec.json.encode(operations),
        )


def _check(names: Sequence[str] | Mapping[str, bytes], may: Callable[[str], bool], done: str) -> None:
    for name in names:
        if not may(name):
            raise Forbidden(f"the metadata key {name!r} may not be {done} by devices")
