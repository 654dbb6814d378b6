"""What instances are told of applications."""

from collections.abc import Callable, Collection, Mapping
from typing import Any

from pydantic_core import from_json, to_json

from kaa.core.clock import Clock
from kaa.core.errors import Conflict, InvalidInput
from kaa.protocols import x_settings

from ..models import InstanceSettings, Scope
from ..repository import SettingsRepository
from .checking import Documents
from .telling import Telling

Settings = dict[str, Any]


def _any(_: Settings) -> None:
    """Take any state."""


class ApplicationSettings:
    """Keeps the settings of applications, of versions and of all applications, by instance.

    Every document is shown to the instance it belongs to before the first is stored, and all are stored in one step.
    A `check` is shown all that there is in the scope before it is changed, and may refuse.
    """

    def __init__(self, *, repository: SettingsRepository, documents: Documents, telling: Telling, clock: Clock) -> None:
        self._repository, self._documents, self._telling = repository, documents, telling
        self._clock = clock

    async def find(self, scope: Scope) -> Settings:
        """Give the settings by instance."""
        return _read(await self._repository.find(scope))

    async def put(self, scope: Scope, settings: Settings, check: Callable[[Settings], None] = _any) -> Settings:
        """Replace the settings of the instances named; null takes an instance's settings away. Gives all."""
        return await self._write(scope, settings, await self._repository.find(scope), lambda there: check(_read(there)))

    async def patch(
        self,
        scope: Scope,
        patch: Settings,
        *,
        only: Collection[str] = (),
        check: Callable[[Settings], None] = _any,
    ) -> Settings:
        """Merge into the settings of the instances named, as RFC 7396 has it; gives all.

        Raises:
            InvalidInput: a document is no longer one, or an instance is none of `only`, if there are any.
            Conflict: somebody else has changed them meanwhile.
        """
        if others := [instance for instance in patch if only and instance not in only]:
            raise InvalidInput(f"body.{others[0]}: serviceInstanceName does not name it")
        present = await self._repository.find(scope)

        def unchanged(there: Mapping[str, bytes]) -> None:
            check(_read(there))
            if any(there.get(instance) != present.get(instance) for instance in patch):
                raise Conflict("the settings have been changed meanwhile; read them again and retry")

        merged = {instance: _merged(present.get(instance), part) for instance, part in patch.items()}
        return await self._write(scope, merged, present, unchanged)

    async def on_settings(self, requests: list[x_settings.SettingsRequest]) -> list[x_settings.SettingsResponse]:
        """Tell instances their settings; after a change all of them ask at once, and it is read once for all."""
        asked: dict[str | None, set[str]] = {}
        for request in requests:
            asked.setdefault(request.app_name, set()).add(request.instance_name)
        found = {name: await self._repository.get_for_instances(those, name) for name, those in asked.items()}
        return [self._told(request, found[request.app_name][request.instance_name]) for request in requests]

    def _told(self, request: x_settings.SettingsRequest, found: InstanceSettings) -> x_settings.SettingsResponse:
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
            common_settings=found.common,
            status_code=200,
        )

    async def _write(
        self,
        scope: Scope,
        settings: Settings,
        present: Mapping[str, bytes],
        check: Callable[[Mapping[str, bytes]], None],
    ) -> Settings:
        documents = {instance: None if value is None else to_json(value) for instance, value in settings.items()}
        for instance, text in documents.items():
            if text is not None or instance not in present:  # what an instance that is gone has left may go, too
                await self._documents.check(instance, scope.level, text)
        event = self._telling.event(scope)
        kept = await self._repository.update(scope, documents, check=check, event=event)
        await self._telling.heard(event)
        return _read(kept)


def _read(documents: Mapping[str, bytes]) -> Settings:
    return {instance: from_json(text) for instance, text in documents.items()}


def _merged(text: bytes | None, patch: Any) -> Any:
    return patch if patch is None else merge_patch({} if text is None else from_json(text), patch)


def merge_patch(target: Any, patch: Any) -> Any:
    """Apply a JSON Merge Patch (RFC 7396), and give the result."""
    if not isinstance(patch, dict):
        return patch
    merged = dict(target) if isinstance(target, dict) else {}
    for key, value in patch.items():
        if value is None:
            merged.pop(key, None)
        else:
            merged[key] = merge_patch(merged.get(key), value)
    return merged
