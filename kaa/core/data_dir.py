"""The data directory: one at a time uses it, and one that was only half restored is used by nobody."""

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from kaa.core.errors import StartupError

LOCK = "kaa.lock"
RESTORING = ".restoring"
"""What is being restored lies below the data directory under this name until it is whole."""


class InUse(StartupError):
    """Another kaa uses the data directory."""


@contextmanager
def locked(directory: Path) -> Iterator[None]:
    """Hold the data directory, which is made if it is not there: two servers on one would tear it apart.

    Raises:
        InUse: another kaa holds it.
        StartupError: it cannot be made or used.
    """
    try:
        directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        descriptor = os.open(directory / LOCK, os.O_RDWR | os.O_CREAT, 0o600)
    except OSError as error:
        raise StartupError(f"cannot use the data directory {directory}: {error.strerror}") from error
    try:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise InUse(f"{directory} is in use by another kaa; stop it, or give --data-dir another place") from error
        yield
    finally:
        os.close(descriptor)


def check_whole(directory: Path) -> None:
    """Raise StartupError if something was to be restored into the data directory, and that was interrupted."""
    if (directory / RESTORING).exists():
        raise StartupError(
            f"what is in {directory} was not restored to its end: empty it and run `kaa restore` again; if it was a "
            "copy from before a migration that was being put back, just run it again"
        )
