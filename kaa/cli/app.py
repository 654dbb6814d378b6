"""`kaa app`: applications and their versions."""

from typing import Any

import click

from kaa.remote import Remote, RemoteError, path_of

from .options import asks_server, remote
from .output import is_terminal, printable, write_json, write_rows, write_yaml
from .transfer import spelled_for_people

_COLUMNS = {
    "name": "application",
    "displayName": "display name",
    "shownVersions": "versions",
    "shownManaged": "managed by",
}


@click.group()
def app() -> None:
    """Add, list, show and remove applications."""


@app.command(name="list")
@asks_server
def list_applications(*, is_json: bool, **server: Any) -> None:
    """List the applications with their versions."""
    found = remote(server).get("/tekton/api/v1/applications")
    if not is_json:
        found = [
            one
            | {
                "shownVersions": ", ".join(version["name"] for version in one["versions"]),
                "shownManaged": "the configuration file" if one["managedByFile"] else "",
            }
            for one in found
        ]
    write_rows(found, _COLUMNS, is_json=is_json, none="there are no applications; add one with `kaa app add NAME`")


@app.command()
@click.argument("name", required=False)
@click.option("--display-name", metavar="TEXT", help="What people call it.")
@click.option("--description", metavar="TEXT", help="What it is.")
@click.option("--version", "versions", multiple=True, metavar="V", help="A version of it, as v1 (may be repeated).")
@asks_server
def add(
    *,
    name: str | None,
    display_name: str | None,
    description: str | None,
    versions: tuple[str, ...],
    is_json: bool,
    **server: Any,
) -> None:
    """Add an application; without a NAME one is made up."""
    asked = remote(server)
    made = asked.post(
        "/tekton/api/v1/applications", _given(name=name, displayName=display_name, description=description)
    )
    try:
        for version in versions:
            made["versions"].append(_add_version(asked, made["name"], {"nameSuffix": _suffix(made["name"], version)}))
    except RemoteError:
        asked.delete(_path(made["name"]))  # all of it or nothing
        raise
    _write_made(made, is_json=is_json)


@app.command()
@click.argument("name")
@asks_server
def show(*, name: str, is_json: bool, **server: Any) -> None:
    """Show an application: its versions, its settings, and how many endpoints it has."""
    asked = remote(server)
    described = asked.get(_path(name))
    document = asked.get("/tekton/api/v1/bulk", {"appName": name})["applications"][name]
    endpoints = asked.get("/epr/api/v1/endpoints", {"applicationName": name, "limit": 0})["totalElements"]
    if is_json:
        versions = document.get("versions", {})
        for version in described["versions"]:
            version["settings"] = versions[version["name"].removeprefix(f"{name}-")].get("settings", {})
        write_json(described | {"settings": document.get("settings", {}), "endpoints": endpoints})
        return
    shown = {"endpoints": endpoints, "managed-by-file": described["managedByFile"]}
    write_yaml({name: shown | spelled_for_people(document)})


@app.command()
@click.argument("name")
@asks_server
def remove(*, name: str, is_json: bool, **server: Any) -> None:
    """Remove an application that has no devices, with its versions and settings."""
    remote(server).delete(_path(name))
    _write_removed(name, is_json=is_json)


@app.group()
def version() -> None:
    """Add and remove versions of an application."""


@version.command(name="add")
@click.argument("app_name", metavar="APP")
@click.argument("version_name", metavar="VERSION")
@click.option("--display-name", metavar="TEXT", help="What people call it.")
@click.option("--description", metavar="TEXT", help="What it is.")
@asks_server
def add_version(
    *,
    app_name: str,
    version_name: str,
    display_name: str | None,
    description: str | None,
    is_json: bool,
    **server: Any,
) -> None:
    """Add a VERSION, as v1; its whole name will be APP-v1."""
    body = _given(nameSuffix=_suffix(app_name, version_name), displayName=display_name, description=description)
    _write_made(_add_version(remote(server), app_name, body), is_json=is_json)


@version.command(name="remove")
@click.argument("app_name", metavar="APP")
@click.argument("version_name", metavar="VERSION")
@asks_server
def remove_version(*, app_name: str, version_name: str, is_json: bool, **server: Any) -> None:
    """Remove a VERSION that has no devices, with its settings."""
    name = f"{app_name}-{_suffix(app_name, version_name)}"
    remote(server).delete(_path(app_name, "app-versions", name))
    _write_removed(name, is_json=is_json)


def _path(app_name: str, *rest: str) -> str:
    return path_of("tekton", "api", "v1", "applications", app_name, *rest)


def _suffix(app_name: str, version_name: str) -> str:
    return version_name.removeprefix(f"{app_name}-")


def _given(**fields: str | None) -> dict[str, str]:
    return {name: value for name, value in fields.items() if value is not None}


def _add_version(asked: Remote, app_name: str, body: dict[str, str]) -> dict[str, Any]:
    made: dict[str, Any] = asked.post(_path(app_name, "app-versions"), body)
    return made


def _write_made(made: dict[str, Any], *, is_json: bool) -> None:
    if is_json:
        write_json(made)
    else:
        click.echo(("added " if is_terminal() else "") + printable(made["name"]))


def _write_removed(name: str, *, is_json: bool) -> None:
    if is_json:
        write_json({"removed": name})
    elif is_terminal():
        click.echo(f"removed {printable(name)}")
