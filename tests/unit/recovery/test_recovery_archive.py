"""The file of a backup: any tar reads it, every byte of it counts, and it cannot be used to write anywhere else."""

import io
import json
import tarfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kaa.core.backup.archive import FORMAT, BackupError, Writer, header, is_part, padding
from kaa.core.backup.reading import opened, read

TAKEN_MS = 1_795_900_000_123
PARTS = {
    "kaa.db": b"x" * 700,
    "epts/20261116T0000-20261123T0000.db": b"y" * 512,
    "admin.key": b"k\n",
    "tls/ca.pem": b"",
}


def archive(parts: dict[str, bytes] = PARTS) -> bytes:
    writer = Writer(TAKEN_MS)
    made = b"".join(b"".join(writer.part(name, len(data), [data])) for name, data in parts.items())
    return made + b"".join(writer.end(kaa="0.1.0", schemas=["core_0001"], left_out=["samples/"]))


def taken(data: bytes) -> dict[str, bytes]:
    found: dict[str, bytes] = {}

    def take(name: str, _size: int, chunks: Iterator[bytes]) -> None:
        found[name] = b"".join(chunks)

    read(io.BytesIO(data), take)
    return found


def test_what_was_written_is_read() -> None:
    assert taken(archive()) == PARTS


def test_any_tar_reads_it() -> None:
    with tarfile.open(fileobj=io.BytesIO(archive())) as tar:
        assert tar.getnames() == [*PARTS, "manifest.json", "manifest.sha256"]
        manifest = json.load(tar.extractfile("manifest.json"))
    assert manifest["format"] == FORMAT
    assert [part["sizeBytes"] for part in manifest["parts"]] == [700, 512, 2, 0]


def test_a_damaged_byte_is_found_wherever_it_is() -> None:
    whole = archive({"kaa.db": b"x" * 600})
    for at in range(len(whole)):
        damaged = bytearray(whole)
        damaged[at] ^= 0x20
        with pytest.raises(BackupError):
            taken(bytes(damaged))


def test_what_was_cut_short_is_found_wherever_it_was() -> None:
    whole = archive()
    for size in range(0, len(whole), 64):
        with pytest.raises(BackupError):
            taken(whole[:size])
    with pytest.raises(BackupError):
        taken(whole + b"\0")


@given(st.binary(max_size=3000))
def test_any_bytes_are_refused_with_a_sentence(data: bytes) -> None:
    with pytest.raises(BackupError):
        taken(data)


@pytest.mark.parametrize(
    "name",
    [
        "../kaa.db",
        "/etc/passwd",
        "tls/../../kaa.db",
        "tls/./ca.pem",
        "tls//ca.pem",
        "tls",
        "tls/",
        "tls/.hidden",
        "tls/a\\b",
        "tls/a\nb",
        "tls/a/b/c/d",
        "kaa.lock",
        "server.json",
        "epts/other.db",
        "epts/../20261116T0000-20261123T0000.db",
        "../x/20261116T0000-20261123T0000.db",
        "tls/" + "x" * 100,
    ],
)
def test_a_name_that_is_none_of_a_data_directory_is_refused(name: str) -> None:
    assert not is_part(name)
    with pytest.raises(BackupError):
        b"".join(Writer(TAKEN_MS).part(name, 0, []))
    if len(name) < 100:
        made = header(name, 1, TAKEN_MS) + b"x" + padding(1)
        with pytest.raises(BackupError, match="no file of a data directory"):
            taken(made + archive())


@pytest.mark.parametrize("kind", [tarfile.SYMTYPE, tarfile.LNKTYPE, tarfile.DIRTYPE, tarfile.FIFOTYPE, tarfile.CHRTYPE])
def test_what_is_no_plain_file_is_refused(kind: bytes) -> None:
    member = tarfile.TarInfo("tls/ca.pem")
    member.type, member.linkname, member.mtime, member.mode = kind, "/etc/passwd", TAKEN_MS // 1000, 0o600
    with pytest.raises(BackupError, match="no plain file"):
        taken(member.tobuf(tarfile.GNU_FORMAT) + archive())


def test_a_part_that_is_there_twice_or_not_in_the_manifest_is_refused() -> None:
    twice = header("kaa.db", 1, TAKEN_MS) + b"x" + padding(1)
    with pytest.raises(BackupError, match="twice"):
        taken(twice + archive())
    with pytest.raises(BackupError, match="does not know it"):
        taken(header("tls/other.pem", 1, TAKEN_MS) + b"x" + padding(1) + archive())


def test_a_part_that_is_missing_is_named() -> None:
    with pytest.raises(BackupError, match="is missing"):
        taken(archive()[512 + 1024 :])


def test_a_part_whose_size_changes_is_no_part() -> None:
    with pytest.raises(BackupError, match="changed its size"):
        b"".join(Writer(TAKEN_MS).part("kaa.db", 3, [b"1234"]))


def test_a_newer_format_is_refused_by_its_number() -> None:
    import hashlib

    manifest = json.dumps({"format": 2}).encode()
    seal = hashlib.sha256(manifest).hexdigest().encode() + b"\n"
    made = b"".join(
        header(name, len(data), TAKEN_MS) + data + padding(len(data))
        for name, data in (("manifest.json", manifest), ("manifest.sha256", seal))
    )
    with pytest.raises(BackupError, match="format 2"):
        taken(made + bytes(1024))


def test_a_compressed_file_that_is_damaged_or_cut_short_is_refused(tmp_path: Path) -> None:
    import gzip

    file = tmp_path / "kaa.tar.gz"
    whole = gzip.compress(archive(), mtime=0)

    def take(data: bytes) -> None:
        file.write_bytes(data)
        with opened(file) as source:
            read(source, lambda _n, _s, chunks: [*chunks].clear())

    take(whole)
    for size in range(0, len(whole), 16):
        with pytest.raises(BackupError):
            take(whole[:size])
    for extra in (b"x", whole):
        with pytest.raises(BackupError):
            take(whole + extra)
    for at in range(10, len(whole), 7):  # the first ten bytes say nothing of what is in it
        with pytest.raises(BackupError):
            take(whole[:at] + bytes([whole[at] ^ 0xFF]) + whole[at + 1 :])
