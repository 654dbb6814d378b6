"""Counters, gauges and histograms in the Prometheus format."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import TypeVar

import structlog
from prometheus_client import (
    CollectorRegistry,
    Counter,
    Gauge,
    Histogram,
    ProcessCollector,
    disable_created_metrics,
    generate_latest,
)
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

log = structlog.get_logger(__name__)

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"
LATENCY_BUCKETS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)  # seconds

C = TypeVar("C", Counter, Gauge, Histogram)


class Metrics:
    """What this process counts; asking twice for one name gives the same thing."""

    def __init__(self) -> None:
        disable_created_metrics()  # type: ignore[no-untyped-call]  # a `_created` beside every counter doubles the answer and says nothing here
        self._registry = CollectorRegistry()
        self._known: dict[str, tuple[Counter | Gauge | Histogram, tuple[str, ...]]] = {}
        ProcessCollector(registry=self._registry)

    def counter(self, name: str, help: str, labels: Sequence[str] = ()) -> Counter:  # noqa: A002 - Prometheus' word
        """Something that only grows; the name ends with `_total`."""
        _check_total(name)
        return self._get(Counter, name, labels, lambda: Counter(name, help, labels, registry=self._registry))

    def gauge(self, name: str, help: str, labels: Sequence[str] = ()) -> Gauge:  # noqa: A002 - Prometheus' word
        """Something that goes up and down."""
        return self._get(Gauge, name, labels, lambda: Gauge(name, help, labels, registry=self._registry))

    def histogram(
        self,
        name: str,
        help: str,  # noqa: A002 - Prometheus' word
        labels: Sequence[str] = (),
        *,
        buckets: Sequence[float] = LATENCY_BUCKETS,
    ) -> Histogram:
        """How something is distributed; the buckets fit seconds."""
        return self._get(
            Histogram, name, labels, lambda: Histogram(name, help, labels, registry=self._registry, buckets=buckets)
        )

    def gauge_from(
        self,
        name: str,
        help: str,  # noqa: A002 - Prometheus' word
        read: Callable[[], float],
        labels: Mapping[str, str] | None = None,
    ) -> None:
        """Read a gauge when somebody asks; one that fails to read is not a number, and spoils no other."""
        labels = labels or {}
        gauge = self.gauge(name, help, tuple(labels))
        (gauge.labels(**labels) if labels else gauge).set_function(_forgiving(name, read))

    def gauges_from(self, name: str, help: str, label: str, read: Callable[[], Mapping[str, float]]) -> None:  # noqa: A002
        """Read a gauge for each value of a label when somebody asks."""
        self._registry.register(_Gauges(name, help, label, read))

    def counter_from(self, name: str, help: str, read: Callable[[], float]) -> None:  # noqa: A002 - Prometheus' word
        """Read a counter when somebody asks: an attribute that grows is all that a message can afford."""
        _check_total(name)
        self._registry.register(_Counted(name, help, read))

    def render(self) -> bytes:
        """All of it, as Prometheus reads it."""
        return generate_latest(self._registry)

    def _get(self, kind: type[C], name: str, labels: Sequence[str], make: Callable[[], C]) -> C:
        known = self._known.get(name)
        if known is None:
            made = make()
            self._known[name] = (made, tuple(labels))
            return made
        metric, known_labels = known
        if not isinstance(metric, kind) or known_labels != tuple(labels):
            raise ValueError(f"metric {name} is already there, of another kind or with other labels")
        return metric


def _check_total(name: str) -> None:
    if not name.endswith("_total"):
        raise ValueError(f"the name of the counter {name} does not end with _total")


class _Gauges(Collector):
    def __init__(self, name: str, help_: str, label: str, read: Callable[[], Mapping[str, float]]) -> None:
        self._name, self._help, self._label, self._read = name, help_, label, read

    def collect(self) -> Iterable[Metric]:
        family = GaugeMetricFamily(self._name, self._help, labels=[self._label])
        try:
            read = self._read()
        except Exception:  # as below
            log.exception("gauge_failed", gauge=self._name)
            read = {}
        for value, number in read.items():
            family.add_metric([value], number)
        yield family


class _Counted(Collector):
    def __init__(self, name: str, help_: str, read: Callable[[], float]) -> None:
        self._name, self._help, self._read = name, help_, read

    def collect(self) -> Iterable[Metric]:
        yield CounterMetricFamily(self._name, self._help, value=self._read())


def _forgiving(name: str, read: Callable[[], float]) -> Callable[[], float]:
    def read_or_nan() -> float:
        try:
            return read()
        except Exception:  # whatever a module's callback raises, the others are still read
            log.exception("gauge_failed", gauge=name)
            return float("nan")

    return read_or_nan
