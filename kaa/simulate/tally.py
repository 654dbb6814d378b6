"""What a fleet has done so far."""

from collections import deque
from dataclasses import dataclass, field
from statistics import median
from typing import Any

_RECENT = 1_000


@dataclass(slots=True)
class Tally:
    """The counts of one fleet."""

    fleet: str
    devices: int
    connections: int
    connected: int = 0
    sent: int = 0
    stored: int = 0
    refused: int = 0
    commands: int = 0
    configurations: int = 0
    last_refusal: str = ""
    times_ms: deque[float] = field(default_factory=lambda: deque(maxlen=_RECENT))
    """How long the last answers took."""

    def row(self) -> dict[str, Any]:
        """Give it as a row for people and scripts."""
        return {
            "fleet": self.fleet,
            "devices": self.devices,
            "connections": self.connections,
            "connected": self.connected,
            "sent": self.sent,
            "stored": self.stored,
            "refused": self.refused,
            "medianMs": round(median(self.times_ms), 1) if self.times_ms else None,
            "commands": self.commands,
            "configurations": self.configurations,
            "lastRefusal": self.last_refusal or None,
        }


COLUMNS = {
    "fleet": "fleet",
    "devices": "devices",
    "connections": "connections",
    "connected": "connected",
    "sent": "sent",
    "stored": "stored",
    "refused": "refused",
    "medianMs": "median ms",
    "commands": "commands",
    "configurations": "configurations",
}
