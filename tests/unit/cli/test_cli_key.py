"""`kaa key`, with a server that runs and with none."""

import http.client
import json
import sqlite3
from contextlib import closing
from pathlib import Path

import pytest


def status(running, key: str, method: str, path: str) -> int:
    connection = http.client.HTTPConnection(running.url.removeprefix("http://"), timeout=10)
    connection.request(method, path, headers={"Authorization": f"Bearer {key}"})
    found = connection.getresponse().status
    connection.close()
    return found


@pytest.fixture
def at_rest(run, tmp_path: Path):
    """Run a command on a data directory that no server has; gives its JSON."""
    directory = tmp_path / "rest"
    directory.mkdir()

    def invoke(*arguments: str):
        result = run("key", *arguments, "--json", "--data-dir", str(directory))
        assert result.exit_code == 0, result.output
        return json.loads(result.stdout)

    return invoke


def test_a_key_is_made_listed_and_removed_over_rest(asked, running):
    made = asked("key", "add", "--role", "viewer", "--name", "wall", "--app", "home")
    assert (made["role"], made["name"], made["applications"]) == ("viewer", "wall", ["home"])
    assert status(running, made["key"], "GET", "/epr/api/v1/endpoints") == 403
    listed = {one["id"]: one for one in asked("key", "list")}
    assert listed[made["id"]] == {name: value for name, value in made.items() if name != "key"}
    assert asked("key", "remove", made["id"]) == {"removed": made["id"]}
    assert status(running, made["key"], "GET", "/epr/api/v1/endpoints") == 401


def test_what_the_server_refuses_is_told(ask):
    result = ask("key", "add", "--role", "admin", "--app", "home")
    assert result.exit_code == 1
    assert "admin" in result.stderr
    assert ask("key", "remove", "nobody").exit_code == 1


def test_where_no_server_runs_the_directory_itself_is_changed(at_rest, tmp_path):
    made = at_rest("add", "--role", "operator", "--name", "ci")
    assert made["role"] == "operator"
    first, second = at_rest("list")
    assert (first["role"], second["id"], second["name"]) == ("admin", made["id"], "ci")
    assert "key" not in second
    assert (tmp_path / "rest" / "admin.key").exists()
    assert at_rest("remove", made["id"]) == {"removed": made["id"]}
    assert [one["id"] for one in at_rest("list")] == [first["id"]]


def test_the_last_admin_key_stays_also_where_no_server_runs(at_rest, run, tmp_path):
    [admin] = at_rest("list")
    result = run("key", "remove", admin["id"], "--data-dir", str(tmp_path / "rest"))
    assert result.exit_code == 1
    assert "last admin key" in result.stderr
    other = at_rest("add", "--role", "admin")
    at_rest("remove", admin["id"])
    assert [one["id"] for one in at_rest("list")] == [other["id"]]


def test_wrong_names_are_refused_where_no_server_runs(run, tmp_path):
    (tmp_path / "rest").mkdir()
    result = run("key", "add", "--role", "viewer", "--app", "No Such", "--data-dir", str(tmp_path / "rest"))
    assert result.exit_code == 1
    assert "applications" in result.stderr


def test_a_directory_that_is_not_there_is_not_made(run, tmp_path):
    result = run("key", "list", "--data-dir", str(tmp_path / "typo"))
    assert result.exit_code == 1
    assert "typo" in result.stderr
    assert not (tmp_path / "typo").exists()


def test_what_is_done_where_no_server_runs_is_in_the_audit_log(at_rest, tmp_path):
    made = at_rest("add", "--role", "viewer", "--name", "wall")
    at_rest("remove", made["id"])
    with closing(sqlite3.connect(tmp_path / "rest" / "kaa.db")) as connection:
        rows = connection.execute("select key_id, key_name, method, path, before, after from core_audit").fetchall()
    added, removed = rows
    assert added[:4] == (None, "command line", "POST", "/keys/api/v1/keys")
    assert json.loads(added[5])["id"] == made["id"]
    assert made["key"] not in str(rows)
    assert removed[:4] == (None, "command line", "DELETE", f"/keys/api/v1/keys/{made['id']}")
    assert json.loads(removed[4])["name"] == "wall"
