"""`make bench`: each figure beside its goal, measured in one run; the last line is JSON. Exit 1 on a missed goal.

`python -m tests.bench CASE ...` runs some cases only; `--seconds` is for those that are measured by time.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
from pathlib import Path

from rich.console import Console

from tests.bench import (
    check,
    exhausted,
    names,
    overspend,
    patterns,
    peer,
    safety,
    scale,
    sse,
    through_envoy,
    tokens,
    workers,
)
from tests.bench.goals import met
from tests.bench.report import tables


def main() -> int:
    """Run every case once."""
    parser = argparse.ArgumentParser(prog="python -m tests.bench")
    parser.add_argument("cases", nargs="*", metavar="CASE")
    parser.add_argument(
        "--seconds", type=float, default=through_envoy.SECONDS, help="of each case that runs for a time"
    )
    wanted = parser.parse_args()
    found: dict[str, dict[str, float]] = {}
    with tempfile.TemporaryDirectory() as scratch:
        base = Path(scratch)
        for name, case in (
            ("check", lambda: check.measure(base / "check")),
            ("tokens", lambda: tokens.measure(base / "tokens")),
            ("patterns", patterns.measure),
            ("safety", safety.measure),
            ("names", names.measure),
            ("overspend", lambda: overspend.measure(base / "overspend")),
            ("peer", lambda: peer.measure(base / "peer")),
            ("exhausted", lambda: exhausted.measure(base / "exhausted")),
            ("scale", lambda: scale.measure(base / "scale")),
            ("sse", lambda: sse.measure(base / "sse")),
            ("workers", lambda: workers.measure(base / "workers", seconds=wanted.seconds)),
            ("through_envoy", lambda: through_envoy.measure(base / "through_envoy", seconds=wanted.seconds)),
        ):
            if not wanted.cases or name in wanted.cases:
                found[name] = case()
    for table in tables(found):
        if table.row_count:
            Console().print(table)
    figures = {figure: value for each in found.values() for figure, value in each.items()}
    print(json.dumps(figures))
    return 0 if all(met(figure, value) is not False for figure, value in figures.items()) else 1


if __name__ == "__main__":
    sys.exit(main())
