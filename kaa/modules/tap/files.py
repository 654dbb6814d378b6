"""Files of lines: numbered, limited in size and number, on the disk before anybody is told so.

All of it runs on a thread of its own. Whatever goes wrong with a file, it is cut back to what was known to be safe and
left; the next lines begin another.
"""

import errno
import os
import re
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

from kaa.core.errors import Refusal, StorageFull, Unavailable
from kaa.core.files import sync

_NAME = re.compile(r"samples-(\d{9})\.jsonl")
_FULL = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EFBIG})
_TAIL_BYTES = 1 << 20


class Files:
    """Appends lines to the newest file of a directory."""

    def __init__(self, directory: Path, *, max_bytes: int, count: int) -> None:
        self._directory, self._max_bytes, self._count = directory, max_bytes, count
        self._number = 0
        self._descriptor: int | None = None
        self._size = 0

    def open(self) -> None:
        """Go on where an earlier run has stopped; half a line, which nobody was told of, is cut off."""
        self._directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        numbers = self._numbers()
        self._number = numbers[-1] if numbers else 0
        if numbers:
            self._descriptor = os.open(self._path(self._number), os.O_RDWR | os.O_APPEND)
            self._size = _whole_lines(self._descriptor)
            os.ftruncate(self._descriptor, self._size)

    def close(self) -> None:
        """Let go of the file."""
        if self._descriptor is not None:
            os.close(self._descriptor)
            self._descriptor = None

    def append(self, lines: Sequence[bytes]) -> None:
        """Write lines; when this returns they are on the disk.

        Raises:
            StorageFull: there is no room.
            Unavailable: the disk fails.
        """
        try:
            at = 0
            while at < len(lines):
                if self._descriptor is None or self._size >= self._max_bytes:
                    self._begin()
                until, room = at, self._max_bytes - self._size
                while until < len(lines) and room > 0:
                    room -= len(lines[until])
                    until += 1
                self._write(b"".join(lines[at:until]))
                at = until
        except OSError as error:
            self._abandon()
            raise _refusal(error) from error

    def _write(self, data: bytes) -> None:
        assert self._descriptor is not None
        left = memoryview(data)
        while left:
            left = left[os.write(self._descriptor, left) :]
        os.fsync(self._descriptor)
        self._size += len(data)

    def _begin(self) -> None:
        self.close()
        self._descriptor = os.open(
            self._path(self._number + 1), os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_APPEND, 0o600
        )
        self._number, self._size = self._number + 1, 0
        sync(self._directory)  # the name is to outlive a crash, too
        for number in self._numbers()[: -self._count]:
            self._path(number).unlink(missing_ok=True)

    def _abandon(self) -> None:
        if self._descriptor is not None:
            with suppress(OSError):
                os.ftruncate(self._descriptor, self._size)
            with suppress(OSError):
                os.close(self._descriptor)
            self._descriptor = None

    def _numbers(self) -> list[int]:
        names = (_NAME.fullmatch(path.name) for path in self._directory.iterdir())
        return sorted(int(name[1]) for name in names if name is not None)

    def _path(self, number: int) -> Path:
        return self._directory / f"samples-{number:09d}.jsonl"


def _whole_lines(descriptor: int) -> int:
    """Give the size of a file up to its last line's end."""
    end = os.fstat(descriptor).st_size
    while end > 0:
        start = max(0, end - _TAIL_BYTES)
        found = os.pread(descriptor, end - start, start).rfind(b"\n")
        if found >= 0:
            return start + found + 1
        end = start
    return 0


def _refusal(error: OSError) -> Refusal:
    if error.errno in _FULL:
        return StorageFull("the disk is full; the samples were not written")
    return Unavailable(f"the samples were not written: {error.strerror}")
