"""The names of what a data directory holds besides data, and whether it is whole."""

from pathlib import Path

from kaa.core.errors import StartupError

LOCK = "kaa.lock"
RESTORING = ".restoring"
"""What is being restored lies below the data directory under this name until it is whole."""


def check_whole(directory: Path) -> None:
    """Raise StartupError if something was to be restored into the data directory, and that was interrupted."""
    if (directory / RESTORING).exists():
        raise StartupError(
            f"what is in {directory} was not restored to its end: empty it and run `kaa restore` again; if it was a "
            "copy from before a migration that was being put back, just run it again"
        )
