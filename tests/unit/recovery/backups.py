"""What tests put into a data directory, and find in a backup of it."""

import sqlite3
from contextlib import closing
from pathlib import Path

from kaa.core.backup.cut import Cut
from kaa.modules.epts.repository import SCHEMA

WEEK, NEXT_WEEK = "20261116T0000-20261123T0000.db", "20261123T0000-20261130T0000.db"
NOW_MS = 1_795_900_000_000


def add_channels(directory: Path, count: int) -> None:
    with closing(sqlite3.connect(directory / "kaa.db", isolation_level=None)) as database:
        database.execute("pragma synchronous=off")
        for _ in range(count):
            database.execute(
                "insert into epts_channel (application, endpoint_id, series, value_name)"
                " select 'house', 'kitchen', 'auto~' || count(*), 'value' from epts_channel"
            )


def add_points(file: Path, counts: dict[int, int]) -> None:
    file.parent.mkdir(exist_ok=True)
    with closing(sqlite3.connect(file, isolation_level=None)) as points:
        points.execute("pragma journal_mode=wal")
        points.execute("pragma synchronous=off")
        points.executescript(SCHEMA)
        rows = [(channel, at, at / 3) for channel, count in counts.items() for at in range(count)]
        points.executemany("insert into epts_point values (?, ?, ?)", rows)


def rows_of(file: Path, query: str) -> list[tuple]:
    with closing(sqlite3.connect(f"{file.as_uri()}?immutable=1", uri=True)) as connection:
        return connection.execute(query).fetchall()


def bytes_of(cut: Cut) -> bytes:
    return b"".join(cut.chunks())
