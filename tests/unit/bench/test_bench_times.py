"""Quantiles of what was measured."""

import pytest

from kaa.bench.jobs import Attended, BenchError
from kaa.bench.times import Times, between


def test_quantiles_are_in_milliseconds():
    times = Times.of(number / 1000 for number in range(100, 0, -1))
    assert (times.count, times.p50_ms, times.p99_ms, times.max_ms) == (100, 51.0, 100.0, 100.0)


def test_nothing_has_no_quantiles():
    with pytest.raises(BenchError):
        Times.of([])


def test_a_window_takes_what_was_due_in_it():
    done = Attended(sent=3, due=[1.0, 2.0, 3.0], took_s=[0.1, 0.2, 0.3])
    assert (between(done, 1.5, 3.0).count, between(done, 1.5, 3.0).max_ms) == (1, 200.0)
