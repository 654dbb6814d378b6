"""System configurations: four levels, the narrower one holds."""

from collections.abc import Callable
from typing import Any

from pydantic_core import from_json

from kaa.core.applications import Applications
from kaa.core.bus import Bus
from kaa.core.clock import Clock
from kaa.core.errors import InvalidInput, NotFound, TooLarge
from kaa.core.ids import Ids
from kaa.core.storage.outbox import Outbox
from kaa.protocols import system_scmp
from kaa.protocols.cmp import check_name
from kaa.protocols.names import TENANT

from ..models import Level, SystemConfiguration
from ..repository import SystemRepository
from ..repository.tables import Event
from .register import Register

Check = Callable[[SystemConfiguration], None]


class SystemConfigurations:
    """Keeps what the platform itself is configured with, and tells of each change."""

    def __init__(
        self,
        *,
        name: str,
        system: SystemRepository,
        applications: Applications[Any],
        register: Register,
        outbox: Outbox,
        bus: Bus,
        clock: Clock,
        ids: Ids,
        most_bytes: int,
    ) -> None:
        self._subject = system_scmp.system_config_updated(name)
        self._system, self._applications, self._register = system, applications, register
        self._outbox, self._bus, self._clock, self._ids = outbox, bus, clock, ids
        self._most_bytes = most_bytes

    async def add(
        self, level: Level, level_id: str, *, name: str, display_name: str | None, config: str
    ) -> SystemConfiguration:
        """Make one.

        Raises:
            InvalidInput: the name cannot be one, or the configuration is not JSON.
            NotFound: there is nothing of that id at that level.
            Conflict: the name is taken there.
        """
        made = self._made(level, level_id, self._ids.uuid(), name, display_name, config)
        await self._above(level, level_id)
        event = await self._system.add(made, self._told)
        await self._outbox.settled([event[1].correlation_id])
        return made

    async def get(self, level: Level, level_id: str, id: str) -> SystemConfiguration:  # noqa: A002
        """Give one."""
        return await self._system.get(level, level_id, id)

    async def find(
        self, level: Level, level_id: str, *, offset: int, limit: int
    ) -> tuple[list[SystemConfiguration], int]:
        """Give one page of those at a level, by name, and how many there are."""
        return await self._system.find(level, level_id, offset=offset, limit=limit)

    async def current(self, level: Level, level_id: str, name: str, *, is_climbing: bool) -> SystemConfiguration:
        """Give the one that holds: that of the level, else of the next wider one that has one."""
        check_name(name)
        levels = [(level, level_id), *(await self._above(level, level_id))]
        found = await self._system.find_first(name, levels if is_climbing else levels[:1])
        if found is None:
            raise NotFound(f"there is no system configuration {name!r} here{' or above' if is_climbing else ''}")
        return found

    async def update(
        self,
        level: Level,
        level_id: str,
        id: str,  # noqa: A002
        *,
        name: str,
        display_name: str | None,
        config: str,
        check: Check,
    ) -> None:
        """Replace one."""
        changed = self._made(level, level_id, id, name, display_name, config)
        event = await self._system.update(changed, check, self._told)
        if event is not None:
            await self._outbox.settled([event[1].correlation_id])

    async def remove(self, level: Level, level_id: str, id: str, check: Check) -> None:  # noqa: A002
        """Delete one."""
        await self._system.remove(level, level_id, id, check)

    async def _above(self, level: Level, level_id: str) -> list[tuple[Level, str]]:
        """Give what is above, the narrower first; NotFound if there is nothing of that id at that level."""
        above = [(Level.TENANT, TENANT)]
        if level is Level.TENANT:
            if level_id != TENANT:
                raise NotFound(f"there is no tenant {level_id!r}")
            return []
        if level is Level.APPLICATION:
            self._applications.get(level_id)
            return above
        if level is Level.APP_VERSION:
            return [(Level.APPLICATION, self._applications.get_version(level_id).application), *above]
        found = await self._register.get(level_id)
        return [(Level.APP_VERSION, found.app_version_name), (Level.APPLICATION, found.app_name), *above]

    def _made(
        self, level: Level, level_id: str, id_: str, name: str, display_name: str | None, config: str
    ) -> SystemConfiguration:
        check_name(name)
        try:
            content = config.encode()
            from_json(content, allow_inf_nan=False)
        except ValueError as error:
            raise InvalidInput(f"body.config: the text is not JSON: {error}") from None
        if len(content) > self._most_bytes:
            raise TooLarge(f"body.config: {len(content)} bytes; at most {self._most_bytes} are taken")
        now = self._clock.now_ms()
        return SystemConfiguration(id_, level, level_id, name, display_name, content, now, now)

    def _told(self, one: SystemConfiguration) -> Event:
        message = system_scmp.SystemConfigUpdated(
            correlation_id=self._ids.correlation_id(),
            timestamp_ms=self._clock.now_ms(),
            tenant_id=TENANT,
            config_name=one.name,
            config_level=one.level,
            config_level_id=one.level_id,
            content=one.content,
            originator_replica_id=self._bus.replica,
        )
        return self._subject, message
