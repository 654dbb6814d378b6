"""What commands write where."""

import json

import pytest

from kaa.cli import output

ROWS = [{"endpointId": "e-1", "what": "[red]x\x1b[0m"}]
COLUMNS = {"endpointId": "endpoint", "what": "what"}


@pytest.fixture
def at_terminal(monkeypatch):
    monkeypatch.setattr(output, "is_terminal", lambda: True)


def test_a_person_gets_a_table_with_headings(at_terminal, capsys):
    output.write_rows(ROWS, COLUMNS, is_json=False)
    assert [line.split() for line in capsys.readouterr().out.splitlines()] == [
        ["endpoint", "what"],
        ["e-1", "[red]x\\x1b[0m"],
    ]


def test_a_person_is_told_that_there_is_nothing(at_terminal, capsys):
    output.write_rows([], COLUMNS, is_json=False, none="there is nothing")
    assert capsys.readouterr().out == "there is nothing\n"


def test_a_pipe_gets_lines(capsys):
    output.write_rows(ROWS, COLUMNS, is_json=False)
    assert capsys.readouterr().out == "e-1\t[red]x\\x1b[0m\n"


def test_a_pipe_gets_nothing_if_there_is_nothing(capsys):
    output.write_rows([], COLUMNS, is_json=False, none="there is nothing")
    assert not capsys.readouterr().out


def test_a_script_gets_all(capsys):
    output.write_rows(ROWS, {"endpointId": "endpoint"}, is_json=True)
    assert json.loads(capsys.readouterr().out) == ROWS
