"""docs/metrics.md, every metric of a worker: made from its registry, checked against it, or written anew."""

from __future__ import annotations

import io
import sys
from collections.abc import Sequence

from tidegate.clock import SystemClock
from tidegate.metrics import Described
from tidegate.telemetry import Telemetry

from tests.pages import DOCS, held

FILE = DOCS / "metrics.md"
INTRODUCTION = """\
# Metrics

Made by `python -m tests.metrics_reference --write`; a test holds the page to that.

Each worker publishes its own at `--metrics`, path `/metrics`. Labels take only values from the policy or from closed
lists, so nobody who calls can make a series. Times are seconds. A histogram also has `_bucket`, `_sum` and `_count`,
and a counter the time of its birth, `_created`. A dashboard for Grafana and alert rules for Prometheus, whose every
metric is one of these, are in [service/deploy/observability](../service/deploy/observability).

| name | type | labels | meaning |
| --- | --- | --- | --- |
"""


def described() -> list[Described]:
    """What the registry of a worker holds, by name."""
    return sorted(Telemetry(clock=SystemClock(), stream=io.BytesIO()).metrics.described)


def reference() -> str:
    """The whole page."""
    rows = []
    for name, kind, labels, meaning in described():
        shown = ", ".join(f"`{label}`" for label in labels)
        rows.append(f"| `{name}` | {kind} | {shown} | {meaning} |\n")
    return INTRODUCTION + "".join(rows)


def main(arguments: Sequence[str] | None = None) -> int:
    """See `held`."""
    return held(FILE, reference(), "tests.metrics_reference", arguments)


if __name__ == "__main__":
    sys.exit(main())
