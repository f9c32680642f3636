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
from rich.table import Table

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

GOALS: dict[str, tuple[str, float]] = {
    "check_memory_ratio": (">=", 0.7),
    "check_redis_ratio": (">=", 0.45),
    "check_jwt_ratio": (">=", 0.9),
    "jwt_cold_ratio": ("<=", 1.5),
    "patterns_mb_s": (">=", 40.0),
    "patterns_times_presidio": (">=", 500.0),
    "patterns_times_presidio_without_model": (">=", 300.0),
    "safety_mb_s": (">=", 2.0),
    "safety_found_in_10000_characters": ("<", 1.0),
    "names_times_presidio": (">=", 5.0),
    "names_f1_over_presidio": (">=", 0.0),
    "sse_first_text_added_ms": ("<", 5.0),
    "check_redis_five_ratio": (">=", 0.5),
    "check_half_of_saturation": (">=", 0.45),
    "check_half_p99_ms": ("<", 5.0),
    "check_half_p99_ratio": ("<=", 3.0),
    "ledger_times_limits_package": (">=", 2.0),
    "exhausted_times": (">=", 3.0),
    **{f"overspend_{kind}_requests": ("==", 1.0) for kind in overspend.KINDS},
    **{f"overspend_{kind}_tokens": ("<=", 1.0) for kind in overspend.KINDS},
    "scale_memory_bytes_a_key_ratio": ("<=", 1.25),
    "scale_redis_bytes_a_key_ratio": ("<=", 1.25),
    "scale_redis_operations_ratio": ("<=", 1.05),
    "scale_redis_calls": ("==", 1.0),
    "workers_ratio": (">=", 1.7),
    "envoy_charges_a_request": ("==", 1.0),
    "envoy_tidegate_over_empty": (">=", 0.7),
    "envoy_tidegate_times_litellm": (">=", 8.0),
    "envoy_one_call_over_empty": (">=", 0.7),
    "envoy_one_call_times_litellm": (">=", 8.0),
}


def met(figure: str, value: float) -> bool | None:
    """Whether a figure meets its goal; None when it has none."""
    if figure not in GOALS:
        return None
    sign, goal = GOALS[figure]
    return {">=": value >= goal, "<": value < goal, "<=": value <= goal, "==": value == goal}[sign]


def main() -> int:
    """Run every case once."""
    parser = argparse.ArgumentParser(prog="python -m tests.bench")
    parser.add_argument("cases", nargs="*", metavar="CASE")
    parser.add_argument(
        "--seconds", type=float, default=through_envoy.SECONDS, help="of each case that runs for a time"
    )
    wanted = parser.parse_args()
    figures: dict[str, float] = {}
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
                figures |= case()
    table = Table("figure", "value", "goal", "")
    for figure, value in figures.items():
        goal = " ".join(map(str, GOALS[figure])) if figure in GOALS else ""
        table.add_row(figure, f"{value:g}", goal, {True: "ok", False: "MISSED", None: ""}[met(figure, value)])
    Console().print(table)
    print(json.dumps(figures))
    return 0 if all(met(figure, value) is not False for figure, value in figures.items()) else 1


if __name__ == "__main__":
    sys.exit(main())
