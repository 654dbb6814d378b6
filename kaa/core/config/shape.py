"""What a settings model looks like from outside: its keys, its options, and what kind of text each takes."""

import re
import types
from collections.abc import Iterator, Mapping, Sequence
from typing import Annotated, Any, Union, get_args, get_origin

import yaml
from pydantic import BaseModel
from pydantic.fields import FieldInfo

_NESTED = (list, tuple, set, frozenset, dict, Mapping, Sequence)


def keys(model: type[BaseModel]) -> dict[str, FieldInfo]:
    """Give the fields by their keys."""
    return {info.alias or name: info for name, info in model.model_fields.items()}


def options(model: type[BaseModel], place: tuple[str, ...] = ()) -> Iterator[tuple[tuple[str, ...], FieldInfo]]:
    """Give everything that can be set, with its place; sections are gone into."""
    for key, info in keys(model).items():
        section = section_of(info.annotation)
        if section is None:
            yield (*place, key), info
        else:
            yield from options(section, (*place, key))


def section_of(annotation: Any) -> type[BaseModel] | None:
    """Give the model, if the annotation is one, optional or not."""
    found = [part for part in members(annotation) if isinstance(part, type) and issubclass(part, BaseModel)]
    return found[0] if len(found) == 1 else None


def item_of(annotation: Any) -> Any:
    """Give the type of the items, if the annotation is of a list or a mapping; else None."""
    for part in members(annotation):
        arguments = [argument for argument in get_args(part) if argument is not Ellipsis]
        if (get_origin(part) or part) in _NESTED and arguments:
            return arguments[-1]
    return None


def members(annotation: Any) -> list[Any]:
    """Give the parts of a union, or the annotation itself."""
    origin = get_origin(annotation)
    if origin is Annotated:
        return members(get_args(annotation)[0])
    if origin in {Union, types.UnionType}:
        return [member for part in get_args(annotation) for member in members(part)]
    return [annotation]


def variable(place: Sequence[str | int]) -> str:
    """Give the environment's name of an option."""
    return "KAA_" + re.sub(r"[^A-Z0-9]", "_", "_".join(map(str, place)).upper())


def from_text(text: str, annotation: Any) -> Any:
    """Read a variable's text: `null` or nothing where nothing is allowed, YAML or commas where several values are."""
    kinds = members(annotation)
    if types.NoneType in kinds and text.strip() in {"", "null", "~"}:
        return None
    if any((get_origin(kind) or kind) in _NESTED for kind in kinds):
        try:
            value = yaml.safe_load(text)
        except yaml.YAMLError:
            return text
        return [part.strip() for part in value.split(",")] if isinstance(value, str) else value
    return text
