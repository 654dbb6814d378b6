"""The format of a backup: a tar that any tar reads, and in which every byte is accounted for.

First the parts, then `manifest.json`, which says of each its size and SHA-256, then `manifest.sha256`, which holds the
manifest's own. A header has one spelling only, what fills a block up is zeros, and behind two blocks of zeros nothing
follows: so a damaged byte is found wherever it is.
"""

import hashlib
import json
import re
import tarfile
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any

from kaa.core.dates import iso
from kaa.core.errors import KaaError

FORMAT = 1
MANIFEST, SEAL = "manifest.json", "manifest.sha256"
DATABASE, ADMIN_KEY = "kaa.db", "admin.key"
TLS = "tls"
BLOCK = 512
END = bytes(2 * BLOCK)
CHUNK = 1 << 20

_INSTANCE = r"[a-z0-9_-]{1,64}"
_SPAN = r"\d{8}T\d{4}-\d{8}T\d{4}"
_PART = re.compile(rf"{re.escape(DATABASE)}|{re.escape(ADMIN_KEY)}|{_INSTANCE}/{_SPAN}\.db")
_TLS_PART = re.compile(r"[^./\\\x00-\x1f\x7f-\x9f][^/\\\x00-\x1f\x7f-\x9f]*")
_LONGEST_NAME = 100  # bytes that a header has for it
_TLS_DEPTH = 3


class BackupError(KaaError):
    """A backup cannot be made, read or restored; the sentence says why."""


@dataclass(frozen=True, slots=True)
class Part:
    """A file in a backup."""

    name: str
    size_bytes: int
    sha256: str


@dataclass(frozen=True, slots=True)
class Manifest:
    """What a backup says of itself.

    `kaa` is the version of the software, `schemas` are the steps that the database is at, one a service; `left_out`
    names what lay in the data directory and is not in it.
    """

    kaa: str
    taken_ms: int
    schemas: tuple[str, ...]
    parts: tuple[Part, ...]
    left_out: tuple[str, ...] = ()

    def to_bytes(self) -> bytes:
        """Write it as JSON."""
        parts = [{"name": part.name, "sizeBytes": part.size_bytes, "sha256": part.sha256} for part in self.parts]
        tree = {
            "format": FORMAT,
            "kaa": self.kaa,
            "takenAt": iso(self.taken_ms),
            "takenMs": self.taken_ms,
            "schemas": list(self.schemas),
            "parts": parts,
            "leftOut": list(self.left_out),
        }
        return json.dumps(tree, indent=1).encode() + b"\n"

    @staticmethod
    def from_bytes(data: bytes) -> "Manifest":
        """Read it; BackupError if it is none, or of a format that is newer than this version of kaa."""
        try:
            tree: dict[str, Any] = json.loads(data)
            if tree["format"] != FORMAT:
                raise BackupError(
                    f"the backup has format {tree['format']!r}, and this version of kaa knows {FORMAT}; "
                    "use the version that made it, or a newer one"
                )
            return Manifest(
                kaa=str(tree["kaa"]),
                taken_ms=int(tree["takenMs"]),
                schemas=tuple(map(str, tree["schemas"])),
                parts=tuple(Part(str(p["name"]), int(p["sizeBytes"]), str(p["sha256"])) for p in tree["parts"]),
                left_out=tuple(map(str, tree["leftOut"])),
            )
        except (ValueError, KeyError, TypeError) as error:
            raise BackupError(f"{MANIFEST} is not what kaa writes ({error!r}); the backup is damaged") from error


def is_part(name: str) -> bool:
    """Whether a part may have this name: one of those that a data directory has, and no path that leads out of it."""
    try:
        if len(name.encode()) > _LONGEST_NAME:
            return False
    except UnicodeEncodeError:  # of a file system, in no letters at all
        return False
    if _PART.fullmatch(name) is not None:
        return True
    first, *rest = name.split("/")
    return first == TLS and 0 < len(rest) <= _TLS_DEPTH and all(_TLS_PART.fullmatch(one) for one in rest)


def header(name: str, size_bytes: int, taken_ms: int) -> bytes:
    """Give the one spelling of a member's header."""
    member = tarfile.TarInfo(name)
    member.size, member.mtime, member.mode = size_bytes, taken_ms // 1000, 0o600
    return member.tobuf(tarfile.GNU_FORMAT, "utf-8", "strict")


def padding(size_bytes: int) -> bytes:
    """Give what fills a member's last block up."""
    return bytes(-size_bytes % BLOCK)


class Writer:
    """Makes the bytes of a backup, part by part."""

    def __init__(self, taken_ms: int) -> None:
        self._taken_ms = taken_ms
        self._parts: list[Part] = []

    def part(self, name: str, size_bytes: int, chunks: Iterable[bytes]) -> Iterator[bytes]:
        """Yield a part; BackupError if the chunks are not of the size that was said."""
        if not is_part(name):
            raise BackupError(f"{name!r} cannot be in a backup; rename it, or move it out of the data directory")
        yield header(name, size_bytes, self._taken_ms)
        digest, left = hashlib.sha256(), size_bytes
        for chunk in chunks:
            digest.update(chunk)
            left -= len(chunk)
            yield chunk
        if left:
            raise BackupError(f"{name} has changed its size while it was copied; try again")
        yield padding(size_bytes)
        self._parts.append(Part(name, size_bytes, digest.hexdigest()))

    def end(self, *, kaa: str, schemas: Iterable[str], left_out: Iterable[str]) -> Iterator[bytes]:
        """Yield what comes behind the parts."""
        manifest = Manifest(kaa, self._taken_ms, tuple(schemas), tuple(self._parts), tuple(left_out)).to_bytes()
        seal = hashlib.sha256(manifest).hexdigest().encode() + b"\n"
        for name, data in ((MANIFEST, manifest), (SEAL, seal)):
            yield header(name, len(data), self._taken_ms) + data + padding(len(data))
        yield END
