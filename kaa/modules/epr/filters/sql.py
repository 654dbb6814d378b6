"""A query as a condition in SQL (SQLite's JSON functions) on the rows of `epr_endpoint`, as far as SQL can tell.

Metadata is compared as JSON text: it is written by one writer in one way, so equal scalars have equal texts, whatever
the database makes of long numbers or of a null byte within a string. What such a comparison cannot tell (an order among
numbers of many digits, arrays on the way, regular expressions) is narrowed down here, and decided by `Query.matches`.
"""

from collections.abc import Iterable, Iterator, Sequence
from contextlib import suppress
from typing import Any

from pydantic_core import to_json
from sqlalchemy import Boolean, ColumnElement, Text, and_, cast, false, func, not_, or_, select

from kaa.core.endpoint_query import Query
from kaa.core.endpoint_query.conditions import (
    COMPARISONS,
    METADATA,
    VERSION,
    Condition,
    Every,
    Exists,
    Like,
    Not,
    OneOf,
    Ordered,
    Test,
    Where,
)

from ..repository.tables import endpoint_table

Limit = ColumnElement[bool] | None
"""A condition, which is never NULL; None is true of every row."""

_METADATA = cast(endpoint_table.c.metadata, Text)
_NUMBER = "-0123456789"
_SLACK = 1e-9


def where(query: Query) -> tuple[Limit, Query | None]:
    """Give a condition that holds for all rows that match, and what is left to decide: None if it holds for no other.

    The statement it stands in selects from `epr_endpoint`.
    """
    limit, is_exact = _narrow(query.condition, wanted=True)
    return limit, None if is_exact else query


def _narrow(condition: Condition, *, wanted: bool) -> tuple[Limit, bool]:
    """Give what holds wherever the condition is as wanted, and whether it holds only there."""
    if isinstance(condition, Where):
        return _narrow_one(condition, wanted=wanted)
    if isinstance(condition, Not):
        return _narrow(condition.part, wanted=not wanted)
    parts = [_narrow(part, wanted=wanted) for part in condition.parts]
    limits = [limit for limit, _ in parts]
    is_exact = all(is_exact for _, is_exact in parts)
    if isinstance(condition, Every) is wanted:
        known = [limit for limit in limits if limit is not None]
        return (and_(*known) if known else None), is_exact
    if any(limit is None for limit in limits):
        return None, is_exact
    return (or_(*(limit for limit in limits if limit is not None)) if limits else false()), is_exact


def _narrow_one(condition: Where, *, wanted: bool) -> tuple[Limit, bool]:
    path, test = condition.path, condition.test
    if path == (VERSION,):
        limit, is_exact = _of_version(test)
    elif path[0] == METADATA and all(map(_is_plain, path)):
        limit, is_exact = _of_value(path[1:], test)
    else:
        return None, False
    if not wanted:
        limit = (false() if limit is None else not_(limit)) if is_exact else None
    if len(path) <= 2:
        return limit, is_exact
    if limit is None:
        return None, False
    # what lies behind an array is left to Python
    return or_(limit, *(_begins(_text(path[1:end]), "[") for end in range(2, len(path)))), False


def _of_version(test: Test) -> tuple[Limit, bool]:
    version = endpoint_table.c.app_version
    if isinstance(test, OneOf):
        return version.in_([one for one in test.operands if isinstance(one, str)]), True
    if isinstance(test, Ordered):
        fits: ColumnElement[bool] = false()
        if isinstance(test.operand, str):
            fits = COMPARISONS[test.comparison](version, test.operand)  # SQLAlchemy's columns know these operators
        return fits, True
    return None, isinstance(test, Exists)


def _of_value(path: Sequence[str], test: Test) -> tuple[Limit, bool]:
    """Narrow down by a value that is not behind an array."""
    text = _text(path)
    if isinstance(test, Exists):
        return text.is_not(None), True
    if isinstance(test, OneOf):
        if any(isinstance(one, dict | list) for one in test.operands):
            return None, False
        return _is_one_of(text, test.operands), True
    if isinstance(test, Ordered):
        return _is_ordered(text, _METADATA.op("->>")(_place(path)), test), False
    if isinstance(test, Like):
        return _begins(text, '"', "["), False
    return _begins(text, "["), False


def _text(path: Sequence[str]) -> ColumnElement[str]:
    """Give the JSON text of what lies at a path; NULL if there is nothing."""
    return _METADATA.op("->", return_type=Text())(_place(path))


def _place(path: Sequence[str]) -> str:
    return "$" + "".join(f'."{step}"' for step in path)


def _is_one_of(text: ColumnElement[str], operands: Sequence[Any]) -> Limit:
    texts = sorted({written for one in operands for written in _texts(one)})
    if not texts:
        return false()
    element = func.json_each(text).table_valued("key", "value", "type")
    as_written = text.op("->")(func.printf("$[%d]", element.c.key))
    # the text is searched for from the beginning each time, so only for those elements that may be it
    may_be = or_(*_may_be(element, operands))
    is_element = select(1).select_from(element).where(may_be, as_written.in_(texts)).correlate(endpoint_table).exists()
    found = [_sure(text.in_(texts)), and_(_begins(text, "["), is_element)]
    return or_(*found, text.is_(None)) if None in operands else or_(*found)


def _may_be(element: Any, operands: Sequence[Any]) -> Iterable[ColumnElement[bool]]:
    kind, value = element.c.type, element.c.value
    yield kind.in_(["true", "false", "null"])
    if numbers := [one for one in operands if _is_number(one)]:
        yield and_(kind.in_(["integer", "real"]), *_about(value, min(numbers), max(numbers)))
    strings = [one for one in operands if isinstance(one, str)]
    if any("\0" in one for one in strings):  # it ends a string for SQLite
        yield kind == "text"
    elif strings:
        yield and_(kind == "text", value.in_(strings))


def _is_ordered(text: ColumnElement[str], value: ColumnElement[Any], test: Ordered) -> Limit:
    """Narrow down by order; the bounds belong to it, and numbers may be a little beyond."""
    operand = test.operand
    if operand is None:
        return _is_one_of(text, [None]) if test.comparison in {"$gte", "$lte"} else false()
    if isinstance(operand, bool):
        return _sure(text.in_(["true", "false"]) | _begins(text, "["))
    is_upper = test.comparison in {"$gt", "$gte"}
    if isinstance(operand, str):
        fits = _begins(text, '"')
        if "\0" not in operand:  # as above
            fits &= value >= operand if is_upper else value <= operand
    else:
        fits = and_(_begins(text, *_NUMBER), *_about(value, *((operand, None) if is_upper else (None, operand))))
    return _sure(fits | _begins(text, "["))


def _about(value: ColumnElement[Any], least: float | None, most: float | None) -> Iterator[ColumnElement[bool]]:
    """Limit a number to a range and a little more: SQLite reads long ones as their neighbours."""
    with suppress(OverflowError):  # no double is as large, and no limit is needed
        if least is not None:
            yield value >= float(least) - abs(float(least)) * _SLACK - _SLACK
        if most is not None:
            yield value <= float(most) + abs(float(most)) * _SLACK + _SLACK


def _texts(operand: Any) -> list[str]:
    """Spell a scalar in every way in which metadata may have it."""
    texts = [to_json(operand).decode()]
    if _is_number(operand):
        with suppress(OverflowError):
            if float(operand) == operand:
                texts.append(to_json(float(operand)).decode())
        if operand == int(operand):
            texts.append(str(int(operand)))
        if operand == 0:
            texts.append("-0.0")
    return texts


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _is_plain(step: str) -> bool:
    """Whether a name stands in a path of SQLite, and in JSON, as it is."""
    return not any(char in '"\\' or char < " " for char in step)


def _begins(text: ColumnElement[str], *characters: str) -> ColumnElement[bool]:
    return _sure(func.substr(text, 1, 1).in_(characters))


def _sure(limit: ColumnElement[bool]) -> ColumnElement[bool]:
    """Take what is unknown, because there is nothing at a path, for false: so that its contrary is true."""
    return func.coalesce(limit, false(), type_=Boolean)
