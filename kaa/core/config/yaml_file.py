"""A YAML file as plain values, and where each of them stands."""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

from kaa.core.errors import ConfigError

Place = tuple[str | int, ...]

_MERGE = "tag:yaml.org,2002:merge"


@dataclass(frozen=True, slots=True)
class YamlFile:
    """What a file says, and the line on which it says it."""

    name: str
    values: dict[str, Any]
    lines: dict[Place, int] = field(default_factory=dict)


def read_yaml(path: Path) -> YamlFile:
    """Read the file; raises ConfigError with the line for what is no YAML, and for a key that stands there twice."""
    try:
        text = path.read_text(encoding="utf-8")
    except OSError as error:
        raise ConfigError(f"{path}: cannot be read: {error.strerror}") from None
    except UnicodeDecodeError as error:
        raise ConfigError(f"{path}: is not UTF-8 at byte {error.start}") from None
    return _Reading(str(path), text).read()


class _Reading:
    def __init__(self, name: str, text: str) -> None:
        self._name = name
        self._text = text
        self._lines: dict[Place, int] = {}
        self._within: set[yaml.Node] = set()

    def read(self) -> YamlFile:
        try:
            self._loader = yaml.SafeLoader(self._text)
            root = self._loader.get_single_node()
            values = None if root is None else self._value(root, ())
        except yaml.MarkedYAMLError as error:
            mark = error.problem_mark or error.context_mark
            where = f":{mark.line + 1}" if mark else ""
            raise ConfigError(f"{self._name}{where}: is not valid YAML: {error.problem or error.context}") from None
        except yaml.YAMLError as error:
            raise ConfigError(f"{self._name}: is not valid YAML: {str(error).splitlines()[0]}") from None
        if values is None:
            values = {}
        if not isinstance(values, dict):
            raise ConfigError(f"{self._name}:1: expected keys with values")
        return YamlFile(name=self._name, values=values, lines=self._lines)

    def _value(self, node: yaml.Node, place: Place) -> Any:
        if node in self._within:
            raise self._wrong(node, "an alias that contains itself")
        self._within.add(node)
        try:
            if isinstance(node, yaml.MappingNode):
                return self._mapping(node, place)
            if isinstance(node, yaml.SequenceNode):
                return [self._item(item, (*place, index)) for index, item in enumerate(node.value)]
            try:
                return self._loader.construct_object(node, deep=True)
            except ValueError as error:  # a date that no calendar has
                raise self._wrong(node, str(error)) from None
        finally:
            self._within.discard(node)

    def _item(self, node: yaml.Node, place: Place) -> Any:
        self._lines[place] = node.start_mark.line + 1
        return self._value(node, place)

    def _mapping(self, node: yaml.MappingNode, place: Place) -> dict[str, Any]:
        seen: dict[str, int] = {}
        for key, _ in node.value:
            line = key.start_mark.line + 1
            if not isinstance(key, yaml.ScalarNode):
                raise self._wrong(key, "a key must be a word")
            if key.value in seen:
                twice = f"stands here twice, first on line {seen[key.value]}"
                raise self._wrong(key, f"{_dotted((*place, key.value))}: {twice}")
            if key.tag != _MERGE:
                seen[key.value] = line
        self._loader.flatten_mapping(node)
        values = {}
        for key, value in node.value:
            # The word as written: `on`, `1883` and `null` are names where a key stands.
            name = str(key.value)
            self._lines[*place, name] = key.start_mark.line + 1
            values[name] = self._value(value, (*place, name))
        return values

    def _wrong(self, node: yaml.Node, what: str) -> ConfigError:
        return ConfigError(f"{self._name}:{node.start_mark.line + 1}: {what}")


def _dotted(place: Place) -> str:
    return ".".join(map(str, place))
