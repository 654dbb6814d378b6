"""Which files a window touches, and reading them one after the other."""

from collections.abc import Iterable, Iterator
from sqlite3 import Connection, OperationalError

from kaa.core.storage.periods import Period, PeriodFiles

from ..models import Window


def overlapping(files: PeriodFiles, window: Window) -> list[Period]:
    """Give the periods that have a file and share some time with the window, oldest first."""
    return [p for p in files.periods() if p.start_ms * 1000 < window.to_us and p.end_ms * 1000 > window.from_us]


def each(files: PeriodFiles, periods: Iterable[Period]) -> Iterator[Connection]:
    """Open the files in turn, for use on a reader's thread; one that retention deletes meanwhile is passed over."""
    for period in periods:
        try:
            with files.reading(period) as connection:
                yield connection
        except OperationalError:
            if period in files.periods():
                raise
