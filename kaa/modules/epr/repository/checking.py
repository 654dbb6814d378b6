"""What a look at a stopped server's database can tell of the endpoints, with the standard library's driver."""

import sqlite3


def count_endpoints(database: sqlite3.Connection) -> int:
    """Count the endpoints."""
    return int(database.execute("select count(*) from epr_endpoint").fetchone()[0])
