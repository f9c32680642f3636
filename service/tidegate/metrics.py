"""The metrics of one process, declared: a registry that can say what it holds before anything happened."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any, Final, Literal, NamedTuple

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram
from prometheus_client.core import GaugeMetricFamily
from prometheus_client.metrics_core import Metric
from prometheus_client.registry import Collector

PREFIX: Final = "tidegate_"
SECONDS: Final = (0.0001, 0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)
"""Upper bounds of the buckets of what should take milliseconds, and may take what identity providers, queues, language
models and long answers do."""
Kind = Literal["counter", "gauge", "histogram"]


class Described(NamedTuple):
    """One metric as Prometheus knows it: the name of a counter ends in `_total`."""

    name: str
    kind: Kind
    labels: tuple[str, ...]
    meaning: str


class Metrics:
    """Makes metrics and registers them. Names go without the prefix, and those of counters without `_total`."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        self.described: list[Described] = []

    def counter(self, name: str, meaning: str, labels: tuple[str, ...] = ()) -> Any:
        """What only grows."""
        self.described.append(Described(f"{PREFIX}{name}_total", "counter", labels, meaning))
        return Counter(PREFIX + name, meaning, labels, registry=self.registry)

    def gauge(self, name: str, meaning: str, labels: tuple[str, ...] = ()) -> Any:
        """What goes up and down."""
        self.described.append(Described(PREFIX + name, "gauge", labels, meaning))
        return Gauge(PREFIX + name, meaning, labels, registry=self.registry)

    def histogram(self, name: str, meaning: str, buckets: tuple[float, ...], labels: tuple[str, ...] = ()) -> Any:
        """What is distributed; `buckets` are upper bounds, in the unit that the name ends in."""
        self.described.append(Described(PREFIX + name, "histogram", labels, meaning))
        return Histogram(PREFIX + name, meaning, labels, registry=self.registry, buckets=buckets)

    def read(self, name: str, meaning: str, look: Callable[[], Iterable[tuple[str, float]]], label: str = "") -> None:
        """A gauge that is looked up when somebody asks: values, by the value of `label` where it has one."""
        labels = (label,) if label else ()
        self.described.append(Described(PREFIX + name, "gauge", labels, meaning))
        self.registry.register(_Read(PREFIX + name, meaning, labels, look))

    def collector(self, collector: Collector, *described: Described) -> None:
        """Metrics that somebody else counts."""
        self.described += described
        self.registry.register(collector)


class _Read(Collector):
    def __init__(
        self, name: str, meaning: str, labels: tuple[str, ...], look: Callable[[], Iterable[tuple[str, float]]]
    ) -> None:
        self._family = name, meaning, labels
        self._look = look

    def collect(self) -> Iterable[Metric]:
        name, meaning, labels = self._family
        family = GaugeMetricFamily(name, meaning, labels=labels)
        for value, reading in self._look():
            family.add_metric((value,) if labels else (), reading)
        return [family]
