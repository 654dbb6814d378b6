"""Everything that can be measured, in the order in which it is."""

import signal
import tempfile
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from pathlib import Path
from types import FrameType
from typing import Any

from kaa.bench import (
    measure_deep,
    measure_disk,
    measure_latency,
    measure_memory,
    measure_scale,
    measure_services,
    measure_throughput,
)
from kaa.bench.report import Section, machine
from kaa.bench.setup import Say, Setup

MEASUREMENTS = {
    "throughput": measure_throughput.measure,
    "latency": measure_latency.measure,
    "memory": measure_memory.measure,
    "disk": measure_disk.measure,
    "services": measure_services.measure,
    "scale": measure_scale.measure,
    "deep": measure_deep.measure,
}


def measure(setup: Setup, which: Collection[str], say: Say) -> tuple[dict[str, Any], list[Section]]:
    """Measure; gives what was measured on, and what was found."""
    with _stopped_by_sigterm():
        sections = [run(setup, say) for name, run in MEASUREMENTS.items() if name in which]
    return machine(setup.directory or Path(tempfile.gettempdir())), sections


@contextmanager
def _stopped_by_sigterm() -> Iterator[None]:
    """Let SIGTERM unwind as Ctrl-C does, so that no process and no directory is left."""

    def stop(_number: int, _frame: FrameType | None) -> None:
        raise KeyboardInterrupt

    before = signal.signal(signal.SIGTERM, stop)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)
