"""Configurations of endpoints and of versions: written, read, deleted."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from kaa.core.clock import Clock
from kaa.core.errors import Conflict, InvalidInput, NotFound
from kaa.protocols.cmp import check_name
from kaa.protocols.names import AppVersionName, EndpointId
from kaa.protocols.x_register import FoundEndpoint

from ..documents import document
from ..models import SORTABLE, Configuration, Document, Place, Rollout, Scope, Status, StatusesWanted, Target
from ..presence import Presence
from ..repository import ConfigurationRepository, StatusRepository
from ..schemas import Schemas
from .register import Register
from .rollouts import Rollouts

MOST_AT_ONCE = 1_000
_NAMED = 3

Check = Callable[[str | None], None]


class Configurations:
    """Keeps configurations, and has those told who are to have them.

    An endpoint's own has been told, or a second has gone by, when the method that changed it returns; what concerns
    many is told by and by.
    """

    def __init__(
        self,
        *,
        configurations: ConfigurationRepository,
        statuses: StatusRepository,
        schemas: Schemas,
        register: Register,
        presence: Presence,
        rollouts: Rollouts,
        clock: Clock,
        most_bytes: int,
    ) -> None:
        self._configurations, self._statuses, self._schemas = configurations, statuses, schemas
        self._register, self._presence, self._rollouts = register, presence, rollouts
        self._clock, self._most_bytes = clock, most_bytes

    # of one endpoint

    async def put_of_endpoint(
        self, endpoint_id: str, app_version: str, name: str, value: Any, check: Check
    ) -> Configuration:
        """Give an endpoint a configuration for a version of its application.

        Raises:
            InvalidInput: the name cannot be one, or the schema does not take the value.
            NotFound: there is no such endpoint or version, or no schema where one is needed.
            Conflict: the endpoint belongs to another application.
        """
        made = self._checked(app_version, name, value)
        found = await self._register.get(endpoint_id)
        self._check_application(found, app_version)
        is_current = found.app_version_name == app_version
        kept, events = await self._configurations.put(
            _of_endpoint(endpoint_id, app_version, name),
            made,
            check=check,
            at_ms=self._clock.now_ms(),
            target=_target(found) if is_current else None,
            is_present=endpoint_id in self._presence,
            tell=self._rollouts.event,
        )
        await self._rollouts.heard(events)
        return kept

    async def get_of_endpoint(self, endpoint_id: str, app_version: str, name: str) -> Configuration:
        """Give an endpoint's own configuration for a version."""
        return await self._configurations.get(_of_endpoint(endpoint_id, app_version, check_name(name)))

    async def find_of_endpoint(self, endpoint_id: str, app_version: str) -> list[Configuration]:
        """Give an endpoint's own configurations for a version, by name."""
        return await self._configurations.find(Scope.ENDPOINT, endpoint_id, app_version)

    async def remove_of_endpoint(self, endpoint_id: str, app_version: str, name: str, check: Check) -> None:
        """Take an endpoint's own configuration away; it is told what applies now."""
        place = _of_endpoint(endpoint_id, app_version, check_name(name))
        found = (await self._register.find([endpoint_id])).get(endpoint_id)
        is_current = found is not None and found.app_version_name == app_version
        events = await self._configurations.remove(
            place,
            check=check,
            at_ms=self._clock.now_ms(),
            target=_target(found) if found is not None and is_current else None,
            is_present=endpoint_id in self._presence,
            tell=self._rollouts.event,
        )
        await self._rollouts.heard(events)

    # of many endpoints

    async def put_of_endpoints(self, endpoints: Mapping[str, Sequence[str]], name: str, value: Any) -> None:
        """Give endpoints, by version, the same configuration of their own; all of them, or with an error none."""
        wanted = [
            Target(EndpointId(one), AppVersionName(v)) for v, ids in endpoints.items() for one in dict.fromkeys(ids)
        ]
        if not wanted:
            raise InvalidInput("endpoints: there are none")
        if len(wanted) > MOST_AT_ONCE:
            raise InvalidInput(f"endpoints: {len(wanted)}, and at most {MOST_AT_ONCE} are taken")
        versions = list(dict.fromkeys(target.app_version for target in wanted))
        made = self._checked_for(versions, name, value)
        found = await self._register.find(list(dict.fromkeys(target.endpoint_id for target in wanted)))
        missing = [target.endpoint_id for target in wanted if target.endpoint_id not in found]
        if missing:
            more = f" and {len(missing) - _NAMED} more" if len(missing) > _NAMED else ""
            raise NotFound(f"endpoints: there is no {', '.join(map(repr, missing[:_NAMED]))}{more}")
        for target in wanted:
            self._check_application(found[target.endpoint_id], target.app_version)
        await self._configurations.put_many(
            wanted, made, at_ms=self._clock.now_ms(), rollouts=[Rollout(version, name) for version in versions]
        )
        self._rollouts.wake()

    async def put_of_matching(self, matching: Mapping[str, Sequence[str]], name: str, value: Any) -> None:
        """Give the endpoints that match a filter now the same configuration of their own."""
        made = self._checked_for(list(matching), name, value)
        targets = [Target(EndpointId(one), AppVersionName(version)) for version, ids in matching.items() for one in ids]
        rollouts = [Rollout(version, name) for version in matching]
        now = self._clock.now_ms()
        try:
            for at in range(0, len(targets), MOST_AT_ONCE):
                part = targets[at : at + MOST_AT_ONCE]
                await self._configurations.put_many(part, made, at_ms=now, rollouts=rollouts)
        finally:
            self._rollouts.wake()  # those that have it are told, whatever becomes of the rest

    # of versions and filters

    async def put_of_version(self, app_version: str, name: str, value: Any, check: Check) -> Configuration:
        """Give a version a configuration, for those of its endpoints that have nothing closer."""
        made = self._checked(app_version, name, value)
        return await self._put(_of_version(app_version, name), made, check, Rollout(app_version, name))

    async def get_of_version(self, app_version: str, name: str) -> Configuration:
        """Give a version's configuration."""
        return await self._configurations.get(_of_version(app_version, check_name(name)))

    async def find_of_version(self, app_version: str) -> list[Configuration]:
        """Give a version's configurations, by name."""
        return await self._configurations.find(Scope.VERSION, "", app_version)

    async def remove_of_version(self, app_version: str, name: str, check: Check) -> None:
        """Take a version's configuration away."""
        await self._remove(_of_version(app_version, check_name(name)), check, Rollout(app_version, name))

    async def put_of_filter(
        self, filter_id: str, versions: Sequence[str], name: str, value: Any, check: Check
    ) -> Configuration:
        """Attach a configuration to a filter that endpoints of these versions match."""
        made = self._checked_for(versions, name, value)
        return await self._put(_of_filter(filter_id, name), made, check, Rollout("", name))

    async def get_of_filter(self, filter_id: str, name: str) -> Configuration:
        """Give the configuration that is attached to a filter."""
        return await self._configurations.get(_of_filter(filter_id, check_name(name)))

    async def remove_of_filter(self, filter_id: str, name: str, check: Check) -> None:
        """Detach a filter's configuration."""
        await self._remove(_of_filter(filter_id, check_name(name)), check, Rollout("", name))

    # what became of them

    async def find_statuses(
        self, wanted: StatusesWanted, *, order: Sequence[tuple[str, bool]], page: int, size: int
    ) -> tuple[list[Status], int]:
        """Give one page of what became of configurations, the newest first unless it is said otherwise."""
        for name, _ in order:
            if name not in SORTABLE:
                raise InvalidInput(f"query.sort: {name[:80]!r} is none of {', '.join(SORTABLE)}")
        return await self._statuses.find(wanted, order=order, offset=page * size, limit=size)

    def check(self, app_version: str, value: Any) -> None:
        """Raise InvalidInput if the version's schema does not take the value; NotFound if there is no schema."""
        self._schemas.get(app_version)
        self._schemas.check(app_version, value)

    def schema(self, app_version: str) -> dict[str, Any] | bool:
        """Give the schema that holds for a version."""
        return self._schemas.get(app_version)

    async def _put(self, place: Place, made: Document, check: Check, rollout: Rollout) -> Configuration:
        now = self._clock.now_ms()
        kept, _ = await self._configurations.put(place, made, check=check, at_ms=now, rollouts=[rollout])
        self._rollouts.wake()
        return kept

    async def _remove(self, place: Place, check: Check, rollout: Rollout) -> None:
        await self._configurations.remove(place, check=check, at_ms=self._clock.now_ms(), rollouts=[rollout])
        self._rollouts.wake()

    def _checked(self, app_version: str, name: str, value: Any) -> Document:
        return self._checked_for([app_version], name, value)

    def _checked_for(self, versions: Sequence[str], name: str, value: Any) -> Document:
        made = document(name, value, most_bytes=self._most_bytes)
        for version in versions:
            self._schemas.check(version, value)
        return made

    def _check_application(self, found: FoundEndpoint, app_version: str) -> None:
        application = self._schemas.application(app_version)
        if found.app_name != application:
            raise Conflict(
                f"endpoint {found.endpoint_id!r} belongs to application {found.app_name!r}, "
                f"and application version {app_version!r} to {application!r}"
            )


def _target(found: FoundEndpoint) -> Target:
    return Target(EndpointId(found.endpoint_id), found.app_version_name)


def _of_endpoint(endpoint_id: str, app_version: str, name: str) -> Place:
    return Place(Scope.ENDPOINT, endpoint_id, app_version, name)


def _of_version(app_version: str, name: str) -> Place:
    return Place(Scope.VERSION, "", app_version, name)


def _of_filter(filter_id: str, name: str) -> Place:
    return Place(Scope.FILTER, filter_id, "", name)
