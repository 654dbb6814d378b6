"""Tekton over HTTP."""

from collections.abc import Mapping
from typing import Annotated, Any

from pydantic import Field, StringConstraints

from kaa.core.dates import Date
from kaa.core.errors import Conflict, InvalidInput, NotFound
from kaa.core.http import Answer, Call, Camel, Route
from kaa.protocols.names import APPLICATION_NAME, TENANT, VERSION_SUFFIX

from .models import Application, Version
from .service import Catalogue

DisplayName = Annotated[str, StringConstraints(max_length=256)]
Description = Annotated[str, StringConstraints(max_length=4096)]
Envelope = dict[str, Any]
_SETTINGS = {"retention": "30d"}


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


class VersionView(Camel):
    """An application version."""

    name: str
    display_name: str | None
    description: str | None
    created_date: Date
    updated_date: Date


class ApplicationView(VersionView):
    """An application with its versions."""

    versions: list[VersionView]


class TenantQuery(Camel):
    """Whose applications; there is one tenant."""

    tenant_id: str = Field(TENANT, description=f"There is one tenant, {TENANT}; of another one there is nothing")


class SettingsQuery(TenantQuery):
    """Which instances' settings; all, if none is named."""

    service_instance_name: tuple[str, ...] = Field(default=(), description="Only those of these instances")


def routes(catalogue: Catalogue) -> list[Route]:
    """Give all that can be asked for."""
    api = _Api(catalogue)
    application, version = "/applications/{app}", "/applications/{app}/app-versions/{version}"
    return [
        Route(
            method="POST",
            path="/applications",
            handler=api.post_application,
            summary="Make an application",
            example={"name": "smart-home", "displayName": "Smart home"},
            means={409: "The name is taken"},
            body=NewApplication,
            body_optional=True,
            returns=ApplicationView,
            status=201,
            errors=(InvalidInput, Conflict),
        ),
        Route(
            method="GET",
            path="/applications",
            handler=api.get_applications,
            summary="All applications with their versions",
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
        ),
        Route(
            method="POST",
            path=f"{application}/app-versions",
            handler=api.post_version,
            summary="Make a version of an application",
            example={"nameSuffix": "v1"},
            means={409: "The application has that version already"},
            body=NewVersion,
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
        ),
        *_settings_routes(api, f"/app-configs{application}", "an application", _wrap(_SETTINGS, "smart-home", None)),
        *_settings_routes(api, f"/app-configs{version}", "a version", _wrap(_SETTINGS, "smart-home", "smart-home-v1")),
    ]


def _settings_routes(api: "_Api", path: str, of: str, tree: Envelope) -> list[Route]:
    return [
        Route(
            method="PUT",
            path=path,
            handler=api.put_settings,
            summary=f"Replace the settings of {of} for the instances named",
            description=(
                "Below each instance's name the path to what they are for, as in the example. They hold at once; "
                "null takes them away."
            ),
            example={"epts": tree},
            body=Envelope,
            returns=Envelope,
            errors=(InvalidInput, NotFound),
        ),
        Route(
            method="GET",
            path=path,
            handler=api.get_settings,
            summary=f"The settings of {of}, by instance",
            description="In the same layout as they are written.",
            query=SettingsQuery,
            returns=Envelope,
            errors=(NotFound,),
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
        return Answer(body=_application(made), location=f"/applications/{made.name}")

    async def get_applications(self, call: Call) -> list[ApplicationView]:
        if call.query.tenant_id != TENANT:
            return []
        return [_application(found) for found in await self._catalogue.find_applications()]

    async def get_application(self, call: Call) -> ApplicationView:
        _check_tenant(call)
        return _application(await self._catalogue.get_application(call.path["app"]))

    async def post_version(self, call: Call) -> Answer:
        new: NewVersion = call.body
        made = await self._catalogue.add_version(
            call.path["app"], new.name_suffix, display_name=new.display_name, description=new.description
        )
        return Answer(body=_version(made), location=f"/applications/{made.application}/app-versions/{made.name}")

    async def get_versions(self, call: Call) -> list[VersionView]:
        _check_tenant(call)
        return [_version(found) for found in (await self._catalogue.get_application(call.path["app"])).versions]

    async def get_version(self, call: Call) -> VersionView:
        _check_tenant(call)
        return _version(await self._catalogue.get_version(call.path["app"], call.path["version"]))

    async def put_settings(self, call: Call) -> Envelope:
        application, version = call.path["app"], call.path.get("version")
        settings = {instance: _unwrap(instance, tree, application, version) for instance, tree in call.body.items()}
        await self._catalogue.put_settings(application, version, settings)
        return await self._settings(application, version, ())

    async def get_settings(self, call: Call) -> Envelope:
        _check_tenant(call)
        return await self._settings(call.path["app"], call.path.get("version"), call.query.service_instance_name)

    async def _settings(self, application: str, version: str | None, instances: tuple[str, ...]) -> Envelope:
        found = await self._catalogue.find_settings(application, version, instances)
        return {instance: _wrap(settings, application, version) for instance, settings in found.items()}


def _check_tenant(call: Call) -> None:
    if call.query.tenant_id != TENANT:
        raise NotFound(f"tenantId: there is no tenant {call.query.tenant_id!r}")


def _application(found: Application) -> ApplicationView:
    return ApplicationView(
        name=found.name,
        display_name=found.display_name,
        description=found.description,
        created_date=found.created_ms,
        updated_date=found.updated_ms,
        versions=[_version(version) for version in found.versions],
    )


def _version(found: Version) -> VersionView:
    return VersionView(
        name=found.name,
        display_name=found.display_name,
        description=found.description,
        created_date=found.created_ms,
        updated_date=found.updated_ms,
    )


def _levels(application: str, version: str | None) -> list[str]:
    return ["kaa", "applications", application] + ([] if version is None else ["versions", version])


def _wrap(settings: Any, application: str, version: str | None) -> Envelope:
    tree: Any = settings
    for level in reversed(_levels(application, version)):
        tree = {level: tree}
    return dict(tree)


def _unwrap(instance: str, tree: Any, application: str, version: str | None) -> Any:
    """Give what lies at the end of the envelope; InvalidInput names the place where it is not as it should be."""
    place = f"body.{instance}"
    for level in _levels(application, version):
        if not isinstance(tree, Mapping) or list(tree) != [level]:
            raise InvalidInput(f"{place}: must be an object with {level!r} in it and nothing else")
        tree, place = tree[level], f"{place}.{level}"
    if tree is not None and not isinstance(tree, Mapping):
        raise InvalidInput(f"{place}: must be an object, or null")
    return tree
