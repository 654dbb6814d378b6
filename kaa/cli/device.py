"""`kaa device`: the endpoints of an application."""

import json
import shlex
from typing import Any

import click

from kaa.remote import Remote, RemoteError, path_of, split_address

from .options import asks_server, remote
from .output import is_terminal, printable, write_json, write_rows

_PAYLOAD = '{"temperature": 21.5}'


@click.group()
def device() -> None:
    """Add, list and remove devices (endpoints)."""


@device.command()
@click.option("--app", required=True, help="The application; made if it is not there.")
@click.option("--version", required=True, help="Its version, as v1; made if it is not there.")
@click.option("--id", "endpoint_id", help="The endpoint's id; made up if it is not given.")
@click.option("--token", help="Its token; made up if it is not given.")
@click.option("--metadata", metavar="JSON", help="Its metadata, an object.")
@asks_server
def add(
    *,
    app: str,
    version: str,
    endpoint_id: str | None,
    token: str | None,
    metadata: str | None,
    is_json: bool,
    **server: Any,
) -> None:
    """Add a device, and print its token with a line to try it."""
    described = _object(metadata)
    asked = remote(server)
    version_name = ensure_version(asked, app, version)
    wanted = {"endpointId": endpoint_id, "endpointToken": token, "metadata": described}
    made = asked.post(
        "/epr/api/v1/endpoints",
        {"appVersion": {"name": version_name}} | {key: value for key, value in wanted.items() if value is not None},
    )
    topic = f"kp1/{version_name}/dcx/{made['token']}/json/1"
    example = _example(asked.mqtt, topic)
    if is_json:
        write_json(
            {
                "endpointId": made["endpointId"],
                "token": made["token"],
                "applicationVersion": version_name,
                "topic": topic,
                "mqtt": asked.mqtt,
                "example": example,
            }
        )
        return
    gap = " " * 2 if is_terminal() else "\t"
    click.echo(f"endpoint{gap}{printable(made['endpointId'])}")
    click.echo(f"token{' ' * 3 if is_terminal() else ''}{gap}{printable(made['token'])}")
    if example is not None:
        click.echo(example)


@device.command(name="list")
@click.option("--app", required=True, help="The application.")
@asks_server
def list_devices(*, app: str, is_json: bool, **server: Any) -> None:
    """List the devices of an application."""
    asked = remote(server)
    asked.get(path_of("tekton", "api", "v1", "applications", app))  # an unknown one is an error, not an empty list
    rows = [
        {
            "endpointId": one["endpointId"],
            "applicationVersion": one["appVersion"]["name"],
            "createdDate": one["createdDate"],
        }
        for one in asked.pages("/epr/api/v1/endpoints", {"applicationName": app})
    ]
    columns = {"endpointId": "endpoint", "applicationVersion": "version", "createdDate": "created"}
    write_rows(rows, columns, is_json=is_json, none=f"{app} has no devices; add one with `kaa device add --app {app}`")


@device.command()
@click.argument("endpoint_id", metavar="ID")
@asks_server
def remove(*, endpoint_id: str, is_json: bool, **server: Any) -> None:
    """Remove a device and its tokens."""
    remote(server).delete(path_of("epr", "api", "v1", "endpoints", endpoint_id))
    if is_json:
        write_json({"removed": endpoint_id})
    elif is_terminal():
        click.echo(f"removed {printable(endpoint_id)}")


def _object(text: str | None) -> dict[str, Any] | None:
    if text is None:
        return None
    try:
        value = json.loads(text)
    except ValueError as error:
        raise click.BadParameter(f"is not JSON: {error}", param_hint="--metadata") from error
    if not isinstance(value, dict):
        raise click.BadParameter('must be an object, like {"floor": 3}', param_hint="--metadata")
    return value


def ensure_version(asked: Remote, app: str, version: str) -> str:
    """Make application and version where they are not there; give the version's full name."""
    suffix = version.removeprefix(f"{app}-")
    name = f"{app}-{suffix}"
    applications = ("tekton", "api", "v1", "applications")
    _ensure(asked, path_of(*applications, app), path_of(*applications), {"name": app})
    versions = (*applications, app, "app-versions")
    _ensure(asked, path_of(*versions, name), path_of(*versions), {"nameSuffix": suffix})
    return name


def _ensure(asked: Remote, there: str, path: str, body: dict[str, str]) -> None:
    """Make something unless it is there."""
    if _is_there(asked, there):
        return
    try:
        asked.post(path, body)
    except RemoteError as error:
        if error.status != 409 or not _is_there(asked, there):  # else somebody else was quicker
            raise


def _is_there(asked: Remote, path: str) -> bool:
    try:
        asked.get(path)
    except RemoteError as error:
        if error.status != 404:
            raise
        return False
    return True


def _example(mqtt: str | None, topic: str) -> str | None:
    if mqtt is None:
        return None
    host, port = split_address(mqtt)
    words = ["mosquitto_pub", "-h", host, "-p", str(port), "-q", "1", "-t", topic, "-m", _PAYLOAD]
    return shlex.join(words)
