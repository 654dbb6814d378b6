"""Metrics as Prometheus reads them."""

import pytest

from kaa.core.metrics import Metrics


def test_counters_gauges_and_histograms_are_rendered() -> None:
    metrics = Metrics()
    metrics.counter("kaa_messages_total", "Messages", ("reason",)).labels("unknown").inc(3)
    metrics.gauge("kaa_connections", "Connections").set(7)
    metrics.histogram("kaa_wait_seconds", "Waiting").observe(0.004)
    text = metrics.render().decode()
    assert 'kaa_messages_total{reason="unknown"} 3.0' in text
    assert "kaa_connections 7.0" in text
    assert 'kaa_wait_seconds_bucket{le="0.005"} 1.0' in text
    assert "_created" not in text
    assert "process_resident_memory_bytes" in text


def test_asking_twice_gives_the_same() -> None:
    metrics = Metrics()
    assert metrics.counter("kaa_a_total", "A", ["x"]) is metrics.counter("kaa_a_total", "A", ("x",))


def test_one_name_cannot_mean_two_things() -> None:
    metrics = Metrics()
    metrics.counter("kaa_a_total", "A")
    with pytest.raises(ValueError):
        metrics.gauge("kaa_a_total", "A")
    with pytest.raises(ValueError):
        metrics.counter("kaa_a_total", "A", ("x",))


def test_two_houses_in_one_process_do_not_share_counters() -> None:
    one, other = Metrics(), Metrics()
    one.counter("kaa_a_total", "A").inc()
    assert "kaa_a_total 0.0" in other.render().decode() or "kaa_a_total" not in other.render().decode()


def test_a_gauge_is_read_when_it_is_asked_for() -> None:
    metrics = Metrics()
    queue = [1, 2]
    metrics.gauge_from("kaa_queue", "Queue", lambda: len(queue), {"name": "points"})
    queue.append(3)
    assert 'kaa_queue{name="points"} 3.0' in metrics.render().decode()


def test_a_gauge_that_cannot_be_read_spoils_no_other() -> None:
    metrics = Metrics()
    metrics.gauge_from("kaa_broken", "Broken", lambda: 1 / 0)
    metrics.gauge_from("kaa_fine", "Fine", lambda: 1)
    text = metrics.render().decode()
    assert "kaa_broken NaN" in text
    assert "kaa_fine 1.0" in text


def test_a_gauge_is_read_for_each_value_of_its_label() -> None:
    metrics = Metrics()
    queues = {"one": 1.0, "two": 2.0}
    metrics.gauges_from("kaa_queued", "Queued", "listener", lambda: queues)
    queues["two"] = 3.0
    text = metrics.render().decode()
    assert 'kaa_queued{listener="one"} 1.0' in text
    assert 'kaa_queued{listener="two"} 3.0' in text


def test_gauges_that_cannot_be_read_spoil_no_other() -> None:
    metrics = Metrics()
    metrics.gauges_from("kaa_broken", "Broken", "x", lambda: {"a": 1 / 0})
    metrics.gauge_from("kaa_fine", "Fine", lambda: 1)
    assert "kaa_fine 1.0" in metrics.render().decode()


def test_a_counter_is_read_when_it_is_asked_for() -> None:
    metrics = Metrics()
    counted = [0]
    metrics.counter_from("kaa_seen_total", "Seen", lambda: counted[0])
    counted[0] = 7
    text = metrics.render().decode()
    assert "# TYPE kaa_seen_total counter" in text
    assert "kaa_seen_total 7.0" in text


def test_a_counters_name_says_that_it_is_one() -> None:
    with pytest.raises(ValueError):
        Metrics().counter("kaa_seen", "Seen")
    with pytest.raises(ValueError):
        Metrics().counter_from("kaa_seen", "Seen", lambda: 0)
