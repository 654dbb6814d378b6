"""What was measured: figures for people, the same as data for scripts."""

import os
import platform
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any


@dataclass(frozen=True, slots=True)
class Figure:
    """One line of the report."""

    name: str
    value: str
    note: str = ""


@dataclass(frozen=True, slots=True)
class Section:
    """What one measurement found: `data` goes into the JSON under its key."""

    key: str
    figures: Sequence[Figure]
    data: dict[str, Any]


def machine(directory: Path) -> dict[str, Any]:
    """Say what was measured on, as far as it matters: processors, Python, and the file system of the data."""
    return {
        "processors": os.cpu_count(),
        "system": f"{platform.system()} {platform.release()} {platform.machine()}",
        "python": platform.python_version(),
        "fileSystem": _file_system(directory.absolute()),
    }


def as_data(about: dict[str, Any], sections: Sequence[Section]) -> dict[str, Any]:
    """Give the whole report as data."""
    return {"machine": about} | {section.key: section.data for section in sections}


def warnings(about: dict[str, Any]) -> list[str]:
    """Say what makes the figures worth less than they look."""
    if about["fileSystem"] in {"tmpfs", "ramfs"}:
        return [
            "the data directory was in memory, where a commit costs nothing: give --directory a place on a disk",
        ]
    return []


def whole(number: float) -> str:
    """Spell a large number."""
    return f"{number:,.0f}"


def ms(value: float) -> str:
    """Spell milliseconds."""
    return f"{value:,.1f} ms" if value < 100 else f"{value:,.0f} ms"


def _file_system(directory: Path) -> str:
    best, kind = Path("/"), "unknown"
    try:
        mounts = Path("/proc/mounts").read_text(encoding="utf-8").splitlines()
    except OSError:
        return kind
    for line in mounts:
        _, place, system, *_ = line.split(" ")
        if directory.is_relative_to(place) and (kind == "unknown" or len(place) >= len(str(best))):
            best, kind = Path(place), system
    return kind
