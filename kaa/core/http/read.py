"""From a request's bytes to what a handler takes; whatever is wrong becomes a sentence that names the place."""

import asyncio
import math
import re
import types
from collections.abc import Mapping, Sequence
from collections.abc import Set as AbstractSet
from functools import cached_property
from typing import Annotated, Any, Union, get_args, get_origin

import pydantic_core
from aiohttp import web
from pydantic import AliasChoices, BaseModel, TypeAdapter, ValidationError

from kaa.core.errors import InvalidInput, TooLarge

_MANY = (list, tuple, set, frozenset, Sequence, AbstractSet)
# Where Python would read infinity or "not a number"; a hit may be inside a string and only asks for a closer look.
_PERHAPS_NOT_FINITE = re.compile(rb"NaN|Infinity|[eE]\+?\d{3}|\d{300}")


class QueryReader:
    """Reads one query model from query strings; parameters that it does not name are ignored."""

    def __init__(self, model: type[BaseModel]) -> None:
        self._model = model
        self._names = {
            name: _is_many(info.annotation)
            for field, info in model.model_fields.items()
            for name in wire_names(field, info.validation_alias or info.alias)
        }

    def knows(self, name: str) -> bool:
        """Whether the model has a parameter of that name on the wire."""
        return name in self._names

    def read(self, query: Mapping[str, str]) -> BaseModel:
        """Give the model, or raise InvalidInput."""
        values: dict[str, Any] = {}
        for name, is_many in self._names.items():
            given = query.getall(name, None)  # type: ignore[attr-defined]  # aiohttp's MultiDict, typed as Mapping there
            if given is None:
                continue
            if is_many:
                values[name] = [part for value in given for part in value.split(",") if part]
            elif len(given) > 1:
                raise InvalidInput(f"query.{name}: given more than once")
            else:
                values[name] = given[0]
        try:
            return self._model.model_validate(values, by_alias=True, by_name=False)
        except ValidationError as error:
            raise invalid(error, "query") from None


class BodyReader:
    """Reads one kind of JSON body."""

    def __init__(self, kind: Any, *, is_optional: bool) -> None:
        self._kind, self._is_raw, self._is_optional = kind, kind is bytes, is_optional

    @cached_property
    def _adapter(self) -> TypeAdapter[Any]:
        """Made when the first body comes: there are a hundred routes, and most are rarely used."""
        return TypeAdapter(self._kind)

    def read(self, data: bytes) -> Any:
        """Give the value, None for a body that may be absent and is, or raise InvalidInput."""
        if self._is_raw:
            return data
        if not data.strip():
            if self._is_optional:
                return None
            raise InvalidInput("body: there is none, and one is needed")
        if _PERHAPS_NOT_FINITE.search(data):
            _refuse_not_finite(data)
        try:
            return self._adapter.validate_json(data)
        except ValidationError as error:
            raise invalid(error, "body") from None


async def read_bytes(request: web.Request, *, max_bytes: int, timeout_ms: int) -> bytes:
    """Read the whole body; raises TooLarge as soon as it is known to be, and InvalidInput if it does not arrive."""
    too_large = TooLarge(f"body: more than {max_bytes} bytes")
    if (request.content_length or 0) > max_bytes:
        raise too_large
    if request.headers.get("Expect", "").lower() == "100-continue":
        await request.writer.write(b"HTTP/1.1 100 Continue\r\n\r\n")
        request.writer.output_size = 0  # as aiohttp does: the answer itself has not begun
    data = bytearray()
    try:
        async with asyncio.timeout(timeout_ms / 1000):
            while chunk := await request.content.readany():
                data += chunk
                if len(data) > max_bytes:
                    raise too_large
    except TimeoutError:
        raise InvalidInput(f"body: not complete after {timeout_ms / 1000:g} seconds") from None
    except (web.RequestPayloadError, ConnectionError):
        raise InvalidInput("body: cannot be read as its headers describe it") from None
    return bytes(data)


def invalid(error: ValidationError, where: str) -> InvalidInput:
    """Give the refusal for what pydantic found, its first three findings in one sentence."""
    found = error.errors(include_url=False, include_context=False, include_input=False)
    sentence = "; ".join(_finding(where, item["loc"], item["msg"]) for item in found[:3])
    return InvalidInput(sentence if len(found) <= 3 else f"{sentence}; and {len(found) - 3} more")


def _finding(where: str, loc: tuple[int | str, ...], message: str) -> str:
    place = where + "".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in loc)
    message = message.removeprefix("Value error, ").removeprefix("Assertion failed, ")
    return f"{place}: {message[:1].lower()}{message[1:]}"


def _refuse_not_finite(data: bytes) -> None:
    try:
        parsed = pydantic_core.from_json(data, allow_inf_nan=False)
    except ValueError as error:
        raise InvalidInput(f"body: invalid JSON: {error}") from None
    rest = [parsed]
    while rest:
        value = rest.pop()
        if isinstance(value, float) and not math.isfinite(value):
            raise InvalidInput("body: a number is too large for a double")
        if isinstance(value, dict):
            rest.extend(value.values())
        elif isinstance(value, list):
            rest.extend(value)


def wire_names(field: str, alias: object) -> list[str]:
    """Give what a field of a model is called on the wire."""
    if isinstance(alias, AliasChoices):
        return [choice for choice in alias.choices if isinstance(choice, str)]
    return [alias if isinstance(alias, str) else field]


def _is_many(annotation: Any) -> bool:
    origin = get_origin(annotation) or annotation
    if origin is Annotated:
        return _is_many(get_args(annotation)[0])
    if origin in {Union, types.UnionType}:
        return any(_is_many(part) for part in get_args(annotation))
    return origin in _MANY
