"""A small endpoint register for tests: it keeps metadata in memory, and says yes or no as the contracts have it."""

import json
from collections.abc import Awaitable, Callable
from typing import Any

from house import House

from kaa.core.errors import InvalidInput, NotFound, PreconditionFailed
from kaa.protocols import elce, eme, epmmp, x_register

NAME = "epr"


class Register:
    """What EPR is to those who ask it: endpoints with their versions and metadata."""

    def __init__(self, house: House) -> None:
        self.house = house
        self.metadata: dict[str, dict[str, Any]] = {}
        self.version: dict[str, str] = {}
        self.revision: dict[str, int] = {}
        self.asked: list[Any] = []
        self.on_ask: Callable[[Any], Awaitable[Any] | None] = lambda _: None
        """Called with every question before it is answered: here a test changes the world, raises, or has it wait."""

    async def open(self) -> "Register":
        answers = {
            epmmp.metadata(NAME): self.on_get,
            epmmp.metadata_keys(NAME): self.on_keys,
            epmmp.patch_metadata(NAME): self.on_patch,
            epmmp.update_metadata_keys(NAME): self.on_batch,
            x_register.find_endpoints(NAME): self.on_find,
        }
        for subject, handler in answers.items():
            await self.house._stack.enter_async_context(
                self.house.bus.subscribe(subject, self._noted(handler), queue=NAME, concurrency=8)
            )
        return self

    def add(self, endpoint_id: str, metadata: Any = None, version: str = "home-v1") -> None:
        self.metadata[endpoint_id] = dict(metadata or {})
        self.version[endpoint_id] = version
        self.revision[endpoint_id] = 1

    def change(self, endpoint_id: str, **values: Any) -> None:
        """Write as somebody else does, over REST say."""
        self.metadata[endpoint_id].update(values)
        self.revision[endpoint_id] += 1

    def tell_changed(self, endpoint_id: str) -> None:
        self.house.publish(
            eme.metadata_updated(NAME),
            app_version_name=self.version[endpoint_id],
            endpoint_id=endpoint_id,
            removed={},
            added={},
            updated={},
        )

    def remove(self, endpoint_id: str) -> None:
        version = self.version.pop(endpoint_id)
        del self.metadata[endpoint_id], self.revision[endpoint_id]
        self.house.publish(elce.unregistered(NAME), app_version_name=version, endpoint_id=endpoint_id)

    def questions(self, kind: type) -> list[Any]:
        return [one for one in self.asked if isinstance(one, kind)]

    def _noted(self, handler: Callable[[Any], Any]) -> Callable[[Any], Any]:
        async def run(request: Any) -> Any:
            self.asked.append(request)
            if (wait := self.on_ask(request)) is not None:
                await wait
            reply, fields = handler(request)
            for name in ("endpoint_id", "endpoint_ids"):
                if name in reply.__annotations__:
                    fields.setdefault(name, getattr(request, name, None))
            return reply(
                correlation_id=request.correlation_id,
                timestamp_ms=self.house.clock.now_ms(),
                **({"status_code": 200} | fields),
            )

        return run

    def _of(self, endpoint_id: str) -> dict[str, Any]:
        if endpoint_id not in self.metadata:
            raise NotFound(f"there is no endpoint {endpoint_id!r}")
        return self.metadata[endpoint_id]

    def on_get(self, request: Any) -> Any:
        found = self._of(request.endpoint_id)
        wanted = {key: found[key] for key in request.include or found if key in found}
        tag = f'"{self.revision[request.endpoint_id]}"'
        return epmmp.EndpointMetadataGetResponse, {"payload": json.dumps(wanted).encode(), "e_tag": tag}

    def on_keys(self, request: Any) -> Any:
        return epmmp.EndpointMetadataKeysGetResponse, {"keys": tuple(self._of(request.endpoint_id))}

    def on_patch(self, request: Any) -> Any:
        found = self._of(request.endpoint_id)
        if request.if_match not in {None, f'"{self.revision[request.endpoint_id]}"'}:
            raise PreconditionFailed("the metadata has changed")
        made = dict(found)
        for operation in json.loads(request.patch):
            key = operation["path"].removeprefix("/")
            if (operation["op"], key) == ("replace", ""):
                made = operation["value"]
            elif operation["op"] == "add":
                made[key] = operation["value"]
            else:
                raise InvalidInput(f"cannot {operation['op']} {key!r}")
        self.metadata[request.endpoint_id] = made
        self.revision[request.endpoint_id] += 1
        return epmmp.EndpointMetadataPatchResponse, {}

    def on_batch(self, request: Any) -> Any:
        if len(request.commands) > 1000:
            raise InvalidInput("more than 1000 commands")
        for command in request.commands:
            self._of(command.endpoint_id)
        for command in request.commands:
            self.change(command.endpoint_id, **{command.metadata_key: json.loads(command.metadata_value)})
        return epmmp.EndpointMetadataKeyBatchUpdateResponse, {}

    def on_find(self, request: Any) -> Any:
        there = [one for one in request.endpoint_ids if one in self.version]
        found = [
            x_register.FoundEndpoint(endpoint_id=one, app_name="home", app_version_name=self.version[one])
            for one in there
        ]
        return x_register.FindResponse, {"endpoints": tuple(found)}
