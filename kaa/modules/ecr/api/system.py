"""System configurations, at each of their levels."""

from collections.abc import Callable
from hashlib import sha256
from typing import Annotated, Any, Literal

from pydantic import Field, StringConstraints

from kaa.core.dates import Date
from kaa.core.errors import Conflict, InvalidInput, NotFound, PreconditionFailed, TooLarge, Unavailable
from kaa.core.http import Answer, Call, Camel, Page, PageQuery, Route

from ..models import Level, SystemConfiguration
from ..service import SystemConfigurations
from .views import BODY_FACTOR, TEXT_EXAMPLE, NameQuery

_LEVELS = (
    (Level.TENANT, "tenants", "tenantId"),
    (Level.APPLICATION, "applications", "appName"),
    (Level.APP_VERSION, "app-versions", "appVersionName"),
    (Level.ENDPOINT, "endpoints", "endpointId"),
)


def _is_none(value: object) -> bool:
    return value is None


class SystemBody(Camel):
    """A system configuration; `config` is JSON as text."""

    name: str = Field(description="By what it is asked for; no two in one place have the same")
    display_name: Annotated[str, StringConstraints(max_length=256)] | None = Field(
        None, description="A name for people"
    )
    config: str = Field(description="The configuration, as JSON text")


class SystemView(Camel):
    """A system configuration, as it is kept."""

    model_config = Camel.like(
        {
            "configId": "b6d8d7c4-3f2b-4a4e-9f64-3c6b7c3c1c55",
            "name": "ui",
            "displayName": "User interface",
            "config": '{"interval":60}',
            "createdAt": "2026-11-22T09:00:00.000Z",
            "updatedAt": "2026-11-22T09:00:00.000Z",
        }
    )

    config_id: str
    name: str
    display_name: Annotated[str | None, Field(exclude_if=_is_none)] = None
    config: str
    created_at: Date
    updated_at: Date


class CurrentQuery(NameQuery):
    """Which one, and whether wider levels are looked at where there is none: SKIP does not."""

    tree_traversal_strategy: Literal["SKIP"] | None = Field(
        None, description="SKIP looks at this level only; without it wider ones are asked, too"
    )


def system_routes(system: SystemConfigurations, *, most_bytes: int) -> list[Route]:
    """Give the routes of every level."""
    return [
        route
        for level, plural, parameter in _LEVELS
        for route in _routes(_Api(system, level, plural, parameter), plural, parameter, most_bytes * BODY_FACTOR)
    ]


def _routes(api: "_Api", plural: str, parameter: str, most_bytes: int) -> list[Route]:
    every = f"/system/{plural}/{{{parameter}}}/configs"
    one = f"{every}/{{configId}}"
    whose = f"of {'an' if plural[0] in 'ae' else 'a'} {plural[:-1].replace('-', ' ')}"
    example = {"name": "ui", "displayName": "User interface", "config": TEXT_EXAMPLE}
    means = {
        404: f"There is no such {plural[:-1].replace('-', ' ')}",
        409: "There is one with that name in this place already",
        503: "The register of endpoints does not answer; nothing was changed",
    }
    errors = (InvalidInput, NotFound, Conflict, PreconditionFailed, TooLarge, Unavailable)
    return [
        Route(
            method="GET",
            path=every,
            handler=api.get_all,
            summary=f"The system configurations {whose}, by name",
            query=PageQuery,
            returns=Page[SystemView],
            errors=(InvalidInput,),
        ),
        Route(
            method="POST",
            path=every,
            handler=api.post,
            summary=f"Make a system configuration {whose}",
            description="For programs of the platform: who listens on the bus is told of it, endpoints are not.",
            example=example,
            means=means,
            body=SystemBody,
            max_body_bytes=most_bytes,
            status=201,
            errors=errors,
        ),
        Route(
            method="GET",
            path=f"{every}/current",
            handler=api.get_current,
            summary=f"The system configuration that holds for what is {whose}",
            description="That of the place itself, or of the nearest wider one that has it.",
            means={404: "Neither this place nor a wider one has it"},
            query=CurrentQuery,
            returns=SystemView,
            errors=(InvalidInput, NotFound, Unavailable),
            tagged=True,
        ),
        Route(
            method="GET",
            path=one,
            handler=api.get,
            summary=f"One system configuration {whose}",
            returns=SystemView,
            errors=(NotFound,),
            tagged=True,
        ),
        Route(
            method="PUT",
            path=one,
            handler=api.put,
            summary=f"Replace a system configuration {whose}",
            example=example,
            means={**means, 404: "There is no such system configuration here"},
            body=SystemBody,
            max_body_bytes=most_bytes,
            status=204,
            errors=errors,
        ),
        Route(
            method="DELETE",
            path=one,
            handler=api.delete,
            summary=f"Delete a system configuration {whose}",
            status=204,
            errors=(NotFound, PreconditionFailed),
        ),
    ]


class _Api:
    def __init__(self, system: SystemConfigurations, level: Level, plural: str, parameter: str) -> None:
        self._system, self._level, self._plural, self._parameter = system, level, plural, parameter

    async def get_all(self, call: Call) -> Page[SystemView]:
        query: PageQuery = call.query
        found, total = await self._system.find(*self._place(call), offset=query.offset, limit=query.limit)
        return Page[SystemView](content=[_view(one) for one in found], total_elements=total)

    async def post(self, call: Call) -> Answer:
        made = await self._system.add(*self._place(call), **_fields(call.body))
        location = f"/system/{self._plural}/{made.level_id}/configs/{made.id}"
        return Answer(location=location, etag=_etag(made))

    async def get_current(self, call: Call) -> Answer:
        query: CurrentQuery = call.query
        is_climbing = query.tree_traversal_strategy is None
        found = await self._system.current(*self._place(call), query.name, is_climbing=is_climbing)
        return Answer(body=_view(found), etag=_etag(found))

    async def get(self, call: Call) -> Answer:
        found = await self._system.get(*self._place(call), call.path["configId"])
        return Answer(body=_view(found), etag=_etag(found))

    async def put(self, call: Call) -> Answer:
        place = *self._place(call), call.path["configId"]
        await self._system.update(*place, **_fields(call.body), check=_check(call))
        return Answer()

    async def delete(self, call: Call) -> Answer:
        await self._system.remove(*self._place(call), call.path["configId"], _check(call))
        return Answer()

    def _place(self, call: Call) -> tuple[Level, str]:
        return self._level, call.path[self._parameter]


def _fields(body: SystemBody) -> dict[str, Any]:
    return {"name": body.name, "display_name": body.display_name, "config": body.config}


def _check(call: Call) -> Callable[[SystemConfiguration], None]:
    return lambda before: call.if_match(_etag(before))


def _etag(one: SystemConfiguration) -> str:
    """Give a tag of what somebody wrote: the id is the same whatever stands there."""
    return sha256("\0".join((one.id, one.name, one.display_name or "", one.content.decode())).encode()).hexdigest()[:40]


def _view(one: SystemConfiguration) -> SystemView:
    return SystemView(
        config_id=one.id,
        name=one.name,
        display_name=one.display_name,
        config=one.content.decode(),
        created_at=one.created_ms,
        updated_at=one.updated_ms,
    )
