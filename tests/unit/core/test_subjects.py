"""Subjects: what is one, and which pattern takes which."""

import pytest

from kaa.core.errors import ProtocolError
from kaa.core.subjects import Subject, first_not_token, has_wildcard, is_match, tokens


@pytest.mark.parametrize("name", ["a", "a.b.c", "*", ">", "a.*.c", "a.>", "*.*.>", "kaa.v1.service.epr-2.ecap.ep_x~1"])
def test_tokens_between_dots_make_a_subject(name: str) -> None:
    assert tokens(name) == name.split(".")


@pytest.mark.parametrize(
    "name", ["", ".", "a.", ".a", "a..b", "a b", "a\t", "a.\n.b", "a.>.b", ">.a", "a*", "a.b>", "**", ">>"]
)
def test_anything_else_is_none(name: str) -> None:
    with pytest.raises(ProtocolError):
        tokens(name)


@pytest.mark.parametrize(
    ("pattern", "taken", "not_taken"),
    [
        ("a.b", ["a.b"], ["a", "a.b.c", "a.c", "a.B", "b.a"]),
        ("a.*", ["a.b", "a.*"], ["a", "a.b.c", "b.a"]),
        ("*.b", ["a.b", "c.b"], ["b", "a.b.b", "a.c"]),
        ("*", ["a"], ["a.b"]),
        ("a.*.c", ["a.b.c"], ["a.c", "a.b.b.c", "a.b.d"]),
        ("a.>", ["a.b", "a.b.c.d"], ["a", "b.a"]),
        (">", ["a", "a.b.c"], []),
        ("*.>", ["a.b", "a.b.c"], ["a"]),
        ("a.*.>", ["a.b.c", "a.b.c.d"], ["a.b"]),
    ],
)
def test_a_star_stands_for_one_token_and_the_arrow_for_all_that_follow(
    pattern: str, taken: list[str], not_taken: list[str]
) -> None:
    assert [name for name in taken if not is_match(pattern, name)] == []
    assert [name for name in not_taken if is_match(pattern, name)] == []


def test_a_wildcard_is_a_whole_token() -> None:
    assert [has_wildcard(name) for name in ("a.*.b", "a.>", "*", "a.b", "a*.b", "a>")] == [
        True,
        True,
        True,
        False,
        False,
        False,
    ]


@pytest.mark.parametrize("part", ["", "a.b", "*", ">", "a b", "a\n", "a*"])
def test_what_cannot_be_a_token_is_found(part: str) -> None:
    assert first_not_token(["fine", part, ""]) == part


def test_where_all_are_tokens_nothing_is_found() -> None:
    assert first_not_token(["a", "b-c_d~e"]) is None


def test_a_subject_reads_as_its_name() -> None:
    assert str(Subject("a.b", dict)) == "a.b"
