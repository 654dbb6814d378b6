"""The schema's history: from any earlier version to the newest, in one step, with a copy before."""

import os
import sqlite3
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from fakes.clock import FakeClock
from house import migration_steps

from kaa.core.errors import StartupError
from kaa.core.storage.migrations import last_backup_s, migrate

STEP = '''"""{reason}."""

from alembic import op

revision = "{name}_{number:04d}"
down_revision = {before}
branch_labels = {label}
depends_on = None


def upgrade() -> None:
    {body}
'''


class History:
    """A directory of steps for each branch, and a database."""

    def __init__(self, directory: Path) -> None:
        self.directory, self.path, self.clock = directory, directory / "kaa.db", FakeClock()
        self.branches: dict[str, int] = {}

    def add(self, branch: str, statement: str) -> None:
        """Add a step to a branch."""
        number = self.branches[branch] = self.branches.get(branch, 0) + 1
        steps = self.directory / branch
        steps.mkdir(exist_ok=True)
        (steps / f"{branch}_{number:04d}_step.py").write_text(
            STEP.format(
                reason="for the test",
                name=branch,
                number=number,
                before=repr(f"{branch}_{number - 1:04d}") if number > 1 else None,
                label=repr((branch,)) if number == 1 else None,
                body="\n    ".join(f"op.execute({one!r})" for one in statement.split(";")),
            )
        )

    def take_back(self, branch: str) -> None:
        """Have the newest step of a branch never have been."""
        number = self.branches[branch]
        (self.directory / branch / f"{branch}_{number:04d}_step.py").unlink()
        self.branches[branch] = number - 1

    def run(self) -> Path | None:
        return migrate(self.path, [self.directory / branch for branch in self.branches], clock=self.clock)

    def query(self, sql: str, path: Path | None = None) -> list[Any]:
        with closing(sqlite3.connect(path or self.path)) as connection:
            found = connection.execute(sql).fetchall()
            connection.commit()
            return found

    @property
    def versions(self) -> set[str]:
        return {row[0] for row in self.query("select version_num from core_version")}


@pytest.fixture
def history(tmp_path: Path) -> History:
    made = History(tmp_path)
    made.add("core", "create table core_thing (n integer)")
    made.add("epr", "create table epr_thing (n integer)")
    return made


def test_a_new_database_gets_everything_and_there_is_nothing_to_copy(history: History) -> None:
    assert history.run() is None
    assert history.versions == {"core_0001", "epr_0001"}
    assert history.query("select * from core_thing, epr_thing") == []
    assert not (history.directory / "backups").exists()


def test_once_it_is_there_nothing_more_happens(history: History) -> None:
    history.run()
    before = history.path.read_bytes()
    assert history.run() is None
    assert history.path.read_bytes() == before
    assert not (history.directory / "backups").exists()


def test_an_earlier_one_is_brought_up_to_date_in_one_step_and_keeps_what_it_has(history: History) -> None:
    history.run()
    history.query("insert into epr_thing values (7)")
    history.add("epr", "alter table epr_thing add column more integer")
    history.add("epr", "update epr_thing set more = n * 2")
    history.add("core", "create table core_other (n integer)")
    history.run()
    assert history.versions == {"core_0002", "epr_0003"}
    assert history.query("select n, more from epr_thing") == [(7, 14)]


def test_a_copy_of_it_lies_beside_it_as_it_was(history: History) -> None:
    history.run()
    history.query("insert into epr_thing values (7)")
    history.add("epr", "drop table epr_thing; create table epr_thing (other integer)")
    copy = history.run()
    assert copy is not None
    assert copy.parent == history.directory / "backups"
    assert history.query("select n from epr_thing", copy) == [(7,)]
    assert history.query("select version_num from core_version where version_num like 'epr%'", copy) == [("epr_0001",)]
    assert history.query("select other from epr_thing") == []


def test_a_service_that_is_new_brings_its_tables(history: History) -> None:
    history.run()
    history.add("cm", "create table cm_thing (n integer)")
    assert history.run() is not None
    assert history.versions == {"core_0001", "epr_0001", "cm_0001"}
    assert history.query("select * from cm_thing") == []


def test_one_that_a_newer_version_has_written_is_refused_and_left_alone(history: History) -> None:
    history.add("epr", "create table epr_other (n integer)")
    history.run()
    before = history.path.read_bytes()
    history.take_back("epr")
    with pytest.raises(StartupError) as raised:
        history.run()
    assert "newer version" in str(raised.value)
    assert history.path.read_bytes() == before


def test_one_that_is_newer_in_one_branch_and_older_in_another_is_refused_and_left_alone(history: History) -> None:
    history.add("epr", "create table epr_other (n integer)")
    history.run()
    before = history.path.read_bytes()
    history.take_back("epr")
    history.add("core", "create table core_other (n integer)")
    with pytest.raises(StartupError):
        history.run()
    assert history.path.read_bytes() == before


def test_if_a_step_fails_nothing_has_happened(history: History) -> None:
    history.run()
    history.add("core", "create table core_other (n integer)")
    history.add("epr", "insert into epr_thing values (1); insert into nowhere values (1)")
    with pytest.raises(StartupError) as raised:
        history.run()
    assert "nowhere" in str(raised.value)
    assert history.versions == {"core_0001", "epr_0001"}
    assert history.query("select name from sqlite_master where name = 'core_other'") == []
    assert history.query("select * from epr_thing") == []


def test_after_it_was_mended_it_goes_through(history: History) -> None:
    history.run()
    history.add("epr", "insert into nowhere values (1)")
    with pytest.raises(StartupError):
        history.run()
    history.take_back("epr")
    history.add("epr", "insert into epr_thing values (1)")
    history.run()
    assert history.query("select n from epr_thing") == [(1,)]


def test_the_houses_own_history_leads_to_an_empty_database(tmp_path: Path) -> None:
    migrate(tmp_path / "kaa.db", migration_steps(), clock=FakeClock())
    with closing(sqlite3.connect(tmp_path / "kaa.db")) as connection:
        tables = {row[0] for row in connection.execute("select name from sqlite_master where type = 'table'")}
        assert {"core_outbox", "core_key", "core_version", "tekton_application", "epr_endpoint", "cm_token"} <= tables
        assert connection.execute("pragma foreign_key_check").fetchall() == []


def test_a_table_is_named_after_its_module_and_steps_after_their_branch(tmp_path: Path) -> None:
    migrate(tmp_path / "kaa.db", migration_steps(), clock=FakeClock())
    owners = {"core", *(steps.parent.name for steps in migration_steps()[1:])}
    with closing(sqlite3.connect(tmp_path / "kaa.db")) as connection:
        for (table,) in connection.execute("select name from sqlite_master where type = 'table'"):
            assert table.split("_")[0] in owners | {"sqlite"}
    for steps in migration_steps():
        owner = "core" if steps.parent.name == "core" else steps.parent.name
        for step in steps.glob("*_*.py"):
            assert step.name.startswith(("__", f"{owner}_"))


def copies(history: History) -> list[Path]:
    return list((history.directory / "backups").glob("*"))


def test_a_start_that_is_refused_leaves_no_copy(history: History) -> None:
    history.add("epr", "create table epr_other (n integer)")
    history.run()
    history.take_back("epr")
    with pytest.raises(StartupError):
        history.run()
    assert copies(history) == []


def test_a_migration_that_fails_leaves_no_copy(history: History) -> None:
    history.run()
    history.add("epr", "insert into nowhere values (1)")
    with pytest.raises(StartupError):
        history.run()
    assert copies(history) == []


def test_a_damaged_database_is_refused_in_a_sentence_that_says_what_to_do(history: History) -> None:
    history.path.write_bytes(b"this was a database once. " * 400)
    with pytest.raises(StartupError) as raised:
        history.run()
    assert str(history.path) in str(raised.value)
    assert "put a backup in its place" in str(raised.value)
    assert "\n" not in str(raised.value)


def test_a_database_that_cannot_be_opened_is_refused_in_a_sentence(history: History) -> None:
    history.path.mkdir()
    with pytest.raises(StartupError) as raised:
        history.run()
    assert str(history.path) in str(raised.value)


def test_one_that_cannot_be_copied_is_not_migrated(history: History) -> None:
    history.run()
    history.add("epr", "create table epr_other (n integer)")
    (history.directory / "backups").write_text("a file in the way")
    with pytest.raises(StartupError) as raised:
        history.run()
    assert "could not be copied" in str(raised.value)
    assert history.versions == {"core_0001", "epr_0001"}


def test_when_a_copy_was_made_last_is_known(tmp_path: Path) -> None:
    assert last_backup_s(tmp_path) == 0
    (tmp_path / "backups").mkdir()
    for name, at_s in (("a.db", 2_000), ("b.db", 1_000)):
        (tmp_path / "backups" / name).touch()
        os.utime(tmp_path / "backups" / name, (at_s, at_s))
    assert last_backup_s(tmp_path) == 2_000
