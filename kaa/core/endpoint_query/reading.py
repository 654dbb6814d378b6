"""From a query as it was written to its conditions; whatever is wrong becomes a sentence that names the place."""

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

from pydantic_core import PydanticSerializationError, from_json, to_json

from kaa.core.errors import InvalidInput

from .conditions import (
    COMPARISONS,
    KINDS,
    METADATA,
    PAIRS,
    VERSION,
    Condition,
    Element,
    Every,
    Exists,
    Like,
    Not,
    OneOf,
    Ordered,
    Query,
    Some,
    Where,
)
from .regex import compile_regex

MAX_BYTES = 16 * 1024
MAX_DEPTH = 16
MAX_TESTS = 200
MAX_OPERANDS = 1_000
MAX_REGEXES = 20
MAX_BITS = 1_024
_MAX_STEPS = 16


def parse(value: str | Mapping[str, Any], *, what: str = "mongoQuery") -> Query:
    """Understand a query, an object or its JSON text; InvalidInput, with the place below `what`, if it is none."""
    if isinstance(value, str):
        if len(value) > MAX_BYTES:
            raise InvalidInput(f"{what}: more than {MAX_BYTES} bytes of JSON")
        try:
            value = from_json(value, allow_inf_nan=False)
        except ValueError as error:
            raise InvalidInput(f"{what}: invalid JSON: {error}") from None
    if not isinstance(value, Mapping):
        raise InvalidInput(f"{what}: not an object")
    document = dict(value)
    _check(document, what, 0)
    try:
        size = len(to_json(document))
    except PydanticSerializationError:
        raise InvalidInput(f"{what}: not JSON; a string in it is no text") from None
    if size > MAX_BYTES:
        raise InvalidInput(f"{what}: more than {MAX_BYTES} bytes of JSON")
    reader = _Reader(what)
    condition = reader.root(document, what)
    return Query(document, condition, reader.has_pairs)


class _Reader:
    """Reads one query; counts what it costs."""

    def __init__(self, what: str) -> None:
        self._what = what
        self._tests = self._operands = self._regexes = 0
        self.has_pairs = False

    def root(self, document: Mapping[str, Any], place: str) -> Condition:
        """Read a query of endpoints."""
        return self._document(document, place, self._root_field)

    def _document(self, document: Any, place: str, read: Callable[[str, Any, str], Iterable[Condition]]) -> Condition:
        if not isinstance(document, Mapping):
            raise InvalidInput(f"{place}: not an object")
        parts: list[Condition] = []
        for name, value in document.items():
            here = f"{place}.{name[:80]}"
            if not name.startswith("$"):
                parts.extend(read(name, value, here))
            elif name in {"$and", "$or", "$nor"}:
                if not isinstance(value, list) or not value:
                    raise InvalidInput(f"{here}: not an array of queries")
                inner = tuple(self._document(one, f"{here}[{n}]", read) for n, one in enumerate(value))
                self._count(here)
                parts.append(Every(inner) if name == "$and" else Some(inner) if name == "$or" else Not(Some(inner)))
            elif name == "$not":
                raise InvalidInput(f"{here}: $not stands behind a field; here it is $nor with one query")
            else:
                raise InvalidInput(f"{here}: {_unknown(name)}")
        return parts[0] if len(parts) == 1 else Every(tuple(parts))

    def _root_field(self, name: str, value: Any, place: str) -> list[Condition]:
        if name == VERSION:
            return self._field((VERSION,), value, place)
        if name == METADATA:
            return self._pairs(value, place)
        if name.startswith(f"{METADATA}."):
            return self._field(_steps(name, place), value, place)
        raise InvalidInput(f"{place}: neither {VERSION}, {METADATA} nor {METADATA}.<key>")

    def _pairs(self, value: Any, place: str) -> list[Condition]:
        """Read what is asked of the pairs; where it names the key it is the same as asking for its value by name."""
        if not isinstance(value, Mapping) or not value or not set(value) <= {"$elemMatch", "$not"}:
            raise InvalidInput(
                f"{place}: of the pairs only $elemMatch can be asked, or $not of it; "
                f"to compare one value write {METADATA}.<key>"
            )
        parts: list[Condition] = []
        if "$elemMatch" in value:
            here = f"{place}.$elemMatch"
            inner = self._document(value["$elemMatch"], here, self._pair_field)
            self._count(here)
            if (named := _by_name(inner)) is None:
                self.has_pairs = True
                named = Where((PAIRS,), Element(inner, is_object=True))
            parts.append(named)
        if "$not" in value:
            parts.append(Not(_all(self._pairs(value["$not"], f"{place}.$not"))))
        return parts

    def _pair_field(self, name: str, value: Any, place: str) -> list[Condition]:
        if name not in {"key", "value"} and not name.startswith("value."):
            raise InvalidInput(f"{place}: a pair has key and value, and value.<path>")
        return self._field(_steps(name, place), value, place)

    def _any_field(self, name: str, value: Any, place: str) -> list[Condition]:
        return self._field(_steps(name, place), value, place)

    def _field(self, path: tuple[str, ...], value: Any, place: str) -> list[Condition]:
        if not _is_tests(value, place):
            return [Where(path, self._one_of([value], place))]
        parts: list[Condition] = []
        for name, operand in value.items():
            here = f"{place}.{name[:80]}"
            self._count(here)
            if name in {"$eq", "$ne"}:
                parts.append(Where(path, self._one_of([operand], here)))
            elif name in {"$in", "$nin"}:
                if not isinstance(operand, list):
                    raise InvalidInput(f"{here}: not an array")
                parts.append(Where(path, self._one_of(operand, here)))
            elif name in COMPARISONS:
                if operand is not None and type(operand) not in KINDS:
                    raise InvalidInput(f"{here}: neither number, string, boolean nor null")
                parts.append(Where(path, Ordered(name, operand)))
            elif name == "$exists":
                if not isinstance(operand, bool | int | float):
                    raise InvalidInput(f"{here}: neither true nor false")
                found = Where(path, Exists())
                parts.append(found if operand else Not(found))
            elif name == "$regex":
                options = value.get("$options", "")
                if not isinstance(operand, str) or not isinstance(options, str):
                    raise InvalidInput(f"{here}: the expression and its $options are strings")
                self._regexes += 1
                if self._regexes > MAX_REGEXES:
                    raise InvalidInput(f"{here}: more than {MAX_REGEXES} regular expressions in one query")
                parts.append(Where(path, Like(compile_regex(operand, options=options, what=here))))
            elif name == "$options":
                if "$regex" not in value:
                    raise InvalidInput(f"{here}: there is no $regex beside it")
            elif name == "$not":
                if not _is_tests(operand, here):
                    raise InvalidInput(f'{here}: not an object of tests, such as {{"$gt": 5}}')
                parts.append(Not(_all(self._field(path, operand, here))))
            elif name == "$elemMatch":
                parts.append(Where(path, self._element(operand, here)))
            else:
                raise InvalidInput(f"{here}: {_unknown(name)}")
            if name in {"$ne", "$nin"}:
                parts[-1] = Not(parts[-1])
        return parts

    def _element(self, operand: Any, place: str) -> Element:
        if not isinstance(operand, Mapping):
            raise InvalidInput(f"{place}: not an object")
        if operand and next(iter(operand)) not in {"$and", "$or", "$nor"} and _is_tests(operand, place):
            return Element(_all(self._field((), operand, place)), is_object=False)
        return Element(self._document(operand, place, self._any_field), is_object=True)

    def _one_of(self, operands: Sequence[Any], place: str) -> OneOf:
        self._count(place)
        self._operands += len(operands)
        if self._operands > MAX_OPERANDS:
            raise InvalidInput(f"{self._what}: more than {MAX_OPERANDS} values to compare with")
        return OneOf(tuple(operands))

    def _count(self, place: str) -> None:
        self._tests += 1
        if self._tests > MAX_TESTS:
            raise InvalidInput(f"{place}: more than {MAX_TESTS} operators in one query")


def _check(value: Any, place: str, depth: int) -> None:
    """Refuse what is nested too deep or is not JSON."""
    if depth > MAX_DEPTH:
        raise InvalidInput(f"{place}: nested deeper than {MAX_DEPTH}")
    if isinstance(value, float) and not math.isfinite(value):
        raise InvalidInput(f"{place}: a number that is not finite")
    if isinstance(value, int) and value.bit_length() > MAX_BITS:
        raise InvalidInput(f"{place}: a number of more than {MAX_BITS} bits")
    if isinstance(value, Mapping):
        for name, one in value.items():
            _check(one, f"{place}.{name[:80]}", depth + 1)
    elif isinstance(value, list):
        for n, one in enumerate(value):
            _check(one, f"{place}[{n}]", depth + 1)


def _is_tests(value: Any, place: str) -> bool:
    """Whether this is an object of operators and not a value to compare with; a mixture is refused."""
    if not isinstance(value, Mapping) or not value:
        return False
    operators: int = sum(name.startswith("$") for name in value)
    if operators not in {0, len(value)}:
        raise InvalidInput(f"{place}: operators and names in one object")
    return operators > 0


def _steps(name: str, place: str) -> tuple[str, ...]:
    steps = tuple(name.split("."))
    if "" in steps or len(steps) > _MAX_STEPS:
        raise InvalidInput(f"{place}: a path has 1 to {_MAX_STEPS} steps, none of them empty")
    return steps


def _unknown(name: str) -> str:
    if name == "$where":
        return "$where is not taken: a query is data, never code"
    return f"there is no operator {name[:80]!r}, or it does not belong here"


def _all(parts: Sequence[Condition]) -> Condition:
    return parts[0] if len(parts) == 1 else Every(tuple(parts))


def _by_name(inner: Condition) -> Condition | None:
    """Give what is asked of a pair as a question by name, if it says which keys and nothing else about them."""
    parts = inner.parts if isinstance(inner, Every) else (inner,)
    for part in parts:
        if isinstance(part, Where) and part.path == ("key",) and isinstance(part.test, OneOf):
            keys = [key for key in part.test.operands if isinstance(key, str)]
            rest = [one for one in parts if one is not part]
            if not all(map(_is_of_value, rest)):
                return None
            asked = [
                Every((Where((METADATA, key), Exists()), *(_moved(one, (METADATA, key)) for one in rest)))
                for key in dict.fromkeys(keys)
            ]
            return asked[0] if len(asked) == 1 else Some(tuple(asked))
    return None


def _is_of_value(condition: Condition) -> bool:
    if isinstance(condition, Where):
        return condition.path[0] == "value"
    if isinstance(condition, Not):
        return _is_of_value(condition.part)
    return all(map(_is_of_value, condition.parts))


def _moved(condition: Condition, to: tuple[str, ...]) -> Condition:
    """Ask the same of what lies there instead of a pair's value."""
    if isinstance(condition, Where):
        return Where((*to, *condition.path[1:]), condition.test)
    if isinstance(condition, Not):
        return Not(_moved(condition.part, to))
    moved = tuple(_moved(part, to) for part in condition.parts)
    return Every(moved) if isinstance(condition, Every) else Some(moved)
