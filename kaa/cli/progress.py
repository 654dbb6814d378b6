"""How far it is, for one who waits at a terminal; nothing in a pipe."""

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from kaa.recovery.watch import Watch

if TYPE_CHECKING:
    from rich.progress import Progress, TaskID


@contextmanager
def progress() -> Iterator[Watch]:
    """Show on standard error what goes on while the block lasts, if somebody looks at it."""
    if not sys.stderr.isatty():
        yield Watch()
        return
    # a pipe does without
    from rich.console import Console  # noqa: PLC0415
    from rich.progress import BarColumn, DownloadColumn, Progress, SpinnerColumn, TextColumn, TransferSpeedColumn  # noqa: PLC0415

    columns = (SpinnerColumn(), TextColumn("{task.description}"), BarColumn(), DownloadColumn(), TransferSpeedColumn())
    with Progress(*columns, console=Console(stderr=True), transient=True) as shown:
        yield _Shown(shown)


class _Shown(Watch):
    def __init__(self, shown: "Progress") -> None:
        self._shown = shown
        self._task: TaskID | None = None

    def begin(self, what: str, total_bytes: int | None = None) -> None:
        if self._task is not None:
            self._shown.remove_task(self._task)
        self._task = self._shown.add_task(what, total=total_bytes)

    def advance(self, size_bytes: int) -> None:
        if self._task is not None:
            self._shown.advance(self._task, size_bytes)
