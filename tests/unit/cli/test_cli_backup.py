"""`kaa backup`, `kaa restore` and `kaa verify`."""

import json
import sqlite3
import stat
from contextlib import closing
from pathlib import Path

import pytest
from fakes.clock import FakeClock
from house import migration_steps

from kaa.core.lock import locked
from kaa.core.storage.migrations import migrate


@pytest.fixture(scope="session")
def template(tmp_path_factory):
    directory = tmp_path_factory.mktemp("stopped") / "data"
    directory.mkdir()
    migrate(directory / "kaa.db", migration_steps(), clock=FakeClock())
    (directory / "samples").mkdir()
    (directory / "samples" / "1.jsonl").write_text("{}\n")
    return directory


@pytest.fixture(scope="session")
def archive(template, tmp_path_factory):
    """A backup of a server that does not run."""
    from click.testing import CliRunner

    from kaa.cli import cli

    file = tmp_path_factory.mktemp("backup") / "kaa.tar"
    assert CliRunner().invoke(cli, ["backup", str(file), "--data-dir", str(template)]).exit_code == 0
    return file


def test_a_running_server_is_backed_up_by_its_directory_and_by_its_address(ask, run, running):
    # the server of these tests logs to the same place, before
    made = json.loads(ask("backup", "one.tar.gz", "--json").stdout.splitlines()[-1])
    assert made["file"] == "one.tar.gz"
    assert made["sizeBytes"] == Path("one.tar.gz").stat().st_size
    assert made["files"] >= 2
    result = run("backup", "two.tar", "--url", running.url, "--key", running.key)
    assert result.exit_code == 0, result.output
    for name in ("one.tar.gz", "two.tar"):
        assert stat.S_IMODE(Path(name).stat().st_mode) == 0o600
        assert json.loads(run("verify", name, "--json").stdout)["endpoints"] >= 0


def test_a_pipe_is_told_nothing(run, template):
    assert not run("backup", "kaa.tar", "--data-dir", str(template)).output


def test_what_is_not_in_a_backup_is_said(run, template):
    result = run("backup", "kaa.tar", "--data-dir", str(template), "--json")
    assert json.loads(result.stdout)["leftOut"] == ["samples/"]


def test_where_there_is_no_server_and_no_data_nothing_is_made(run):
    result = run("backup", "kaa.tar", "--data-dir", "nowhere")
    assert result.exit_code == 1
    assert "no server found" in result.stderr
    assert not list(Path().iterdir())


def test_a_file_that_is_there_is_not_replaced(ask):
    Path("kaa.tar").write_text("dear")
    assert ask("backup", "kaa.tar").exit_code == 1
    assert Path("kaa.tar").read_text() == "dear"


def test_a_whole_backup_is_said_to_be_whole(run, archive):
    result = run("verify", str(archive))
    assert result.exit_code == 0
    assert "is whole: no endpoints, no points" in result.output
    assert [path.name for path in archive.parent.iterdir()] == ["kaa.tar"]


def test_a_damaged_byte_is_found_by_verify(run, archive):
    whole = archive.read_bytes()
    for at in (3, 200, 5000, len(whole) // 2, len(whole) - 1100, len(whole) - 1):
        Path("damaged.tar").write_bytes(whole[:at] + bytes([whole[at] ^ 1]) + whole[at + 1 :])
        result = run("verify", "damaged.tar")
        assert result.exit_code == 1
        assert result.stderr.startswith("Error: damaged.tar cannot be used: ")
    assert [path.name for path in Path().iterdir()] == ["damaged.tar"]


def test_what_is_no_backup_is_an_error(run):
    Path("photo.jpg").write_bytes(b"\xff\xd8" * 1000)
    assert "not a backup that kaa has made" in run("verify", "photo.jpg").stderr
    assert run("verify", "nothing").exit_code == 1


def test_a_backup_is_restored_into_an_empty_place_only(run, archive):
    result = run("restore", str(archive), "--data-dir", "new")
    assert result.exit_code == 0
    assert "kaa serve --data-dir new" in result.output
    again = run("restore", str(archive), "--data-dir", "new")
    assert again.exit_code == 1
    assert "not empty" in again.stderr
    assert json.loads(run("restore", str(archive), "--data-dir", "other", "--json").stdout)["points"] == 0


def test_a_place_in_use_is_left_alone(run, archive):
    with locked(Path("new")):
        result = run("restore", str(archive), "--data-dir", "new")
    assert result.exit_code == 1
    assert "in use" in result.stderr


def test_a_copy_from_before_a_migration_is_verified_and_put_back(run, archive):
    run("restore", str(archive), "--data-dir", "data")
    copy = Path("data/backups/kaa-before-migration-1795900000000.db")
    copy.parent.mkdir()
    with closing(sqlite3.connect("data/kaa.db")) as source, closing(sqlite3.connect(copy)) as target:
        source.backup(target)
    assert "is whole" in run("verify", str(copy)).output
    result = run("restore", str(copy), "--data-dir", "data")
    assert result.exit_code == 0
    assert "Lost is what was written to it after 2026-11-28T" in result.output
    [replaced] = Path("data").glob("kaa-replaced-*.db")
    assert replaced.name in result.output
    done = json.loads(run("restore", str(copy), "--data-dir", "data", "--json").stdout)
    assert done["endpointsBefore"] == 0
