"""`kaa config export` and `import`: the configuration of all applications as one YAML file."""

import json
import math
import re
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import click

from kaa.remote import RemoteError

from .options import asks_server, remote
from .output import is_terminal, write_json, write_rows, yaml_of

_BULK = "/tekton/api/v1/bulk"
_SPELLED = {"displayName": "display-name"}
_COLUMNS = {
    "action": "change",
    "application": "application",
    "version": "version",
    "serviceInstanceName": "settings of",
}
# each has a place of its own; those about the shape of the document come in one line
_SENTENCES = re.compile(r"\n|; (?=body\.|and \d+ more$)")
_HEAD = "# All applications of a server, with their versions and settings: `kaa config import` takes them over.\n"


@click.command(name="export")
@click.argument("file", type=click.Path(dir_okay=False, path_type=Path), required=False)
@asks_server
def export_all(*, file: Path | None, is_json: bool, **server: Any) -> None:
    """Write the applications of a server, with versions and settings, to FILE as YAML, or to standard output."""
    found = remote(server).get(_BULK)
    document = {name: part for name, part in found.items() if name != "applications"}
    document["applications"] = {name: spelled_for_people(one) for name, one in found["applications"].items()}
    text = json.dumps(found, ensure_ascii=False, indent=2) + "\n" if is_json else _HEAD + yaml_of(document)
    if file is None:
        click.echo(text, nl=False)
        return
    draft = file.with_name(f".{file.name}.new")
    try:
        draft.write_text(text, encoding="utf-8")
        draft.replace(file)
    except OSError as error:
        raise click.ClickException(f"{file}: cannot be written: {error.strerror}") from error
    if is_terminal():
        click.echo(f"{len(found['applications'])} applications are in {file}")


@click.command(name="import")
@click.argument("file", type=click.Path(dir_okay=False, path_type=Path))
@click.option("--dry-run", is_flag=True, help="Only show what would change.")
@asks_server
def import_all(*, file: Path, dry_run: bool, is_json: bool, **server: Any) -> None:
    """Have a server's applications, versions and settings as FILE says, and show what that changes.

    What the file does not name stays as it is; settings that it says to be null are removed. A second time it changes
    nothing. If anything is wrong nothing is changed, and every mistake is shown with its line.
    """
    from kaa.core.config.yaml_file import read_yaml  # noqa: PLC0415  most commands read no YAML

    given = read_yaml(file)
    document = _spelled_for_rest(given.values)
    _check_plain(document, (), lambda place: f"{file}:{given.lines.get(place, 1)}")
    try:
        answer = remote(server).ask("PUT", _BULK, body=document, params={"dryRun": str(dry_run).lower()})
    except RemoteError as error:
        if error.status not in {400, 404, 409}:
            raise
        lines = {".".join(map(_spelled, place)): line for place, line in given.lines.items()}
        found = _SENTENCES.split(str(error))
        raise click.ClickException("\n".join(_at(file, lines, sentence) for sentence in found)) from error
    if is_json:
        write_json(answer)
        return
    rows = [{**one, "application": one["application"] or "(all)"} for one in answer["changes"]]
    write_rows(rows, _COLUMNS, is_json=False, none=f"nothing to change: all is as {file} says")
    if dry_run and rows and is_terminal():
        click.echo("nothing has been changed; leave --dry-run away to do it")


def spelled_for_people(one: Mapping[str, Any]) -> dict[str, Any]:
    """Give an application of REST's document with the keys of the configuration file."""
    spelled = {_SPELLED.get(name, name): part for name, part in one.items() if name != "versions"}
    if "versions" in one:
        spelled["versions"] = {name: spelled_for_people(version) for name, version in one["versions"].items()}
    return spelled


def _spelled_for_rest(document: Mapping[str, Any]) -> dict[str, Any]:
    spelled = _without_empty(document)
    if isinstance(spelled.get("applications"), dict):
        spelled["applications"] = {name: _one_for_rest(one) for name, one in spelled["applications"].items()}
    return spelled


def _one_for_rest(one: Any) -> Any:
    if not isinstance(one, dict):
        return one
    spelled = {_spelled(name): part for name, part in _without_empty(one).items()}
    if isinstance(spelled.get("versions"), dict):
        spelled["versions"] = {name: _one_for_rest(version) for name, version in spelled["versions"].items()}
    return spelled


def _without_empty(document: Mapping[str, Any]) -> dict[str, Any]:
    """Leave sections away of which every line is commented out."""
    sections = {"settings", "applications", "versions"}
    return {name: part for name, part in document.items() if part is not None or name not in sections}


def _spelled(name: str | int) -> str:
    return {people: rest for rest, people in _SPELLED.items()}.get(str(name), str(name))


def _check_plain(value: Any, place: tuple[str | int, ...], where: Callable[[tuple[str | int, ...]], str]) -> None:
    """Refuse what YAML knows and JSON does not, like a date, with the line where it stands."""
    if isinstance(value, dict):
        for name, inner in value.items():
            _check_plain(inner, (*place, name), where)
    elif isinstance(value, list):
        for index, inner in enumerate(value):
            _check_plain(inner, (*place, index), where)
    elif not isinstance(value, str | int | float | None) or (isinstance(value, float) and not math.isfinite(value)):
        what = f"a {type(value).__name__} cannot be sent as JSON; if it is meant as text, put it in quotes"
        raise click.ClickException(f"{where(place)}: {'.'.join(map(str, place))}: {what}")


def _at(file: Path, lines: Mapping[str, int], sentence: str) -> str:
    """Put file and line before a sentence that begins with a place of the document."""
    place = sentence.partition(": ")[0].removeprefix("body.")
    while place and place not in lines:
        place = place.rpartition(".")[0]
    return f"{file}:{lines[place]}: {sentence.removeprefix('body.')}" if place else f"{file}: {sentence}"
