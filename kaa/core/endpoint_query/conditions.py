"""What a query comes to: conditions that hold or do not, and the tests that they put to values."""

import operator
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Final

REGEX_LOOKS_AT = 4_096
"""How many characters of a string a regular expression sees."""

VERSION: Final = "application_version"
METADATA: Final = "metadata"
PAIRS: Final = "$pairs"
"""The step that leads to metadata as an array of pairs; `metadata` leads to it as an object."""

COMPARISONS: dict[str, Callable[[Any, Any], Any]] = {
    "$gt": operator.gt,
    "$gte": operator.ge,
    "$lt": operator.lt,
    "$lte": operator.le,
}
KINDS: dict[type, str] = {bool: "boolean", int: "number", float: "number", str: "string"}
_MISSING: Final = object()


class Test(ABC):
    """Whether one value passes; of what is not there it is asked, too."""

    __slots__ = ()
    is_of_elements = True
    """Whether an array passes if one of its elements does."""

    @abstractmethod
    def passes(self, value: Any) -> bool:
        """Tell of one value."""


@dataclass(frozen=True, slots=True)
class OneOf(Test):
    """Equal to one of these: `$eq`, `$in`."""

    operands: tuple[Any, ...]
    _keys: frozenset[Any] = field(init=False, repr=False, compare=False)
    _has_compound: bool = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "_keys", frozenset(map(key_of, self.operands)))
        object.__setattr__(self, "_has_compound", any(isinstance(one, dict | list) for one in self.operands))

    def passes(self, value: Any) -> bool:
        """Tell of one value."""
        if value is _MISSING:
            return None in self._keys
        if isinstance(value, dict | list) and not self._has_compound:
            return False
        return key_of(value) in self._keys


@dataclass(frozen=True, slots=True)
class Ordered(Test):
    """Before or after another value of its type: `$gt`, `$gte`, `$lt`, `$lte`."""

    comparison: str
    operand: bool | float | str | None

    def passes(self, value: Any) -> bool:
        """Tell of one value."""
        if self.operand is None:
            return (value is None or value is _MISSING) and self.comparison in {"$gte", "$lte"}
        kind = KINDS.get(type(value))
        return (
            kind is not None
            and kind == KINDS[type(self.operand)]
            and bool(COMPARISONS[self.comparison](value, self.operand))
        )


@dataclass(frozen=True, slots=True)
class Like(Test):
    """A string in which a regular expression is found: `$regex`."""

    pattern: Any

    def passes(self, value: Any) -> bool:
        """Tell of one value."""
        return isinstance(value, str) and self.pattern.search(value[:REGEX_LOOKS_AT]) is not None


@dataclass(frozen=True, slots=True)
class Exists(Test):
    """Anything, null as well."""

    is_of_elements = False

    def passes(self, value: Any) -> bool:
        """Tell of one value."""
        return value is not _MISSING


@dataclass(frozen=True, slots=True)
class Element(Test):
    """An array with an element for which a condition holds: `$elemMatch`."""

    condition: "Condition"
    is_object: bool
    is_of_elements = False

    def passes(self, value: Any) -> bool:
        """Tell of one value."""
        if not isinstance(value, list):
            return False
        holds = self.condition.holds
        return any(holds(one) for one in value if not self.is_object or isinstance(one, dict))


@dataclass(frozen=True, slots=True)
class Where:
    """Something at a path passes a test."""

    path: tuple[str, ...]
    test: Test

    def holds(self, found: Any) -> bool:
        """Tell of a document."""
        return self._holds(found, 0)

    def _holds(self, value: Any, at: int) -> bool:
        path, test = self.path, self.test
        for step in range(at, len(path)):
            if isinstance(value, dict):
                value = value.get(path[step], _MISSING)
                if value is _MISSING:
                    return test.passes(_MISSING)
            elif isinstance(value, list):
                return self._holds_within(value, step)
            else:
                return test.passes(_MISSING)
        if test.passes(value):
            return True
        # an element that `$elemMatch` has handed on is what it is, even if it is an array
        return bool(path) and test.is_of_elements and isinstance(value, list) and any(map(test.passes, value))

    def _holds_within(self, array: list[Any], step: int) -> bool:
        name = self.path[step]
        is_position = name.isascii() and name.isdecimal() and len(name) <= 6 and int(name) < len(array)
        if is_position and self._holds(array[int(name)], step + 1):
            return True
        return any(self._holds(one, step) for one in array if isinstance(one, dict))


@dataclass(frozen=True, slots=True)
class Every:
    """All of these hold; of none at all this is true."""

    parts: tuple["Condition", ...]

    def holds(self, found: Any) -> bool:
        """Tell of a document."""
        return all(part.holds(found) for part in self.parts)


@dataclass(frozen=True, slots=True)
class Some:
    """One of these holds."""

    parts: tuple["Condition", ...]

    def holds(self, found: Any) -> bool:
        """Tell of a document."""
        return any(part.holds(found) for part in self.parts)


@dataclass(frozen=True, slots=True)
class Not:
    """This does not hold."""

    part: "Condition"

    def holds(self, found: Any) -> bool:
        """Tell of a document."""
        return not self.part.holds(found)


Condition = Where | Every | Some | Not


@dataclass(frozen=True, slots=True)
class Query:
    """A query, as it was written and as it is worked out."""

    document: Mapping[str, Any]
    condition: Condition
    has_pairs: bool

    def matches(self, app_version: str, metadata: Mapping[str, Any]) -> bool:
        """Tell whether an endpoint is chosen."""
        found: dict[str, Any] = {
            VERSION: app_version,
            METADATA: metadata if isinstance(metadata, dict) else dict(metadata),
        }
        if self.has_pairs:
            found[PAIRS] = [{"key": key, "value": value} for key, value in metadata.items()]
        return self.condition.holds(found)


def key_of(value: Any) -> Any:
    """Give what is equal for equal values, and for no others: true is not 1."""
    if isinstance(value, bool):
        return (value,)
    if isinstance(value, list):
        return ("[", *map(key_of, value))
    if isinstance(value, Mapping):
        return ("{", frozenset((name, key_of(one)) for name, one in value.items()))
    return value
