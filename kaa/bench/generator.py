"""The load process, seen from the bench: gets a job, gives what came of it."""

import json
import select
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from kaa.bench.jobs import (
    Attend,
    Attended,
    BenchError,
    Configured,
    Connected,
    Flood,
    Flooded,
    Idle,
    Job,
    Pace,
    Paced,
    encode,
)
from kaa.bench.processes import read_line, started

_GRACE_S = 60.0


class Working:
    """A load process at work."""

    def __init__(self, process: "subprocess.Popen[bytes]", errors: Path) -> None:
        self._process, self._errors = process, errors

    def is_done(self) -> bool:
        """Whether it has answered."""
        assert self._process.stdout is not None
        return bool(select.select([self._process.stdout], [], [], 0)[0])

    def end(self) -> None:
        """Tell it to come to an end."""
        assert self._process.stdin is not None
        self._process.stdin.close()

    def answer(self, *, within_s: float) -> dict[str, Any]:
        """Wait for its answer; BenchError if it is an error."""
        answer: dict[str, Any] = json.loads(read_line(self._process, within_s=within_s, errors=self._errors))
        if "error" in answer:
            raise BenchError(f"the load could not be sent: {answer['error']}")
        return answer


@contextmanager
def working(job: Job) -> Iterator[Working]:
    """Have a load process do a job while the block lasts."""
    with tempfile.TemporaryDirectory(prefix="kaa-bench-") as place:
        errors = Path(place) / "errors"
        with started("kaa.bench.load", errors=errors) as process:
            assert process.stdin is not None
            process.stdin.write(encode(job).encode() + b"\n")
            process.stdin.flush()
            yield Working(process, errors)


def flood(job: Flood) -> Flooded:
    """Send a flood; BenchError if a message of it was refused."""
    with working(job) as load:
        done = Flooded(**load.answer(within_s=job.seconds + _GRACE_S))
    if done.refused:
        raise BenchError(f"{done.refused} messages were refused: {done.refusal}")
    return done


@contextmanager
def pacing(job: Pace) -> Iterator[Working]:
    """Send by the clock while the block lasts; `paced` gives the times."""
    with working(job) as load:
        yield load


def paced(job: Pace, load: Working) -> Paced:
    """Wait for the times."""
    return Paced(**load.answer(within_s=job.warm_up + job.seconds + _GRACE_S))


@contextmanager
def idling(job: Idle) -> Iterator[Connected]:
    """Keep clients connected while the block lasts."""
    with working(job) as load:
        yield Connected(**load.answer(within_s=_GRACE_S + job.connections / 100))


class Attending:
    """Devices that are there: they run commands, take configurations and send telemetry."""

    def __init__(self, load: Working) -> None:
        self._load = load

    def configured(self, number: int, *, within_s: float = _GRACE_S) -> float:
        """Wait until the devices have a configuration; gives since when. They must be waited for one by one."""
        done = Configured(**self._load.answer(within_s=within_s))
        if done.number != number:
            raise BenchError(f"configuration {done.number} came to the devices instead of {number}")
        return done.at

    def end(self) -> Attended:
        """Have them go, and give what they have noted."""
        self._load.end()
        return Attended(**self._load.answer(within_s=_GRACE_S))


@contextmanager
def attending(job: Attend) -> Iterator[Attending]:
    """Have devices there while the block lasts."""
    with working(job) as load:
        Connected(**load.answer(within_s=_GRACE_S + len(job.tokens) / 100))
        yield Attending(load)
