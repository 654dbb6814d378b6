"""The service instances that there are, and the JSON Schemas of what they are told."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

from pydantic_core import from_json

from kaa.core.bus import Bus, expect
from kaa.core.clock import Clock
from kaa.core.errors import NotFound, Unavailable
from kaa.core.ids import Ids
from kaa.protocols import x_settings
from kaa.protocols.names import INSTANCE_NAME, checked


@dataclass(frozen=True, slots=True)
class ServiceInstance:
    """A service under a name; the schemas are None where it has no settings on that level."""

    name: str
    service: str
    group: str
    description: str
    application_schema: dict[str, Any] | None
    version_schema: dict[str, Any] | None


_COLLECTION, _CONFIGURATION = "Data collection", "Configuration management"
_IDENTITY, _COMMUNICATION = "Identity management", "Communication"
_COMMANDS, _SOFTWARE, _PLATFORM = "Command invocation", "Software updates", "Platform"

KNOWN: Mapping[str, tuple[str, str, str]] = MappingProxyType(
    {
        "tekton": ("TEKTON", _PLATFORM, "Applications, versions and their settings"),
        "cm": ("CM", _IDENTITY, "Tokens of endpoints, credentials of clients"),
        "epr": ("EPR", _IDENTITY, "The register of endpoints"),
        "epmx": ("EPMX", _IDENTITY, "Metadata, for devices"),
        "epts": ("EPTS", _COLLECTION, "Time series"),
        "dcx": ("DCX", _COLLECTION, "What devices send as samples"),
        "tap": ("TAP", _COLLECTION, "Samples for others"),
        "epl": ("EPL", _COMMUNICATION, "Connectivity of endpoints"),
        "kpc": ("KPC", _COMMUNICATION, "Communication with devices"),
        "ecr": ("ECR", _CONFIGURATION, "Configurations of endpoints"),
        "cmx": ("CMX", _CONFIGURATION, "Delivery of configurations"),
        "otao": ("OTAO", _SOFTWARE, "Software, and which endpoint is offered what"),
        "cmx_ota": ("CMX", _SOFTWARE, "Delivery of software"),
        "cex": ("CEX", _COMMANDS, "Commands"),
        "rci": ("RCI", _COMMANDS, "Commands for programs that wait for the result"),
    }
)
"""Service, group and what it is, of the instances that a server has by itself."""


class ServiceInstances:
    """Finds the instances of this process, and those that are known and answer from elsewhere."""

    def __init__(self, *, here: Callable[[], Sequence[str]], bus: Bus, clock: Clock, ids: Ids) -> None:
        self._here, self._bus, self._clock, self._ids = here, bus, clock, ids

    async def find(self) -> list[ServiceInstance]:
        """Give all that answer."""
        found = [await self._find(name) for name in dict.fromkeys((*self._here(), *KNOWN))]
        return [one for one in found if one is not None]

    async def get(self, name: str) -> ServiceInstance:
        """Give one; NotFound if there is none of that name that answers."""
        found = await self._find(checked(INSTANCE_NAME, name, what="name"))
        if found is None:
            raise NotFound(f"there is no service instance {name!r}")
        return found

    async def _find(self, name: str) -> ServiceInstance | None:
        request = x_settings.SchemaRequest(correlation_id=self._ids.correlation_id(), timestamp_ms=self._clock.now_ms())
        try:
            answer = expect(await self._bus.request(x_settings.schemas_of(name), request))
        except Unavailable:
            return None
        service, group, description = KNOWN.get(name, (name.upper(), _PLATFORM, ""))
        return ServiceInstance(
            name,
            service,
            group,
            description,
            None if answer.application_schema is None else from_json(answer.application_schema),
            None if answer.version_schema is None else from_json(answer.version_schema),
        )
