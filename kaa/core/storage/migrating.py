"""Migration in a process of its own: Alembic takes 10 MB that a server which runs has no use for."""

import json
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

from kaa.core.clock import Clock, SystemClock
from kaa.core.errors import StartupError
from kaa.core.log import Format, Level, configure
from kaa.core.storage.migrations import is_newest, migrate


def migrate_apart(path: Path, steps: Sequence[Path], *, clock: Clock, level: Level, format_: Format) -> None:
    """Do what `migrate` does in a child process, if there is anything to do; StartupError as there."""
    del clock  # the child has the machine's
    if is_newest(path, steps):
        return
    arguments = json.dumps({"path": str(path), "steps": [*map(str, steps)], "level": level, "format": format_})
    command = [sys.executable, "-m", __name__, arguments]
    # our own interpreter with our own arguments
    done = subprocess.run(command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, text=True, check=False)  # noqa: S603
    if done.returncode != 0:
        raise StartupError(done.stdout.strip() or f"the migration of {path} ended with {done.returncode}")


def main(arguments: str) -> int:
    """Migrate as the arguments say; what is wrong goes to standard output."""
    given = json.loads(arguments)
    configure(given["level"], given["format"])
    try:
        migrate(Path(given["path"]), [*map(Path, given["steps"])], clock=SystemClock())
    except StartupError as error:
        sys.stdout.write(f"{error}\n")
        return 1
    return 0


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1]))
