import pytest
from hypothesis import given
from hypothesis import strategies as st

from kaa.protocols.mqtt.topics import is_shared, is_topic_filter, is_topic_name, matches


@pytest.mark.parametrize("name", ["a", "/", "a/b", "/a", "a/", "a//b", "$SYS/x", " ", "ä/☃", "a" * 65535])
def test_valid_names(name):
    assert is_topic_name(name)


@pytest.mark.parametrize("name", ["", "+", "#", "a/+", "a#", "a\0b", "a" * 65536, "ä" * 32768])
def test_invalid_names(name):
    assert not is_topic_name(name)


@pytest.mark.parametrize("spelling", ["#", "+", "a/#", "/#", "+/#", "+/+", "/+", "a/+/b", "a//", "$share/g/a/#", "/"])
def test_valid_filters(spelling):
    assert is_topic_filter(spelling)


@pytest.mark.parametrize(
    "spelling",
    [
        "",
        "a#",
        "#/a",
        "##",
        "a/#/",
        "a+",
        "+a",
        "a/b+/c",
        "++",
        "a\0",
        "a" * 65536,
        "$share/",
        "$share/g",
        "$share/g/",
        "$share//a",
        "$share/+/a",
        "$share/g#/a",
    ],
)
def test_invalid_filters(spelling):
    assert not is_topic_filter(spelling)


def test_shared_subscriptions_are_told_by_their_first_level():
    assert is_shared("$share/g/a")
    assert is_shared("$share")
    assert not is_shared("$shared/a")
    assert not is_shared("a/$share/b")


@pytest.mark.parametrize(
    ("spelling", "name", "expected"),
    [
        ("sport/tennis/player1/#", "sport/tennis/player1", True),
        ("sport/tennis/player1/#", "sport/tennis/player1/ranking", True),
        ("sport/tennis/player1/#", "sport/tennis/player1/score/wimbledon", True),
        ("sport/tennis/player1/#", "sport/tennis/player2", False),
        ("#", "a/b/c", True),
        ("sport/tennis/+", "sport/tennis/player1", True),
        ("sport/tennis/+", "sport/tennis/player1/ranking", False),
        ("sport/+", "sport", False),
        ("sport/+", "sport/", True),
        ("+/+", "/finance", True),
        ("/+", "/finance", True),
        ("+", "/finance", False),
        ("#", "$SYS/x", False),
        ("+/monitor/Clients", "$SYS/monitor/Clients", False),
        ("$SYS/#", "$SYS/x", True),
        ("$SYS/monitor/+", "$SYS/monitor/Clients", True),
        ("a/b", "a/b", True),
        ("A/b", "a/b", False),
        ("a", "/a", False),
        ("+/b/#", "a", False),
    ],
)
def test_the_standards_examples_of_matching(spelling, name, expected):
    assert matches(spelling, name) is expected


LEVELS = st.lists(st.sampled_from(["", "a", "b", "$x"]), min_size=1, max_size=4)


@given(levels=LEVELS, data=st.data())
def test_a_name_matches_itself_with_any_of_its_levels_made_a_plus(levels, data):
    name = "/".join(levels)
    places = data.draw(st.sets(st.integers(0, len(levels) - 1)))
    spelling = "/".join("+" if place in places else level for place, level in enumerate(levels))
    if not name:
        return

    assert matches(spelling, name) is not (0 in places and name.startswith("$"))
    assert matches(spelling + "/#", name) is not (0 in places and name.startswith("$"))
