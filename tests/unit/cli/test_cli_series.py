"""`kaa series` and `kaa refusals`."""

from datetime import timedelta

import pytest

from kaa.core.clock import SystemClock
from kaa.core.dates import iso
from kaa.remote import Remote

# yesterday: what is older than an application keeps points is refused
DAY = iso(SystemClock().now_ms() - timedelta(days=1) // timedelta(milliseconds=1))[:10]


@pytest.fixture(scope="session")
def sent(running):
    """An application with points in two series of one endpoint."""
    remote = Remote.find(running.data_dir)
    remote.post("/tekton/api/v1/applications", {"name": "points"})
    remote.post("/tekton/api/v1/applications/points/app-versions", {"nameSuffix": "v1"})
    remote.post("/epr/api/v1/endpoints", {"appVersion": {"name": "points-v1"}, "endpointId": "p"})
    temperatures = [{"timestamp": f"{DAY}T00:00:0{number}Z", "values": {"value": 20 + number}} for number in range(5)]
    place = [{"timestamp": f"{DAY}T00:00:02Z", "values": {"lat": 47.5, "lon": None, "on": True}}]
    written = {"p": {"auto~temperature": temperatures, "place": place}}
    remote.ask("PUT", "/epts/api/v1/app-versions/points-v1/time-series/data", body=written)


def test_the_last_point_of_each_series_is_shown(ask, sent):
    assert ask("series", "--app", "points").stdout.splitlines() == [
        f"p\tauto~temperature\t{DAY}T00:00:04.000Z\tvalue=24",
        f"p\tplace\t{DAY}T00:00:02.000Z\tlat=47.5, lon=null, on=true",
    ]
    assert ask("series", "--app", "points", "--last").stdout == ask("series", "--app", "points").stdout


def test_a_window_is_shown_oldest_first(asked, sent):
    window = ("--from", f"{DAY}T00:00:01Z", "--to", f"{DAY}T00:00:04Z")
    found = asked("series", "--app", "points", "--name", "auto~temperature", *window)
    assert [point["values"]["value"] for point in found] == [21, 22, 23]


def test_the_prefix_of_a_series_of_its_own_accord_may_be_left_away(asked, sent):
    [point] = asked("series", "--app", "points", "--name", "temperature")
    assert point["series"] == "auto~temperature"


def test_a_limit_takes_the_newest(asked, sent):
    found = asked("series", "--app", "points", "--from", f"{DAY}T00:00:00Z", "--limit", "2")
    assert [(point["series"], point["values"].get("value")) for point in found] == [
        ("auto~temperature", 23),
        ("auto~temperature", 24),
    ]


def test_points_of_an_endpoint_that_is_not_there_are_none(asked, sent):
    assert asked("series", "--app", "points", "--endpoint", "nobody") == []


def test_an_application_that_is_not_there_is_an_error(ask):
    assert ask("series", "--app", "nowhere").exit_code == 1
    assert ask("series", "--app", "nowhere", "--from", "now-1h").exit_code == 1


def test_a_date_that_is_none_is_refused(ask, sent):
    result = ask("series", "--app", "points", "--from", "yesterday")
    assert result.exit_code == 1
    assert "fromDate" in result.stderr


@pytest.mark.parametrize("wrong", [("--last", "--from", "now-1h"), ("--to", "now"), ("--limit", "0")])
def test_options_that_do_not_go_together_are_a_wrong_use(ask, wrong):
    assert ask("series", "--app", "points", *wrong).exit_code == 2


def test_no_refusals_are_an_empty_list(ask, asked):
    assert asked("refusals", "--endpoint", "nobody") == []
    assert not ask("refusals", "--endpoint", "nobody").stdout
