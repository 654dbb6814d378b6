"""Options that several commands take."""

from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import click

from kaa.remote import Remote, split_address

F = TypeVar("F", bound=Callable[..., Any])

json_option = click.option("--json", "is_json", is_flag=True, help="Write JSON, for scripts.")


def asks_server(command: F) -> F:
    """Let a command be told which server it asks; it takes the options as `server`, for `remote`."""
    options = [
        click.option(
            "--data-dir",
            type=click.Path(file_okay=False, path_type=Path),
            default=Path("kaa-data"),
            show_default=True,
            envvar="KAA_DATA_DIR",
            help="The data directory of the server, which says where it is.",
        ),
        click.option("--url", envvar="KAA_URL", metavar="URL", help="The address of the server instead."),
        click.option("--key", envvar="KAA_KEY", metavar="KEY", help="The key for its REST interface."),
        click.option(
            "--cafile",
            type=click.Path(dir_okay=False, path_type=Path),
            envvar="KAA_CAFILE",
            metavar="FILE",
            help="The certificate of the authority that an https server's is verified with.",
        ),
        json_option,
    ]
    for option in reversed(options):
        command = option(command)
    return command


def address(_ctx: click.Context, _param: click.Parameter, given: str | None) -> tuple[str, int] | None:
    """Read an option that is an address, written as HOST:PORT."""
    if given is None:
        return None
    try:
        return split_address(given)
    except ValueError as error:
        raise click.BadParameter(str(error)) from None


def remote(given: dict[str, Any]) -> Remote:
    """Find the server that the options of `asks_server` name."""
    return Remote.find(given["data_dir"], url=given["url"] or None, key=given["key"] or None, cafile=given["cafile"])
