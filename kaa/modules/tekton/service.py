"""The applications, and what each instance is told about them."""

from collections.abc import Collection, Mapping
from typing import Any

from pydantic_core import from_json, to_json

from kaa.core.bus import Bus, expect
from kaa.core.clock import Clock
from kaa.core.errors import InvalidInput, NotFound
from kaa.core.ids import Ids
from kaa.core.storage.outbox import Outbox
from kaa.protocols import scmp, x_settings
from kaa.protocols.names import (
    APPLICATION_NAME,
    INSTANCE_NAME,
    TENANT,
    VERSION_SUFFIX,
    ApplicationName,
    AppVersionName,
    checked,
)

from .models import Application, Version
from .repository import CatalogueRepository, Event

_VALIDATION_MS = 5_000


class Catalogue:
    """Keeps the applications, their versions and their settings, and tells everybody of each change.

    A change has been heard by those that listen, or a second has gone by, when its method returns: a device that
    speaks right afterwards is understood.
    """

    def __init__(
        self, *, name: str, repository: CatalogueRepository, outbox: Outbox, bus: Bus, clock: Clock, ids: Ids
    ) -> None:
        self._name, self._repository, self._outbox = name, repository, outbox
        self._bus, self._clock, self._ids = bus, clock, ids

    async def add_application(
        self, name: str | None, *, display_name: str | None, description: str | None
    ) -> Application:
        """Make an application, under a made-up name if none is given."""
        chosen = self._ids.short() + self._ids.short() if name is None else checked(APPLICATION_NAME, name, what="name")
        now = self._clock.now_ms()
        made = Application(ApplicationName(chosen), display_name, description, now, now)
        event = self._change(made.name, None)
        await self._repository.add_application(made, event)
        await self._heard(event)
        return made

    async def add_version(
        self, application: str, suffix: str, *, display_name: str | None, description: str | None
    ) -> Version:
        """Make a version of an application; its name is the application's and the suffix."""
        checked(VERSION_SUFFIX, suffix, what="nameSuffix")
        now = self._clock.now_ms()
        name = AppVersionName(f"{application}-{suffix}")
        made = Version(name, ApplicationName(application), display_name, description, now, now)
        event = self._change(made.application, made.name)
        await self._repository.add_version(made, event)
        await self._heard(event)
        return made

    async def find_applications(self) -> list[Application]:
        """Give all applications, by name."""
        return await self._repository.find_applications()

    async def get_application(self, name: str) -> Application:
        """Give one application."""
        return await self._repository.get_application(name)

    async def get_version(self, application: str, name: str) -> Version:
        """Give one version of an application."""
        for version in (await self._repository.get_application(application)).versions:
            if version.name == name:
                return version
        raise NotFound(f"application {application!r} has no version {name!r}")

    async def find_settings(self, application: str, version: str | None, instances: Collection[str]) -> dict[str, Any]:
        """Give the settings by instance: of an application, or of a version; of the instances named, or of all."""
        found = await self._repository.find_settings(application, version, instances)
        return {instance: from_json(text) for instance, text in found.items()}

    async def put_settings(self, application: str, version: str | None, settings: Mapping[str, Any]) -> None:
        """Replace the settings of the instances named; null takes an instance's settings away.

        Every document is shown to the instance it belongs to before the first is stored, and all are stored in one
        step.
        """
        present = await self._repository.find_settings(application, version, ())
        documents = {instance: None if value is None else to_json(value) for instance, value in settings.items()}
        for instance, text in documents.items():
            if text is not None or instance not in present:  # what an instance that is gone has left may go, too
                await self._validate(instance, "application" if version is None else "version", text)
        event = self._change(ApplicationName(application), None if version is None else AppVersionName(version))
        if await self._repository.update_settings(application, version, documents, event):
            await self._heard(event)

    async def on_settings(self, request: x_settings.SettingsRequest) -> x_settings.SettingsResponse:
        """Tell an instance its settings."""
        found = await self._repository.get_instance_settings(request.instance_name, request.app_name)
        return x_settings.SettingsResponse(
            correlation_id=request.correlation_id,
            timestamp_ms=self._clock.now_ms(),
            revision=found.revision,
            applications=tuple(
                x_settings.ApplicationSettings(
                    name=application,
                    settings=documents[None],
                    versions=tuple(
                        x_settings.VersionSettings(name=version, settings=text)
                        for version, text in documents.items()
                        if version is not None
                    ),
                )
                for application, documents in found.documents.items()
            ),
            status_code=200,
        )

    async def _validate(self, instance: str, level: str, document: bytes | None) -> None:
        checked(INSTANCE_NAME, instance, what="instance")
        subject = x_settings.validate(instance)
        if not self._bus.is_heard(subject):
            raise InvalidInput(f"there is no instance {instance!r}")
        if document is None:
            return
        request = x_settings.ValidationRequest(
            correlation_id=self._ids.correlation_id(),
            timestamp_ms=self._clock.now_ms(),
            timeout_ms=_VALIDATION_MS,
            level=level,
            settings=document,
        )
        try:
            expect(await self._bus.request(subject, request, timeout_ms=_VALIDATION_MS))
        except InvalidInput as no:
            raise InvalidInput(f"{instance}: {no.reason}") from no

    def _change(self, application: ApplicationName, version: AppVersionName | None) -> Event:
        message = scmp.BroadcastConfigurationUpdateEvent(
            correlation_id=self._ids.correlation_id(),
            timestamp_ms=self._clock.now_ms(),
            originator_replica_id=self._bus.replica,
            tenant_id=TENANT,
            app_name=application,
            app_ver_name=version,
        )
        return scmp.configuration_changed(self._name, change="upsert"), message

    async def _heard(self, event: Event) -> None:
        await self._outbox.settled([event[1].correlation_id])
