"""What a fleet is like: a YAML file as frozen models."""

from importlib.resources import as_file, files
from pathlib import Path
from typing import Annotated, Any, Self

from pydantic import Field, StringConstraints, model_validator

from kaa.core.config import Duration, Settings, load

MOST_DEVICES = 100_000
SAMPLE = files("kaa.simulate") / "sample.yml"

Name = Annotated[str, StringConstraints(pattern=r"^[a-z0-9_-]{1,32}$")]


class Walk(Settings):
    """A number that goes up and down by chance, `step` at most each time, between `min` and `max`."""

    start: float = 0
    step: float = Field(1, gt=0)
    min: float | None = None
    max: float | None = None


class Wave(Settings):
    """A number that swings about `mean` by `amplitude`, once in `period`, with some `noise`."""

    mean: float = 0
    amplitude: float = 1
    period: Duration = Field(86_400_000, ge=1_000)
    noise: float = Field(0, ge=0)


class Counter(Settings):
    """A number that only grows, by about `rate` a second."""

    start: float = 0
    rate: float = Field(1, gt=0)


class Signal(Settings):
    """How a value comes about: one of `walk`, `wave`, `counter` and `choice` (any of some values)."""

    walk: Walk | None = None
    wave: Wave | None = None
    counter: Counter | None = None
    choice: tuple[str | bool | float, ...] = ()
    digits: int = Field(2, ge=0, le=9)

    @model_validator(mode="after")
    def _is_one(self) -> Self:
        if sum((self.walk is not None, self.wave is not None, self.counter is not None, bool(self.choice))) != 1:
            raise ValueError("say one of walk, wave, counter and choice")
        return self


class Fleet(Settings):
    """Devices of one kind.

    `per_connection` of them share a connection, as behind a gateway. With `timestamp` each sample carries its own time
    under that name; `batch` samples are gathered and sent together.
    """

    count: int = Field(1, ge=1, le=MOST_DEVICES)
    per_connection: int = Field(1, ge=1, le=1_000)
    interval: Duration = Field(10_000, ge=10)
    batch: int = Field(1, ge=1, le=1_000)
    timestamp: str | None = Field(None, min_length=1)
    metadata: dict[str, Any] = Field(default_factory=dict)
    values: dict[str, Signal] = Field(min_length=1)


class Simulation(Settings):
    """All fleets, and the application that they belong to; `settings` are its settings by service instance."""

    application: Name = "simulation"
    version: Name = "v1"
    settings: dict[str, dict[str, Any]] = Field(default_factory=dict)
    ramp: Duration = 2_000
    """The time over which the connections are spread."""
    fleets: dict[Name, Fleet] = Field(min_length=1)

    @model_validator(mode="after")
    def _is_bounded(self) -> Self:
        if (count := sum(fleet.count for fleet in self.fleets.values())) > MOST_DEVICES:
            raise ValueError(f"fleets: {count} devices are too many; {MOST_DEVICES} are the most")
        return self


def read(file: Path | None) -> Simulation:
    """Read a description, or the sample where there is none; ConfigError has file, line and key of what is wrong."""
    if file is not None:
        return load(Simulation, file=file, environ={}, flags={})
    with as_file(SAMPLE) as sample:
        return load(Simulation, file=sample, environ={}, flags={})
