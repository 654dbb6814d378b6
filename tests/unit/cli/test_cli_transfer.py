"""`kaa config export` and `import`."""

import json

import pytest
import yaml

HOME = """\
applications:
  {name}:
    display-name: Home
    settings:
      epts: {{retention: 30d}}
    versions:
      v1:
      v2:
        display-name: Second
        settings: {{kpc: {{allowed-extension-instances: [dcx]}}}}
"""


@pytest.fixture
def file(tmp_path):
    def write(text):
        (tmp_path / "in.yml").write_text(text)
        return "in.yml"

    return write


def test_what_was_imported_is_exported_and_changes_nothing_when_it_comes_again(ask, asked, file, tmp_path):
    told = asked("config", "import", file(HOME.format(name="trip")))
    assert [(one["action"], one["version"], one["serviceInstanceName"]) for one in told["changes"]] == [
        ("added", None, None),
        ("added", None, "epts"),
        ("added", "trip-v1", None),
        ("added", "trip-v2", None),
        ("added", "trip-v2", "kpc"),
    ]
    exported = yaml.safe_load(ask("config", "export").stdout)
    assert exported["applications"]["trip"] == {
        "display-name": "Home",
        "settings": {"epts": {"retention": "30d"}},
        "versions": {
            "v1": {},
            "v2": {"display-name": "Second", "settings": {"kpc": {"allowed-extension-instances": ["dcx"]}}},
        },
    }
    assert not ask("config", "export", "out.yml").output
    assert yaml.safe_load((tmp_path / "out.yml").read_text()) == exported
    assert asked("config", "import", "out.yml")["changes"] == []
    assert asked("config", "import", file(HOME.format(name="trip")))["changes"] == []


def test_the_export_for_scripts_can_be_imported_as_well(ask, asked, file):
    asked("config", "import", file(HOME.format(name="script")))
    document = json.loads(ask("config", "export", "--json").stdout)
    assert document["applications"]["script"]["displayName"] == "Home"
    assert asked("config", "import", file(json.dumps(document)))["changes"] == []


def test_a_dry_run_shows_the_changes_and_makes_none(ask, asked, file):
    name = file(HOME.format(name="dry"))
    result = ask("config", "import", name, "--dry-run")
    assert result.exit_code == 0
    assert result.stdout.splitlines()[:2] == ["added\tdry\t\t", "added\tdry\t\tepts"]
    assert asked("config", "import", name, "--dry-run")["dryRun"] is True
    assert "dry" not in {one["name"] for one in asked("app", "list")}
    assert ask("config", "import", name).stdout == result.stdout
    assert not ask("config", "import", name).output


def test_every_mistake_has_its_line_and_nothing_is_changed(ask, asked, file):
    text = """\
applications:
  wrong:
    settings:
      epts:
        retention: never
      nobody: {}
    versions:
      v-1: {}
      v1: {settings: {kpc: {allowed: []}}}
"""
    result = ask("config", "import", file(text))
    assert result.exit_code == 1
    assert [line.removeprefix("Error: ").split(": ")[:2] for line in result.stderr.splitlines()] == [
        ["in.yml:8", "applications.wrong.versions.v-1"],
        ["in.yml:5", "applications.wrong.settings.epts.retention"],
        ["in.yml:6", "applications.wrong.settings.nobody"],
        ["in.yml:9", "applications.wrong.versions.v1.settings.kpc.allowed"],
    ]
    assert "wrong" not in {one["name"] for one in asked("app", "list")}


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("mqtt-port: 5\n", "in.yml:1: mqtt-port: "),
        ("applications:\n  x:\n    colour: red\n", "in.yml:3: applications.x.colour: "),
        ("applications:\n  x:\n    display-name: [1]\n", "in.yml:3: applications.x.displayName: "),
        ("applications: 5\n", "in.yml:1: applications: "),
        ("applications: {x: 5}\n", "in.yml:1: applications.x: "),
        (
            "applications:\n  x: {settings: {epts: {a: 2026-01-01}}}\n",
            "in.yml:2: applications.x.settings.epts.a: a date ",
        ),
        ("applications:\n  x: {settings: {epts: {a: .inf}}}\n", "in.yml:2: applications.x.settings.epts.a: a float "),
        ("a: [\n", "in.yml:2: is not valid YAML: "),
    ],
)
def test_a_file_of_another_shape_is_refused_with_its_line(ask, file, text, told):
    result = ask("config", "import", file(text))
    assert (result.exit_code, result.stdout) == (1, "")
    assert result.stderr.startswith(f"Error: {told}"), result.stderr


def test_mistakes_in_the_shape_have_a_line_each(ask, file):
    words = "".join(f"  x{number}: {{colour: 1}}\n" for number in range(5))
    lines = ask("config", "import", file(f"applications:\n{words}")).stderr.splitlines()
    assert [line.removeprefix("Error: ").split(": ")[0] for line in lines] == [
        "in.yml:2",
        "in.yml:3",
        "in.yml:4",
        "in.yml",
    ]
    assert lines[-1] == "in.yml: and 2 more"


def test_sections_with_nothing_in_them_say_nothing(asked, file):
    text = "settings:\napplications:\n  empty:\n    settings:\n    versions:\n"
    assert len(asked("config", "import", file(text))["changes"]) == 1
    assert asked("config", "import", file("applications:\n"))["changes"] == []


def test_a_file_that_cannot_be_read_or_written_is_one_sentence(ask):
    result = ask("config", "import", "nowhere.yml")
    assert (result.exit_code, result.stderr) == (1, "Error: nowhere.yml: cannot be read: No such file or directory\n")
    result = ask("config", "export", "nowhere/out.yml")
    assert (result.exit_code, result.stderr) == (
        1,
        "Error: nowhere/out.yml: cannot be written: No such file or directory\n",
    )


def test_without_a_server_both_say_how_to_start_one(run, file):
    for words in (("export",), ("import", file("applications:\n"))):
        result = run("config", *words)
        assert (result.exit_code, "start one with `kaa serve`" in result.stderr) == (1, True)
    assert run("config", "import").exit_code == 2
