"""What a look at a stopped server's files can tell of the points, with the standard library's driver."""

import sqlite3
from collections.abc import Iterator

_NO_CHANNEL = 0


def channels(database: sqlite3.Connection) -> tuple[set[int], int]:
    """Give the numbers of the channels that kaa.db knows, and the highest that it has ever given."""
    known = {row[0] for row in database.execute("select id from epts_channel")}
    row = database.execute("select seq from sqlite_sequence where name = 'epts_channel'").fetchone()
    return known, max(row[0] if row else 0, max(known, default=0))


def counted(file: sqlite3.Connection) -> Iterator[tuple[int, int]]:
    """Yield the number of each channel that has points in a file by period, and how many."""
    if file.execute("select 1 from sqlite_master where name = 'epts_point'").fetchone() is None:
        return  # a crash has left it without its tables
    query = "select channel, count(*) from epts_point where channel <> ? group by channel"
    yield from file.execute(query, (_NO_CHANNEL,))


def highest(file: sqlite3.Connection) -> int:
    """Give the highest number of a channel in a file by period; 0 if there is none."""
    if file.execute("select 1 from sqlite_master where name = 'epts_point'").fetchone() is None:
        return 0
    return int(file.execute("select coalesce(max(channel), 0) from epts_point").fetchone()[0])


def reserve(database: sqlite3.Connection, number: int) -> None:
    """Have kaa.db never give the numbers up to this one: points lie under them."""
    _, given = channels(database)
    if given >= number:
        return
    if database.execute("update sqlite_sequence set seq = ? where name = 'epts_channel'", (number,)).rowcount == 0:
        database.execute("insert into sqlite_sequence (name, seq) values ('epts_channel', ?)", (number,))
