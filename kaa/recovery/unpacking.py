"""A backup's files in a directory of its own, checked one by one and together."""

import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from shutil import disk_usage

from kaa.core.backup.archive import ADMIN_KEY, TLS, BackupError, Manifest
from kaa.core.backup.reading import opened, read
from kaa.core.files import sync

from .checking import Found, check_directory, check_schemas
from .watch import Watch

_LARGEST_SMALL = 4 << 20
_SPARE_BYTES = 1 << 20


@dataclass(frozen=True, slots=True)
class Unpacked:
    """A backup that holds together."""

    manifest: Manifest
    found: Found


def unpack(file: Path, directory: Path, watch: Watch) -> Unpacked:
    """Unpack a backup and check all of it; what is in the directory is on the disk, and whole, when this returns.

    Args:
        file: the backup.
        directory: where to; it must be empty and nobody else's.
        watch: is told how far it is.

    Raises:
        BackupError: the backup is damaged, hostile, of a newer version, or there is no room for it.
    """
    made = {directory}

    def take(name: str, size: int, chunks: Iterator[bytes]) -> None:
        if size > _LARGEST_SMALL and (name == ADMIN_KEY or name.startswith(f"{TLS}/")):
            raise BackupError(f"it holds {name!r}, which is larger than any certificate or key")
        if size + _SPARE_BYTES > disk_usage(directory).free:
            raise BackupError(f"there is no room for {name} ({size} bytes) in {directory}")
        path = directory / name
        for parent in reversed(path.relative_to(directory).parents[:-1]):
            (directory / parent).mkdir(mode=0o700, exist_ok=True)
            made.add(directory / parent)
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with os.fdopen(descriptor, "wb") as out:
            for chunk in chunks:
                out.write(chunk)
            out.flush()
            os.fsync(out.fileno())

    try:
        watch.begin("unpacking", file.stat().st_size)
        with opened(file, watch.advance) as source:
            manifest = read(source, take)
        for one in made:
            sync(one)
        check_schemas("it", manifest.schemas)
        return Unpacked(manifest, check_directory(directory, watch))
    except BackupError as error:
        raise BackupError(f"{file} cannot be used: {error}") from error
    except OSError as error:
        raise BackupError(f"{file} cannot be unpacked in {directory}: {error.strerror or error}") from error
