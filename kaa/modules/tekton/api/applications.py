"""Applications and versions over HTTP."""

from collections.abc import Callable
from typing import Annotated

from pydantic import Field, StringConstraints

from kaa.core.dates import Date
from kaa.core.errors import Conflict, InvalidInput, NotFound, PreconditionFailed, TimedOut, Unavailable
from kaa.core.http import Answer, Call, Camel, Named, Route
from kaa.protocols.names import APPLICATION_NAME, TENANT, VERSION_SUFFIX

from ..models import Application, Version
from ..service import Catalogue
from .common import MANAGED, Description, DisplayName, TenantQuery, check_tenant, tag


class NewApplication(Camel):
    """An application to be made; without a name one is made up."""

    name: Annotated[str, StringConstraints(pattern=f"^{APPLICATION_NAME.pattern}$")] | None = Field(
        None, description="Lower case letters, digits, - and _; made up where it is not given"
    )
    display_name: DisplayName | None = Field(None, description="A name for people")
    description: Description | None = Field(None, description="What it is for")


class NewVersion(Camel):
    """A version to be made; its name will be `<application>-<nameSuffix>`."""

    name_suffix: Annotated[str, StringConstraints(pattern=f"^{VERSION_SUFFIX.pattern}$")] = Field(
        description="What stands behind the application's name, like v1"
    )
    display_name: DisplayName | None = Field(None, description="A name for people")
    description: Description | None = Field(None, description="What it is for")


class Changes(Camel):
    """What is to change; null clears. A name may be said, and is that which it is."""

    name: str | None = Field(None, description="The name that it has; it cannot be changed")
    display_name: DisplayName | None = Field(None, description="A name for people; null takes it away")
    description: Description | None = Field(None, description="What it is for; null takes it away")


class VersionView(Camel):
    """An application version; what is managed by the configuration file is changed there."""

    name: str
    display_name: str | None
    description: str | None
    created_date: Date
    updated_date: Date
    is_managed_by_file: bool = Field(alias="managedByFile")


class ApplicationView(VersionView):
    """An application with its versions."""

    versions: list[VersionView]


def application_routes(catalogue: Catalogue) -> list[Route]:
    """Give all that can be asked for."""
    api = _Api(catalogue)
    application, version = "/applications/{app}", "/applications/{app}/app-versions/{version}"
    return [
        Route(
            method="POST",
            path="/applications",
            handler=api.post_application,
            summary="Make an application",
            body=NewApplication,
            example={"name": "smart-home", "displayName": "Smart home"},
            means={409: "The name is taken"},
            names=_named,
            body_optional=True,
            returns=ApplicationView,
            status=201,
            errors=(InvalidInput, Conflict),
        ),
        Route(
            method="GET",
            path="/applications",
            handler=api.get_applications,
            summary="All applications with their versions; of a limited key, those that it is for",
            shows_own=True,
            query=TenantQuery,
            returns=list[ApplicationView],
        ),
        Route(
            method="GET",
            path=application,
            handler=api.get_application,
            summary="One application with its versions",
            query=TenantQuery,
            returns=ApplicationView,
            errors=(NotFound,),
            tagged=True,
        ),
        Route(
            method="PATCH",
            path=application,
            handler=api.patch_application,
            summary="Change the display name or the description of an application",
            body=Changes,
            example={"displayName": "Home"},
            means={409: MANAGED},
            returns=ApplicationView,
            errors=(NotFound, Conflict, PreconditionFailed),
        ),
        Route(
            method="DELETE",
            path=application,
            handler=api.delete_application,
            summary="Delete an application that has no endpoints, with its versions and settings",
            status=204,
            means={409: f"There are endpoints of it. Or: {MANAGED}"},
            errors=(NotFound, Conflict, PreconditionFailed, Unavailable, TimedOut),
        ),
        Route(
            method="POST",
            path=f"{application}/app-versions",
            handler=api.post_version,
            summary="Make a version of an application",
            body=NewVersion,
            example={"nameSuffix": "v1"},
            means={409: f"The application has that version already. Or: {MANAGED}"},
            returns=VersionView,
            status=201,
            errors=(InvalidInput, NotFound, Conflict),
        ),
        Route(
            method="GET",
            path=f"{application}/app-versions",
            handler=api.get_versions,
            summary="All versions of an application",
            query=TenantQuery,
            returns=list[VersionView],
            errors=(NotFound,),
        ),
        Route(
            method="GET",
            path=version,
            handler=api.get_version,
            summary="One version of an application",
            query=TenantQuery,
            returns=VersionView,
            errors=(NotFound,),
            tagged=True,
        ),
        Route(
            method="PATCH",
            path=version,
            handler=api.patch_version,
            summary="Change the display name or the description of a version",
            body=Changes,
            example={"displayName": "Home"},
            means={409: MANAGED},
            returns=VersionView,
            errors=(NotFound, Conflict, PreconditionFailed),
        ),
        Route(
            method="DELETE",
            path=version,
            handler=api.delete_version,
            summary="Delete a version that has no endpoints, with its settings",
            status=204,
            means={409: f"There are endpoints of it. Or: {MANAGED}"},
            errors=(NotFound, Conflict, PreconditionFailed, Unavailable, TimedOut),
        ),
    ]


class _Api:
    def __init__(self, catalogue: Catalogue) -> None:
        self._catalogue = catalogue

    async def post_application(self, call: Call) -> Answer:
        new: NewApplication = call.body or NewApplication()
        made = await self._catalogue.add_application(
            new.name, display_name=new.display_name, description=new.description
        )
        return _answer(_application(made), location=f"/applications/{made.name}")

    async def get_applications(self, call: Call) -> list[ApplicationView]:
        if call.query.tenant_id != TENANT:
            return []
        found = await self._catalogue.find_applications()
        return [_application(one) for one in found if call.caller.may_see(one.name)]

    async def get_application(self, call: Call) -> Answer:
        check_tenant(call)
        return _answer(_application(await self._catalogue.get_application(call.path["app"])))

    async def patch_application(self, call: Call) -> Answer:
        name = call.path["app"]
        changed = await self._catalogue.update_application(
            name, _changes(call.body, name), _unchanged(call, _application)
        )
        return _answer(_application(changed))

    async def delete_application(self, call: Call) -> Answer:
        await self._catalogue.remove_application(call.path["app"], _unchanged(call, _application))
        return Answer()

    async def post_version(self, call: Call) -> Answer:
        new: NewVersion = call.body
        made = await self._catalogue.add_version(
            call.path["app"], new.name_suffix, display_name=new.display_name, description=new.description
        )
        return _answer(_version(made), location=f"/applications/{made.application}/app-versions/{made.name}")

    async def get_versions(self, call: Call) -> list[VersionView]:
        check_tenant(call)
        return [_version(found) for found in (await self._catalogue.get_application(call.path["app"])).versions]

    async def get_version(self, call: Call) -> Answer:
        check_tenant(call)
        return _answer(_version(await self._catalogue.get_version(call.path["app"], call.path["version"])))

    async def patch_version(self, call: Call) -> Answer:
        application, name = call.path["app"], call.path["version"]
        changed = await self._catalogue.update_version(
            application, name, _changes(call.body, name), _unchanged(call, _version)
        )
        return _answer(_version(changed))

    async def delete_version(self, call: Call) -> Answer:
        await self._catalogue.remove_version(call.path["app"], call.path["version"], _unchanged(call, _version))
        return Answer()


def _named(call: Call) -> Named:
    new: NewApplication | None = call.body
    return Named(applications=(new.name,) if new is not None and new.name is not None else ())


def _answer(view: VersionView, location: str | None = None) -> Answer:
    return Answer(body=view, etag=tag(view), location=location)


def _changes(body: Changes, name: str) -> dict[str, str | None]:
    if body.name not in {None, name}:
        raise InvalidInput(f"body.name: {name!r} cannot be renamed, for devices and endpoints know it by its name")
    return {field: getattr(body, field) for field in body.model_fields_set - {"name"}}


def _unchanged(call: Call, view: Callable[..., VersionView]) -> Callable[..., None]:
    return lambda present: call.if_match(tag(view(present)))


def _application(found: Application) -> ApplicationView:
    return ApplicationView(
        **dict(_version(found)),
        versions=[_version(version) for version in found.versions],
    )


def _version(found: Version | Application) -> VersionView:
    return VersionView(
        name=found.name,
        display_name=found.display_name,
        description=found.description,
        created_date=found.created_ms,
        updated_date=found.updated_ms,
        is_managed_by_file=found.is_managed,
    )
