"""How far it is, told at a terminal and nowhere else."""

import io

from kaa.cli.progress import progress


class Terminal(io.StringIO):
    def isatty(self):
        return True


def told(monkeypatch, stream):
    monkeypatch.setattr("sys.stderr", stream)
    with progress() as watch:
        watch.advance(1)  # before anything has begun
        watch.begin("unpacking", 1000)
        watch.advance(500)
        watch.begin("checking")
        watch.advance(1)
    return stream.getvalue()


def test_somebody_at_a_terminal_is_told(monkeypatch):
    assert "checking" in told(monkeypatch, Terminal())


def test_a_pipe_is_told_nothing(monkeypatch):
    assert not told(monkeypatch, io.StringIO())
