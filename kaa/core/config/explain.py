"""What a configuration comes to, and which of the sources said it."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pydantic import BaseModel

from .shape import options
from .source import Source

DEFAULT = "default"
_PASSWORD = re.compile(r"(?<=://)[^/@\s]+@")


@dataclass(frozen=True, slots=True)
class Explained:
    """An option, its value as the file would have it, and its source: `FILE:LINE`, a variable, a flag or `default`."""

    place: tuple[str, ...]
    value: Any
    source: str


def explain(
    model: type[BaseModel], *, file: Path | None, environ: Mapping[str, str], flags: Mapping[str, object]
) -> list[Explained]:
    """Give every option, in the order of the model; raises ConfigError, one line a problem.

    Secrets are starred: what the model takes for one, and what stands before the host of an address.
    """
    source = Source(file=file, environ=environ, flags=flags)
    loaded = source.load(model)
    source.refuse_unused()
    whole = loaded.model_dump(mode="json", by_alias=True)
    said = loaded.model_dump(mode="json", by_alias=True, exclude_unset=True)
    found = []
    for place, _ in options(model):
        origin = source.origins.get(place, DEFAULT)
        value = _leaf(whole if origin == DEFAULT else said, place)
        found.append(Explained(place, _starred(value), origin))
    return found


def _leaf(tree: Any, place: tuple[str, ...]) -> Any:
    for key in place:
        tree = tree[key]
    return tree


def _starred(value: Any) -> Any:
    if isinstance(value, str):
        return _PASSWORD.sub("***@", value)
    if isinstance(value, dict):
        return {key: _starred(inner) for key, inner in value.items()}
    return [_starred(inner) for inner in value] if isinstance(value, list) else value
