"""`kaa series`: what the devices of an application sent."""

import json
from typing import Any

import click

from kaa.remote import path_of

from .known import known
from .options import asks_server, remote
from .output import write_rows
from .series_export import export
from .series_import import import_

_COLUMNS = {"endpointId": "endpoint", "series": "series", "timestamp": "time", "shown": "values"}


class _ShowsByDefault(click.Group):
    """A group that shows points where no other command is named."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        is_help = bool(args) and args[0] in ctx.help_option_names
        return super().parse_args(ctx, args if is_help or (args and args[0] in self.commands) else ["show", *args])


@click.group(cls=_ShowsByDefault)
def series() -> None:
    """Show, export and import points; `kaa series --app A` shows them."""


@series.command()
@click.option("--app", required=True, help="The application.")
@click.option("--endpoint", "endpoints", multiple=True, metavar="ID", help="Only this endpoint (may be repeated).")
@click.option("--name", "names", multiple=True, metavar="S", help="Only this series (may be repeated).")
@click.option("--last", "is_last", is_flag=True, help="The last point of each series; so it is without --from.")
@click.option("--from", "from_date", metavar="TIME", help="Points from then on: now-1h, ISO 8601 or milliseconds.")
@click.option("--to", "to_date", metavar="TIME", help="Points before then (now).")
@click.option("--limit", type=click.IntRange(min=1), metavar="N", help="Only the newest so many points.")
@asks_server
def show(
    *,
    app: str,
    endpoints: tuple[str, ...],
    names: tuple[str, ...],
    is_last: bool,
    from_date: str | None,
    to_date: str | None,
    limit: int | None,
    is_json: bool,
    **server: Any,
) -> None:
    """Show the points of an application: the last ones, or those of a window of time."""
    if is_last and (from_date is not None or to_date is not None):
        raise click.UsageError("--last shows the last points whenever they came: leave --from and --to away")
    if to_date is not None and from_date is None:
        raise click.UsageError("--to needs --from: say from when on points are wanted, like --from now-1h")
    asked = remote(server)
    wanted = known(asked, app, names)
    base = path_of("epts", "api", "v1", "applications", app, "time-series")
    params: dict[str, Any] = {"timeSeriesName": wanted, "endpointId": endpoints}
    if from_date is None or not wanted:
        # an application that has no series yet has no last points either; one that there is not is refused here
        tree = asked.get(f"{base}/last", params)
    else:
        window = {"fromDate": from_date, "toDate": to_date or "now", "sort": "DESC", "limit": limit}
        tree = asked.get(f"{base}/data", params | window)
    rows = _rows(tree)
    if limit is not None:
        rows = sorted(rows, key=lambda row: str(row["timestamp"]))[-limit:]
    rows.sort(key=lambda row: (row["endpointId"], row["series"], row["timestamp"]))
    if not is_json:
        rows = [row | {"shown": _shown(row["values"])} for row in rows]
    write_rows(rows, _COLUMNS, is_json=is_json, none=f"{app} has no such points")


def _rows(tree: list[dict[str, dict[str, list[dict[str, Any]]]]]) -> list[dict[str, Any]]:
    return [
        {"endpointId": endpoint_id, "series": name, "timestamp": point["timestamp"], "values": point["values"]}
        for one in tree
        for endpoint_id, listed in one.items()
        for name, points in listed.items()
        for point in points
    ]


def _shown(values: dict[str, Any]) -> str:
    return ", ".join(f"{name}={_scalar(value)}" for name, value in values.items())


def _scalar(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value)


series.add_command(export)
series.add_command(import_)
