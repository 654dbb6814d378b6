"""Taking a backup apart, however damaged or hostile it is: its names, sizes and hashes are checked, and the rest."""

import hashlib
import tarfile
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO, Protocol

from .archive import BLOCK, CHUNK, END, MANIFEST, SEAL, BackupError, Manifest, Part, header, is_part, padding

_MOST_PARTS = 20_000
_LONGEST_MANIFEST = 16 << 20
_SEAL_BYTES = 65
_GZIP = b"\x1f\x8b"
_WINDOW = 16 + zlib.MAX_WBITS  # with the header and the check sum of gzip


class Readable(Protocol):
    """Something that gives bytes; fewer than asked for only at its end."""

    def read(self, size: int, /) -> bytes:
        """Give the next bytes."""


Take = Callable[[str, int, Iterator[bytes]], None]
"""Takes a part: its name, its size, and its content, which it has to take whole."""


@dataclass(slots=True)
class _Member:
    name: str
    size: int
    mtime: int


def read(source: Readable, take: Take) -> Manifest:
    """Hand every part to `take` and give the manifest, which all of them have been held against.

    What `take` was given is to be believed only when this has returned. Nothing has been checked of it before but
    its name.

    Raises:
        BackupError: it is no whole backup, or one that was changed since it was made.
    """
    found: dict[str, Part] = {}
    member = _member(source, None)
    first = member
    while member.name != MANIFEST:
        if not is_part(member.name):
            raise BackupError(
                f"it holds {member.name[:200]!r}, which is no file of a data directory; it is not restored"
            )
        if member.name in found:
            raise BackupError(f"it holds {member.name!r} twice")
        if len(found) >= _MOST_PARTS:
            raise BackupError(f"it holds more than {_MOST_PARTS} files")
        digest = hashlib.sha256()
        take(member.name, member.size, _content(source, member, digest.update))
        _expect(source, padding(member.size), f"behind {member.name}")
        found[member.name] = Part(member.name, member.size, digest.hexdigest())
        member = _member(source, first)
    if member.size > _LONGEST_MANIFEST:
        raise BackupError(f"its {MANIFEST} is larger than any that kaa writes")
    data = _exactly(source, member.size, MANIFEST)
    _expect(source, padding(member.size), f"behind {MANIFEST}")
    seal = _member(source, first)
    if seal.name != SEAL or seal.size != _SEAL_BYTES:
        raise BackupError(f"it has no {SEAL} behind its {MANIFEST}")
    _expect(
        source, hashlib.sha256(data).hexdigest().encode() + b"\n", f"in {SEAL}: {MANIFEST} is not as it was written"
    )
    _expect(source, padding(seal.size), f"behind {SEAL}")
    _expect(source, END, "at its end")
    if source.read(1):
        raise BackupError("something follows its end")
    manifest = Manifest.from_bytes(data)
    _compare(manifest, found, first)
    return manifest


def _compare(manifest: Manifest, found: dict[str, Part], first: _Member) -> None:
    if first.mtime != manifest.taken_ms // 1000:
        raise BackupError(f"its files are not of the time that {MANIFEST} says")
    wanted = {part.name: part for part in manifest.parts}
    for name in sorted(wanted.keys() | found.keys()):
        if name not in found:
            raise BackupError(f"{name} is missing from it")
        if name not in wanted:
            raise BackupError(f"{name} is in it, and {MANIFEST} does not know it")
        if wanted[name] != found[name]:
            raise BackupError(f"{name} is not as it was written: its SHA-256 differs from that in {MANIFEST}")


def _member(source: Readable, first: _Member | None) -> _Member:
    data = source.read(BLOCK)
    if first is None and (len(data) < BLOCK or data == bytes(BLOCK)):
        raise BackupError("it is not a backup that kaa has made")
    if len(data) < BLOCK or data == bytes(BLOCK):
        raise BackupError("it is not whole: it ends before its manifest; the making or a copy of it was interrupted")
    try:
        info = tarfile.TarInfo.frombuf(data, "utf-8", "strict")
        made = header(info.name, info.size, int(info.mtime) * 1000)
    except (tarfile.HeaderError, ValueError, OverflowError) as error:
        what = "it is not a backup that kaa has made" if first is None else "a header in it is damaged"
        raise BackupError(f"{what} ({error})") from error
    if info.type != tarfile.REGTYPE:
        raise BackupError(f"it holds {info.name[:200]!r}, which is no plain file; it is not restored")
    if made != data or info.size < 0 or (first is not None and int(info.mtime) != first.mtime):
        raise BackupError(f"the header of {info.name[:200]!r} is not as kaa writes it; the backup is damaged")
    return _Member(info.name, info.size, int(info.mtime))


def _content(source: Readable, member: _Member, look: Callable[[bytes], None]) -> Iterator[bytes]:
    left = member.size
    while left:
        chunk = source.read(min(left, CHUNK))
        if not chunk:
            raise BackupError(f"it is not whole: it ends within {member.name}")
        look(chunk)
        left -= len(chunk)
        yield chunk


def _exactly(source: Readable, size: int, what: str) -> bytes:
    data = source.read(size)
    if len(data) < size:
        raise BackupError(f"it is not whole: it ends within {what}")
    return data


def _expect(source: Readable, wanted: bytes, where: str) -> None:
    if source.read(len(wanted)) != wanted:
        raise BackupError(f"it is damaged, or not whole, {where}")


@contextmanager
def opened(file: Path, advance: Callable[[int], None] = lambda _: None) -> Iterator[Readable]:
    """Open a backup, compressed or not; `advance` is told how many bytes of the file have been read."""
    with file.open("rb") as source:
        is_compressed = source.read(len(_GZIP)) == _GZIP
        source.seek(0)
        counted = _Counted(source, advance)
        yield _Unpacked(counted) if is_compressed else counted


class _Counted:
    def __init__(self, source: BinaryIO, advance: Callable[[int], None]) -> None:
        self._source, self._advance = source, advance

    def read(self, size: int, /) -> bytes:
        data = self._source.read(size)
        self._advance(len(data))
        return data


class _Unpacked:
    """What a compressed file holds; BackupError where it is damaged."""

    def __init__(self, source: Readable) -> None:
        self._source = source
        self._unpack = zlib.decompressobj(_WINDOW)
        self._ready = bytearray()

    def read(self, size: int, /) -> bytes:
        while len(self._ready) < size and not self._unpack.eof:
            packed = self._unpack.unconsumed_tail or self._source.read(CHUNK)
            if not packed:
                raise BackupError("it is not whole: the compressed file ends early")
            try:
                self._ready += self._unpack.decompress(packed, CHUNK)
            except zlib.error as error:
                raise BackupError(f"the compressed file is damaged ({error})") from error
        if self._unpack.eof and len(self._ready) < size and (self._unpack.unused_data or self._source.read(1)):
            raise BackupError("something follows the end of the compressed file")
        given = bytes(self._ready[:size])
        del self._ready[:size]
        return given
