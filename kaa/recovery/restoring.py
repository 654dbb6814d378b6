"""A backup as a data directory: all of it, or none."""

from contextlib import suppress
from pathlib import Path
from shutil import rmtree

from kaa.core.backup.archive import DATABASE, BackupError
from kaa.core.data_dir import LOCK, RESTORING
from kaa.core.files import sync
from kaa.core.lock import locked

from .unpacking import Unpacked, unpack
from .watch import Watch


def restore(file: Path, directory: Path, watch: Watch) -> Unpacked:
    """Make a data directory of a backup.

    Args:
        file: the backup.
        directory: the data directory; it must be empty, or not be there.
        watch: is told how far it is.

    Raises:
        BackupError: the directory is not empty, or what `unpack` says; the directory is as it was.
        InUse: a kaa uses the directory.
    """
    is_new = not directory.exists()
    if not is_new and not directory.is_dir():
        raise BackupError(f"{directory} is no directory")
    if not is_new and not (directory / LOCK).exists():
        _check_empty(directory)  # a directory of somebody else's gets no lock of ours
    try:
        with locked(directory):
            _check_empty(directory)
            try:
                return _restored(file, directory, watch)
            except BaseException:
                _empty(directory)
                raise
    except BaseException:
        if is_new:
            with suppress(OSError):
                (directory / LOCK).unlink()
                directory.rmdir()
        raise


def _restored(file: Path, directory: Path, watch: Watch) -> Unpacked:
    draft = directory / RESTORING
    try:
        draft.mkdir(mode=0o700)
        sync(directory)
        done = unpack(file, draft, watch)
        # no server starts here until the draft is gone, whatever happens between the renames
        for entry in sorted(draft.iterdir(), key=lambda path: path.name == DATABASE):
            entry.rename(directory / entry.name)
        sync(directory)
        draft.rmdir()
        sync(directory)
    except OSError as error:
        raise BackupError(f"{directory} cannot be written to: {error.strerror or error}") from error
    return done


def _check_empty(directory: Path) -> None:
    there = sorted(path.name for path in directory.iterdir() if path.name != LOCK)
    if RESTORING in there:
        raise BackupError(f"{directory} holds what an interrupted restore has left; empty it and try again")
    if there:
        raise BackupError(
            f"{directory} is not empty ({', '.join(there[:3])}{', …' if len(there) > 3 else ''}); "
            "a backup is restored into an empty directory, or one that is not there"
        )


def _empty(directory: Path) -> None:
    """Take away what was restored: the directory was empty."""
    for path in directory.iterdir():
        if path.name == LOCK:
            continue
        if path.is_dir():
            rmtree(path, ignore_errors=True)
        else:
            path.unlink(missing_ok=True)
