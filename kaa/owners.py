"""Which application things belong to: what the site asks for keys that are limited to applications."""

from collections.abc import Callable, Collection, Mapping
from typing import Any

from kaa.core.applications import Applications
from kaa.core.bus import Bus, expect
from kaa.core.clock import Clock
from kaa.core.ids import Ids
from kaa.protocols import x_register

_A_REQUEST = 1_000


class Owners:
    """Knows versions as the first instance of this process does, and asks the register for endpoints and filters."""

    def __init__(self, register: str, *, bus: Bus, clock: Clock, ids: Ids) -> None:
        self._register = register
        self._bus, self._clock, self._ids = bus, clock, ids
        self._applications: Applications[Any] | None = None

    def learn(self, applications: Applications[Any]) -> None:
        """Take versions from there, unless it is known already where from: all instances know the same ones."""
        self._applications = self._applications or applications

    def application_of(self, version: str) -> str | None:
        """Give the application of a version; None if there is no such version."""
        found = None if self._applications is None else self._applications.find_version(version)
        return None if found is None else found.application

    async def of_endpoints(self, endpoint_ids: Collection[str]) -> Mapping[str, str]:
        """Give the applications of endpoints, those that there are; Unavailable if the register cannot be reached."""

        async def ask(ids: tuple[str, ...]) -> Mapping[str, str]:
            request = x_register.FindRequest(**self._common(), endpoint_ids=ids)
            found = expect(await self._bus.request(x_register.find_endpoints(self._register), request)).endpoints
            return {one.endpoint_id: one.app_name for one in found}

        return await _in_portions(endpoint_ids, ask)

    async def of_filters(self, filter_ids: Collection[str]) -> Mapping[str, str]:
        """Give the applications of filters, those that there are; Unavailable if the register cannot be reached."""

        async def ask(ids: tuple[str, ...]) -> Mapping[str, str]:
            request = x_register.FindFiltersRequest(**self._common(), filter_ids=ids)
            found = expect(await self._bus.request(x_register.find_filters(self._register), request)).filters
            return {one.filter_id: one.app_name for one in found}

        return await _in_portions(filter_ids, ask)

    def _common(self) -> dict[str, Any]:
        return {"correlation_id": self._ids.correlation_id(), "timestamp_ms": self._clock.now_ms()}


async def _in_portions(ids: Collection[str], ask: Callable[[tuple[str, ...]], Any]) -> Mapping[str, str]:
    every, found = list(ids), dict[str, str]()
    for at in range(0, len(every), _A_REQUEST):
        found.update(await ask(tuple(every[at : at + _A_REQUEST])))
    return found
