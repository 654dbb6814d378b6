"""How the commands find the server, and what they say if they do not."""

import json
import socket
import subprocess
import sys

import pytest

from kaa.remote import Remote, RemoteError


def test_without_a_server_the_sentence_says_what_to_do(run):
    result = run("device", "list", "--app", "home")
    assert result.exit_code == 1
    assert result.stderr == (
        "Error: no server found: kaa-data/server.json is not there; "
        "start one with `kaa serve`, or give --url and --key\n"
    )


def test_a_server_that_is_down_is_named(run, tmp_path):
    with socket.create_server(("127.0.0.1", 0)) as taken:
        address = f"127.0.0.1:{taken.getsockname()[1]}"
    (tmp_path / "server.json").write_text(json.dumps({"http": address, "mqtt": "127.0.0.1:1", "pid": 1}))
    (tmp_path / "admin.key").write_text("key")
    result = run("refusals", "--data-dir", str(tmp_path))
    assert result.exit_code == 1
    assert result.stderr.startswith(f"Error: http://{address} does not answer (")
    assert result.stderr.endswith("start the server with `kaa serve`\n")


def test_a_wrong_key_is_said_to_be_one(ask):
    result = ask("refusals", "--key", "wrong")
    assert result.exit_code == 1
    assert "does not take the key that was given; give a valid one with --key or KAA_KEY" in result.stderr


def test_a_url_without_a_key_does_not_get_the_key_of_this_machine(ask, running):
    result = ask("refusals", "--url", running.url)
    assert (result.exit_code, result.stderr) == (1, f"Error: {running.url} needs a key: give --key or KAA_KEY\n")


def test_url_and_key_are_enough(run, running, monkeypatch):
    assert run("refusals", "--url", running.url + "/", "--key", running.key).exit_code == 0
    monkeypatch.setenv("KAA_URL", running.url)
    monkeypatch.setenv("KAA_KEY", running.key)
    assert run("refusals").exit_code == 0


@pytest.mark.parametrize("url", ["127.0.0.1:8080", "ftp://somewhere", "http://"])
def test_what_is_no_address_is_refused(run, url):
    assert "--url" in run("refusals", "--url", url, "--key", "k").stderr


def test_a_directory_whose_key_is_out_of_reach_says_so(tmp_path):
    (tmp_path / "server.json").write_text('{"http": "127.0.0.1:1", "mqtt": "127.0.0.1:1", "pid": 1}')
    with pytest.raises(RemoteError):
        Remote.find(tmp_path)


@pytest.mark.parametrize("text", ["", "{", "[]", "{}", '{"http": 7}', '{"http": "nowhere"}'])
def test_a_file_that_says_nothing_is_no_server(tmp_path, text):
    (tmp_path / "server.json").write_text(text)
    with pytest.raises(RemoteError):
        Remote.find(tmp_path, key="k")


def test_a_server_that_listens_everywhere_is_asked_here(tmp_path):
    (tmp_path / "server.json").write_text('{"http": "0.0.0.0:80", "mqtt": ":::81", "pid": 1}')
    found = Remote.find(tmp_path, key="k")
    assert (found.url, found.mqtt) == ("http://127.0.0.1:80", "[::1]:81")


def test_a_key_is_not_shown():
    assert "secret" not in repr(Remote("http://127.0.0.1:1", None, "secret"))


def test_the_commands_do_not_load_the_server():
    heavy = ("kaa.app", "aiohttp", "pydantic", "rich")
    code = f"import sys, kaa.cli; print([name for name in {heavy} if name in sys.modules])"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout == "[]\n"
