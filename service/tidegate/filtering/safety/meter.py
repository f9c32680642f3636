"""What moderation services were asked, as metrics: of the policy in force, and of those before it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator
from typing import Final

from prometheus_client.core import CounterMetricFamily
from prometheus_client.metrics_core import Metric
from prometheus_client.registry import Collector

from tidegate.filtering.safety.usage import Usage
from tidegate.filtering.spotting import Spotter
from tidegate.metrics import Described

MODERATION: Final = (
    Described(
        "tidegate_moderation_calls_total",
        "counter",
        ("service", "outcome"),
        "Calls to moderation services, made or not",
    ),
    Described(
        "tidegate_moderation_characters_total", "counter", ("service",), "Characters sent to moderation services"
    ),
    Described(
        "tidegate_moderation_passages_total",
        "counter",
        ("service", "judged_by"),
        "Passages that a moderation service was to judge",
    ),
)
_Counts = Counter[tuple[str, str]]  # by service, and outcome or judge


class ModerationMeter(Collector):
    """Reads what the spotters of a policy count, when it is asked to. What is counted never goes down."""

    def __init__(self) -> None:
        self._running: list[tuple[str, Usage]] = []
        self._over: list[_Counts] = [Counter(), Counter(), Counter()]

    def follow(self, spotters: Iterable[Spotter]) -> None:
        """A policy came into force."""
        running = [
            (str(getattr(spotter, "name", "")), usage)
            for spotter in spotters
            if isinstance(usage := getattr(spotter, "usage", None), Usage)
        ]
        self._over, self._running = self._counts(), running

    def collect(self) -> Iterator[Metric]:
        """The metrics, for Prometheus."""
        calls, characters, passages = self._counts()
        for (name, _, labels, text), counts in zip(MODERATION, (calls, characters, passages), strict=True):
            metric = CounterMetricFamily(name.removesuffix("_total"), text, labels=labels)
            for label, count in sorted(counts.items()):
                metric.add_metric(label[: len(labels)], count)
            yield metric

    def _counts(self) -> list[_Counts]:
        counts = [Counter(old) for old in self._over]
        for service, usage in self._running:
            calls, characters, passages = usage.snapshot()
            counts[0].update({(service, outcome): count for outcome, count in calls.items()})
            counts[1].update({(service, ""): characters})
            counts[2].update({(service, by): count for by, count in passages.items()})
        return counts
