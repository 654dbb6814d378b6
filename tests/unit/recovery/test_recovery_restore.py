"""Restoring: all of a backup in an empty place, or nothing; and a copy from before a migration in its old one."""

import shutil
import sqlite3
import stat
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import pytest
from backups import NEXT_WEEK, NOW_MS, WEEK, add_channels, add_points, bytes_of, rows_of
from fakes.clock import FakeClock
from house import migration_steps

from kaa.app import KaaConfig, serving
from kaa.core.backup.archive import BackupError, Writer
from kaa.core.backup.cut import Cut
from kaa.core.data_dir import RESTORING, check_whole
from kaa.core.errors import StartupError
from kaa.core.lock import InUse, locked
from kaa.core.storage.migrations import is_newest, migrate
from kaa.recovery.checking import Found
from kaa.recovery.restoring import restore
from kaa.recovery.snapshots import check_snapshot, is_snapshot, put_back
from kaa.recovery.unpacking import unpack
from kaa.recovery.watch import Watch

BackedUp = Callable[..., Path]


def contents(directory: Path) -> dict[str, bytes]:
    return {p.relative_to(directory).as_posix(): p.read_bytes() for p in directory.rglob("*") if p.is_file()}


def archive_of(parts: dict[str, bytes], *, schemas: list[str]) -> bytes:
    writer = Writer(NOW_MS)
    made = b"".join(b"".join(writer.part(name, len(data), [data])) for name, data in parts.items())
    return made + b"".join(writer.end(kaa="9.9.9", schemas=schemas, left_out=[]))


def verified(file: Path, tmp_path: Path) -> Found:
    draft = tmp_path / "draft"
    draft.mkdir()
    try:
        return unpack(file, draft, Watch()).found
    finally:
        shutil.rmtree(draft)


def test_what_was_backed_up_is_there_again(data_dir: Path, backed_up: BackedUp, tmp_path: Path) -> None:
    target = tmp_path / "new"
    done = restore(backed_up(data_dir, "kaa.tgz"), target, Watch())
    assert done.found == Found(endpoints=0, points=100, files=2, nameless=0)
    for name in ("admin.key", "tls/ca.key", "tls/clients/gateway.pem"):
        assert (target / name).read_bytes() == (data_dir / name).read_bytes()
    query = "select * from epts_point"
    for week in (WEEK, NEXT_WEEK):
        assert rows_of(target / "epts" / week, query) == rows_of(data_dir / "epts" / week, query)
    assert not (target / RESTORING).exists()
    check_whole(target)


def test_nobody_else_may_read_what_was_restored(data_dir: Path, backed_up: BackedUp, tmp_path: Path) -> None:
    target = tmp_path / "new"
    restore(backed_up(data_dir), target, Watch())
    modes = {stat.S_IMODE(path.stat().st_mode) for path in (target, *target.rglob("*"))}
    assert modes == {0o700, 0o600}


def test_a_directory_that_is_empty_is_good_enough(data_dir: Path, backed_up: BackedUp, tmp_path: Path) -> None:
    target = tmp_path / "new"
    target.mkdir()
    restore(backed_up(data_dir), target, Watch())
    assert (target / "kaa.db").exists()


def test_a_directory_that_is_not_empty_is_left_alone(data_dir: Path, backed_up: BackedUp, tmp_path: Path) -> None:
    target = tmp_path / "new"
    target.mkdir()
    (target / "photo.jpg").write_text("dear")
    with pytest.raises(BackupError, match=r"not empty \(photo\.jpg\)"):
        restore(backed_up(data_dir), target, Watch())
    assert contents(target) == {"photo.jpg": b"dear"}


def test_a_directory_that_is_in_use_is_left_alone(data_dir: Path, backed_up: BackedUp, tmp_path: Path) -> None:
    file, target = backed_up(data_dir), tmp_path / "new"
    with locked(target), pytest.raises(InUse):
        restore(file, target, Watch())


@pytest.mark.parametrize("is_there", [True, False])
def test_a_damaged_backup_leaves_the_place_as_it_was(
    data_dir: Path, backed_up: BackedUp, tmp_path: Path, *, is_there: bool
) -> None:
    file, target = backed_up(data_dir), tmp_path / "new"
    if is_there:
        target.mkdir()
    data = bytearray(file.read_bytes())
    data[len(data) // 2] ^= 1
    file.write_bytes(data)
    with pytest.raises(BackupError, match=r"kaa\.tar cannot be used"):
        restore(file, target, Watch())
    assert target.exists() == is_there
    assert not is_there or set(contents(target)) <= {"kaa.lock"}
    if is_there:  # and it may be tried again
        data[len(data) // 2] ^= 1
        file.write_bytes(data)
        restore(file, target, Watch())


def test_names_that_lead_out_of_the_place_write_nothing(tmp_path: Path) -> None:
    from kaa.core.backup.archive import header, padding

    file = tmp_path / "evil.tar"
    file.write_bytes(header("../evil", 4, NOW_MS) + b"evil" + padding(4))
    with pytest.raises(BackupError, match="no file of a data directory"):
        restore(file, tmp_path / "new", Watch())
    assert [path.name for path in tmp_path.iterdir()] == ["evil.tar"]


def test_a_part_that_would_fill_the_disk_is_refused_before_it_does(tmp_path: Path) -> None:
    from kaa.core.backup.archive import header

    file = tmp_path / "large.tar"
    for name, size, reason in (("kaa.db", 1 << 60, "no room"), ("tls/x.pem", 1 << 30, "larger than any certificate")):
        file.write_bytes(header(name, size, NOW_MS))
        with pytest.raises(BackupError, match=reason):
            restore(file, tmp_path / "new", Watch())


def test_a_backup_of_a_newer_version_is_refused(data_dir: Path, backed_up: BackedUp, tmp_path: Path) -> None:
    with closing(sqlite3.connect(data_dir / "kaa.db", isolation_level=None)) as database:
        database.execute("update core_version set version_num = 'epr_0999' where version_num like 'epr_%'")
    with pytest.raises(BackupError, match=r"newer version of kaa \(epr_0999\)"):
        restore(backed_up(data_dir), tmp_path / "new", Watch())


@pytest.fixture
def of_older_version(data_dir: Path, backed_up: BackedUp, tmp_path: Path) -> Path:
    """A data directory that was restored from a backup that an older version had made."""
    older = []
    for steps in migration_steps():
        kept = tmp_path / "steps" / steps.parent.name
        shutil.copytree(steps, kept)
        if steps.parent.name == "epr":
            max(kept.glob("epr_*.py")).unlink()
        older.append(kept)
    (data_dir / "kaa.db").unlink()
    for week in (WEEK, NEXT_WEEK):
        (data_dir / "epts" / week).unlink()
    migrate(data_dir / "kaa.db", older, clock=FakeClock())
    target = tmp_path / "new"
    restore(backed_up(data_dir), target, Watch())
    return target


async def test_a_backup_of_an_older_version_is_migrated_by_the_next_start(of_older_version: Path) -> None:
    database = of_older_version / "kaa.db"
    assert not is_newest(database, migration_steps())
    async with serving(KaaConfig(data_dir=of_older_version, mqtt_port=0, http_port=0)):
        pass
    assert is_newest(database, migration_steps())


async def test_a_server_does_not_start_on_what_was_half_restored(data_dir: Path) -> None:
    (data_dir / RESTORING).mkdir()
    with pytest.raises(StartupError, match="not restored to its end"):
        async with serving(KaaConfig(data_dir=data_dir, mqtt_port=0, http_port=0)):
            pass


def test_points_whose_number_was_never_given_are_found(data_dir: Path, backed_up: BackedUp, tmp_path: Path) -> None:
    add_points(data_dir / "epts" / WEEK, {77: 1})
    with pytest.raises(BackupError, match="77"):
        verified(backed_up(data_dir), tmp_path)


def test_points_of_a_series_that_was_deleted_are_counted(data_dir: Path, backed_up: BackedUp, tmp_path: Path) -> None:
    with closing(sqlite3.connect(data_dir / "kaa.db", isolation_level=None)) as database:
        database.execute("delete from epts_channel where id = 3")
    assert verified(backed_up(data_dir), tmp_path) == Found(endpoints=0, points=100, files=2, nameless=10)


@pytest.mark.parametrize("name", ["kaa.db", f"epts/{WEEK}"])
def test_a_database_that_was_damaged_before_it_was_backed_up_is_found(
    data_dir: Path, tmp_path: Path, name: str
) -> None:
    parts = {}
    for part in ("kaa.db", f"epts/{WEEK}"):
        with closing(sqlite3.connect(data_dir / part, isolation_level=None)) as database:
            database.execute("pragma wal_checkpoint(truncate)").fetchall()
        parts[part] = (data_dir / part).read_bytes()
    damaged = bytearray(parts[name])
    damaged[-4096:] = b"\xff" * 4096
    parts[name] = bytes(damaged)
    file = tmp_path / "kaa.tar"
    file.write_bytes(archive_of(parts, schemas=[]))
    with pytest.raises(BackupError, match=f"{Path(name).name} is damaged"):
        verified(file, tmp_path)


def test_a_backup_without_a_database_is_none(tmp_path: Path) -> None:
    file = tmp_path / "kaa.tar"
    file.write_bytes(archive_of({"admin.key": b"x"}, schemas=[]))
    with pytest.raises(BackupError, match=r"no kaa\.db"):
        verified(file, tmp_path)


def test_rows_that_refer_to_nothing_are_found(data_dir: Path, backed_up: BackedUp, tmp_path: Path) -> None:
    with closing(sqlite3.connect(data_dir / "kaa.db", isolation_level=None)) as database:
        tables = [row[0] for row in database.execute("select name from sqlite_master where type = 'table'")]
        child = next(t for t in tables if database.execute(f"pragma foreign_key_list({t})").fetchall())
        columns = [(row[1], row[2]) for row in database.execute(f"pragma table_info({child})")]
        values = [1 if kind == "INTEGER" else "nothing" for _, kind in columns]
        marks = ",".join("?" * len(columns))
        database.execute(f"insert into {child} ({','.join(name for name, _ in columns)}) values ({marks})", values)
    with pytest.raises(BackupError, match=f"a row of {child} refers"):
        verified(backed_up(data_dir), tmp_path)


class TestCopyFromBeforeAMigration:
    @pytest.fixture
    def snapshot(self, data_dir: Path) -> Path:
        """A copy; then a fourth series came, with points."""
        copy = data_dir / "backups" / f"kaa-before-migration-{NOW_MS}.db"
        with closing(sqlite3.connect(data_dir / "kaa.db")) as source, closing(sqlite3.connect(copy)) as target:
            source.backup(target)
        add_channels(data_dir, 1)
        add_points(data_dir / "epts" / NEXT_WEEK, {4: 5})
        return copy

    def test_it_takes_the_place_of_the_database_which_is_kept(self, data_dir: Path, snapshot: Path) -> None:
        assert is_snapshot(snapshot)
        done = put_back(snapshot, data_dir, Watch(), now_ms=NOW_MS + 1)
        assert done.taken_ms == NOW_MS
        assert done.replaced == data_dir / f"kaa-replaced-{NOW_MS + 1}.db"
        assert rows_of(data_dir / "kaa.db", "select id from epts_channel") == [(1,), (2,), (3,)]
        assert rows_of(done.replaced, "select id from epts_channel") == [(1,), (2,), (3,), (4,)]
        assert not (data_dir / RESTORING).exists()
        assert not list(data_dir.glob("kaa.db-*"))

    def test_no_number_is_given_anew_under_which_points_lie(self, data_dir: Path, snapshot: Path) -> None:
        assert put_back(snapshot, data_dir, Watch(), now_ms=NOW_MS + 1).nameless == 1
        add_channels(data_dir, 1)
        assert rows_of(data_dir / "kaa.db", "select max(id) from epts_channel") == [(5,)]

    def test_one_that_was_interrupted_is_run_again(self, data_dir: Path, snapshot: Path) -> None:
        (data_dir / RESTORING).mkdir()
        (data_dir / "kaa.db").rename(data_dir / "kaa-replaced-1.db")
        done = put_back(snapshot, data_dir, Watch(), now_ms=NOW_MS + 1)
        assert done.replaced is None
        check_whole(data_dir)

    def test_a_database_that_cannot_be_read_is_replaced_all_the_same(self, data_dir: Path, snapshot: Path) -> None:
        (data_dir / "kaa.db").write_bytes(b"\xff" * 8192)
        done = put_back(snapshot, data_dir, Watch(), now_ms=NOW_MS + 1)
        assert done.endpoints_before is None
        assert done.replaced is not None
        assert done.replaced.read_bytes() == b"\xff" * 8192

    def test_a_damaged_one_changes_nothing(self, data_dir: Path, snapshot: Path) -> None:
        data = bytearray(snapshot.read_bytes())
        data[-4096:] = b"\xff" * 4096
        snapshot.write_bytes(data)
        before = contents(data_dir)
        with pytest.raises(BackupError, match="is damaged"):
            put_back(snapshot, data_dir, Watch(), now_ms=NOW_MS + 1)
        assert contents(data_dir) == before

    def test_it_is_put_nowhere_else_and_under_no_server(self, data_dir: Path, snapshot: Path, tmp_path: Path) -> None:
        (tmp_path / "elsewhere").mkdir()
        with pytest.raises(BackupError, match="no data directory"):
            put_back(snapshot, tmp_path / "elsewhere", Watch(), now_ms=NOW_MS + 1)
        with locked(data_dir), pytest.raises(InUse):
            put_back(snapshot, data_dir, Watch(), now_ms=NOW_MS + 1)

    def test_a_database_that_is_in_use_is_no_copy(self, data_dir: Path, snapshot: Path) -> None:
        with closing(sqlite3.connect(data_dir / "kaa.db", isolation_level=None)) as database:
            database.execute("pragma user_version = 7")
            with pytest.raises(BackupError, match="in use"):
                check_snapshot(data_dir / "kaa.db", Watch())


def test_a_backup_is_no_copy_from_before_a_migration(data_dir: Path, tmp_path: Path) -> None:
    file = tmp_path / "kaa.tar"
    file.write_bytes(bytes_of(Cut(data_dir, now_ms=NOW_MS)))
    assert not is_snapshot(file)
    with pytest.raises(BackupError, match="cannot be read"):
        is_snapshot(tmp_path / "nothing")
