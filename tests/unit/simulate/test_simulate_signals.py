"""The values of made-up devices."""

import itertools

import pytest

from kaa.core.config import validate_written
from kaa.core.errors import ConfigError
from kaa.simulate.description import Signal, read
from kaa.simulate.signals import sources


def values(written, times=range(200), seed="x"):
    source = sources({"v": validate_written(Signal, written)}, seed)["v"]
    return [source(time) for time in times]


def test_a_walk_goes_by_steps_and_stays_between_its_bounds():
    found = values({"walk": {"start": 50, "step": 10, "min": 40, "max": 60}})
    assert all(40 <= value <= 60 for value in found)
    assert all(abs(after - before) <= 10.01 for before, after in itertools.pairwise(found))
    assert len(set(found)) > 20


def test_a_wave_comes_back_after_its_period():
    found = values({"wave": {"mean": 20, "amplitude": 5, "period": "100s"}})
    assert max(found) == pytest.approx(25, abs=0.05)
    assert min(found) == pytest.approx(15, abs=0.05)
    assert found[:100] == pytest.approx(found[100:], abs=0.01)


def test_a_counter_only_grows_about_as_fast_as_it_should():
    found = values({"counter": {"start": 100, "rate": 2}})
    assert found == sorted(found)
    assert found[0] == 100
    assert 1.6 <= (found[-1] - found[0]) / 199 <= 2.4


def test_a_choice_is_one_of_what_there_is():
    assert set(values({"choice": [True, "off", 3]})) == {True, "off", 3}


def test_digits_are_as_many_as_wanted():
    assert all(value == round(value, 1) for value in values({"wave": {}, "digits": 1}))


def test_the_same_device_gives_the_same_values_in_each_run_and_another_one_others():
    walk = {"walk": {}}
    assert values(walk, seed="a") == values(walk, seed="a") != values(walk, seed="b")


def test_the_sample_can_be_read():
    sample = read(None)
    assert set(sample.fleets) == {"thermostat", "meter", "tracker"}
    for fleet in sample.fleets.values():
        assert all(source(0.0) is not None for source in sources(fleet.values, "x").values())


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("{}", "fleets: is needed"),
        ("fleets: {}", "fleets: dictionary should have at least 1 item"),
        ("fleets: {a: {values: {}}}", "fleets.a.values: dictionary should have at least 1 item"),
        ("fleets: {a: {values: {x: {}}}}", "fleets.a.values.x: say one of walk, wave, counter and choice"),
        ("fleets: {a: {count: 0, values: {x: {walk: {}}}}}", "fleets.a.count: must be greater than or equal to 1"),
        ("fleets: {A B: {values: {x: {walk: {}}}}}", "fleets.A B"),
        ("fleets: {a: {intervall: 3s, values: {x: {walk: {}}}}}", "did you mean interval?"),
        (
            "fleets: {a: {count: 60000, values: {x: {walk: {}}}}, b: {count: 60000, values: {x: {walk: {}}}}}",
            "120000 devices are too many",
        ),
    ],
)
def test_what_is_wrong_is_said_with_its_place(tmp_path, text, sentence):
    file = tmp_path / "fleet.yml"
    file.write_text(text)
    with pytest.raises(ConfigError) as refused:
        read(file)
    assert sentence in str(refused.value)
