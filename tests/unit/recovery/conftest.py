"""A data directory as a server that was stopped leaves it, without a server."""

import shutil
import sqlite3
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import pytest
from backups import NEXT_WEEK, NOW_MS, WEEK, add_channels, add_points
from fakes.clock import FakeClock
from house import migration_steps

from kaa.core.backup.archive import Manifest
from kaa.core.storage.migrations import migrate
from kaa.recovery.keeping import keep, stopped
from kaa.recovery.watch import Watch


@pytest.fixture(scope="session")
def template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    directory = tmp_path_factory.mktemp("recovery") / "data"
    directory.mkdir(mode=0o700)
    migrate(directory / "kaa.db", migration_steps(), clock=FakeClock())
    with closing(sqlite3.connect(directory / "kaa.db")) as database:
        database.execute("pragma journal_mode=wal")
    return directory


@pytest.fixture
def data_dir(template: Path, tmp_path: Path) -> Path:
    """Two weeks of points of three series, certificates, and what belongs to others."""
    directory = tmp_path / "data"
    shutil.copytree(template, directory)
    add_channels(directory, 3)
    add_points(directory / "epts" / WEEK, {1: 40, 2: 40, 0: 1})
    add_points(directory / "epts" / NEXT_WEEK, {2: 10, 3: 10, 0: 1})
    (directory / "tls" / "clients").mkdir(parents=True)
    (directory / "admin.key").write_text("secret\n")
    (directory / "tls" / "ca.key").write_text("secret key\n")
    (directory / "tls" / "clients" / "gateway.pem").write_text("certificate\n")
    (directory / "tls" / ".ca.pem.new").write_text("half a cert")
    (directory / "samples").mkdir()
    (directory / "samples" / "1.jsonl").write_text("{}\n")
    (directory / "backups").mkdir()
    (directory / "server.json").write_text("{}")
    return directory


@pytest.fixture
def backed_up(tmp_path: Path) -> Callable[..., Path]:
    """Make a backup of a data directory that nobody uses."""

    def run(directory: Path, name: str = "kaa.tar") -> Path:
        file = tmp_path / name
        with stopped(directory, now_ms=NOW_MS) as (source, size):
            made = keep(source, file, size_bytes=size, watch=Watch())
        assert isinstance(made, Manifest)
        return file

    return run
