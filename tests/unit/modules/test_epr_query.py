"""The language in which endpoints are chosen: what MongoDB says of a document, and what is refused."""

from typing import Any

import pytest

from kaa.core.endpoint_query import compile_regex, parse
from kaa.core.errors import InvalidInput


def holds(query: Any, metadata: dict[str, Any], version: str = "home-v1") -> bool:
    return parse(query).matches(version, metadata)


@pytest.mark.parametrize(
    ("test", "passing", "failing"),
    [
        # equality, and types that do not meet
        (3, [3, 3.0, [1, 3]], [4, "3", True, None, [[3]], {"a": 3}]),
        (1, [1, 1.0], [True, "1"]),
        (True, [True, [True]], [1, "true", False]),
        ("a", ["a", ["b", "a"]], ["A", "aa", "", None]),
        (0, [0, -0.0], [False, None, ""]),
        (2**53 + 1, [2**53 + 1], [2**53, 2.0**53]),
        ([1, 2], [[1, 2], [[1, 2]]], [[2, 1], [1, 2, 3], 1]),
        ([], [[], [[]]], [[1], None]),
        ({"x": 1, "y": 2}, [{"y": 2, "x": 1}, [{"x": 1, "y": 2}]], [{"x": 1}, {"x": True, "y": 2}]),
        ({"$eq": {}}, [{}, [{}]], [{"x": 1}, None]),
        ({"$ne": 3}, [4, "3", None, [], [4]], [3, [1, 3]]),
        ({"$in": [1, "a", None]}, [1, "a", None, ["x", "a"]], [2, "b", True, []]),
        ({"$in": []}, [], [1, None, []]),
        ({"$in": [[1], {"x": 1}]}, [[1], [[1]], {"x": 1}], [1, []]),
        ({"$nin": [1, "a"]}, [2, None, []], [1, "a", [1]]),
        # order, within a type
        ({"$gt": 3}, [4, 3.5, [1, 4]], [3, "4", True, None, [], {"x": 4}]),
        ({"$gte": 3, "$lt": 5}, [3, 4.9, [1, 9]], [5, 2, [2, 1]]),
        ({"$lte": "b"}, ["a", "b", "B", ""], ["c", 1, None]),
        ({"$gt": False}, [True], [False, 1, "x"]),
        ({"$gte": None}, [None], [0, ""]),
        ({"$gt": None}, [], [None, 0]),
        # regular expressions, found anywhere
        ({"$regex": "b+c"}, ["abbc", ["x", "bc"]], ["ac", 5, None, "B+C"]),
        ({"$regex": "^B", "$options": "i"}, ["bcd"], ["abc"]),
        ({"$options": "s", "$regex": "a.b"}, ["a\nb"], ["ab"]),
        ({"$not": {"$regex": "^b"}}, ["ab", 5, None], ["b"]),
        # $exists, $not, $elemMatch
        ({"$exists": True}, [1, None, [], False], []),
        ({"$exists": 0}, [], [1, None]),
        ({"$not": {"$gt": 3}}, [3, "x", None, [1]], [4, [1, 4]]),
        ({"$not": {"$gt": 1, "$lt": 5}}, [1, 5, []], [3]),
        ({"$elemMatch": {"$gt": 1, "$lt": 5}}, [[3], [0, 2]], [3, [0, 9], [], [[3]]]),
        ({"$elemMatch": {"x": 1, "y": {"$gt": 2}}}, [[{"x": 1, "y": 3}]], [[{"x": 1}, {"y": 3}], {"x": 1, "y": 3}]),
        ({"$elemMatch": {"$or": [{"x": 1}, {"y": 1}]}}, [[{"y": 1}]], [[{"z": 1}], [1]]),
        ({"$elemMatch": {"$elemMatch": {"$eq": 1}}}, [[[1]]], [[1]]),
        ({"$elemMatch": {}}, [[{}]], [[], [1]]),
    ],
)
def test_a_value_passes_or_fails(test: Any, passing: list[Any], failing: list[Any]) -> None:
    """The same is said by name and by pair, where there is a value."""
    by_name = parse({"metadata.k": test})
    by_pair = parse({"metadata": {"$elemMatch": {"key": "k", "value": test}}})
    by_any_pair = parse({"metadata": {"$elemMatch": {"key": {"$regex": "^k$"}, "value": test}}})
    for query in (by_name, by_pair, by_any_pair):
        assert [value for value in passing if not query.matches("v", {"k": value, "other": 0})] == []
        assert [value for value in failing if query.matches("v", {"k": value, "other": 0})] == []


@pytest.mark.parametrize(
    ("test", "is_found"),
    [
        (None, True),
        ({"$eq": None}, True),
        ({"$in": [1, None]}, True),
        ({"$gte": None}, True),
        ({"$lte": None}, True),
        ({"$ne": 3}, True),
        ({"$nin": [3]}, True),
        ({"$not": {"$gt": 3}}, True),
        ({"$exists": False}, True),
        ({"$ne": None}, False),
        ({"$exists": True}, False),
        ({"$gt": None}, False),
        ({"$lt": 3}, False),
        ({"$regex": ""}, False),
        ({"$elemMatch": {}}, False),
    ],
)
def test_what_is_not_there_is_like_null(test: Any, *, is_found: bool) -> None:
    assert holds({"metadata.k": test}, {}) is is_found
    assert holds({"metadata.k.x": test}, {"k": {}}) is is_found
    assert holds({"metadata.k.x": test}, {"k": 5}) is is_found
    # of pairs there is none at all
    assert not holds({"metadata": {"$elemMatch": {"key": "k", "value": test}}}, {})
    assert holds({"metadata": {"$not": {"$elemMatch": {"key": "k", "value": test}}}}, {})


@pytest.mark.parametrize(
    ("query", "metadata", "is_found"),
    [
        ({"metadata.a.b": 1}, {"a": {"b": 1}}, True),
        ({"metadata.a.b": 1}, {"a": [{"b": 2}, {"b": 1}]}, True),
        ({"metadata.a.b": 1}, {"a": [{"b": [2, 1]}]}, True),
        ({"metadata.a.b": 1}, {"a": [[{"b": 1}]]}, False),
        ({"metadata.a.0": 1}, {"a": [1, 2]}, True),
        ({"metadata.a.1": 1}, {"a": [1, 2]}, False),
        ({"metadata.a.0.b": 1}, {"a": [{"b": 1}]}, True),
        ({"metadata.a.0": 1}, {"a": {"0": 1}}, True),
        ({"metadata.a.b": None}, {"a": [{}]}, True),
        ({"metadata.a.b": None}, {"a": []}, False),
        ({"metadata.a.b": None}, {"a": [1]}, False),
        ({"metadata.a.b": {"$exists": False}}, {"a": []}, True),
        ({"metadata.key": "k"}, {"k": 1}, False),
        ({"metadata.key": "k"}, {"key": "k"}, True),
    ],
)
def test_a_path_goes_through_objects_and_arrays(query: Any, metadata: dict[str, Any], *, is_found: bool) -> None:
    assert holds(query, metadata) is is_found


@pytest.mark.parametrize(
    ("query", "is_found"),
    [
        ({}, True),
        ({"application_version": "home-v1"}, True),
        ({"application_version": {"$in": ["home-v2"]}}, False),
        ({"application_version": {"$regex": "^home-"}}, True),
        ({"application_version": "home-v1", "metadata.a": 2}, False),
        ({"$and": [{"metadata.a": 1}, {"metadata.b": 2}]}, True),
        ({"$or": [{"metadata.a": 2}, {"metadata.b": 2}]}, True),
        ({"$nor": [{"metadata.a": 2}, {"metadata.b": 2}]}, False),
        ({"$nor": [{"$and": [{"metadata.a": 1}, {"metadata.b": 3}]}]}, True),
        ({"metadata": {"$elemMatch": {"key": {"$in": ["x", "b"]}, "value": 2}}}, True),
        ({"metadata": {"$elemMatch": {"key": {"$in": ["x", "a"]}, "value": 2}}}, False),
        ({"metadata": {"$elemMatch": {"value": 2}}}, True),
        ({"metadata": {"$elemMatch": {"key": 1}}}, False),
        ({"metadata": {"$elemMatch": {"key": {"$ne": "a"}, "value": 1}}}, False),
        ({"metadata": {"$elemMatch": {"key": "c", "value.d": {"$gt": 3}}}}, True),
        ({"metadata": {"$elemMatch": {"$and": [{"key": "c"}, {"$nor": [{"value.d": 4}]}]}}}, False),
        ({"metadata": {"$elemMatch": {"key": "c", "$nor": [{"value.d": 5}]}}}, True),
        ({"metadata": {"$not": {"$elemMatch": {"key": "c"}}}}, False),
        ('{"metadata.a": 1}', True),
    ],
)
def test_conditions_are_put_together(query: Any, *, is_found: bool) -> None:
    assert holds(query, {"a": 1, "b": 2, "c": {"d": 4}}) is is_found


@pytest.mark.parametrize(
    ("query", "place"),
    [
        ("nonsense", "mongoQuery"),
        ('{"metadata.a": NaN}', "mongoQuery"),
        ("[]", "mongoQuery"),
        ([], "mongoQuery"),
        (None, "mongoQuery"),
        ({"$where": "this.a"}, "mongoQuery.$where"),
        ({"metadata.a": {"$where": "x"}}, "mongoQuery.metadata.a.$where"),
        ({"$expr": {}}, "mongoQuery.$expr"),
        ({"$not": {}}, "mongoQuery.$not"),
        ({"location": 1}, "mongoQuery.location"),
        ({"application_version.x": 1}, "mongoQuery.application_version.x"),
        ({"metadata.": 1}, "mongoQuery.metadata."),
        ({"metadata..a": 1}, "mongoQuery.metadata..a"),
        ({"metadata" + ".a" * 17: 1}, "mongoQuery.metadata" + ".a" * 17),
        ({"metadata": 5}, "mongoQuery.metadata"),
        ({"metadata": {}}, "mongoQuery.metadata"),
        ({"metadata": {"a": 5}}, "mongoQuery.metadata"),
        ({"metadata": {"$not": {"$gt": 5}}}, "mongoQuery.metadata.$not"),
        ({"metadata": {"$elemMatch": 5}}, "mongoQuery.metadata.$elemMatch"),
        ({"metadata": {"$elemMatch": {"name": "a"}}}, "mongoQuery.metadata.$elemMatch.name"),
        ({"$and": {}}, "mongoQuery.$and"),
        ({"$or": []}, "mongoQuery.$or"),
        ({"$or": [{}, 5]}, "mongoQuery.$or[1]"),
        ({"metadata.a": {"$gt": [1]}}, "mongoQuery.metadata.a.$gt"),
        ({"metadata.a": {"$gt": {"b": 1}}}, "mongoQuery.metadata.a.$gt"),
        ({"metadata.a": {"$in": 5}}, "mongoQuery.metadata.a.$in"),
        ({"metadata.a": {"$exists": "yes"}}, "mongoQuery.metadata.a.$exists"),
        ({"metadata.a": {"$gt": 1, "b": 2}}, "mongoQuery.metadata.a"),
        ({"metadata.a": {"$not": 5}}, "mongoQuery.metadata.a.$not"),
        ({"metadata.a": {"$not": {}}}, "mongoQuery.metadata.a.$not"),
        ({"metadata.a": {"$elemMatch": 5}}, "mongoQuery.metadata.a.$elemMatch"),
        ({"metadata.a": {"$options": "i"}}, "mongoQuery.metadata.a.$options"),
        ({"metadata.a": {"$regex": 5}}, "mongoQuery.metadata.a.$regex"),
        ({"metadata.a": {"$regex": "a", "$options": "x"}}, "mongoQuery.metadata.a.$regex"),
        ({"metadata.a": {"$regex": "(a)\\1"}}, "mongoQuery.metadata.a.$regex"),
        ({"metadata.a": {"$regex": "(?=a)"}}, "mongoQuery.metadata.a.$regex"),
        ({"metadata.a": {"$regex": "(a{1000}){1000}"}}, "mongoQuery.metadata.a.$regex"),
        ({"metadata.a": {"$regex": "a" * 257}}, "mongoQuery.metadata.a.$regex"),
        ({"metadata.a": float("inf")}, "mongoQuery.metadata.a"),
        ({"metadata.a": 1 << 1024}, "mongoQuery.metadata.a"),
        ({"metadata.a": "\ud800"}, "mongoQuery"),
        ({"metadata.a": "x" * 17_000}, "mongoQuery"),
        ('{"metadata.a": "' + "x" * 17_000 + '"}', "mongoQuery"),
        ({"metadata.a": {"$in": list(range(1_001))}}, "mongoQuery"),
        ({"$or": [{"metadata.a": n} for n in range(201)]}, "mongoQuery.$or[200]"),
        ({"$or": [{"metadata.a": {"$regex": "a"}}] * 21}, "mongoQuery.$or[20].metadata.a.$regex"),
    ],
)
def test_what_is_no_query_is_refused_with_the_place(query: Any, place: str) -> None:
    with pytest.raises(InvalidInput) as refused:
        parse(query)
    assert refused.value.reason.split(": ")[0].removesuffix(".metadata.a" if place.endswith("[200]") else "") == place


@pytest.mark.parametrize(
    "text", ['{"$and": [' * 30 + "{}" + "]}" * 30, '{"metadata.a": ' + "[" * 5_000 + "]" * 5_000 + "}"]
)
def test_what_is_nested_too_deep_is_refused(text: str) -> None:
    with pytest.raises(InvalidInput):
        parse(text)


def test_where_it_stands_may_have_another_name() -> None:
    with pytest.raises(InvalidInput) as refused:
        parse({"floor": 3}, what="compatibleWith")
    assert refused.value.reason.startswith("compatibleWith.floor: ")


def test_it_is_given_back_as_it_was_written() -> None:
    written = {"metadata": {"$elemMatch": {"key": "floor", "value": {"$gte": 3}}}}
    assert parse(written).document == written


@pytest.mark.parametrize("pattern", ["(x+x+)+y", "(a|aa)+$", "([a-c]?){200}d", "[ab]*a[ab]{400}c"])
def test_no_regular_expression_takes_long(pattern: str) -> None:
    """Those that a backtracking engine would never be done with; the test's own patience is the limit."""
    query = parse({"metadata.a": {"$regex": pattern}})
    assert not query.matches("v", {"a": "xab" * 20_000 + "!"})


def test_a_regular_expression_sees_the_beginning_of_a_long_string() -> None:
    query = parse({"metadata.a": {"$regex": "b"}})
    assert query.matches("v", {"a": "a" * 4_095 + "b"})
    assert not query.matches("v", {"a": "a" * 4_096 + "b"})


def test_regular_expressions_serve_others_too() -> None:
    assert compile_regex("^dev-[0-9]+$", what="regex").search("dev-1")
    with pytest.raises(InvalidInput, match=r"^regex: "):
        compile_regex("(", what="regex")
