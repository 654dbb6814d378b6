"""`kaa series import`: the points of a file into an application."""

import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import click

from kaa.remote import Remote, RemoteError, path_of

from .options import asks_server, remote
from .output import is_terminal, write_json
from .points import FORMATS, FileError, Numbered, format_of, read_rows
from .progress import progress

_MOST_ROWS = 500  # the server takes them in a piece, and telemetry waits so long
_MOST_BYTES = 512 << 10  # of 1 MiB that a request may have
_ROW_BYTES = 100
_MOST_VALUES = 64  # that a point may have in a request
_ROWS_FAULT = frozenset({400, 404, 409, 413})


@click.command(name="import")
@click.argument("file", type=click.Path(dir_okay=False, path_type=Path))
@click.option("--app", required=True, help="The application; its endpoints have to be there.")
@click.option("--format", "format_", type=click.Choice(FORMATS), help="As the name of FILE says, otherwise csv.")
@asks_server
def import_(*, file: Path, app: str, format_: str | None, is_json: bool, **server: Any) -> None:
    """Store the points of FILE, which `kaa series export` has made or which has the same columns.

    All of it is checked before anything is stored. A point that is there already, by endpoint, series and time, gets
    the values of the file: doing it twice changes nothing.
    """
    chosen = format_of(file, format_)
    importer = _Importer(remote(server), app, file, chosen)
    with progress() as watch:
        watch.begin("checking", _size(file))
        try:
            for rows in _pieces(read_rows(file, chosen, watch.advance)):
                importer.send(rows, is_dry=True)
        except FileError as error:
            raise FileError(f"{error}; nothing is stored") from error
        watch.begin("storing", _size(file))
        stored = 0
        try:
            for rows in _pieces(read_rows(file, chosen, watch.advance)):
                importer.send(rows, is_dry=False)
                stored += len(rows)
        except (FileError, RemoteError) as error:
            raise FileError(
                f"{error}; the first {stored:,} values of the file are stored, and of those behind them up to "
                f"{_MOST_ROWS:,}; the file may be imported again, for what is there is not doubled"
            ) from error
    if is_json:
        write_json({"file": str(file), "format": chosen, "values": stored})
    elif is_terminal():
        click.echo(f"{stored:,} values of {file} are stored")


class _Importer:
    """Sends rows to a server."""

    def __init__(self, asked: Remote, app: str, file: Path, format_: str) -> None:
        self._asked, self._file = asked, file
        self._unit = "line" if format_ == "csv" else "row"
        versions = asked.get(path_of("tekton", "api", "v1", "applications", app))["versions"]
        if not versions:
            raise FileError(f"{app} has no version, and so no endpoints that points could be of")
        self._path = path_of("epts", "api", "v1", "app-versions", versions[0]["name"], "time-series", "data")

    def send(self, rows: Sequence[Numbered], *, is_dry: bool) -> None:
        """Store rows, or only have them checked; FileError names the one that is refused."""
        params = {"precision": "us", "dryRun": "true" if is_dry else "false"}
        try:
            self._asked.ask("PUT", self._path, body=_body(rows), params=params)
        except RemoteError as error:
            if error.status not in _ROWS_FAULT:
                raise
            if len(rows) == 1:
                where = f"{self._file}, {self._unit} {rows[0].number}"
                raise FileError(f"{where}: {error}") from error
            # which of them it is, or whether they are only too many at once, shows in halves
            half = len(rows) // 2
            for part in (rows[:half], rows[half:]):
                self.send(part, is_dry=is_dry)


def _pieces(rows: Iterator[Numbered]) -> Iterator[list[Numbered]]:
    piece: list[Numbered] = []
    size = 0
    for row in rows:
        weight = _ROW_BYTES + len(row.series) + len(row.value_name)
        if isinstance(row.value, str):
            weight += len(json.dumps(row.value))
        if piece and (len(piece) >= _MOST_ROWS or size + weight > _MOST_BYTES):
            yield piece
            piece, size = [], 0
        piece.append(row)
        size += weight
    if piece:
        yield piece


def _body(rows: Sequence[Numbered]) -> dict[str, dict[str, list[dict[str, Any]]]]:
    """Give rows as a request has them; values of one point that stand together stay together."""
    body: dict[str, dict[str, list[dict[str, Any]]]] = {}
    for row in rows:
        points = body.setdefault(row.endpoint_id, {}).setdefault(row.series, [])
        last = points[-1] if points else None
        if last is None or last["timestamp"] != row.timestamp or len(last["values"]) >= _MOST_VALUES:
            points.append(last := {"timestamp": row.timestamp, "values": {}})
        last["values"][row.value_name] = row.value
    return body


def _size(file: Path) -> int:
    try:
        return file.stat().st_size
    except OSError as error:
        raise FileError(f"{file} cannot be read: {error.strerror or error}") from error
