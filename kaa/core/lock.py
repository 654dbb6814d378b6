"""One kaa to a data directory: two would tear it apart."""

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from kaa.core.errors import StartupError


class InUse(StartupError):
    """Another process has the data directory."""


@contextmanager
def locked(directory: Path) -> Iterator[None]:
    """Hold the data directory, which is made if it is not there; InUse if another kaa holds it."""
    try:
        directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        descriptor = os.open(directory / "kaa.lock", os.O_RDWR | os.O_CREAT, 0o600)
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
