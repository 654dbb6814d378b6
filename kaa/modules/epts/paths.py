"""Paths into a sample: `latitude`, `location.lat`, `$.location.lat`, `readings[0].value`, `$['odd name']`."""

import re
from collections.abc import Callable
from typing import Any

_STEP = re.compile(r"""\.?([^.\[\]'"$]+)|\[(\d{1,6})\]|\[(?:'([^']+)'|"([^"]+)")\]""")

MISSING: Any = type("Missing", (), {"__repr__": lambda _: "MISSING"})()
"""What a path finds where there is nothing; null is something."""


def compile_path(path: str) -> Callable[[Any], Any]:
    """Make the function that follows a path, and gives MISSING where it leads nowhere; ValueError if it is no path."""
    steps = _steps(path)
    if len(steps) == 1 and isinstance(steps[0], str):
        name = steps[0]
        return lambda sample: sample.get(name, MISSING) if type(sample) is dict else MISSING

    def follow(sample: Any) -> Any:
        for step in steps:
            if isinstance(step, str):
                if type(sample) is not dict or step not in sample:
                    return MISSING
                sample = sample[step]
            elif type(sample) is list and step < len(sample):
                sample = sample[step]
            else:
                return MISSING
        return sample

    return follow


def _steps(path: str) -> list[str | int]:
    rest = path.removeprefix("$") if path.startswith(("$.", "$[")) else path
    steps: list[str | int] = []
    at = 0
    while at < len(rest) and (found := _STEP.match(rest, at)) is not None:
        name, index, single, double = found.groups()
        if name is not None and (steps and rest[at] != "."):
            break
        steps.append(int(index) if index is not None else name or single or double)
        at = found.end()
    if not steps or at < len(rest) or len(path) > 256:
        raise ValueError(f"{path[:80]!r} is no path; write it like temperature, location.lat or readings[0].value")
    return steps
