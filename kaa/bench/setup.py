"""What is to be measured, and how long."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

WARM_UP_S = 0.5
Say = Callable[[str], None]
"""Tells the one who waits what is going on."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Against:
    """Another MQTT server to take the ratio to; `{i}` in the topic is the number of the connection."""

    host: str
    port: int
    topic: str

    def topics(self, count: int) -> tuple[str, ...]:
        """Spell the topics of so many connections."""
        return tuple(self.topic.replace("{i}", str(number)) for number in range(count))


@dataclass(frozen=True, slots=True, kw_only=True)
class Setup:
    """The options of `kaa bench`."""

    seconds: float = 5.0
    runs: int = 3
    connections: int = 10
    in_flight: int = 20
    rate: int = 5_000
    rate_connections: int = 50
    idle_connections: int = 5_000
    points: int = 10_000_000
    service_connections: int = 1_000
    service_rate: int = 1_000
    endpoints: int = 100_000
    connected: int = 10_000
    against: Against | None = None
    directory: Path | None = None
