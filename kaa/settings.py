"""Keeps every instance's view of the applications up to date, over the bus: x-settings and 17/SCMP.

The modules declare what their settings look like and are handed the result; asking Tekton, hearing of changes and
answering its questions about a document are the same for all of them, and done here.
"""

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from typing import Any

import structlog
from pydantic import BaseModel, ValidationError
from pydantic_core import to_json

from kaa.core.applications import Application, Applications, Version
from kaa.core.bus import Bus, expect
from kaa.core.clock import Clock
from kaa.core.config import validate_written_json
from kaa.core.errors import Refusal
from kaa.core.ids import Ids
from kaa.core.lifecycle import Instance
from kaa.core.tasks import Tasks
from kaa.protocols import scmp, x_settings
from kaa.protocols.names import ApplicationName
from kaa.protocols.x_outbox import EventProcessed

log = structlog.get_logger(__name__)

_AGAIN_MS = 1_000


class Follower:
    """Follows the settings of one instance."""

    def __init__(
        self,
        instance: Instance[Any],
        model: type[BaseModel] | None,
        *,
        tekton: str,
        bus: Bus,
        clock: Clock,
        ids: Ids,
        tasks: Tasks,
    ) -> None:
        self._instance, self._model, self._tekton = instance, model, tekton
        self._bus, self._clock, self._ids, self._tasks = bus, clock, ids, tasks
        self._applications: Applications[Any] = instance.applications
        self._one_at_a_time = asyncio.Lock()

    @asynccontextmanager
    async def opened(self) -> AsyncIterator[None]:
        """Follow while the block lasts; what there is now is known when it begins, if Tekton can be reached."""
        name = self._instance.name
        async with AsyncExitStack() as stack:
            hear = self._bus.subscribe
            for_all, for_one = scmp.configuration_changed(self._tekton), scmp.instance_configuration_changed(name)
            await stack.enter_async_context(hear(for_all, self.on_changed, queue=name))
            await stack.enter_async_context(hear(for_one, self.on_changed, queue=name))
            await stack.enter_async_context(hear(x_settings.validate(name), self.on_validate, queue=name))
            await stack.enter_async_context(hear(x_settings.schemas_of(name), self.on_schemas, queue=name))
            try:
                await self._load(None)
            except Refusal as no:
                log.warning("settings_not_reached", instance=name, reason=no.reason)
                task = self._tasks.spawn(self._keep_trying(), name=f"settings of {name}")
                stack.push_async_callback(self._tasks.stop, task)
            yield

    async def on_changed(
        self, event: scmp.BroadcastConfigurationUpdateEvent | scmp.ServiceSpecificConfigurationUpdateEvent
    ) -> EventProcessed:
        """Read again what has changed, and say so."""
        await self._load(event.app_name)
        return EventProcessed(
            correlation_id=event.correlation_id,
            timestamp_ms=self._clock.now_ms(),
            receiver_service_instance_name=self._instance.name,
            status_code=200,
        )

    async def on_validate(self, request: x_settings.ValidationRequest) -> x_settings.ValidationResponse:
        """Say whether a document is one of this instance's settings."""
        status, reason = 200, None
        if self._model is None:
            status, reason = 400, f"{self._instance.name} has no settings for applications"
        else:
            try:
                validate_written_json(self._model, request.settings)
            except ValidationError as error:
                status, reason = 400, sentence(error)
        return x_settings.ValidationResponse(
            correlation_id=request.correlation_id,
            timestamp_ms=self._clock.now_ms(),
            status_code=status,
            reason_phrase=reason,
        )

    async def on_schemas(self, request: x_settings.SchemaRequest) -> x_settings.SchemaResponse:
        """Give the JSON Schema of the settings; it is the same for applications and versions."""
        schema = None if self._model is None else to_json(self._model.model_json_schema(by_alias=True))
        return x_settings.SchemaResponse(
            correlation_id=request.correlation_id,
            timestamp_ms=self._clock.now_ms(),
            application_schema=schema,
            version_schema=schema,
            status_code=200,
        )

    async def _keep_trying(self) -> None:
        while True:
            await self._clock.sleep_ms(_AGAIN_MS)
            try:
                await self._load(None)
            except Refusal:
                continue
            log.info("settings_reached", instance=self._instance.name)
            return

    async def _load(self, app_name: ApplicationName | None) -> None:
        async with self._one_at_a_time:
            request = x_settings.SettingsRequest(
                correlation_id=self._ids.correlation_id(),
                timestamp_ms=self._clock.now_ms(),
                instance_name=self._instance.name,
                app_name=app_name,
            )
            answer = expect(await self._bus.request(x_settings.settings_of(self._tekton), request))
            common = self._settings("all applications", answer.common_settings)
            base = self._applications.default if common is None else common
            is_valid = common is not None or answer.common_settings is None or self._model is None
            told = [self._application(one, base, is_valid=is_valid) for one in answer.applications]
            self._applications.replace(told, only=app_name)

    def _application(self, found: x_settings.ApplicationSettings, base: Any, *, is_valid: bool) -> Application[Any]:
        """Give an application: a version's own settings are stronger than its, and these than `base`."""
        own = self._settings(found.name, found.settings)
        if own is not None:
            base, is_valid = own, True
        elif found.settings is not None and self._model is not None:
            is_valid = False
        versions = {}
        for version in found.versions:
            settings = self._settings(version.name, version.settings)
            versions[str(version.name)] = Version(version.name, found.name, base if settings is None else settings)
        return Application(found.name, base, versions, is_valid)

    def _settings(self, name: str, document: bytes | None) -> Any:
        """Give the settings of a document; None if there is none, or one that cannot be understood."""
        if document is None or self._model is None:
            return None
        try:
            return validate_written_json(self._model, document)
        except ValidationError as error:
            # they were valid when they were stored; a model that has changed since must not stop the house
            reason = sentence(error)
            log.error("settings_not_valid", instance=self._instance.name, of=name, reason=reason)  # noqa: TRY400  said
            return None


def sentence(error: ValidationError) -> str:
    """Say the first thing that is wrong, and where."""
    first = error.errors(include_url=False, include_context=False)[0]
    place = ".".join(map(str, first["loc"])) or "the document"
    return f"{place}: {first['msg']}"
