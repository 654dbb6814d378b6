"""`kaa refusals`: the messages of devices that the server did not take, and why."""

from typing import Any

import click

from .options import asks_server, remote
from .output import write_rows

_COLUMNS = {
    "timestamp": "time",
    "statusCode": "status",
    "endpointId": "endpoint",
    "topic": "topic",
    "reason": "reason",
    "payload": "payload",
}


@click.command()
@click.option("--endpoint", metavar="ID", help="Only of this endpoint.")
@click.option(
    "--limit", type=click.IntRange(1, 1000), default=20, show_default=True, metavar="N", help="At most so many."
)
@asks_server
def refusals(*, endpoint: str | None, limit: int, is_json: bool, **server: Any) -> None:
    """Show which messages were refused and why, newest first."""
    page = remote(server).get("/kpc/api/v1/refusals", {"endpointId": endpoint, "limit": limit})
    write_rows(page["content"], _COLUMNS, is_json=is_json, none="nothing was refused")
