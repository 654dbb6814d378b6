"""Service instances over HTTP."""

from enum import StrEnum
from typing import Annotated, Any

from pydantic import Field

from kaa.core.errors import InvalidInput, NotFound, TimedOut
from kaa.core.http import Call, Camel, Route

from ..service import ServiceInstance, ServiceInstances

Schema = Annotated[dict[str, Any] | None, Field(exclude_if=lambda schema: schema is None)]


class Include(StrEnum):
    """What is shown besides."""

    APPLICATION = "appConfigurationSchema"
    VERSION = "appVersionConfigurationSchema"


class InstanceQuery(Camel):
    """Which schemas are wanted."""

    include: tuple[Include, ...] = Field(default=(), description="The schemas that are wanted besides")


class InstanceView(Camel):
    """A service instance; its schemas only where they were asked for and it has settings."""

    name: str
    service_name: str
    service_group: str
    description: str
    url_prefix: str
    app_configuration_schema_present: bool
    app_version_configuration_schema_present: bool
    app_configuration_schema: Schema = None
    app_version_configuration_schema: Schema = None


def instance_routes(instances: ServiceInstances) -> list[Route]:
    """Give all that can be asked for."""
    api = _Api(instances)
    return [
        Route(
            method="GET",
            path="/service-instances",
            handler=api.get_instances,
            summary="All service instances that answer",
            query=InstanceQuery,
            returns=list[InstanceView],
            errors=(TimedOut,),
        ),
        Route(
            method="GET",
            path="/service-instances/{serviceInstanceName}",
            handler=api.get_instance,
            summary="One service instance",
            query=InstanceQuery,
            returns=InstanceView,
            errors=(InvalidInput, NotFound, TimedOut),
        ),
    ]


class _Api:
    def __init__(self, instances: ServiceInstances) -> None:
        self._instances = instances

    async def get_instances(self, call: Call) -> list[InstanceView]:
        return [_view(found, call.query.include) for found in await self._instances.find()]

    async def get_instance(self, call: Call) -> InstanceView:
        return _view(await self._instances.get(call.path["serviceInstanceName"]), call.query.include)


def _view(found: ServiceInstance, include: tuple[Include, ...]) -> InstanceView:
    return InstanceView(
        name=found.name,
        service_name=found.service,
        service_group=found.group,
        description=found.description,
        url_prefix=found.name,
        app_configuration_schema_present=found.application_schema is not None,
        app_version_configuration_schema_present=found.version_schema is not None,
        app_configuration_schema=found.application_schema if Include.APPLICATION in include else None,
        app_version_configuration_schema=found.version_schema if Include.VERSION in include else None,
    )
