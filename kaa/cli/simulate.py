"""`kaa simulate`: a fleet of made-up devices."""

import asyncio
import signal
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from kaa.remote import Remote, RemoteError, path_of, split_address

from .device import ensure_version
from .options import address, asks_server, remote
from .output import is_terminal, printable, write_json, write_rows

if TYPE_CHECKING:
    from kaa.simulate.description import Simulation
    from kaa.simulate.registering import Step
    from kaa.simulate.tally import Tally

_LOOK_S = 0.25


def _duration(_ctx: click.Context, _param: click.Parameter, given: str | None) -> float | None:
    if given is None:
        return None
    from pydantic import TypeAdapter  # noqa: PLC0415  the other commands do not need it

    from kaa.core.config import Duration  # noqa: PLC0415  the other commands do not need it

    try:
        return TypeAdapter(Duration).validate_python(given) / 1000
    except ValueError:
        raise click.BadParameter(f"{given!r} is no duration; write it like 30s or 1h30m") from None


@click.command()
@click.argument("file", required=False, type=click.Path(exists=True, dir_okay=False, path_type=Path))
@click.option("--duration", callback=_duration, metavar="TIME", help="How long, as 30s; until Ctrl-C if not given.")
@click.option(
    "--mqtt", callback=address, metavar="HOST:PORT", help="Where the devices connect, if not where the server says."
)
@click.option("--remove", "is_removal", is_flag=True, help="Remove the endpoints that a simulation has made, and end.")
@click.option("--sample", "is_sample", is_flag=True, help="Write the description that is used without FILE, and end.")
@asks_server
def simulate(
    *,
    file: Path | None,
    duration: float | None,
    mqtt: tuple[str, int] | None,
    is_removal: bool,
    is_sample: bool,
    is_json: bool,
    **server: Any,
) -> None:
    """Run a fleet of made-up devices against a server, over real MQTT.

    FILE describes it in YAML; `kaa simulate --sample` writes one to begin with. Application, version and endpoints are
    made where they are not there, and stay: the next run goes on with them, and --remove takes them away.
    """
    from kaa.simulate.description import SAMPLE, read  # noqa: PLC0415  the other commands do not need it

    if is_sample:
        click.echo(SAMPLE.read_text(encoding="utf-8"), nl=False)
        return
    simulation = read(file)
    asked = remote(server)
    if is_removal:
        _remove(asked, simulation, is_json=is_json)
        return
    tallies = _run(asked, simulation, mqtt or _door(asked), duration, is_live=is_terminal() and not is_json)
    rows = [tally.row() for tally in tallies]
    if is_json:
        write_json(rows)
    elif not is_terminal():
        from kaa.simulate.tally import COLUMNS  # noqa: PLC0415  as above

        write_rows(rows, COLUMNS, is_json=False)
    refusals = [tally.last_refusal for tally in tallies if tally.refused]
    if refusals:
        raise click.ClickException(f"the server refused messages, the last one because: {refusals[-1]}")


def _run(
    asked: Remote, simulation: "Simulation", door: tuple[str, int], duration: float | None, *, is_live: bool
) -> "list[Tally]":
    from kaa.core.clock import SystemClock  # noqa: PLC0415  the other commands do not need it
    from kaa.core.ids import RandomIds  # noqa: PLC0415  as above
    from kaa.simulate.registering import register  # noqa: PLC0415  as above
    from kaa.simulate.running import running  # noqa: PLC0415  as above

    version = ensure_version(asked, simulation.application, simulation.version)
    count = sum(fleet.count for fleet in simulation.fleets.values())
    with _progress("registering", count) as step:
        tokens = register(asked, simulation, version, step)

    async def run() -> "list[Tally]":
        loop, clock, enough = asyncio.get_running_loop(), SystemClock(), asyncio.Event()
        for number in (signal.SIGINT, signal.SIGTERM):
            loop.add_signal_handler(number, enough.set)
        async with running(simulation, version, tokens, door, clock=clock, ids=RandomIds()) as tallies:
            end_ms = None if duration is None else clock.monotonic_ms() + duration * 1000
            with _shown(tallies, is_live=is_live):
                while not enough.is_set() and (end_ms is None or clock.monotonic_ms() < end_ms):
                    with suppress(TimeoutError):
                        async with asyncio.timeout(_LOOK_S):
                            await enough.wait()
        return tallies

    return asyncio.run(run())


def _remove(asked: Remote, simulation: "Simulation", *, is_json: bool) -> None:
    from kaa.simulate.registering import remove  # noqa: PLC0415  the other commands do not need it

    try:
        asked.get(path_of("tekton", "api", "v1", "applications", simulation.application))
    except RemoteError as error:
        if error.status != 404:
            raise
        count = 0
    else:
        with _progress("removing", None) as step:
            count = remove(asked, simulation, step)
    if is_json:
        write_json({"removed": count})
    elif is_terminal():
        click.echo(f"removed {count} endpoints of {simulation.application}")


def _door(asked: Remote) -> tuple[str, int]:
    if asked.mqtt is None:
        raise click.ClickException("the server has no plain MQTT door here; say where one is with --mqtt HOST:PORT")
    return split_address(asked.mqtt)


@contextmanager
def _progress(what: str, count: int | None) -> "Iterator[Step]":
    """Show how far it is to one who waits at a terminal."""
    if not sys.stderr.isatty():
        yield lambda _: None
        return
    from rich.console import Console  # noqa: PLC0415  a pipe does without
    from rich.progress import Progress  # noqa: PLC0415  as above

    with Progress(console=Console(stderr=True), transient=True) as progress:
        task = progress.add_task(what, total=count)
        yield lambda done: progress.advance(task, done)


@contextmanager
def _shown(tallies: "list[Tally]", *, is_live: bool) -> Iterator[None]:
    """Show what the devices do, as it happens, to one who looks."""
    if not is_live:
        yield
        return
    from rich.live import Live  # noqa: PLC0415  a pipe does without
    from rich.table import Table  # noqa: PLC0415  as above
    from rich.text import Text  # noqa: PLC0415  as above

    from kaa.simulate.tally import COLUMNS  # noqa: PLC0415  as above

    def table() -> Table:
        made = Table(*COLUMNS.values(), box=None, pad_edge=False, header_style="bold")
        for tally in tallies:
            row = tally.row()
            made.add_row(*(Text(printable(row[column])) for column in COLUMNS))
        return made

    with Live(get_renderable=table, refresh_per_second=4):
        yield
