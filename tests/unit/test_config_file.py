"""`config/kaa.yml` says every option there is, with its default."""

from pathlib import Path
from typing import Any

import pytest

from kaa.app import KaaConfig
from kaa.core.config import defaults, load
from kaa.core.config.shape import options
from kaa.core.config.yaml_file import read_yaml

FILE = Path(__file__).parents[2] / "config" / "kaa.yml"
OPTIONS = [place for place, _ in options(KaaConfig)]


def leaf(tree: Any, place: tuple[str, ...]) -> Any:
    for key in place:
        tree = tree[key]
    return tree


def test_the_file_loads_and_changes_nothing() -> None:
    assert load(KaaConfig, file=FILE, environ={}, flags={}) == KaaConfig()


@pytest.mark.parametrize("place", OPTIONS, ids=".".join)
def test_an_option_stands_in_the_file_with_its_default(place: tuple[str, ...]) -> None:
    assert leaf(read_yaml(FILE).values, place) == leaf(defaults(KaaConfig), place)


@pytest.mark.parametrize("place", OPTIONS, ids=".".join)
def test_an_option_is_explained(place: tuple[str, ...]) -> None:
    lines = FILE.read_text(encoding="utf-8").splitlines()
    at = read_yaml(FILE).lines[place] - 2
    while lines[at].strip() and not lines[at].strip().startswith("#"):  # several may share an explanation
        at -= 1
    assert lines[at].strip().startswith("#"), f"nothing is said about {'.'.join(place)}"


def test_the_doors_come_first_and_the_instances_last() -> None:
    assert list(read_yaml(FILE).values) == [
        "data-dir",
        "host",
        "http-host",
        "mqtt-port",
        "mqtts-port",
        "http-port",
        "https-port",
        "only",
        "without",
        "storage",
        "log",
        "bus",
        "http",
        "audit",
        "applications",
        "instances",
    ]
