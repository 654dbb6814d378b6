"""A backup's bytes as a file that is whole, or not there."""

import os
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from shutil import disk_usage

from kaa.core.backup.archive import BackupError, Manifest
from kaa.core.backup.cut import Cut
from kaa.core.backup.reading import Readable, read
from kaa.core.data_dir import check_whole
from kaa.core.files import sync
from kaa.core.lock import locked

from .watch import Watch

# The lowest level: files of points shrink to 0.34 at 95 MB/s on one core, and with the usual one to 0.32 at 46 MB/s.
_LEVEL = 1
_GZIP_WINDOW = 16 + zlib.MAX_WBITS
_COMPRESSED = (".gz", ".tgz")
_SYNC_BYTES = 4 << 20
_HEADERS_BYTES = 1 << 20


def check_target(file: Path) -> None:
    """Raise BackupError if no backup can be written there; it is asked before any work is done."""
    if file.exists():
        raise BackupError(f"{file} is there already; give the backup another name, or move that away")
    if not file.parent.is_dir():
        raise BackupError(f"{file} cannot be made: {file.parent} is no directory")


def keep(source: Readable, file: Path, *, size_bytes: int, watch: Watch) -> Manifest:
    """Write a backup to a file, and check on the way that it is whole.

    Args:
        source: its bytes.
        file: where to; it is not there before, and is there only if this returns. What a crash leaves is a draft beside
            it, `.<name>.part`, which the next one replaces.
        size_bytes: how large it will be, about.
        watch: is told how far it is.

    Raises:
        BackupError: it is not whole, or cannot be written.
    """
    check_target(file)
    draft = file.with_name(f".{file.name}.part")
    try:
        _check_room(file.parent, size_bytes)
        draft.unlink(missing_ok=True)
        descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        try:
            with os.fdopen(descriptor, "wb") as out:
                watch.begin("backing up", size_bytes)
                copy = _Copy(source, out.write, out.fileno(), watch, is_compressed=file.suffix in _COMPRESSED)
                manifest = read(copy, lambda _name, _size, chunks: _exhaust(chunks))
                copy.finish()
                out.flush()
                os.fsync(out.fileno())
            draft.rename(file)
        except BaseException:
            with suppress(OSError):
                draft.unlink()
            raise
        sync(file.parent)
    except OSError as error:
        raise BackupError(f"{file} cannot be written: {error.strerror or error}") from error
    return manifest


@contextmanager
def stopped(directory: Path, *, now_ms: int) -> Iterator[tuple[Readable, int]]:
    """Give the backup of a data directory whose server does not run, and its size, while the block lasts.

    Raises:
        InUse: it does run.
        BackupError: it is no data directory, or has no room for the copies.
        StartupError: a restore into it was interrupted.
    """
    with locked(directory):
        check_whole(directory)
        cut = Cut(directory, now_ms=now_ms)
        try:
            _check_room(directory, cut.copied_bytes)
            yield _Chunks(cut.chunks()), cut.size_bytes
        finally:
            cut.close()


class _Chunks:
    """What an iterator yields, to be read."""

    def __init__(self, chunks: Iterator[bytes]) -> None:
        self._chunks = chunks
        self._ready = bytearray()

    def read(self, size: int, /) -> bytes:
        while len(self._ready) < size and (chunk := next(self._chunks, None)) is not None:
            self._ready += chunk
        given = bytes(self._ready[:size])
        del self._ready[:size]
        return given


class _Copy:
    """Hands bytes on to whoever reads them, and writes them to a file as well."""

    def __init__(
        self, source: Readable, write: Callable[[bytes], object], descriptor: int, watch: Watch, *, is_compressed: bool
    ) -> None:
        self._source, self._write, self._descriptor, self._watch = source, write, descriptor, watch
        self._pack = zlib.compressobj(_LEVEL, zlib.DEFLATED, _GZIP_WINDOW) if is_compressed else None
        self._unsynced = 0

    def read(self, size: int, /) -> bytes:
        data = self._source.read(size)
        self._write(data if self._pack is None else self._pack.compress(data))
        self._watch.advance(len(data))
        self._unsynced += len(data)
        if self._unsynced >= _SYNC_BYTES:
            # by and by: on the same disk an fsync of telemetry would have to wait for all that is yet to be written
            os.fdatasync(self._descriptor)
            self._unsynced = 0
        return data

    def finish(self) -> None:
        if self._pack is not None:
            self._write(self._pack.flush())


def _exhaust(chunks: Iterator[bytes]) -> None:
    for _ in chunks:
        pass


def _check_room(directory: Path, size_bytes: int) -> None:
    free = disk_usage(directory).free
    if free < size_bytes + _HEADERS_BYTES:
        raise BackupError(f"there is no room in {directory}: {size_bytes} bytes are needed, and {free} are free")
