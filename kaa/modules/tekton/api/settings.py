"""Settings over HTTP, each in the envelope of its level."""

from collections.abc import Mapping
from typing import Any

from kaa.core.auth import Role
from kaa.core.errors import Conflict, InvalidInput, NotFound, PreconditionFailed, TimedOut, Unavailable
from kaa.core.http import Answer, Call, Route
from kaa.protocols.names import TENANT

from ..models import Scope
from ..service import ApplicationSettings
from .common import EXAMPLE, MANAGED, Envelope, SettingsQuery, TenantQuery, check_tenant, only, tag

_ALL = "all applications that have none of their own"
_WRITING = (InvalidInput, NotFound, Conflict, PreconditionFailed, Unavailable, TimedOut)


def settings_routes(settings: ApplicationSettings) -> list[Route]:
    """Give all that can be asked for."""
    api = _Api(settings)
    application, version = "/applications/{app}", "/applications/{app}/app-versions/{version}"
    return [
        *_routes(api, f"/app-configs{application}", "an application", Scope("smart-home", None)),
        *_routes(api, f"/app-configs{version}", "a version", Scope("smart-home", "smart-home-v1")),
        *_routes(api, "/tenant-configs", _ALL, Scope(None, None), needs=Role.ADMIN),
    ]


def _routes(api: "_Api", path: str, of: str, like: Scope, *, needs: Role = Role.OPERATOR) -> list[Route]:
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
            query=TenantQuery,
            body=Envelope,
            example={"epts": _wrap(EXAMPLE, like)},
            means={409: MANAGED},
            returns=Envelope,
            errors=_WRITING,
            needs=needs,
        ),
        Route(
            method="PATCH",
            path=path,
            handler=api.patch_settings,
            summary=f"Merge into the settings of {of} for the instances named (RFC 7396)",
            query=SettingsQuery,
            body=Envelope,
            example={"epts": _wrap(EXAMPLE, like)},
            means={409: MANAGED},
            content_types=("application/json", "application/merge-patch+json"),
            returns=Envelope,
            errors=_WRITING,
            needs=needs,
        ),
        Route(
            method="GET",
            path=path,
            handler=api.get_settings,
            summary=f"The settings of {of}, by instance",
            query=SettingsQuery,
            returns=Envelope,
            errors=(NotFound,),
            tagged=True,
        ),
    ]


class _Api:
    def __init__(self, settings: ApplicationSettings) -> None:
        self._settings = settings

    async def put_settings(self, call: Call) -> Answer:
        scope, body = _scope(call), _body(call)
        return _answer(scope, await self._settings.put(scope, body, lambda there: call.if_match(tag(there))))

    async def patch_settings(self, call: Call) -> Answer:
        scope, body = _scope(call), _body(call)
        named = call.query.service_instance_name
        kept = await self._settings.patch(scope, body, only=named, check=lambda there: call.if_match(tag(there)))
        return _answer(scope, kept)

    async def get_settings(self, call: Call) -> Answer:
        scope = _scope(call)
        return _answer(scope, await self._settings.find(scope), call.query.service_instance_name)


def _answer(scope: Scope, settings: Envelope, instances: tuple[str, ...] = ()) -> Answer:
    # The tag is that of all there is in the scope, whatever part was asked for: `If-Match` guards the whole.
    body = {instance: _wrap(tree, scope) for instance, tree in only(settings, instances).items()}
    return Answer(body=body, etag=tag(settings))


def _scope(call: Call) -> Scope:
    check_tenant(call)
    return Scope(call.path.get("app"), call.path.get("version"))


def _body(call: Call) -> Envelope:
    scope = _scope(call)
    return {instance: _unwrap(instance, tree, scope) for instance, tree in call.body.items()}


def _levels(scope: Scope) -> list[str]:
    if scope.application is None:
        return ["kaa", "tenants", TENANT, "config"]
    return ["kaa", "applications", scope.application, *([] if scope.version is None else ["versions", scope.version])]


def _wrap(settings: Any, scope: Scope) -> Envelope:
    tree: Any = settings
    for level in reversed(_levels(scope)):
        tree = {level: tree}
    return dict(tree)


def _unwrap(instance: str, tree: Any, scope: Scope) -> Any:
    """Give what lies at the end of the envelope; InvalidInput names the place where it is not as it should be."""
    place = f"body.{instance}"
    for level in _levels(scope):
        if not isinstance(tree, Mapping) or list(tree) != [level]:
            raise InvalidInput(f"{place}: must be an object with {level!r} in it and nothing else")
        tree, place = tree[level], f"{place}.{level}"
    if tree is not None and not isinstance(tree, Mapping):
        raise InvalidInput(f"{place}: must be an object, or null")
    return tree
