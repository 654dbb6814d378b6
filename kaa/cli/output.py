"""What commands write: tables for people, lines with tabs for pipes, JSON for scripts."""

import json
import sys
from collections.abc import Mapping, Sequence
from typing import Any

import click

Row = Mapping[str, Any]


def is_terminal() -> bool:
    """Whether somebody looks at it."""
    return sys.stdout.isatty()


def write_json(value: Any) -> None:
    """Write JSON, indented where somebody looks at it."""
    click.echo(json.dumps(value, indent=2 if is_terminal() else None, ensure_ascii=False))


def yaml_of(value: Any) -> str:
    """Give YAML for people, in the order of the value."""
    import yaml  # noqa: PLC0415  most commands write none

    text: str = yaml.safe_dump(value, sort_keys=False, allow_unicode=True, width=120)
    return text


def write_yaml(value: Any) -> None:
    """Write YAML, which is for people and for pipes alike."""
    click.echo(yaml_of(value), nl=False)


def write_rows(rows: Sequence[Row], columns: Mapping[str, str], *, is_json: bool, none: str = "") -> None:
    """Write rows: all of each as JSON, or its columns, which are given with their headings.

    In a pipe each row is a line with tabs between its columns, without headings; `none` is what is said to a person
    if there are no rows.
    """
    if is_json:
        write_json(rows)
    elif not is_terminal():
        for row in rows:
            click.echo("\t".join(printable(row.get(key)) for key in columns))
    elif not rows:
        click.echo(none)
    else:
        _write_table(rows, columns)


def printable(value: Any) -> str:
    """Give one line of text that a terminal takes for nothing else: what devices sent is shown here, too."""
    text = "" if value is None else str(value)
    return "".join(char if char.isprintable() else repr(char)[1:-1] for char in text)


def _write_table(rows: Sequence[Row], columns: Mapping[str, str]) -> None:
    from rich.console import Console  # noqa: PLC0415  a pipe does without
    from rich.table import Table  # noqa: PLC0415  as above
    from rich.text import Text  # noqa: PLC0415  as above

    table = Table(box=None, pad_edge=False, header_style="bold")
    for heading in columns.values():
        table.add_column(heading, no_wrap=True)
    for row in rows:
        table.add_row(*(Text(printable(row.get(key))) for key in columns))
    console = Console()
    # a line that is too long is for the terminal to break: what is broken within its column cannot be copied
    console.width = max(console.width, console.measure(table, options=console.options.update(width=1000)).maximum)
    console.print(table, soft_wrap=True)
