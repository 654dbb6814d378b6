"""`kaa config`: what a server is configured with, and the configuration of its applications."""

import os
import re
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from kaa.core.errors import ConfigError

from .options import json_option
from .output import is_terminal, write_json, yaml_of
from .serve import names_of, serve
from .transfer import export_all, import_all

if TYPE_CHECKING:
    from kaa.core.config import Explained

_LINE = re.compile(r":(\d+): (.*)", re.DOTALL)


@click.group()
def config() -> None:
    """Check, show, export and import configurations."""


config.add_command(export_all)
config.add_command(import_all)


@config.command()
@click.argument("file", type=click.Path(dir_okay=False, path_type=Path))
@json_option
def check(*, file: Path, is_json: bool) -> None:
    """Check a configuration FILE; every mistake that can be found is named with file, line and key.

    Neither the environment nor a server is asked. Exit code 0 if a server would take the file, 1 if not.
    """
    problems = _problems(file)
    if is_json:
        write_json({"file": str(file), "valid": not problems, "problems": [_parts(file, one) for one in problems]})
    else:
        for problem in problems:
            click.echo(problem, err=True)
        if not problems and is_terminal():
            click.echo(f"{file}: there is nothing wrong with it")
    if problems:
        raise SystemExit(1)


# It takes what `kaa serve` takes, and shows what that would run with.
@config.command(params=list(serve.params))
@click.option("--effective", is_flag=True, help="Show every option, also those that have their default.")
@json_option
def show(
    *,
    config: Path | None,
    only: str | None,
    without: str | None,
    effective: bool,
    is_json: bool,
    **flags: Any,
) -> None:
    """Show what `kaa serve` would run with when it is given the same flags, and where each value comes from.

    As YAML, with the source of each value as a comment: FILE:LINE, a variable, a flag or default. Secrets are starred.
    """
    from kaa.app import KaaConfig  # noqa: PLC0415  the server's own code is loaded for nothing else here
    from kaa.core.config import DEFAULT, explain  # noqa: PLC0415  as above

    flags |= {"only": names_of(only), "without": names_of(without)}
    environ = os.environ  # noqa: TID251  handed to core.config
    found = explain(KaaConfig, file=config, environ=environ, flags=flags)
    if not effective:
        found = [one for one in found if one.source != DEFAULT]
    if is_json:
        write_json({".".join(one.place): {"value": one.value, "source": one.source} for one in found})
    elif found or not is_terminal():
        for line in _lines(found):
            click.echo(line)
    else:
        click.echo("nothing is configured, and the defaults hold; --effective shows them")


def _problems(file: Path) -> list[str]:
    from kaa.app import KaaConfig  # noqa: PLC0415  as above
    from kaa.core.config import load  # noqa: PLC0415  as above
    from kaa.core.config.yaml_file import read_yaml  # noqa: PLC0415  as above

    try:
        loaded = load(KaaConfig, file=file, environ={}, flags={})
    except ConfigError as error:
        return sorted(str(error).splitlines(), key=lambda one: _parts(file, one)["line"] or 0)
    try:
        loaded.hosted()
    except ConfigError as error:
        lines = read_yaml(file).lines
        key = "without" if loaded.without else "only"
        return [f"{file}:{lines.get((key,), 1)}: {key}: {error}"]
    return []


def _parts(file: Path, problem: str) -> dict[str, Any]:
    """Take a sentence of the configuration apart: line, key and what is wrong."""
    found = _LINE.fullmatch(problem.removeprefix(str(file)))
    if found is None:
        return {"line": None, "key": None, "message": problem.removeprefix(f"{file}: ")}
    key, colon, message = found[2].partition(": ")
    if not colon or " " in key.partition(".")[0]:  # it says what is wrong with the file, and not with a key
        return {"line": int(found[1]), "key": None, "message": found[2]}
    return {"line": int(found[1]), "key": key, "message": message}


def _lines(found: "Sequence[Explained]") -> Iterator[str]:
    opened: tuple[str, ...] = ()
    for one in found:
        *sections, key = one.place
        shared = 0
        while shared < min(len(opened), len(sections)) and opened[shared] == sections[shared]:
            shared += 1
        for depth in range(shared, len(sections)):
            yield "  " * depth + f"{sections[depth]}:"
        opened = tuple(sections)
        indent = "  " * len(sections)
        if isinstance(one.value, dict) and one.value:
            yield f"{indent}{key}:  # {one.source}"
            for line in yaml_of(one.value).splitlines():
                yield f"{indent}  {line}"
        else:
            yield f"{indent}{key}: {_scalar(one.value)}  # {one.source}"


def _scalar(value: Any) -> str:
    import yaml  # noqa: PLC0415  most commands write none

    text: str = yaml.safe_dump(value, default_flow_style=True, allow_unicode=True, width=float("inf"))
    return text.removesuffix("...\n").strip()
