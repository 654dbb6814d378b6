"""Making a backup: one moment of everything that is a server's, in a file that is whole or not there."""

import gzip
import io
import sqlite3
import stat
import tarfile
from contextlib import closing
from pathlib import Path

import pytest
from backups import NEXT_WEEK, NOW_MS, WEEK, add_channels, add_points, bytes_of, rows_of

from kaa.core.backup.archive import BackupError
from kaa.core.backup.cut import DRAFT, Cut
from kaa.core.lock import InUse, locked
from kaa.recovery.keeping import keep, stopped
from kaa.recovery.watch import Watch


def unpacked(data: bytes, directory: Path) -> Path:
    with tarfile.open(fileobj=io.BytesIO(data)) as tar:
        tar.extractall(directory, filter="data")
    return directory


def names(data: bytes) -> set[str]:
    with tarfile.open(fileobj=io.BytesIO(data)) as tar:
        return {member.name for member in tar.getmembers() if not member.name.startswith("manifest")}


def test_it_holds_databases_keys_and_certificates_and_names_what_is_not_in_it(data_dir: Path) -> None:
    cut = Cut(data_dir, now_ms=NOW_MS)
    assert names(bytes_of(cut)) == {
        "kaa.db",
        "admin.key",
        "tls/ca.key",
        "tls/clients/gateway.pem",
        f"epts/{WEEK}",
        f"epts/{NEXT_WEEK}",
    }
    assert cut.left_out == ("samples/",)
    assert not (data_dir / DRAFT).exists()


def test_what_comes_after_the_moment_is_not_in_it_and_what_goes_is(data_dir: Path, tmp_path: Path) -> None:
    cut = Cut(data_dir, now_ms=NOW_MS)
    add_channels(data_dir, 1)
    add_points(data_dir / "epts" / NEXT_WEEK, {4: 5})
    with closing(sqlite3.connect(data_dir / "kaa.db", isolation_level=None)) as database:
        database.execute("delete from epts_channel where id = 1")
    for ending in ("", "-wal", "-shm"):  # as retention deletes a file
        (data_dir / "epts" / f"{WEEK}{ending}").unlink(missing_ok=True)
    found = unpacked(bytes_of(cut), tmp_path / "found")
    assert rows_of(found / "kaa.db", "select id from epts_channel") == [(1,), (2,), (3,)]
    assert rows_of(found / "epts" / NEXT_WEEK, "select distinct channel from epts_point") == [(0,), (2,), (3,)]
    assert rows_of(found / "epts" / WEEK, "select count(*) from epts_point") == [(81,)]


def test_what_lies_among_the_files_of_points_is_named_by_itself(data_dir: Path) -> None:
    (data_dir / "epts" / "note.txt").write_text("mine")
    (data_dir / "empty").mkdir()
    with closing(Cut(data_dir, now_ms=NOW_MS)) as cut:
        assert cut.left_out == ("epts/note.txt", "samples/")


def test_nobody_waits_for_a_slow_reader_of_what_is_being_written_to(data_dir: Path) -> None:
    file = data_dir / "epts" / NEXT_WEEK
    with closing(sqlite3.connect(file, isolation_level=None)) as writer:
        writer.execute("insert into epts_point values (3, 100, 1.0)")
        sizes = [(data_dir / "kaa.db").stat().st_size, file.stat().st_size]
        cut = Cut(data_dir, now_ms=NOW_MS)
        assert cut.copied_bytes == sum(sizes)
        chunks = cut.chunks()
        writer.execute("insert into epts_point values (3, 101, 1.0)")
        assert writer.execute("pragma wal_checkpoint(truncate)").fetchone()[0] == 1, "nobody reads"
        next(chunks)
        assert writer.execute("pragma wal_checkpoint(truncate)").fetchone()[0] == 0, "somebody still reads"
        cut.close()


def test_a_cut_waits_until_a_write_is_committed(data_dir: Path, tmp_path: Path) -> None:
    import threading

    with closing(sqlite3.connect(data_dir / "kaa.db", isolation_level=None, check_same_thread=False)) as writer:
        writer.execute("begin immediate")
        writer.execute("delete from epts_channel")
        made: list[Cut] = []
        begun = threading.Thread(target=lambda: made.append(Cut(data_dir, now_ms=NOW_MS)))
        begun.start()
        assert not made
        writer.execute("commit")
        begun.join()
    # on this thread now: a cut may go from one to another
    found = unpacked(bytes_of(made[0]), tmp_path / "found")
    assert rows_of(found / "kaa.db", "select count(*) from epts_channel") == [(0,)]


def test_what_fails_on_the_way_ends_it_and_leaves_nothing_behind(data_dir: Path) -> None:
    steps = iter(range(3))

    def check() -> None:
        if next(steps, None) is None:
            raise BackupError("the storage is failing")

    cut = Cut(data_dir, now_ms=NOW_MS, check=check)
    with pytest.raises(BackupError, match="the storage is failing"):
        bytes_of(cut)
    assert not (data_dir / DRAFT).exists()
    with closing(sqlite3.connect(data_dir / "kaa.db", isolation_level=None)) as database:
        assert database.execute("pragma wal_checkpoint(truncate)").fetchone()[0] == 0, "somebody still reads"


def test_a_directory_that_is_no_data_directory_is_refused(tmp_path: Path) -> None:
    with pytest.raises(BackupError, match=r"no kaa\.db"):
        Cut(tmp_path, now_ms=NOW_MS)


def test_a_certificate_with_a_name_that_cannot_be_kept_is_named(data_dir: Path) -> None:
    (data_dir / "tls" / ("x" * 120)).write_text("")
    with pytest.raises(BackupError, match="rename it"):
        Cut(data_dir, now_ms=NOW_MS)


def test_the_file_is_for_its_owner_only_and_compressed_if_its_name_says_so(data_dir: Path, backed_up) -> None:
    plain, packed = backed_up(data_dir, "one.tar"), backed_up(data_dir, "two.tar.gz")
    assert [stat.S_IMODE(file.stat().st_mode) for file in (plain, packed)] == [0o600, 0o600]
    assert gzip.decompress(packed.read_bytes()) == plain.read_bytes()
    assert packed.stat().st_size < plain.stat().st_size / 2


def test_a_file_that_is_there_is_not_replaced(data_dir: Path, backed_up, tmp_path: Path) -> None:
    (tmp_path / "kaa.tar").write_text("dear")
    with pytest.raises(BackupError, match="is there already"):
        backed_up(data_dir)
    assert (tmp_path / "kaa.tar").read_text() == "dear"
    with pytest.raises(BackupError, match="no directory"):
        backed_up(data_dir, "nowhere/kaa.tar")


def test_what_breaks_off_leaves_no_file(data_dir: Path, tmp_path: Path) -> None:
    whole = bytes_of(Cut(data_dir, now_ms=NOW_MS))
    for source in (io.BytesIO(whole[:-1]), io.BytesIO(whole[: len(whole) // 2])):
        with pytest.raises(BackupError, match="not whole"):
            keep(source, tmp_path / "kaa.tar", size_bytes=1, watch=Watch())
    assert [path.name for path in tmp_path.iterdir()] == ["data"]


def test_the_draft_of_one_that_was_killed_is_replaced(data_dir: Path, backed_up, tmp_path: Path) -> None:
    (tmp_path / ".kaa.tar.part").write_text("half a")
    backed_up(data_dir)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["data", "kaa.tar"]


def test_a_backup_that_would_not_fit_is_not_begun(data_dir: Path, tmp_path: Path) -> None:
    whole = bytes_of(Cut(data_dir, now_ms=NOW_MS))
    with pytest.raises(BackupError, match="no room"):
        keep(io.BytesIO(whole), tmp_path / "kaa.tar", size_bytes=1 << 60, watch=Watch())
    assert [path.name for path in tmp_path.iterdir()] == ["data"]


def test_a_directory_that_is_in_use_is_not_read_as_if_it_were_not(data_dir: Path) -> None:
    with locked(data_dir), pytest.raises(InUse), stopped(data_dir, now_ms=NOW_MS):
        pass
