"""A query in SQL and the same in Python choose the same endpoints."""

from collections.abc import Iterator
from typing import Any

import pytest
import sqlalchemy as sa
from hypothesis import example, given, settings
from hypothesis import strategies as st
from pydantic_core import to_json

from kaa.core.endpoint_query import parse
from kaa.modules.epr.filters.sql import where
from kaa.modules.epr.repository.tables import endpoint_table

KEYS = ["a", "b", "é b", "a.b", 'q"', "0", "\\"]
NAMES = st.sampled_from(KEYS)
PATHS = st.sampled_from(
    ["metadata.a", "metadata.b", "metadata.é b", 'metadata.q"', "metadata.0", "metadata.a.a", "metadata.a.b.0"]
)
# those at which databases and languages differ
CURIOUS = [
    *(None, True, False, 0, 1, 1.0, -0.0, 0.1, 0.30000000000000004, 1e22, 10**22, 2**53 + 1, 2.0**53, 2**63, 2**63 - 1),
    *(9223372036854775808.0, 1e308, 5e-324, 123456.789012345678, -1, 1.5, 10**300),
    *("", "a", "a\0", "a\0b", "b", "1", "true", "null", 'q"\\', "é", "😀", "[", "A\n"),
]
SCALARS = st.sampled_from(CURIOUS) | st.integers(-3, 3) | st.floats(allow_nan=False, allow_infinity=False)
VALUES = st.recursive(
    SCALARS, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(NAMES, inner, max_size=2), max_leaves=6
)
METADATA = st.dictionaries(NAMES, VALUES, max_size=3)
VERSIONS = st.sampled_from(["home-v1", "home-v2"])


COMPARING = st.sampled_from(["$eq", "$ne", "$gt", "$gte", "$lt", "$lte"])
LISTED = st.lists(SCALARS | st.just([1]), max_size=3)


@st.composite
def plain(draw: st.DrawFn) -> dict[str, Any]:
    return draw(
        st.one_of(
            st.builds(lambda name, one: {name: one}, COMPARING, SCALARS),
            st.builds(lambda name, many: {name: many}, st.sampled_from(["$in", "$nin"]), LISTED),
            st.sampled_from([{"$exists": True}, {"$exists": False}]),
            st.sampled_from([{"$regex": "a"}, {"$regex": "^$"}, {"$regex": "[0-9]"}, {"$regex": "A", "$options": "i"}]),
        )
    )


@st.composite
def asked(draw: st.DrawFn) -> dict[str, Any]:
    """What may be asked of a value."""
    one = draw(plain())
    kind = draw(st.sampled_from(["one", "one", "two", "not", "element", "no element", "object"]))
    return {
        "one": one,
        "two": one | draw(plain()),
        "not": {"$not": one},
        "element": {"$elemMatch": one},
        "no element": {"$not": {"$elemMatch": one}},
        "object": {"$elemMatch": {draw(st.sampled_from(["a", "b"])): one}},
    }[kind]


@st.composite
def pairs(draw: st.DrawFn) -> dict[str, Any]:
    """What may be asked of the pairs."""
    key = draw(NAMES | st.sampled_from([{"$in": ["a", "b"]}, {"$ne": "a"}]))
    value = draw(
        st.one_of(
            st.just({}),
            st.builds(lambda one: {"value": one}, asked() | SCALARS),
            st.builds(lambda one: {"value.a": one}, asked()),
            st.builds(lambda one, other: {"$or": [{"value": one}, {"value.b": other}]}, asked(), asked()),
        )
    )
    tested = {"$elemMatch": {"key": key} | value}
    return {"metadata": draw(st.sampled_from([tested, {"$not": tested}]))}


@st.composite
def queries(draw: st.DrawFn, depth: int = 2) -> dict[str, Any]:
    kind = draw(st.sampled_from(["path", "path", "version", "pairs", "$and", "$or", "$nor"]))
    if kind == "path":
        return {draw(PATHS): draw(asked() | SCALARS | st.sampled_from([[1], {"a": 1}]))}
    if kind == "version":
        return {"application_version": draw(asked() | st.sampled_from(["home-v1", "", None]))}
    if kind == "pairs" or not depth:
        return draw(pairs())
    return {kind: draw(st.lists(queries(depth - 1), min_size=1, max_size=3))}


@pytest.fixture(scope="module")
def connection() -> Iterator[sa.Connection]:
    engine = sa.create_engine("sqlite://")
    with engine.connect() as opened:
        endpoint_table.create(opened)
        yield opened
    engine.dispose()


def chosen(connection: sa.Connection, query: Any, endpoints: list[tuple[str, dict[str, Any]]]) -> tuple[Any, Any, bool]:
    """Give which endpoints SQL lets through, which match, and whether SQL says that it has decided it all."""
    connection.execute(sa.delete(endpoint_table))
    if rows := [
        {
            "id": str(n),
            "application": "home",
            "app_version": version,
            "version_since_ms": 0,
            "created_ms": 0,
            "metadata": to_json(metadata),
        }
        for n, (version, metadata) in enumerate(endpoints)
    ]:
        connection.execute(sa.insert(endpoint_table), rows)
    parsed = parse(query)
    limit, left = where(parsed)
    statement = sa.select(endpoint_table.c.id)
    found = connection.scalars(statement if limit is None else statement.where(limit))
    matching = {str(n) for n, (version, metadata) in enumerate(endpoints) if parsed.matches(version, metadata)}
    return set(found), matching, left is None


@pytest.mark.parametrize("name", ["$eq", "$ne", "$gt", "$gte", "$lt", "$lte", "$in", "$nin"])
def test_both_know_the_same_order_and_equality(connection: sa.Connection, name: str) -> None:
    endpoints = [
        ("home-v1", metadata)
        for one in CURIOUS
        for metadata in ({"a": one}, {"a": [one, one]}, {"a": {"a": one}}, {"a": [{"a": one}]}, {"b": one})
    ]
    for one in CURIOUS:
        test = {name: [one] if name in {"$in", "$nin"} else one}
        for query in ({"metadata.a": test}, {"metadata.a": {"$not": test}}, {"metadata.a.a": test}):
            found, matching, is_exact = chosen(connection, query, endpoints)
            assert found == matching if is_exact else found >= matching, query
            assert is_exact is (name in {"$eq", "$ne", "$in", "$nin"} and "metadata.a" in query)


@settings(deadline=None, max_examples=100)
@given(query=queries(), endpoints=st.lists(st.tuples(VERSIONS, METADATA), max_size=5))
@example(query={"metadata.a": 10**22}, endpoints=[("home-v1", {"a": 1e22}), ("home-v1", {"a": [[1e22], 1e22]})])
@example(query={"metadata.a": "a"}, endpoints=[("home-v1", {"a": "a\0b"}), ("home-v1", {"a": ["a\0b"]})])
@example(query={"metadata.a": {"$gt": "a"}}, endpoints=[("home-v1", {"a": "a\0b"})])
@example(query={"metadata.a.b": None}, endpoints=[("home-v1", {"a": [{}]}), ("home-v1", {"a": []}), ("home-v1", {})])
def test_sql_lets_all_through_that_match_and_no_others_where_it_says_so(
    connection: sa.Connection, query: Any, endpoints: list[tuple[str, dict[str, Any]]]
) -> None:
    found, matching, is_exact = chosen(connection, query, endpoints)
    assert found >= matching
    if is_exact:
        assert found == matching
