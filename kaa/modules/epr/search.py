"""How a search by metadata is written, and what it means in the language of filters."""

from collections.abc import Mapping
from typing import Any

from pydantic_core import from_json

from kaa.core.endpoint_query import Query, parse
from kaa.core.errors import InvalidInput

_COMBINED = frozenset({"$and", "$or", "$nor"})
_FIELDS = ("application_version", "metadata")
_MAX_DEPTH = 16
_MAX_LENGTH = 16 * 1024


def read_query(value: str | Mapping[str, Any], *, what: str) -> Query:
    """Read a query on metadata: in the language of filters, or with its keys by themselves.

    These say the same: `{"metadata.location.floor": 3}` and `{"location.floor": 3}`.
    """
    if isinstance(value, str):
        value = _object(value, what)
    try:
        return parse(_spelled_out(value, what, 1))
    except InvalidInput as no:
        raise InvalidInput(no.reason if no.reason.startswith(what) else f"{what}: {no.reason}") from None


def read_filter(text: str, *, what: str) -> Query:
    """Read `key:value`, or a query in JSON; a value that looks like a number (say) is meant as that or as text."""
    if text.lstrip().startswith("{"):
        return read_query(text, what=what)
    key, colon, value = text.partition(":")
    if not colon or not key:
        raise InvalidInput(f"{what}: {text[:80]!r} is neither key:value nor a JSON query")
    return read_query({f"metadata.{key}": {"$in": _readings(value)}}, what=what)


def _readings(value: str) -> list[Any]:
    try:
        read = from_json(value, allow_inf_nan=False)
    except ValueError:
        return [value]
    return [value, read] if read is None or isinstance(read, bool | int | float | str) else [value]


def _object(text: str, what: str) -> Mapping[str, Any]:
    if len(text) > _MAX_LENGTH:
        raise InvalidInput(f"{what}: more than {_MAX_LENGTH} characters")
    try:
        value = from_json(text, allow_inf_nan=False)
    except ValueError as error:
        raise InvalidInput(f"{what}: invalid JSON: {error}") from None
    if not isinstance(value, dict):
        raise InvalidInput(f"{what}: not an object")
    return value


def _spelled_out(query: Mapping[str, Any], what: str, depth: int) -> dict[str, Any]:
    if depth > _MAX_DEPTH:
        raise InvalidInput(f"{what}: nested deeper than {_MAX_DEPTH} levels")
    spelled: dict[str, Any] = {}
    for name, value in query.items():
        if name in _COMBINED and isinstance(value, list):
            spelled[name] = [_spelled_out(part, what, depth + 1) if isinstance(part, dict) else part for part in value]
        elif name.startswith("$") or name.split(".")[0] in _FIELDS:
            spelled[name] = value
        else:
            spelled[f"metadata.{name}"] = value
    return spelled
