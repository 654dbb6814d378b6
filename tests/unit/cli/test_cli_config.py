"""`kaa config check` and `show`: what a server would run with, and what is wrong with a file."""

import json

import pytest
import yaml

from kaa.app import KaaConfig
from kaa.cli import config as commands
from kaa.core.config import defaults, load

WRONG = """\
mqtt-prot: 5
http:
  keep-alive: never
applications:
  Bad Name: {}
  home:
    settings:
      eptz: {}
      epts: {time-series: {auto-extrat: true}}
    versions:
      v-1: {}
"""


@pytest.fixture
def file(tmp_path):
    def write(text):
        (tmp_path / "my.yml").write_text(text)
        return "my.yml"

    return write


class TestCheck:
    def test_every_mistake_is_named_with_file_line_and_key(self, run, file):
        result = run("config", "check", file(WRONG))
        assert (result.exit_code, result.stdout) == (1, "")
        assert [line.rsplit(": ", 1)[0] for line in result.stderr.splitlines()] == [
            "my.yml:1: mqtt-prot",
            "my.yml:3: http.keep-alive",
            "my.yml:5: applications.Bad Name",
            "my.yml:8: applications.home.settings.eptz",
            "my.yml:9: applications.home.settings.epts.time-series.auto-extrat",
            "my.yml:11: applications.home.versions.v-1",
        ]

    def test_they_are_taken_apart_for_scripts(self, run, file):
        result = run("config", "check", file("http:\n  keep-alive: never\n"), "--json")
        told = json.loads(result.stdout)
        assert (result.exit_code, told["file"], told["valid"]) == (1, "my.yml", False)
        [problem] = told["problems"]
        assert (problem["line"], problem["key"]) == (2, "http.keep-alive")
        assert problem["message"].startswith("expected a duration")

    def test_a_file_that_a_server_would_take_has_none(self, run, file, monkeypatch):
        name = file("http-port: 7\napplications: {home: {versions: {v1: }}}\n")
        monkeypatch.setenv("KAA_NONSENSE", "the environment is not asked")
        result = run("config", "check", name)
        assert (result.exit_code, result.output) == (0, "")
        assert json.loads(run("config", "check", name, "--json").stdout) == {
            "file": name,
            "valid": True,
            "problems": [],
        }
        monkeypatch.setattr(commands, "is_terminal", lambda: True)
        assert run("config", "check", name).stdout == "my.yml: there is nothing wrong with it\n"

    @pytest.mark.parametrize(
        ("text", "told"),
        [
            ("only: [kpc]\nwithout: [kpx]\n", "my.yml:2: without: there is no instance 'kpx'"),
            ("only: [kpc]\nwithout: [cm]\n", "my.yml:2: without: say which instances to host"),
            ("http:\n  a: [\n", "my.yml:3: is not valid YAML: "),
            ("host: a\nhost: b\n", "my.yml:2: host: stands here twice, first on line 1"),
            ("[]\n", "my.yml:1: expected keys with values"),
        ],
    )
    def test_what_is_wrong_with_the_whole_is_found_as_well(self, run, file, text, told):
        result = run("config", "check", file(text))
        assert (result.exit_code, result.stderr.startswith(told)) == (1, True)

    def test_a_file_that_is_not_there_is_an_error(self, run):
        result = run("config", "check", "nowhere.yml")
        assert (result.exit_code, result.stderr) == (1, "nowhere.yml: cannot be read: No such file or directory\n")
        told = json.loads(run("config", "check", "nowhere.yml", "--json").stdout)
        assert told["problems"] == [{"line": None, "key": None, "message": "cannot be read: No such file or directory"}]

    def test_without_a_file_it_is_a_wrong_use(self, run):
        assert run("config", "check").exit_code == 2


class TestShow:
    def test_each_value_has_its_source(self, run, file, monkeypatch):
        name = file("host: 127.0.0.2\nstorage:\n  period: 3d\napplications: {home: {versions: {v1: }}}\n")
        monkeypatch.setenv("KAA_HTTP_PORT", "7")
        words = ("config", "show", "--config", name, "--mqtt-port", "5", "--only", "kpc,dcx")
        assert run(*words).stdout.splitlines() == [
            "host: 127.0.0.2  # my.yml:1",
            "mqtt-port: 5  # --mqtt-port",
            "http-port: 7  # KAA_HTTP_PORT",
            "only: [kpc, dcx]  # --only",
            "storage:",
            "  period: 3d  # my.yml:3",
            "applications:  # my.yml:4",
            "  home:",
            "    versions:",
            "      v1: {}",
        ]
        told = json.loads(run(*words, "--json").stdout)
        assert told["storage.period"] == {"value": "3d", "source": "my.yml:3"}
        assert told["mqtt-port"] == {"value": 5, "source": "--mqtt-port"}

    def test_a_flag_is_stronger_than_a_variable_and_that_than_the_file(self, run, file, monkeypatch):
        monkeypatch.setenv("KAA_MQTT_PORT", "2")
        name = file("mqtt-port: 1\n")
        assert run("config", "show", "--config", name).stdout == "mqtt-port: 2  # KAA_MQTT_PORT\n"
        assert run("config", "show", "--config", name, "--mqtt-port", "3").stdout == "mqtt-port: 3  # --mqtt-port\n"

    def test_all_of_it_is_a_file_that_says_the_same(self, run, file, tmp_path):
        text = run("config", "show", "--effective").stdout
        assert yaml.safe_load(text) == defaults(KaaConfig)
        assert "host: 127.0.0.1  # default" in text.splitlines()
        name = file("storage: {period: 3d}\napplications: {home: {settings: {epts: {retention: 30d}}}}\n")
        (tmp_path / "all.yml").write_text(run("config", "show", "--effective", "--config", name).stdout)
        again = load(KaaConfig, file=tmp_path / "all.yml", environ={}, flags={})
        assert again == load(KaaConfig, file=tmp_path / name, environ={}, flags={})

    def test_where_nothing_is_said_there_is_nothing(self, run, monkeypatch):
        assert not run("config", "show").output
        assert json.loads(run("config", "show", "--json").stdout) == {}
        monkeypatch.setattr(commands, "is_terminal", lambda: True)
        assert "--effective" in run("config", "show").stdout

    def test_secrets_are_starred(self, run, file):
        name = file(
            "bus: {url: 'nats://me:hush@nats:4222'}\n"
            "instances: {tap: {webhook: {url: 'https://a:hush@b/c', authorization: hush}}}\n"
        )
        for words in ((), ("--effective",), ("--json",)):
            text = run("config", "show", "--config", name, *words).stdout
            assert "hush" not in text
            assert "nats://***@nats:4222" in text

    def test_what_is_wrong_is_said_as_at_the_start(self, run, file, monkeypatch):
        result = run("config", "show", "--config", file("mqtt-prot: 5\n"))
        assert (result.exit_code, result.stdout) == (1, "")
        assert "my.yml:1: mqtt-prot: there is no such option; did you mean mqtt-port?" in result.stderr
        monkeypatch.setenv("KAA_MQTT_PROT", "5")
        assert "KAA_MQTT_PROT: there is no such option" in run("config", "show").stderr
