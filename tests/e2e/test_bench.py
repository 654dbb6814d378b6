"""`kaa bench` runs, and cleans up after itself; how fast it is depends on the machine, and is not asserted."""

import json
import subprocess
import sys

import pytest

pytestmark = pytest.mark.any_bus

TIMEOUT_S = 120


def bench(tmp_path, *arguments):
    command = [sys.executable, "-m", "kaa", "bench", "--directory", str(tmp_path), "--json", *arguments]
    return subprocess.run(command, capture_output=True, text=True, timeout=TIMEOUT_S, check=False)


def test_a_short_run_measures_and_leaves_nothing(tmp_path):
    done = bench(tmp_path, "--only", "throughput", "--seconds", "0.5", "--runs", "1")
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)["throughput"]
    assert found["withoutRequestId"]["messagesPerSecond"] > 0
    assert found["withRequestId"]["messagesPerSecond"] > 0
    assert found["messagesStored"] >= found["messagesAcknowledged"]
    assert list(tmp_path.iterdir()) == []


def test_another_server_that_is_not_there_ends_it_in_one_sentence(tmp_path):
    done = bench(tmp_path, "--only", "throughput", "--seconds", "0.1", "--runs", "1", "--against", "127.0.0.1:1")
    assert done.returncode == 1
    assert done.stderr.startswith("Error: the load could not be sent: ")
    assert list(tmp_path.iterdir()) == []


def test_services_and_a_register_are_measured(tmp_path):
    few = ("--service-connections", "5", "--service-rate", "50", "--endpoints", "30", "--connected", "10")
    done = bench(tmp_path, "--only", "services,scale", "--seconds", "0.3", *few)
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    services, scale = found["services"], found["scale"]
    assert all(services[what]["count"] > 0 for what in ("commands", "configurations", "reads", "telemetry"))
    assert (scale["endpoints"], scale["connected"], scale["connections"]) == (30, 10, 10)
    assert scale["changedDefaultSeconds"] > 0
    assert list(tmp_path.iterdir()) == []


@pytest.mark.soak
def test_all_that_is_measured(tmp_path):
    done = bench(
        tmp_path,
        "--deep",
        "--points",
        "1M",
        "--seconds",
        "1",
        "--runs",
        "1",
        "--idle-connections",
        "200",
        "--service-connections",
        "100",
    )
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    assert set(found) == {"machine", "throughput", "latency", "memory", "disk", "services", "deep"}
    assert found["latency"]["withReads"]["reads"] > 0
    assert found["deep"]["points"] >= 1_000_000
    assert list(tmp_path.iterdir()) == []
