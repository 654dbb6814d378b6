"""`kaa backup`, `kaa restore` and `kaa verify`."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any

import click

from kaa.core.clock import SystemClock
from kaa.remote import Remote

from .options import asks_server, json_option, remote
from .output import is_terminal, printable, write_json
from .progress import progress

if TYPE_CHECKING:
    from kaa.core.backup.archive import Manifest
    from kaa.core.backup.reading import Readable
    from kaa.recovery.checking import Found
    from kaa.recovery.snapshots import PutBack

_PATH = "/backup/api/v1/backups"
_SIZE_HEADER = "Kaa-Backup-Size"
_PATIENCE_S = 3600.0  # nothing comes while the server copies a file
_FILE = click.Path(dir_okay=False, path_type=Path)

_data_dir = click.option(
    "--data-dir",
    type=click.Path(file_okay=False, path_type=Path),
    required=True,
    metavar="DIR",
    help="The data directory; no server may run on it.",
)


@click.command()
@click.argument("file", type=_FILE)
@asks_server
def backup(*, file: Path, is_json: bool, **server: Any) -> None:
    """Write all that a server keeps to FILE, secrets included.

    The server may go on running, or be stopped: then its data directory is read. FILE is a tar, compressed if its
    name ends in .gz or .tgz. All that was acknowledged before is in it.
    """
    from kaa.recovery.keeping import check_target, keep  # noqa: PLC0415  the other commands do not need it

    check_target(file)
    with progress() as watch, _source(server) as (source, size):
        manifest = keep(source, file, size_bytes=size, watch=watch)
    size = file.stat().st_size
    if is_json:
        write_json({"file": str(file), "sizeBytes": size, **_described(manifest)})
    elif is_terminal():
        click.echo(f"{file}: {size:,} bytes, {len(manifest.parts)} files, as of {_iso(manifest.taken_ms)}")
        click.echo("It holds every secret of the server: keep it as safe as the server itself.")
        if manifest.left_out:
            click.echo(f"Not in it: {printable(', '.join(manifest.left_out))}")


@click.command()
@click.argument("file", type=_FILE)
@_data_dir
@json_option
def restore(*, file: Path, data_dir: Path, is_json: bool) -> None:
    """Make the data directory DIR of the backup FILE.

    All of the backup is checked before anything is in its place. FILE may also be a copy from before a migration
    (DIR/backups/…): that is put in place of DIR's database, which is kept beside it.
    """
    from kaa.recovery.restoring import restore as restored  # noqa: PLC0415  the other commands do not need it
    from kaa.recovery.snapshots import is_snapshot, put_back  # noqa: PLC0415  as above

    if is_snapshot(file):
        with progress() as watch:
            done = put_back(file, data_dir, watch, now_ms=SystemClock().now_ms())
        if is_json:
            write_json(_put_back(done))
        else:
            _tell_put_back(file, data_dir, done)
        return
    with progress() as watch:
        unpacked = restored(file, data_dir, watch)
    manifest = unpacked.manifest
    if is_json:
        write_json({"dataDir": str(data_dir), **_described(manifest), **_counted(unpacked.found)})
        return
    click.echo(f"{data_dir} is as the server was at {_iso(manifest.taken_ms)}: {_sentence(unpacked.found)}.")
    click.echo("What was written after that is lost. Devices, tokens and keys of then are valid again.")
    if manifest.left_out:
        click.echo(f"Not in the backup: {printable(', '.join(manifest.left_out))}")
    click.echo(f"Start it with: kaa serve --data-dir {data_dir}")


@click.command()
@click.argument("file", type=_FILE)
@click.option(
    "--directory",
    type=click.Path(exists=True, file_okay=False, writable=True, path_type=Path),
    metavar="DIR",
    help="Where it is unpacked meanwhile (the place of FILE).",
)
@json_option
def verify(*, file: Path, directory: Path | None, is_json: bool) -> None:
    """Check the backup FILE as a restore would: every byte, every database, and that they belong together."""
    from kaa.recovery.snapshots import check_snapshot, is_snapshot  # noqa: PLC0415  the other commands do not need it
    from kaa.recovery.unpacking import unpack  # noqa: PLC0415  as above

    if is_snapshot(file):
        with progress() as watch:
            described = check_snapshot(file, watch)
        if is_json:
            write_json({"file": str(file), "endpoints": described.endpoints, "schemas": described.schemas})
        else:
            click.echo(f"{file} is whole: {_many(described.endpoints, 'endpoint')}, no points")
        return
    beside = file.absolute().parent
    place = directory or (beside if os.access(beside, os.W_OK) else None)
    with progress() as watch, TemporaryDirectory(prefix=".kaa-verify-", dir=place) as draft:
        unpacked = unpack(file, Path(draft), watch)
    if is_json:
        write_json({"file": str(file), **_described(unpacked.manifest), **_counted(unpacked.found)})
    else:
        click.echo(f"{file} is whole: {_sentence(unpacked.found)}, as of {_iso(unpacked.manifest.taken_ms)}")


@contextmanager
def _source(server: dict[str, Any]) -> "Iterator[tuple[Readable, int]]":
    """Give a backup and its size: of the data directory if no server runs on it, else from the server."""
    from kaa.core.lock import InUse  # noqa: PLC0415  the other commands do not need it
    from kaa.recovery.keeping import stopped  # noqa: PLC0415  as above

    if not server["url"] and (server["data_dir"] / "kaa.db").exists():
        try:
            with stopped(server["data_dir"].absolute(), now_ms=SystemClock().now_ms()) as found:
                yield found
        except InUse:
            pass
        else:
            return
    asked: Remote = remote(server)
    with asked.streamed("POST", _PATH, accept="application/x-tar", timeout_s=_PATIENCE_S) as answer:
        yield answer, int(answer.headers.get(_SIZE_HEADER) or 0)


def _iso(at_ms: int) -> str:
    from kaa.core.dates import iso  # noqa: PLC0415  it takes long to load, and commands that do not need it are quick

    return iso(at_ms)


def _described(manifest: "Manifest") -> dict[str, Any]:
    return {
        "takenAt": _iso(manifest.taken_ms),
        "kaa": manifest.kaa,
        "files": len(manifest.parts),
        "leftOut": list(manifest.left_out),
    }


def _counted(found: "Found") -> dict[str, int]:
    return {
        "endpoints": found.endpoints,
        "points": found.points,
        "filesOfPoints": found.files,
        "pointsOfDeletedSeries": found.nameless,
    }


def _sentence(found: "Found") -> str:
    deleted = f" ({found.nameless:,} of them of series that were deleted)" if found.nameless else ""
    files = f" in {_many(found.files, 'file')}" if found.files else ""
    return f"{_many(found.endpoints, 'endpoint')}, {_many(found.points, 'point')}{deleted}{files}"


def _many(count: int, what: str) -> str:
    return f"{count:,} {what}{'s' * (count != 1)}" if count else f"no {what}s"


def _put_back(done: "PutBack") -> dict[str, Any]:
    return {
        "takenAt": _iso(done.taken_ms),
        "schemas": list(done.described.schemas),
        "endpoints": done.described.endpoints,
        "endpointsBefore": done.endpoints_before,
        "replaced": None if done.replaced is None else str(done.replaced),
        "seriesWithoutName": done.nameless,
    }


def _tell_put_back(file: Path, data_dir: Path, done: "PutBack") -> None:
    click.echo(f"{file} is the database of {data_dir} now: {_many(done.described.endpoints, 'endpoint')}.")
    if done.replaced is not None:
        had = "cannot be read" if done.endpoints_before is None else _many(done.endpoints_before, "endpoint")
        click.echo(f"The one that was there ({had}) is {done.replaced.name}, beside it.")
    click.echo(
        f"Lost is what was written to it after {_iso(done.taken_ms)}: endpoints, tokens, keys, metadata, "
        "configurations and commands. Points are kept."
    )
    if done.nameless:
        click.echo(f"{done.nameless:,} values of series that were new after that have points, and no name any more.")
    click.echo("Start it with the version of kaa that wrote it: a newer one migrates it again.")
