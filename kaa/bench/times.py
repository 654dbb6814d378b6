"""How long things took: the quantiles that matter."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, Self

from kaa.bench.jobs import Attended, BenchError
from kaa.bench.report import Figure, ms


def quantile(ordered: list[float], share: float) -> float:
    """Give the value that so large a share lies below; of some that are ordered."""
    return ordered[min(len(ordered) - 1, int(len(ordered) * share))]


@dataclass(frozen=True, slots=True, kw_only=True)
class Times:
    """So many times, in milliseconds."""

    count: int
    p50_ms: float
    p99_ms: float
    max_ms: float

    @classmethod
    def of(cls, seconds: Iterable[float]) -> Self:
        """Sum up what was measured; BenchError if that is nothing."""
        ordered = sorted(seconds)
        if not ordered:
            raise BenchError("nothing was measured: the time was too short")
        return cls(
            count=len(ordered),
            p50_ms=quantile(ordered, 0.50) * 1000,
            p99_ms=quantile(ordered, 0.99) * 1000,
            max_ms=ordered[-1] * 1000,
        )

    def figure(self, name: str, note: str) -> Figure:
        """Give the line of the report."""
        return Figure(name, f"p50 {ms(self.p50_ms)}, p99 {ms(self.p99_ms)}", f"{note}; longest {ms(self.max_ms)}")

    def data(self) -> dict[str, Any]:
        """Give the figures as data."""
        return {
            "count": self.count,
            "p50Ms": round(self.p50_ms, 3),
            "p99Ms": round(self.p99_ms, 3),
            "maxMs": round(self.max_ms, 3),
        }


def between(done: Attended, begun: float, until: float) -> Times:
    """Sum up the telemetry that was due within a window."""
    return Times.of(took for due, took in zip(done.due, done.took_s, strict=True) if begun <= due < until)
