"""`kaa bench`: how fast this machine is."""

import re
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from .options import address, json_option
from .output import is_terminal, write_json, write_rows

if TYPE_CHECKING:
    from kaa.bench.setup import Against, Say

_PARTS = ("throughput", "latency", "memory", "disk", "services", "scale", "deep")
_USUAL = _PARTS[:5]
_COUNT = re.compile(r"(\d+(?:\.\d+)?)([kMG]?)", re.ASCII)
_FACTORS = {"": 1, "k": 1_000, "M": 1_000_000, "G": 1_000_000_000}


def _count(_ctx: click.Context, _param: click.Parameter, given: str) -> int:
    found = _COUNT.fullmatch(given)
    if found is None or not (count := round(float(found[1]) * _FACTORS[found[2]])):
        raise click.BadParameter(f"{given!r} is no number; write it like 10M or 500k")
    return count


def _parts(_ctx: click.Context, _param: click.Parameter, given: tuple[str, ...]) -> tuple[str, ...]:
    names = tuple(name.strip() for text in given for name in text.split(","))
    for name in names:
        if name not in _PARTS:
            raise click.BadParameter(f"there is no {name!r}; there are {', '.join(_PARTS)}")
    return names


@click.command()
@click.option("--only", multiple=True, callback=_parts, metavar="PART", help=f"Only this of {', '.join(_PARTS)}.")
@click.option("--deep", "is_deep", is_flag=True, help="Also fill a store and measure it then; takes minutes.")
@click.option("--points", callback=_count, default="10M", show_default=True, metavar="N", help="How many for --deep.")
@click.option("--seconds", type=click.FloatRange(0.1, 600), default=5, show_default=True, help="Length of each run.")
@click.option("--runs", type=click.IntRange(1, 100), default=3, show_default=True, help="Runs that a median is of.")
@click.option("--connections", type=click.IntRange(1, 10_000), default=10, show_default=True, help="For throughput.")
@click.option("--in-flight", type=click.IntRange(1, 200), default=20, show_default=True, help="Unacknowledged on each.")
@click.option("--rate", type=click.IntRange(1, 1_000_000), default=5_000, show_default=True, help="For latency, msg/s.")
@click.option("--rate-connections", type=click.IntRange(1, 10_000), default=50, show_default=True, help="For latency.")
@click.option(
    "--idle-connections", type=click.IntRange(1, 100_000), default=5_000, show_default=True, help="For memory."
)
@click.option(
    "--service-connections", type=click.IntRange(1, 10_000), default=1_000, show_default=True, help="For services."
)
@click.option(
    "--service-rate", type=click.IntRange(1, 100_000), default=1_000, show_default=True, help="For services, msg/s."
)
@click.option("--endpoints", callback=_count, default="100k", show_default=True, metavar="N", help="For scale.")
@click.option(
    "--connected", callback=_count, default="10k", show_default=True, metavar="N", help="How many of them for scale."
)
@click.option("--against", callback=address, metavar="HOST:PORT", help="Another MQTT server, for the ratio.")
@click.option(
    "--against-topic",
    default="kp1/bench-v1/dcx/0123456789abcdefghij{i}/json",
    metavar="TOPIC",
    help="Where the load goes there; {i} is the number of the connection.",
)
@click.option(
    "--directory",
    type=click.Path(exists=True, file_okay=False, writable=True, path_type=Path),
    metavar="DIR",
    help="Where the data directories are made, and removed again (the system's place for temporary files).",
)
@json_option
def bench(
    *,
    only: tuple[str, ...],
    is_deep: bool,
    is_json: bool,
    against: tuple[str, int] | None,
    against_topic: str,
    **given: Any,
) -> None:
    """Measure this machine as a user would.

    A server of its own runs on free ports and a temporary data directory, and a load process speaks MQTT to it: three
    numeric fields a message, QoS 1, everything committed before it is acknowledged.
    """
    from kaa.bench.measure import measure  # noqa: PLC0415  the other commands do not need it
    from kaa.bench.report import as_data, warnings  # noqa: PLC0415  as above
    from kaa.bench.setup import Setup  # noqa: PLC0415  as above

    which = set(only or _USUAL) | ({"deep"} if is_deep else set())
    setup = Setup(against=_against(against, against_topic), **given)
    with _telling() as say:
        about, sections = measure(setup, which, say)
    if is_json:
        write_json(as_data(about, sections))
    else:
        rows = [{"name": one.name, "value": one.value, "note": one.note} for part in sections for one in part.figures]
        write_rows(rows, {"name": "what", "value": "measured", "note": ""}, is_json=False)
        if is_terminal():
            words = f"{about['processors']} processors, {about['system']}, Python {about['python']}"
            click.echo(f"\n{words}, data on {about['fileSystem']}")
    for warning in warnings(about):
        click.echo(f"Warning: {warning}", err=True)


def _against(address: tuple[str, int] | None, topic: str) -> "Against | None":
    from kaa.bench.setup import Against  # noqa: PLC0415  the other commands do not need it

    return None if address is None else Against(host=address[0], port=address[1], topic=topic)


@contextmanager
def _telling() -> "Iterator[Say]":
    """Show what is going on to one who waits at a terminal."""
    if not sys.stderr.isatty():
        yield lambda _: None
        return
    from rich.console import Console  # noqa: PLC0415  a pipe does without

    with Console(stderr=True).status("starting") as status:
        yield status.update
