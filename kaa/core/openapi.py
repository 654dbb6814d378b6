"""The OpenAPI 3.1 document, made from the mounted routes.

aiohttp-pydantic and aiohttp-apischema make theirs from views whose parsing, errors and access are then theirs as well;
our routes carry all types already and pydantic makes the schemas, so this thin layer is the smaller thing to keep.
"""

import http
import re
from collections import Counter
from collections.abc import Iterable, Sequence
from importlib.metadata import PackageNotFoundError, version
from typing import Any

from pydantic import TypeAdapter
from pydantic.json_schema import JsonSchemaMode

from kaa.core.auth import KEY_HEADER
from kaa.core.errors import (
    Forbidden,
    InvalidInput,
    NotFound,
    PreconditionFailed,
    Refusal,
    StorageFull,
    TooLarge,
    Unauthenticated,
    Unavailable,
)
from kaa.core.http.render import to_json
from kaa.core.http.route import PATH_PARAMETER, TENANT, TENANT_PARAMETER, Mounted, Route
from kaa.core.openapi_words import meaning, parameter, path_parameters

_REF = "#/components/schemas/{model}"
_ERROR = {
    "type": "object",
    "required": ["message"],
    "properties": {"message": {"type": "string", "description": "What was wrong, and where"}},
}
_TENANT = {
    "name": TENANT_PARAMETER,
    "in": "query",
    "schema": {"type": "string", "default": TENANT},
    "description": f"There is one tenant, {TENANT}; of another one there is nothing",
}
_TEXT = {"type": "string"}
_ABOUT = (
    "Everything that people and programs can ask. Each service answers below its own name. Whoever asks shows a "
    f"key, as `Authorization: Bearer <key>` or `{KEY_HEADER}: <key>`; a browser may send it as the password of HTTP "
    'Basic. An error is `{"message": …}` and says what was wrong, and where. `Correlation-ID` comes back as it was '
    "sent, or made, and stands in the log. Times are ISO 8601 in UTC. A query parameter that takes many values is "
    "repeated, or has commas between them."
)
_SECURITY: list[dict[str, list[str]]] = [{"bearer": []}, {"apiKey": []}, {"basic": []}]

Key = tuple[int, str]


def render(mounted: Sequence[Mounted]) -> bytes:
    """Give the document of these routes as JSON."""
    return to_json(document(mounted))


def document(mounted: Sequence[Mounted]) -> dict[str, Any]:
    """Give the document of these routes."""
    schemas = _Schemas(mounted)
    names = _operation_ids(mounted)
    paths: dict[str, dict[str, Any]] = {}
    for number, one in enumerate(mounted):
        path = paths.setdefault(PATH_PARAMETER.sub(r"{\1}", one.path), {})
        path[one.route.method.lower()] = _operation(one, number, names[number], schemas)
    return {
        "openapi": "3.1.0",
        "info": {"title": "Kaa", "version": _version(), "description": _ABOUT},
        "tags": [{"name": tag} for tag in dict.fromkeys(_tag(one) for one in mounted)],
        "paths": paths,
        "components": {
            "schemas": schemas.components | {"Error": _ERROR},
            "securitySchemes": {
                "bearer": {"type": "http", "scheme": "bearer"},
                "apiKey": {"type": "apiKey", "in": "header", "name": KEY_HEADER},
                "basic": {
                    "type": "http",
                    "scheme": "basic",
                    "description": "For browsers: the key as the password, and any user name",
                },
            },
        },
    }


class _Schemas:
    """The JSON Schemas of everything that the routes take and give, made together so that they share components."""

    def __init__(self, mounted: Sequence[Mounted]) -> None:
        inputs: list[tuple[Key, JsonSchemaMode, TypeAdapter[Any]]] = []
        for number, one in enumerate(mounted):
            route = one.route
            roles: list[tuple[str, Any, JsonSchemaMode]] = [
                ("query", route.query, "validation"),
                ("body", route.body, "validation"),
                ("returns", route.returns, "serialization"),
                *((str(status), kind, "serialization") for status, kind in route.also.items()),
            ]
            for role, kind, mode in roles:
                if kind is not None and kind is not bytes:
                    inputs.append(((number, role), mode, TypeAdapter(kind)))
        made, shared = TypeAdapter.json_schemas(inputs, ref_template=_REF)
        self._made = {key: schema for (key, _), schema in made.items()}
        self.components: dict[str, Any] = dict(shared.get("$defs", {}))
        self._queries = {
            number: self._resolve(self._made[number, role]) for number, role in self._made if role == "query"
        }
        self._drop_unnamed()

    def of(self, number: int, role: str) -> dict[str, Any]:
        """Give the schema; bytes have none but their content type."""
        return self._made.get((number, role), {"type": "string", "format": "binary"})

    def query(self, number: int) -> dict[str, Any]:
        """Give the schema of a query model itself, not a reference to it."""
        return self._queries.get(number, {})

    def _resolve(self, schema: dict[str, Any]) -> dict[str, Any]:
        reference = schema.get("$ref")
        found: dict[str, Any] = schema if reference is None else self.components[reference.rpartition("/")[2]]
        return found

    def _drop_unnamed(self) -> None:
        # A query model is taken apart into parameters, and so stays behind as a component that nobody names.
        for number, role in list(self._made):
            if role == "query":
                del self._made[number, role]
        wanted = [*self._made.values(), *(query.get("properties", {}) for query in self._queries.values())]
        named: set[str] = set()
        while wanted:
            for name in set(_references(wanted.pop())) - named:
                named.add(name)
                wanted.append(self.components[name])
        self.components = {name: schema for name, schema in self.components.items() if name in named}


def _operation(mounted: Mounted, number: int, operation_id: str, schemas: _Schemas) -> dict[str, Any]:
    route = mounted.route
    operation: dict[str, Any] = {
        "operationId": operation_id,
        "summary": route.summary,
        **({"description": route.description} if route.description else {}),
        "tags": [_tag(mounted)],
        "parameters": [
            *_path_parameters(mounted.path),
            *_query_parameters(schemas.query(number)),
            *_conditions(route),
        ],
        "responses": _responses(mounted, number, schemas),
        "security": [] if route.open else _SECURITY,
    }
    if _has_tenant_checked(mounted, schemas.query(number)):
        operation["parameters"].append(_TENANT)
    if route.body is not None:
        operation["requestBody"] = {
            "required": not route.body_optional,
            "content": {kind: _body(route, kind, schemas.of(number, "body")) for kind in route.content_types},
        }
    return operation


def _path_parameters(path: str) -> Iterable[dict[str, Any]]:
    for before, name in path_parameters(path):
        described = {"description": said} if (said := parameter(before, name)) else {}
        yield {"name": name, "in": "path", "required": True, "schema": _TEXT, **described}


def _body(route: Route, kind: str, schema: dict[str, Any]) -> dict[str, Any]:
    if kind.startswith("text/"):
        return {"schema": _TEXT}
    if route.body is bytes:
        schema = {}  # whatever is JSON
    return {"schema": schema} | ({} if route.example is None else {"example": route.example})


def _query_parameters(schema: dict[str, Any]) -> Iterable[dict[str, Any]]:
    for name, property_ in schema.get("properties", {}).items():
        parameter = {"name": name, "in": "query", "schema": property_}
        if name in schema.get("required", ()):
            parameter["required"] = True
        if "description" in property_:
            parameter["description"] = property_["description"]
        if property_.get("type") == "array" or any(part.get("type") == "array" for part in property_.get("anyOf", ())):
            parameter |= {"style": "form", "explode": False}
        yield parameter


def _conditions(route: Route) -> Iterable[dict[str, Any]]:
    if route.tagged:
        yield {
            "name": "If-None-Match",
            "in": "header",
            "schema": {"type": "string"},
            "description": "The ETag of the state that is known already, and is not sent again",
        }
    if PreconditionFailed in route.errors:
        yield {
            "name": "If-Match",
            "in": "header",
            "schema": {"type": "string"},
            "description": "The ETag of the state that is to be changed, and no other",
        }


def _has_tenant_checked(mounted: Mounted, query: dict[str, Any]) -> bool:
    """Whether the site looks at the tenant, as the route does not."""
    return bool(mounted.instance) and TENANT_PARAMETER not in query.get("properties", {})


def _responses(mounted: Mounted, number: int, schemas: _Schemas) -> dict[str, Any]:
    route = mounted.route
    given = {route.status: _given(mounted, route.returns, schemas.of(number, "returns"), route.status)}
    for status, kind in route.also.items():
        given[status] = _given(mounted, kind, schemas.of(number, str(status)), status)
    if route.tagged:
        given[304] = {"description": meaning(mounted, 304)}
    refusals: list[type[Refusal]] = list(route.errors)
    if route.writes:
        refusals += [Unavailable, StorageFull]
    if route.query is not None or route.body is not None:
        refusals.append(InvalidInput)
    if route.body is not None:
        refusals.append(TooLarge)
    if _has_tenant_checked(mounted, schemas.query(number)):
        refusals.append(NotFound)
    if not route.open:
        refusals += [Unauthenticated, Forbidden]  # each may be none of a key's business
    errors = sorted({refusal.status for refusal in refusals} | {500})
    return {str(status): one for status, one in given.items()} | {
        str(status): {
            "description": meaning(mounted, status) or _phrase(status),
            "content": {"application/json": {"schema": {"$ref": _REF.format(model="Error")}}},
        }
        for status in errors
        if status not in given
    }


def _given(mounted: Mounted, kind: Any, schema: dict[str, Any], status: int) -> dict[str, Any]:
    route = mounted.route
    given: dict[str, Any] = {"description": meaning(mounted, status) or _phrase(status)}
    if kind is not None:
        names = route.gives or (("application/octet-stream",) if kind is bytes else ("application/json",))
        given["content"] = {name: {"schema": _TEXT if name.startswith("text/") else schema} for name in names}
        if route.shows is not None and status == route.status and (shown := given["content"].get("application/json")):
            shown["example"] = route.shows
    return given


def _operation_ids(mounted: Sequence[Mounted]) -> list[str]:
    wished = [f"{_tag(one)}_{getattr(one.route.handler, '__name__', '').strip('_<>') or 'call'}" for one in mounted]
    often = Counter(wished)
    spelled = [re.sub(r"\W+", "_", f"{one.route.method.lower()}{one.path}").strip("_") for one in mounted]
    return [wish if often[wish] == 1 else full for wish, full in zip(wished, spelled, strict=True)]


def _references(schema: Any) -> Iterable[str]:
    if isinstance(schema, dict):
        if isinstance(reference := schema.get("$ref"), str):
            yield reference.rpartition("/")[2]
        for value in schema.values():
            yield from _references(value)
    elif isinstance(schema, list):
        for value in schema:
            yield from _references(value)


def _tag(mounted: Mounted) -> str:
    return mounted.instance or "site"


def _phrase(status: int) -> str:
    return http.HTTPStatus(status).phrase


def _version() -> str:
    try:
        return version("kaa")
    except PackageNotFoundError:
        return "0"
