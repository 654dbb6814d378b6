"""`kaa bench`: what is measured, and how; the measurements themselves are tested end to end."""

import json

import pytest

from kaa.bench import measure
from kaa.bench.report import Figure, Section, warnings


@pytest.fixture
def measured(run, monkeypatch):
    """Run `kaa bench` on measurements that only note what they were asked; gives their names, the setup, the result."""

    def invoke(*arguments):
        done = []

        def fake(name):
            def run(setup, say):
                say(name)
                done.append((name, setup))
                return Section(name, [Figure(f"{name}'s", "1", "as good as ever")], {"one": 1})

            return run

        monkeypatch.setattr(measure, "MEASUREMENTS", {name: fake(name) for name in measure.MEASUREMENTS})
        result = run("bench", *arguments)
        assert result.exit_code == 0, result.output
        return [name for name, _ in done], done[0][1], result

    return invoke


USUAL = ["throughput", "latency", "memory", "disk", "services"]


def test_all_but_what_takes_minutes_is_measured_by_itself(measured):
    assert measured()[0] == USUAL
    assert measured("--deep")[0] == [*USUAL, "deep"]


def test_parts_are_chosen_with_commas_or_one_by_one(measured):
    assert measured("--only", "disk,throughput")[0] == ["throughput", "disk"]
    assert measured("--only", "deep", "--only", "disk")[0] == ["disk", "deep"]
    assert measured("--only", "scale,services")[0] == ["services", "scale"]


def test_the_options_arrive(measured):
    options = ("--seconds", "0.5", "--connections", "3", "--in-flight", "4", "--rate", "50", "--points", "1.5M")
    _, setup, _ = measured(*options)
    assert (setup.seconds, setup.connections, setup.in_flight, setup.rate) == (0.5, 3, 4, 50)
    assert setup.points == 1_500_000
    _, setup, _ = measured(
        "--endpoints", "20k", "--connected", "30", "--service-connections", "4", "--service-rate", "5"
    )
    assert (setup.endpoints, setup.connected, setup.service_connections, setup.service_rate) == (20_000, 30, 4, 5)


def test_the_other_server_gets_a_topic_a_connection(measured):
    _, setup, _ = measured("--against", "127.0.0.1:1884", "--against-topic", "a/{i}")
    assert (setup.against.host, setup.against.port) == ("127.0.0.1", 1884)
    assert setup.against.topics(2) == ("a/0", "a/1")


def test_a_pipe_gets_lines_and_a_script_json(measured):
    assert measured("--only", "disk")[2].stdout == "disk's\t1\tas good as ever\n"
    found = json.loads(measured("--only", "disk", "--json")[2].stdout)
    assert found["disk"] == {"one": 1}
    assert found["machine"]["processors"]


@pytest.mark.parametrize(
    "wrong",
    [
        ("--only", "speed"),
        ("--against", "1883"),
        ("--against", "host:x"),
        ("--points", "many"),
        ("--endpoints", "0"),
        ("--seconds", "0"),
    ],
)
def test_what_makes_no_sense_is_a_wrong_use(run, wrong):
    assert run("bench", *wrong).exit_code == 2


def test_a_data_directory_in_memory_is_warned_of():
    assert warnings({"fileSystem": "tmpfs"})
    assert not warnings({"fileSystem": "ext4"})
