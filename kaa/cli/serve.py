"""`kaa serve`: runs the server."""

import os
from pathlib import Path
from typing import Any

import click


@click.command()
@click.option(
    "--config",
    type=click.Path(dir_okay=False, path_type=Path),
    envvar="KAA_CONFIG",
    metavar="FILE",
    help="A YAML file; config/kaa.yml shows every option. Without it the defaults hold.",
)
@click.option(
    "--data-dir",
    type=click.Path(file_okay=False, path_type=Path),
    metavar="DIR",
    help="Where everything is kept (kaa-data).",
)
@click.option("--host", metavar="ADDR", help="The address for devices (127.0.0.1).")
@click.option("--http-host", metavar="ADDR", help="The address for REST (127.0.0.1).")
@click.option("--mqtt-port", metavar="N", help="The port for MQTT (1883); 0 takes a free one, off is none.")
@click.option("--mqtts-port", metavar="N", help="The port for MQTT with TLS (off); 0 takes a free one.")
@click.option("--http-port", metavar="N", help="The port for HTTP (8080); 0 takes a free one, off is none.")
@click.option("--https-port", metavar="N", help="The port for HTTPS (off); 0 takes a free one.")
@click.option("--only", metavar="INSTANCES", help="Host only these instances, with commas between.")
@click.option("--without", metavar="INSTANCES", help="Host all instances but these.")
def serve(config: Path | None, only: str | None, without: str | None, **flags: Any) -> None:
    """Run the server until it is told to stop.

    Each option has a twin in the environment (KAA_DATA_DIR for --data-dir); an option is stronger than the
    environment, and that is stronger than the file. When all doors are open the server prints a line that begins with
    `ready`.
    """
    if only is not None and without is not None:
        raise click.UsageError("say which instances to host with --only or with --without, not with both")
    # the other commands do not load the server
    from kaa import process  # noqa: PLC0415
    from kaa.app import KaaConfig  # noqa: PLC0415
    from kaa.core.config import load  # noqa: PLC0415

    flags |= {"only": names_of(only), "without": names_of(without)}
    loaded = load(KaaConfig, file=config, environ=os.environ, flags=flags)  # noqa: TID251  handed to core.config
    raise SystemExit(process.main(loaded))


def names_of(text: str | None) -> list[str] | None:
    """Give the names in a flag that has commas between them."""
    return None if text is None else [name for part in text.split(",") if (name := part.strip())]
