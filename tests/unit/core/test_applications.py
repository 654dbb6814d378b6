"""What an instance knows of the applications."""

import pytest

from kaa.core.applications import Application, Applications, Version
from kaa.core.errors import NotFound


def app(name: str, *versions: str, settings: int = 1) -> Application[int]:
    return Application(name, settings, {v: Version(v, name, settings) for v in versions})


def test_at_first_there_is_none() -> None:
    applications = Applications(0)
    assert applications.all() == []
    assert applications.find("home") is None
    assert applications.find_version("home-v1") is None
    with pytest.raises(NotFound):
        applications.get("home")
    with pytest.raises(NotFound):
        applications.get_version("home-v1")


def test_what_is_there_is_found_by_application_and_by_version() -> None:
    applications = Applications(0)
    applications.replace([app("home", "home-v1", "home-v2"), app("garden")])
    assert [one.name for one in applications.all()] == ["garden", "home"]
    assert applications.get("home").versions["home-v2"] is applications.get_version("home-v2")
    assert applications.get_version("home-v1").application == "home"


def test_all_are_replaced_unless_one_is_named() -> None:
    applications = Applications(0)
    applications.replace([app("home", "home-v1"), app("garden", "garden-v1")])
    applications.replace([app("home", "home-v2", settings=2)], only="home")
    assert applications.get("home").settings == 2
    assert applications.find_version("home-v1") is None
    assert applications.find_version("garden-v1") is not None
    applications.replace([], only="home")
    assert [one.name for one in applications.all()] == ["garden"]
    applications.replace([app("home")])
    assert [one.name for one in applications.all()] == ["home"]
    assert applications.find_version("garden-v1") is None


def test_after_every_change_whoever_wants_it_is_called() -> None:
    applications, seen = Applications(0), list[int]()
    applications.on_change(lambda: seen.append(len(applications.all())))
    applications.replace([app("home")])
    applications.replace([], only="home")
    assert seen == [1, 0]
