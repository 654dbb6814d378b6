"""`kaa key`: the keys for REST."""

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

from kaa.core.errors import StartupError
from kaa.core.lock import InUse, locked
from kaa.remote import Remote, path_of

from .options import asks_server, remote
from .output import is_terminal, printable, write_json, write_rows

if TYPE_CHECKING:
    from kaa.core.auth import KeyRecord

T = TypeVar("T")
Json = dict[str, Any]

_KEYS = ("keys", "api", "v1", "keys")
_COLUMNS = {"id": "id", "role": "role", "name": "name", "applications": "applications", "createdDate": "created"}


@click.group()
def key() -> None:
    """Make, list and remove keys for REST.

    A server that runs is asked; where none does, the data directory itself is changed.
    """


@key.command()
@click.option(
    "--role",
    required=True,
    type=click.Choice(["admin", "operator", "viewer"]),
    help="admin may do everything, operator everything but keys and secrets, viewer may read.",
)
@click.option("--name", help="Whose it is, or what it is for.")
@click.option("--app", "apps", multiple=True, metavar="APP", help="It is for this application only; may be repeated.")
@asks_server
def add(*, role: str, name: str | None, apps: tuple[str, ...], is_json: bool, **server: Any) -> None:
    """Make a key, and print it: it is shown this once."""
    wanted = {"role": role, "name": name, "applications": list(apps) or None}

    def at_rest(directory: Path) -> Json:
        # the server's own code is not loaded where it is asked over REST
        from kaa.core.key_api import new_key  # noqa: PLC0415
        from kaa.stopped import add_key  # noqa: PLC0415

        record, secret = add_key(directory, new_key(wanted))
        return {**_json(record), "key": secret}

    made = _done(server, lambda asked: asked.post(path_of(*_KEYS), wanted), at_rest)
    if is_json:
        write_json(made)
    elif is_terminal():
        click.echo(f"id   {printable(made['id'])}\nkey  {printable(made['key'])}")
    else:
        click.echo(f"{made['id']}\t{made['key']}")


@key.command(name="list")
@asks_server
def list_keys(*, is_json: bool, **server: Any) -> None:
    """List the keys, oldest first; what they are is not shown."""

    def at_rest(directory: Path) -> list[Json]:
        from kaa.stopped import find_keys  # noqa: PLC0415  as above

        return [_json(record) for record in find_keys(directory)]

    found = _done(server, _listed, at_rest)
    rows = found if is_json else [{**one, "applications": ", ".join(one["applications"] or ["all"])} for one in found]
    write_rows(rows, _COLUMNS, is_json=is_json)


@key.command()
@click.argument("key_id", metavar="ID")
@asks_server
def remove(*, key_id: str, is_json: bool, **server: Any) -> None:
    """Remove a key; it is refused from now on."""

    def at_rest(directory: Path) -> None:
        from kaa.stopped import remove_key  # noqa: PLC0415  as above

        remove_key(directory, key_id)

    _done(server, lambda asked: asked.delete(path_of(*_KEYS, key_id)), at_rest)
    if is_json:
        write_json({"removed": key_id})
    elif is_terminal():
        click.echo(f"removed {printable(key_id)}")


def _done(server: Json, over_rest: Callable[[Remote], T], at_rest: Callable[[Path], T]) -> T:
    """Do it over REST where a server runs, and otherwise to its data directory."""
    if server["url"]:
        return over_rest(remote(server))
    directory: Path = server["data_dir"].absolute()
    if not directory.is_dir():
        raise StartupError(f"there is no data directory {directory}; give --data-dir, or --url and --key")
    try:
        with locked(directory):
            return at_rest(directory)
    except InUse:
        return over_rest(remote(server))


def _listed(asked: Remote) -> list[Json]:
    return list(asked.pages(path_of(*_KEYS)))


def _json(record: "KeyRecord") -> Json:
    from kaa.core.key_api import key_view  # noqa: PLC0415  as above

    return key_view(record).model_dump(mode="json", by_alias=True)
