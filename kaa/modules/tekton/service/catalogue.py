"""The applications and their versions."""

from collections.abc import Callable, Mapping

from kaa.core.bus import Bus, expect
from kaa.core.clock import Clock
from kaa.core.errors import Conflict, NotFound
from kaa.core.ids import Ids
from kaa.protocols import x_register
from kaa.protocols.names import APPLICATION_NAME, VERSION_SUFFIX, ApplicationName, AppVersionName, checked

from ..models import Application, Scope, Version, require_ordinary
from ..repository import CatalogueRepository
from .telling import Telling


def _any(_: object) -> None:
    """Take any state."""


class Catalogue:
    """Keeps the applications and their versions, and tells everybody of each change.

    A `check` is shown what there is before it is changed, and may refuse.
    """

    def __init__(
        self, *, repository: CatalogueRepository, telling: Telling, register: str, bus: Bus, clock: Clock, ids: Ids
    ) -> None:
        self._repository, self._telling, self._register = repository, telling, register
        self._bus, self._clock, self._ids = bus, clock, ids

    async def add_application(
        self, name: str | None, *, display_name: str | None, description: str | None
    ) -> Application:
        """Make an application, under a made-up name if none is given."""
        chosen = self._ids.short() + self._ids.short() if name is None else checked(APPLICATION_NAME, name, what="name")
        now = self._clock.now_ms()
        made = Application(ApplicationName(chosen), display_name, description, now, now)
        event = self._telling.event(Scope(made.name))
        await self._repository.add_application(made, event)
        await self._telling.heard(event)
        return made

    async def add_version(
        self, application: str, suffix: str, *, display_name: str | None, description: str | None
    ) -> Version:
        """Make a version of an application; its name is the application's and the suffix."""
        checked(VERSION_SUFFIX, suffix, what="nameSuffix")
        now = self._clock.now_ms()
        name = AppVersionName(f"{application}-{suffix}")
        made = Version(name, ApplicationName(application), display_name, description, now, now)
        event = self._telling.event(Scope(made.application, made.name))
        await self._repository.add_version(made, event)
        await self._telling.heard(event)
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

    async def update_application(
        self, name: str, changes: Mapping[str, str | None], check: Callable[[Application], None] = _any
    ) -> Application:
        """Change `display_name` or `description`, or both, and give the application as it is then."""
        event = self._telling.event(Scope(name))
        now = self._clock.now_ms()
        changed = await self._repository.update_application(name, changes, at_ms=now, check=check, event=event)
        await self._telling.heard(event)
        return changed

    async def update_version(
        self,
        application: str,
        name: str,
        changes: Mapping[str, str | None],
        check: Callable[[Version], None] = _any,
    ) -> Version:
        """Change `display_name` or `description`, or both, and give the version as it is then."""
        scope = Scope(application, name)
        event = self._telling.event(scope)
        now = self._clock.now_ms()
        changed = await self._repository.update_version(scope, changes, at_ms=now, check=check, event=event)
        await self._telling.heard(event)
        return changed

    async def remove_application(self, name: str, check: Callable[[Application], None] = _any) -> None:
        """Delete an application with its versions and settings; Conflict while it has endpoints.

        One that is registered in the same moment is left without its application: it can be read and deleted, and
        works again when the application is made again.
        """
        scope = Scope(name)
        require_ordinary(await self._repository.get_application(name), scope)
        await self._check_empty(scope)
        event = self._telling.event(scope, change="delete")
        await self._repository.remove_application(name, check=check, event=event)
        await self._telling.heard(event)

    async def remove_version(self, application: str, name: str, check: Callable[[Version], None] = _any) -> None:
        """Delete a version with its settings; Conflict while it has endpoints."""
        scope = Scope(application, name)
        require_ordinary(await self.get_version(application, name), scope)
        await self._check_empty(scope)
        event = self._telling.event(scope, change="delete")
        await self._repository.remove_version(scope, check=check, event=event)
        await self._telling.heard(event)

    async def _check_empty(self, scope: Scope) -> None:
        request = x_register.CountRequest(
            correlation_id=self._ids.correlation_id(),
            timestamp_ms=self._clock.now_ms(),
            app_name=ApplicationName(scope.application or ""),
            app_version_name=None if scope.version is None else AppVersionName(scope.version),
        )
        count = expect(await self._bus.request(x_register.count_endpoints(self._register), request)).count
        if count:
            what = f"application {scope.application!r}" if scope.version is None else f"version {scope.version!r}"
            endpoints = "an endpoint" if count == 1 else f"{count} endpoints"
            raise Conflict(f"{what} has {endpoints}: delete them or move them elsewhere first")
