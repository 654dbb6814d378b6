"""What a request is about, and whether that is the business of a key which is limited to applications.

The names of parameters tell: of the path, of the query, and of the declared fields of a body (not of what is content
there, like metadata). Where they do not, the route says so itself. Closed unless opened: what cannot be shown to belong
to one of the key's applications is refused, and so is what names a thing of another one.
"""

from collections.abc import Collection, Iterable, Iterator, Mapping
from typing import Any, Literal, Protocol, get_args

from pydantic import BaseModel

from kaa.core.auth import Caller
from kaa.core.errors import Forbidden

from .read import wire_names
from .route import Call, Named, Route

_Kind = Literal["applications", "versions", "endpoints", "filters"]

_KINDS: dict[str, _Kind] = {
    **dict.fromkeys(("app", "appName", "application", "applicationName", "applicationNames"), "applications"),
    **dict.fromkeys(("appVersion", "appVersionName", "applicationVersionName"), "versions"),
    **dict.fromkeys(("endpointId", "endpointIds", "endpointIDs"), "endpoints"),
    **dict.fromkeys(("filterId", "filterIds"), "filters"),
}
_VERSION = "version"


class Owners(Protocol):
    """Tells which applications things belong to."""

    def application_of(self, version: str) -> str | None:
        """Give the application of a version; None if there is no such version."""

    async def of_endpoints(self, endpoint_ids: Collection[str]) -> Mapping[str, str]:
        """Give the applications of endpoints, those that there are; Unavailable if nobody can tell."""

    async def of_filters(self, filter_ids: Collection[str]) -> Mapping[str, str]:
        """Give the applications of filters, those that there are; Unavailable if nobody can tell."""


class NoOwners:
    """Knows of nothing."""

    def application_of(self, _: str) -> str | None:
        """Give None."""
        return None

    async def of_endpoints(self, _: Collection[str]) -> Mapping[str, str]:
        """Give none."""
        return {}

    async def of_filters(self, _: Collection[str]) -> Mapping[str, str]:
        """Give none."""
        return {}


class Scope:
    """Knows what the requests of one route are about."""

    def __init__(self, route: Route, parameters: Iterable[str], owners: Owners) -> None:
        self._route, self._owners = route, owners
        self._path = {name: _KINDS[name] for name in parameters if name in _KINDS}
        if _VERSION in parameters and "applications" not in self._path.values():
            # below an application a version is that application's own, and perhaps one of its software
            self._path[_VERSION] = "versions"
        self._is_placed = bool({"applications", "versions"} & set(self._path.values()))

    async def check(self, call: Call) -> None:
        """Raise Forbidden if this is about anything that is not the caller's business."""
        caller = call.caller
        if not caller.is_limited:
            return
        applications, unknown = await self._found(self._named(call))
        for application in sorted(applications):
            if not caller.may_see(application):
                raise _forbidden(caller, "what was named is not known to belong to one of them")
        if unknown and not self._is_placed:
            raise _forbidden(caller, "what was named is not known to belong to one of them")
        if not applications and not self._route.shows_own:
            raise _forbidden(caller, "the request is about none of them in particular")

    async def application_of(self, call: Call) -> str | None:
        """Give the one application that a request is about; None if it is none or several."""
        applications, _ = await self._found(self._named(call))
        return next(iter(applications)) if len(applications) == 1 else None

    async def _found(self, named: Named) -> tuple[set[str], bool]:
        """Give the applications of what is named, and whether there is something that belongs to none."""
        versions = [self._owners.application_of(version) for version in named.versions]
        endpoints, filters = set(named.endpoints), set(named.filters)
        of_endpoints = await self._owners.of_endpoints(endpoints) if endpoints else {}
        of_filters = await self._owners.of_filters(filters) if filters else {}
        found = {*named.applications, *versions, *of_endpoints.values(), *of_filters.values()}
        is_unknown = None in found or len(of_endpoints) < len(endpoints) or len(of_filters) < len(filters)
        return {one for one in found if one is not None}, is_unknown

    def _named(self, call: Call) -> Named:
        """Give what the names tell; what the route says itself stands for those of the query and the body."""
        named: dict[_Kind, list[str]] = {kind: [] for kind in get_args(_Kind)}
        for name, kind in self._path.items():
            named[kind].append(call.path[name])
        if self._route.names is not None:
            own = self._route.names(call)
            for kind, values in named.items():
                values.extend(getattr(own, kind))
        else:
            for kind, found in (*_walked(call.query), *_walked(call.body)):
                named[kind].extend(found)
        return Named(**{kind: tuple(values) for kind, values in named.items()})


def _walked(value: Any) -> Iterator[tuple[_Kind, Iterable[str]]]:
    """Give what the declared fields of a model name, and of the models in it."""
    if isinstance(value, BaseModel):
        for field, info in type(value).model_fields.items():
            held = getattr(value, field)
            kind = next(
                (_KINDS[name] for name in wire_names(field, info.validation_alias or info.alias) if name in _KINDS),
                None,
            )
            if kind is not None:
                yield kind, _texts(held)
            else:
                yield from _walked(held)
    elif isinstance(value, (list, tuple)):
        for one in value:
            yield from _walked(one)


def _texts(value: Any) -> Iterator[str]:
    if isinstance(value, str):
        yield value
    elif isinstance(value, BaseModel):  # {"appVersion": {"name": …}}
        yield from _texts(getattr(value, "name", None))
    elif isinstance(value, (list, tuple, set, frozenset)):
        for one in value:
            yield from _texts(one)


def _forbidden(caller: Caller, why: str) -> Forbidden:
    return Forbidden(f"this key is limited to the applications {', '.join(caller.applications)}, and {why}")
