"""`kaa device`."""

import json
import shlex
import shutil
import subprocess

import pytest


def test_a_device_is_added_with_the_application_and_version_that_are_missing(asked, running):
    added = asked("device", "add", "--app", "new-home", "--version", "v1")
    assert added["applicationVersion"] == "new-home-v1"
    assert added["topic"] == f"kp1/new-home-v1/dcx/{added['token']}/json/1"
    assert added["mqtt"] == running.mqtt
    assert [one["endpointId"] for one in asked("device", "list", "--app", "new-home")] == [added["endpointId"]]


def test_a_second_device_and_a_second_version_find_the_application_there(asked):
    first = asked("device", "add", "--app", "shared", "--version", "v1")
    second = asked("device", "add", "--app", "shared", "--version", "v1")
    third = asked("device", "add", "--app", "shared", "--version", "v2")
    listed = asked("device", "list", "--app", "shared")
    assert [(one["endpointId"], one["applicationVersion"]) for one in listed] == [
        (first["endpointId"], "shared-v1"),
        (second["endpointId"], "shared-v1"),
        (third["endpointId"], "shared-v2"),
    ]


def test_a_version_may_be_given_by_its_full_name(asked):
    assert asked("device", "add", "--app", "full", "--version", "full-v1")["applicationVersion"] == "full-v1"


def test_id_token_and_metadata_may_be_given(asked):
    added = asked(
        "device", "add", "--app", "own", "--version", "v1", "--id", "one", "--token", "secret", "--metadata", '{"a": 1}'
    )
    assert (added["endpointId"], added["token"]) == ("one", "secret")


def test_in_a_pipe_the_parts_are_separated_by_tabs_and_the_line_stands_alone(ask, running):
    lines = ask("device", "add", "--app", "piped", "--version", "v1", "--token", "the-token").stdout.splitlines()
    assert lines[0].split("\t")[0] == "endpoint"
    assert lines[1] == "token\tthe-token"
    host, _, port = running.mqtt.rpartition(":")
    topic = "kp1/piped-v1/dcx/the-token/json/1"
    assert lines[2] == f"mosquitto_pub -h {host} -p {port} -q 1 -t {topic} -m '{{\"temperature\": 21.5}}'"


def test_a_token_with_spaces_and_quotes_can_be_pasted(asked):
    example = asked("device", "add", "--app", "quoted", "--version", "v1", "--token", "to k'en")["example"]
    assert "kp1/quoted-v1/dcx/to k'en/json/1" in shlex.split(example)


@pytest.mark.skipif(shutil.which("mosquitto_pub") is None, reason="mosquitto_pub is not installed")
def test_the_line_works_and_the_point_is_there(asked):
    added = asked("device", "add", "--app", "pasted", "--version", "v1")
    subprocess.run(shlex.split(added["example"]), check=True, timeout=10)
    [point] = [one for one in asked("series", "--app", "pasted") if one["series"] != "connectivity"]
    assert (point["endpointId"], point["values"]) == (added["endpointId"], {"value": 21.5})


def test_an_id_that_is_taken_is_refused_in_one_sentence(ask, asked):
    asked("device", "add", "--app", "taken", "--version", "v1", "--id", "taken-1")
    result = ask("device", "add", "--app", "taken", "--version", "v1", "--id", "taken-1")
    assert result.exit_code == 1
    assert result.stderr == "Error: endpointId: there is an endpoint 'taken-1' already\n"


def test_a_name_that_cannot_be_one_is_refused(ask):
    result = ask("device", "add", "--app", "Smart Home", "--version", "v1")
    assert result.exit_code == 1
    assert "name" in result.stderr


@pytest.mark.parametrize("text", ["[1]", "{", "7"])
def test_metadata_that_is_no_object_is_a_wrong_use(ask, text):
    assert ask("device", "add", "--app", "x", "--version", "v1", "--metadata", text).exit_code == 2


def test_a_device_is_removed(ask, asked):
    asked("device", "add", "--app", "gone", "--version", "v1", "--id", "gone-1")
    assert asked("device", "remove", "gone-1") == {"removed": "gone-1"}
    assert asked("device", "list", "--app", "gone") == []
    again = ask("device", "remove", "gone-1")
    assert (again.exit_code, again.stderr) == (1, "Error: there is no endpoint 'gone-1'\n")


def test_the_devices_of_an_unknown_application_are_an_error(ask):
    result = ask("device", "list", "--app", "nowhere")
    assert (result.exit_code, result.stderr) == (1, "Error: there is no application 'nowhere'\n")


def test_a_list_in_a_pipe_is_lines_with_tabs(ask, asked):
    asked("device", "add", "--app", "lines", "--version", "v1", "--id", "lines-1")
    [line] = ask("device", "list", "--app", "lines").stdout.splitlines()
    assert line.split("\t")[:2] == ["lines-1", "lines-v1"]


def test_the_json_is_one_line_in_a_pipe(ask):
    result = ask("device", "add", "--app", "one-line", "--version", "v1", "--json")
    assert set(json.loads(result.stdout)) == {"endpointId", "token", "applicationVersion", "topic", "mqtt", "example"}
    assert result.stdout.count("\n") == 1
