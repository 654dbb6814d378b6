"""Processes that the bench starts, and that never outlive it."""

import os
import select
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from time import perf_counter

from kaa.bench.jobs import BenchError

_STOP_S = 12.0


@contextmanager
def started(*module_and_arguments: str, errors: Path) -> Iterator["subprocess.Popen[bytes]"]:
    """Run `python -m …` while the block lasts; what it says on standard error goes into a file."""
    command = [sys.executable, "-m", *module_and_arguments]
    # the variables that configure this command would configure that server, too
    environ = {name: text for name, text in os.environ.items() if not name.startswith("KAA_")}  # noqa: TID251  passed on
    with errors.open("wb") as said:
        process = subprocess.Popen(  # noqa: S603  ourselves, with arguments of our own
            command,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=said,
            env=environ,
            start_new_session=True,  # Ctrl-C is for the bench, which ends them in order
        )
        try:
            yield process
        finally:
            _stop(process)


def read_line(process: "subprocess.Popen[bytes]", *, within_s: float, errors: Path) -> str:
    """Give the next line that a process writes; BenchError if it ends before, or takes too long."""
    assert process.stdout is not None
    got, deadline = b"", perf_counter() + within_s
    while not got.endswith(b"\n"):
        ready, _, _ = select.select([process.stdout], [], [], max(0.0, deadline - perf_counter()))
        piece = os.read(process.stdout.fileno(), 65_536) if ready else b""
        if not piece:
            why = "did not say anything" if not ready else "ended at once"
            raise BenchError(f"{_name(process.args)} {why}{_last_words(errors)}")
        got += piece
    return got.decode().splitlines()[-1]


def resident_bytes(pid: int) -> int:
    """Give the memory that a process has in use."""
    return _status(pid, "VmRSS")


def _status(pid: int, name: str) -> int:
    for line in Path(f"/proc/{pid}/status").read_text(encoding="ascii").splitlines():
        key, _, value = line.partition(":")
        if key == name:
            return int(value.split()[0]) * 1024
    raise BenchError(f"the system does not tell {name} of a process")


def cpu_seconds(pid: int) -> float:
    """Give the time that a process has spent on the processors."""
    fields = Path(f"/proc/{pid}/stat").read_text(encoding="ascii").rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def _stop(process: "subprocess.Popen[bytes]") -> None:
    for pipe in (process.stdin, process.stdout):
        if pipe is not None:
            pipe.close()
    if process.poll() is None:
        process.terminate()
        try:
            process.wait(_STOP_S)
        except subprocess.TimeoutExpired:
            process.kill()
        except BaseException:  # a second Ctrl-C
            process.kill()
            raise
    process.wait()


def _name(command: object) -> str:
    return str(command[2]) if isinstance(command, Sequence) else str(command)


def _last_words(errors: Path) -> str:
    said = errors.read_text(encoding="utf-8", errors="replace").strip().splitlines()
    return f": {said[-1]}" if said else ""
