"""`kaa app`."""

import json

import pytest
import yaml


def test_an_application_is_added_with_its_versions_and_listed(asked):
    made = asked(
        "app", "add", "app-one", "--display-name", "One", "--description", "x", "--version", "v1", "--version", "v2"
    )
    assert (made["name"], made["displayName"], made["description"]) == ("app-one", "One", "x")
    assert [one["name"] for one in made["versions"]] == ["app-one-v1", "app-one-v2"]
    [listed] = [one for one in asked("app", "list") if one["name"] == "app-one"]
    assert listed["versions"] == made["versions"]


def test_a_version_that_cannot_be_leaves_nothing_behind(ask, asked):
    result = ask("app", "add", "app-half", "--version", "v1", "--version", "V 2")
    assert (result.exit_code, "nameSuffix" in result.stderr) == (1, True)
    assert "app-half" not in {one["name"] for one in asked("app", "list")}


def test_without_a_name_one_is_made_up_and_printed(ask, asked):
    name = ask("app", "add").stdout.strip()
    assert name in {one["name"] for one in asked("app", "list")}


def test_a_list_in_a_pipe_is_lines_with_tabs(ask, asked):
    asked("app", "add", "app-piped", "--version", "v1")
    lines = [line.split("\t") for line in ask("app", "list").stdout.splitlines()]
    assert ["app-piped", "", "app-piped-v1", ""] in lines


def test_one_is_shown_with_settings_and_the_number_of_its_devices(ask, asked, tmp_path):
    asked("app", "add", "app-shown", "--version", "v1")
    asked("device", "add", "--app", "app-shown", "--version", "v1")
    settings = {"applications": {"app-shown": {"settings": {"epts": {"retention": "30d"}}}}}
    (tmp_path / "in.yml").write_text(yaml.safe_dump(settings))
    asked("config", "import", "in.yml")
    shown = asked("app", "show", "app-shown")
    assert (shown["endpoints"], shown["settings"]) == (1, {"epts": {"retention": "30d"}})
    assert [(one["name"], one["settings"]) for one in shown["versions"]] == [("app-shown-v1", {})]
    assert yaml.safe_load(ask("app", "show", "app-shown").stdout) == {
        "app-shown": {
            "endpoints": 1,
            "managed-by-file": False,
            "settings": {"epts": {"retention": "30d"}},
            "versions": {"v1": {}},
        }
    }


def test_versions_are_added_and_removed_by_either_name(ask, asked):
    asked("app", "add", "app-versions")
    assert asked("app", "version", "add", "app-versions", "v1")["name"] == "app-versions-v1"
    assert ask("app", "version", "add", "app-versions", "app-versions-v2").stdout == "app-versions-v2\n"
    assert asked("app", "version", "remove", "app-versions", "v1") == {"removed": "app-versions-v1"}
    assert not ask("app", "version", "remove", "app-versions", "app-versions-v2").output
    assert asked("app", "show", "app-versions")["versions"] == []


def test_one_with_a_device_stays_and_the_sentence_says_why(ask, asked):
    added = asked("device", "add", "--app", "app-full", "--version", "v1")
    for words in (("app", "remove", "app-full"), ("app", "version", "remove", "app-full", "v1")):
        result = ask(*words)
        assert (result.exit_code, "delete them or move them elsewhere first" in result.stderr) == (1, True)
    asked("device", "remove", added["endpointId"])
    assert asked("app", "remove", "app-full") == {"removed": "app-full"}
    again = ask("app", "remove", "app-full")
    assert (again.exit_code, again.stderr) == (1, "Error: there is no application 'app-full'\n")


@pytest.mark.parametrize(
    "words",
    [
        ("app", "add", "Not A Name"),
        ("app", "show", "app-nowhere"),
        ("app", "version", "add", "app-nowhere", "v1"),
        ("app", "version", "remove", "app-nowhere", "v1"),
    ],
)
def test_what_is_refused_is_one_sentence(ask, words):
    result = ask(*words)
    assert (result.exit_code, result.stdout) == (1, "")
    assert result.stderr.startswith("Error: ")
    assert result.stderr.count("\n") == 1


@pytest.mark.parametrize("words", [("app", "show"), ("app", "remove"), ("app", "version", "add", "x"), ("app", "fly")])
def test_a_wrong_use_has_an_exit_code_of_its_own(ask, words):
    assert ask(*words).exit_code == 2


def test_the_help_says_what_the_exit_codes_mean(run):
    text = " ".join(run("--help").output.split())
    assert "Exit codes: 0 done, 1 refused or failed, 2 wrong usage." in text


def test_the_json_is_one_line_in_a_pipe(ask):
    result = ask("app", "add", "app-line", "--json")
    assert json.loads(result.stdout)["name"] == "app-line"
    assert result.stdout.count("\n") == 1
