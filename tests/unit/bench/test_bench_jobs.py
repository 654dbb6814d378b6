"""A job passes through a pipe unchanged."""

import pytest

from kaa.bench.jobs import Attend, Flood, Idle, Pace, decode, encode


@pytest.mark.parametrize(
    "job",
    [
        Flood(host="h", port=1, topics=("a", "b"), connections=2, in_flight=3, messages=4),
        Pace(host="h", port=1, topics=("a",), rate=5, seconds=0.5),
        Idle(host="h", port=1, connections=7),
        Attend(host="h", port=1, version="v", tokens=("a", "b"), connections=1, rate=5),
    ],
)
def test_a_job_is_one_line_and_comes_back(job):
    line = encode(job)
    assert "\n" not in line
    assert decode(line) == job
