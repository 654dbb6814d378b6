"""`kaa token`: what devices show to be let in."""

from collections.abc import Iterable, Mapping
from typing import Any

import click

from kaa.remote import Remote, RemoteError, path_of

from .options import asks_server, remote
from .output import is_terminal, printable, write_json, write_rows

_COLUMNS = {"endpointId": "endpoint", "endpointTokenId": "token id", "status": "status", "createdDate": "created"}
# from which status a token gets there, and over which steps
_WAYS: Mapping[str, Mapping[str, tuple[str, ...]]] = {
    "Active": {"Inactive": ("Active",), "Suspended": ("Active",)},
    "Suspended": {"Inactive": ("Active", "Suspended"), "Active": ("Suspended",)},
    "Revoked": {"Inactive": ("Active", "Revoked"), "Active": ("Revoked",), "Suspended": ("Revoked",)},
}
_id_option = click.option(
    "--id", "ids", multiple=True, metavar="ID", help="Only the token with this id (may be repeated)."
)
_endpoints_argument = click.argument("endpoints", metavar="ENDPOINT...", nargs=-1, required=True)


@click.group()
def token() -> None:
    """List, add, suspend, activate and revoke the tokens of endpoints."""


@token.command(name="list")
@_endpoints_argument
@asks_server
def list_tokens(*, endpoints: tuple[str, ...], is_json: bool, **server: Any) -> None:
    """List the tokens of endpoints: their ids and what they may; the values are stored hashed."""
    asked = remote(server)
    rows = [row for endpoint_id in endpoints for row in _tokens(asked, endpoint_id)]
    write_rows(rows, _COLUMNS, is_json=is_json, none="they have no tokens; add one with `kaa token add ENDPOINT`")


@token.command()
@click.argument("endpoint_id", metavar="ENDPOINT")
@click.option("--token", "value", metavar="TEXT", help="The token itself; made up if it is not given.")
@asks_server
def add(*, endpoint_id: str, value: str | None, is_json: bool, **server: Any) -> None:
    """Add a token to an endpoint, and print it; it is shown this once."""
    asked = remote(server)
    body = {"applicationName": _application_of(asked, endpoint_id)}
    made = asked.post(_path(endpoint_id), body if value is None else body | {"token": value})
    if is_json:
        write_json({"endpointId": endpoint_id} | made)
        return
    gap = "  " if is_terminal() else "\t"
    click.echo(f"token id{gap}{printable(made['endpointTokenId'])}")
    click.echo(f"token{'   ' if is_terminal() else ''}{gap}{printable(made['token'])}")


@token.command()
@_endpoints_argument
@_id_option
@asks_server
def suspend(*, endpoints: tuple[str, ...], ids: tuple[str, ...], is_json: bool, **server: Any) -> None:
    """Suspend the tokens of endpoints; who uses one is disconnected, until it is activated again."""
    _move(remote(server), endpoints, ids, "Suspended", is_json=is_json)


@token.command()
@_endpoints_argument
@_id_option
@asks_server
def activate(*, endpoints: tuple[str, ...], ids: tuple[str, ...], is_json: bool, **server: Any) -> None:
    """Activate the tokens of endpoints that are suspended, or have not been used yet."""
    _move(remote(server), endpoints, ids, "Active", is_json=is_json)


@token.command()
@_endpoints_argument
@_id_option
@asks_server
def revoke(*, endpoints: tuple[str, ...], ids: tuple[str, ...], is_json: bool, **server: Any) -> None:
    """Revoke the tokens of endpoints for good; who uses one is disconnected."""
    _move(remote(server), endpoints, ids, "Revoked", is_json=is_json)


def _move(asked: Remote, endpoints: tuple[str, ...], ids: tuple[str, ...], status: str, *, is_json: bool) -> None:
    """Move tokens to a status, all that can; say what has been moved, and then what could not."""
    if ids and len(endpoints) > 1:
        raise click.UsageError("--id names a token of one endpoint: give that one alone")
    moved: list[dict[str, Any]] = []
    problems: list[str] = []
    for endpoint_id in endpoints:
        try:
            moved += _moved(asked, endpoint_id, ids, status)
        except RemoteError as error:
            if error.status not in {404, 409}:
                raise
            problems.append(str(error))
    if moved or not problems:
        write_rows(moved, _COLUMNS, is_json=is_json, none=f"nothing to change: they are {status.lower()} already")
    if problems:
        raise click.ClickException("\n".join(problems))


def _moved(asked: Remote, endpoint_id: str, ids: tuple[str, ...], status: str) -> list[dict[str, Any]]:
    """Move the tokens of an endpoint that can, or those with the ids; gives what has been moved."""
    there = _tokens(asked, endpoint_id)
    if missing := set(ids) - {one["endpointTokenId"] for one in there}:
        raise RemoteError(f"endpoint {endpoint_id!r} has no token {min(missing)!r}", status=404)
    wanted = [one for one in there if not ids or one["endpointTokenId"] in ids]
    ways = _WAYS[status]
    able = [one for one in wanted if one["status"] in ways]
    stuck = [one for one in wanted if one["status"] not in {*ways, status}]
    if len(stuck) == len(wanted) or (ids and stuck):
        raise RemoteError(_hopeless(endpoint_id, stuck, status), status=409)
    moved = []
    for one in able:
        for step in ways[one["status"]]:
            answer = asked.ask("PUT", _path(endpoint_id, one["endpointTokenId"], "status"), body={"status": step})
        moved.append({"endpointId": endpoint_id, **answer})
    return moved


def _hopeless(endpoint_id: str, found: Iterable[dict[str, Any]], status: str) -> str:
    states = sorted({str(one["status"]).lower() for one in found})
    if not states:
        return f"endpoint {endpoint_id!r} has no tokens; add one with `kaa token add {endpoint_id}`"
    return (
        f"endpoint {endpoint_id!r} has no token that can become {status.lower()}: what is {' and '.join(states)} stays "
        f"so; add another one with `kaa token add {endpoint_id}`"
    )


def _tokens(asked: Remote, endpoint_id: str) -> list[dict[str, Any]]:
    asked.get(path_of("epr", "api", "v1", "endpoints", endpoint_id))  # an unknown one is an error, not an empty list
    return [{"endpointId": endpoint_id} | one for one in asked.pages(_path(endpoint_id), {"order": "ASC"})]


def _application_of(asked: Remote, endpoint_id: str) -> str:
    version = asked.get(path_of("epr", "api", "v1", "endpoints", endpoint_id))["appVersion"]["name"]
    for application in asked.get("/tekton/api/v1/applications"):
        if any(one["name"] == version for one in application["versions"]):
            return str(application["name"])
    raise click.ClickException(f"endpoint {endpoint_id!r} belongs to version {version!r}, which is gone: make it again")


def _path(endpoint_id: str, *rest: str) -> str:
    return path_of("cm", "api", "v1", "endpoints", endpoint_id, "tokens", *rest)
