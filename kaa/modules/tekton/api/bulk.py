"""Everything in one document, over HTTP: applications, versions and settings, out and in."""

from collections.abc import Iterator, Mapping
from typing import Any

from pydantic import ConfigDict, Field
from pydantic.alias_generators import to_camel
from pydantic_core import from_json, to_json

from kaa.core.auth import Role
from kaa.core.errors import Conflict, InvalidInput, NotFound, TimedOut, Unavailable
from kaa.core.http import Call, Camel, Route

from ..models import Action, Change, Everything, Wanted
from ..service import Loading
from .common import EXAMPLE, MANAGED, Description, DisplayName, Envelope, SettingsQuery, TenantQuery, check_tenant, only

_MAX_BYTES = 8 << 20


def _is_nothing(value: object) -> bool:
    return value is None or value == {}


class Strict(Camel):
    """A part of the document; a word that is misspelled is refused, not passed over."""

    model_config = ConfigDict(
        frozen=True, alias_generator=to_camel, populate_by_name=True, defer_build=True, extra="forbid"
    )


SettingsDocument = dict[str, dict[str, Any] | None]


class VersionDocument(Strict):
    """A version: what is not said stays as it is, null clears."""

    display_name: DisplayName | None = Field(None, exclude_if=_is_nothing, description="A name for people")
    description: Description | None = Field(None, exclude_if=_is_nothing, description="What it is for")
    settings: SettingsDocument = Field(
        default={}, exclude_if=_is_nothing, description="What each instance is told of it, by the instance's name"
    )


class ApplicationDocument(VersionDocument):
    """An application with its versions: what is not said stays as it is, null clears."""

    versions: dict[str, VersionDocument | None] = Field(
        default={},
        exclude_if=_is_nothing,
        description="Its versions, by what stands behind its name in theirs, or by their whole names",
    )


class Document(Strict):
    """Everything: what is not named stays as it is."""

    settings: SettingsDocument = Field(
        default={},
        exclude_if=_is_nothing,
        description="What each instance is told of applications that have no settings of their own",
    )
    applications: dict[str, ApplicationDocument | None] = Field(default={}, description="The applications by name")


class ChangeView(Camel):
    """What a load changes: an application, a version, or (with an instance) their settings; null is all of them."""

    action: Action
    application: str | None
    version: str | None
    service_instance_name: str | None


class LoadView(Camel):
    """What has changed, or what would."""

    changes: list[ChangeView]
    dry_run: bool


class BulkQuery(SettingsQuery):
    """Which part is wanted; all, unless it is said."""

    app_name: tuple[str, ...] = Field(default=(), description="Only these applications")


class LoadQuery(TenantQuery):
    """Whether only to say what would change."""

    dry_run: bool = Field(default=False, description="Only say what would change")


def bulk_routes(loading: Loading) -> list[Route]:
    """Give all that can be asked for."""
    api = _Api(loading)
    return [
        Route(
            method="GET",
            path="/bulk",
            handler=api.get_bulk,
            summary="All applications with their versions and settings, as they can be loaded",
            query=BulkQuery,
            returns=Document,
            errors=(NotFound,),
        ),
        *(
            Route(
                method=method,
                path="/bulk",
                handler=api.load_bulk,
                summary="Have applications, versions and settings as they are given; nothing else is touched",
                query=LoadQuery,
                body=Document,
                example={"applications": {"smart-home": {"versions": {"v1": {"settings": {"epts": EXAMPLE}}}}}},
                means={409: MANAGED},
                returns=LoadView,
                errors=(InvalidInput, NotFound, Conflict, Unavailable, TimedOut),
                max_body_bytes=_MAX_BYTES,
                needs=Role.ADMIN,  # it may hold what applies to all applications
            )
            for method in ("PUT", "POST")
        ),
        Route(
            method="GET",
            path="/app-configs",
            handler=api.get_configs,
            summary="The settings of all applications and versions, by instance",
            query=SettingsQuery,
            returns=Envelope,
            errors=(NotFound,),
        ),
        *(
            Route(
                method=method,
                path="/app-configs",
                handler=api.load_configs,
                summary="Replace the settings of many applications and versions for the instances named",
                query=LoadQuery,
                body=Envelope,
                example={"epts": {"kaa": {"applications": {"smart-home": EXAMPLE}}}},
                means={409: MANAGED},
                returns=LoadView,
                errors=(InvalidInput, NotFound, Conflict, Unavailable, TimedOut),
                max_body_bytes=_MAX_BYTES,
            )
            for method in ("PUT", "POST")
        ),
    ]


class _Api:
    def __init__(self, loading: Loading) -> None:
        self._loading = loading

    async def get_bulk(self, call: Call) -> Document:
        check_tenant(call)
        query: BulkQuery = call.query
        found = await self._loading.find_all()
        names = {one.name for one in found.applications}
        if missing := [name for name in query.app_name if name not in names]:
            raise NotFound(f"there is no application {missing[0]!r}")
        return _document(found, query)

    async def load_bulk(self, call: Call) -> LoadView:
        check_tenant(call)
        return await self._load(call, _wanted(call.body), may_add=True)

    async def get_configs(self, call: Call) -> Envelope:
        check_tenant(call)
        return _configs(await self._loading.find_all(), call.query.service_instance_name)

    async def load_configs(self, call: Call) -> LoadView:
        check_tenant(call)
        return await self._load(call, _wanted_configs(call.body), may_add=False)

    async def _load(self, call: Call, wanted: Wanted, *, may_add: bool) -> LoadView:
        query: LoadQuery = call.query
        changes = await self._loading.load(wanted, may_add=may_add, is_dry=query.dry_run)
        return LoadView(changes=[_change(one) for one in changes], dry_run=query.dry_run)


def _change(change: Change) -> ChangeView:
    scope = change.scope
    return ChangeView(
        action=change.action,
        application=scope.application,
        version=scope.version,
        service_instance_name=change.instance,
    )


def _document(found: Everything, query: BulkQuery) -> Document:
    def settings(documents: Mapping[str, bytes]) -> dict[str, Any]:
        return {name: from_json(text) for name, text in only(dict(documents), query.service_instance_name).items()}

    return Document(
        settings={} if query.app_name else settings(found.common),
        applications={
            one.name: ApplicationDocument(
                display_name=one.display_name,
                description=one.description,
                settings=settings(found.settings.get(one.name, {})),
                versions={
                    version.name.removeprefix(f"{one.name}-"): VersionDocument(
                        display_name=version.display_name,
                        description=version.description,
                        settings=settings(found.settings.get(version.name, {})),
                    )
                    for version in one.versions
                },
            )
            for one in found.applications
            if not query.app_name or one.name in query.app_name
        },
    )


def _wanted(document: Document) -> Wanted:
    return Wanted(
        settings=_texts(document.settings),
        versions={
            name: Wanted() if one is None else _described(one, one.versions)
            for name, one in document.applications.items()
        },
    )


def _described(one: VersionDocument, versions: Mapping[str, VersionDocument | None] | None = None) -> Wanted:
    said = one.model_fields_set & {"display_name", "description"}
    return Wanted(
        fields={field: getattr(one, field) for field in sorted(said)},
        settings=_texts(one.settings),
        versions={name: Wanted() if inner is None else _described(inner) for name, inner in (versions or {}).items()},
    )


def _texts(settings: Mapping[str, Any]) -> dict[str, bytes | None]:
    return {instance: None if tree is None else to_json(tree) for instance, tree in settings.items()}


def _configs(found: Everything, instances: tuple[str, ...]) -> Envelope:
    """Give the settings as the vendor's tools know them: a tree for each instance, versions within applications."""
    trees: Envelope = {}

    def tree(instance: str, application: str) -> dict[str, Any]:
        root = trees.setdefault(instance, {"kaa": {"applications": {}}})
        inner: dict[str, Any] = root["kaa"]["applications"].setdefault(application, {})
        return inner

    for application in found.applications:
        for instance, text in found.settings.get(application.name, {}).items():
            tree(instance, application.name).update(from_json(text))
        for version in application.versions:
            for instance, text in found.settings.get(version.name, {}).items():
                tree(instance, application.name).setdefault("versions", {})[version.name] = from_json(text)
    return only(dict(sorted(trees.items())), instances)


def _wanted_configs(body: Envelope) -> Wanted:
    """Read such trees; an application with nothing but versions says nothing of its own settings."""
    own: dict[str, dict[str, Any]] = {}
    of_versions: dict[str, dict[str, dict[str, Any]]] = {}
    for instance, application, tree, place in _applications(body):
        versions = {} if tree is None else tree.pop("versions", {})
        if tree or not versions:
            own.setdefault(application, {})[instance] = tree
        for version, inner in _objects(versions, f"{place}.versions"):
            of_versions.setdefault(application, {}).setdefault(version, {})[instance] = inner
    return Wanted(
        versions={
            name: Wanted(
                settings=_texts(own.get(name, {})),
                versions={
                    version: Wanted(settings=_texts(inner)) for version, inner in of_versions.get(name, {}).items()
                },
            )
            for name in dict.fromkeys((*own, *of_versions))
        }
    )


def _applications(body: Envelope) -> Iterator[tuple[str, str, dict[str, Any] | None, str]]:
    for instance, root in body.items():
        tree, place = root, f"body.{instance}"
        for level in ("kaa", "applications"):
            if not isinstance(tree, dict) or list(tree) != [level]:
                raise InvalidInput(f"{place}: must be an object with {level!r} in it and nothing else")
            tree, place = tree[level], f"{place}.{level}"
        for application, inner in _objects(tree, place):
            yield instance, application, None if inner is None else dict(inner), f"{place}.{application}"


def _objects(tree: Any, place: str) -> Iterator[tuple[str, dict[str, Any] | None]]:
    if not isinstance(tree, dict):
        raise InvalidInput(f"{place}: must be an object")
    for name, inner in tree.items():
        if inner is not None and not isinstance(inner, dict):
            raise InvalidInput(f"{place}.{name}: must be an object, or null")
        yield name, inner
