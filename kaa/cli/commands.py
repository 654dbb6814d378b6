"""`kaa` itself, and what its commands have in common."""

from importlib.metadata import PackageNotFoundError, version
from typing import Any

import click

from kaa.core.errors import KaaError

from .app import app
from .backup import backup, restore, verify
from .bench import bench
from .cert import cert
from .config import config
from .device import device
from .key import key
from .refusals import refusals
from .series import series
from .serve import serve
from .simulate import simulate
from .tokens import token


def _version() -> str:
    try:
        return version("kaa")
    except PackageNotFoundError:  # run from its folder, without having been installed
        return "unknown"


class _Commands(click.Group):
    def invoke(self, ctx: click.Context) -> Any:
        try:
            return super().invoke(ctx)
        except KaaError as error:  # the sentence says it all: no traceback
            raise click.ClickException(str(error)) from error


@click.group(cls=_Commands, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100})
@click.version_option(_version(), prog_name="kaa")
def cli() -> None:
    """Kaa: an IoT platform in one process.

    Exit codes: 0 done, 1 refused or failed, 2 wrong usage. Every command that asks a server takes --json.
    """


for command in (
    serve,
    app,
    device,
    token,
    series,
    refusals,
    key,
    config,
    cert,
    backup,
    restore,
    verify,
    simulate,
    bench,
):
    cli.add_command(command)


def main() -> None:
    """Run a command."""
    cli()
