"""`kaa series export`: the points of an application as a file."""

import re
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, BinaryIO

import click

from kaa.remote import Remote, path_of

from .known import known
from .options import asks_server, remote
from .output import is_terminal, write_json
from .points import FORMATS, FileError, Row, format_of, writing
from .progress import progress

_ALL_MS = 253_402_300_799_999  # the last of the year 9999
_CHUNK = 1 << 16
_PATIENCE_S = 600.0
_NAMES_AT_ONCE = 500  # a request has a bound
_INTEGER = re.compile(r"-?\d+")


@click.command()
@click.argument("file", type=click.Path(dir_okay=False, allow_dash=True, path_type=Path), default="-")
@click.option("--app", required=True, help="The application.")
@click.option("--endpoint", "endpoints", multiple=True, metavar="ID", help="Only this endpoint (may be repeated).")
@click.option("--series", "--name", "names", multiple=True, metavar="S", help="Only this series (may be repeated).")
@click.option("--from", "from_date", metavar="TIME", help="Points from then on: now-1h, ISO 8601 or milliseconds.")
@click.option("--to", "to_date", metavar="TIME", help="Points before then.")
@click.option("--format", "format_", type=click.Choice(FORMATS), help="As the name of FILE says, otherwise csv.")
@asks_server
def export(
    *,
    file: Path,
    app: str,
    endpoints: tuple[str, ...],
    names: tuple[str, ...],
    from_date: str | None,
    to_date: str | None,
    format_: str | None,
    is_json: bool,
    **server: Any,
) -> None:
    """Write the points of an application to FILE, or to standard output.

    A row is one value: endpoint, series, time (microseconds), name, type and value. `kaa series import` takes it.
    """
    target = None if str(file) == "-" else file
    if is_json and target is None:
        raise click.UsageError("--json says what was done, on standard output: name a FILE for the points")
    chosen = format_of(target, format_)
    asked = remote(server)
    wanted = known(asked, app, names)
    if not wanted:
        asked.get(path_of("tekton", "api", "v1", "applications", app))  # an unknown one is an error, not an empty file
    body = {
        "endpointIds": list(endpoints) or None,
        "fromDate": from_date if from_date is not None else 0,
        "toDate": to_date if to_date is not None else _ALL_MS,
        "precision": "us",
    }
    count = 0
    with progress() as watch, _opened(target) as out:
        watch.begin(f"exporting {app}")
        with writing(out, chosen) as writer:
            path = path_of("epts", "api", "v1", "applications", app, "time-series", "data")
            for at in range(0, len(wanted), _NAMES_AT_ONCE):
                part = body | {"timeSeriesNames": wanted[at : at + _NAMES_AT_ONCE]}
                for rows in _rows(asked, path, {k: v for k, v in part.items() if v is not None}, watch.advance):
                    writer.write(rows)
                    count += len(rows)
    if is_json:
        write_json({"file": str(file), "format": chosen, "values": count})
    elif target is not None and is_terminal():
        click.echo(f"{file}: {count:,} values")


def _rows(asked: Remote, path: str, body: dict[str, Any], advance: Any) -> Iterator[Sequence[Row]]:
    with asked.streamed("POST", path, body=body, accept="text/csv", timeout_s=_PATIENCE_S) as answer:
        rest = ""
        is_first = True
        waiting = b""
        while chunk := answer.read(_CHUNK):
            advance(len(chunk))
            # what a piece ends within, a letter or a line, waits for the next one
            whole, mark, waiting = (waiting + chunk).rpartition(b"\n")
            lines = (rest + (whole + mark).decode()).split("\n")
            rest = ""
            rows: list[Row] = []
            record = ""
            for line in lines[:-1]:
                record += line
                if record.count('"') % 2:  # a text with a line's end in it
                    record += "\n"
                    continue
                if is_first:
                    is_first = False
                else:
                    rows.append(_row(record))
                record = ""
            rest = record
            if rows:
                yield rows


def _row(record: str) -> Row:
    endpoint_id, series, timestamp, name, value = record.split(",", 4)
    if value.startswith('"'):
        return Row(endpoint_id, series, timestamp, name, "text", value[1:-1].replace('""', '"'))
    if not value:
        return Row(endpoint_id, series, timestamp, name, "null", "")
    if value in {"true", "false"}:
        return Row(endpoint_id, series, timestamp, name, "boolean", value)
    return Row(endpoint_id, series, timestamp, name, "integer" if _INTEGER.fullmatch(value) else "real", value)


@contextmanager
def _opened(file: Path | None) -> Iterator[BinaryIO]:
    """Give where to write: standard output, or a file that is whole or not there."""
    if file is None:
        yield sys.stdout.buffer
        sys.stdout.buffer.flush()
        return
    if file.exists():
        raise FileError(f"{file} is there already; give the export another name, or move that away")
    draft = file.with_name(f".{file.name}.part")
    try:
        with draft.open("wb") as out:
            yield out
        draft.rename(file)
    except OSError as error:
        raise FileError(f"{file} cannot be written: {error.strerror or error}") from error
    finally:
        with suppress(OSError):
            draft.unlink(missing_ok=True)
