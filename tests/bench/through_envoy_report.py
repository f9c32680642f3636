"""What `through_envoy` found: its figures, and two tables, of what a caller sees and of where processor time goes."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Final

from rich.table import Table

from tests.bench.report import new_table
from tests.bench.through_envoy_case import LOOPS, Case

_TIMES: Final = {"closed": ("p50", "p99"), "open": ("p50", "p99", "late"), "streams": ()}
_GROUPS: Final = {"policy": "workers", "proxy": "proxy", "redis": "Redis", "model": "model", "generator": "generator"}


def figures(found: Sequence[Case]) -> dict[str, float]:
    """What `make bench` prints."""
    by_name = {case.name: case for case in found}
    alone, ours = by_name["alone"], by_name["tidegate"]
    result = {f"envoy_{case.name}_per_s": float(round(case.rate())) for case in found}
    result |= {
        f"envoy_{case.name}_streams_per_s": float(round(case.rate("streams")))
        for case in found
        if case.turns["streams"]
    }
    empty, one_call = by_name["empty"].rate(), by_name["tidegate_one_call"].rate()
    proxy = by_name["litellm"].rate() if "litellm" in by_name else math.inf
    result["envoy_litellm_lost"] = float(sum(case.lost for case in found))
    result["envoy_tidegate_over_empty"] = round(ours.rate() / empty, 3)
    result["envoy_tidegate_times_litellm"] = round(ours.rate() / proxy, 2)
    result["envoy_one_call_over_empty"] = round(one_call / empty, 3)
    result["envoy_one_call_over_its_empty"] = round(one_call / by_name["empty_one_call"].rate(), 3)
    result["envoy_one_call_times_litellm"] = round(one_call / proxy, 2)
    for case in found[1:]:
        for loop in ("closed", "open"):
            for what in ("p50", "p99"):
                added = case.median(loop, what) - alone.median(loop, what)
                result[f"envoy_{case.name}_{loop}_{what}_added_ms"] = round(added * 1000, 2)
    for case in found:
        result[f"envoy_{case.name}_cpu_us"] = float(round(sum(map(case.cpu_us, case.groups))))
    return result


def tables(found: Sequence[Case]) -> tuple[Table, Table]:
    """One line a case in each."""
    return _seen(found), _spent(found)


def _seen(found: Sequence[Case]) -> Table:
    shown = new_table("Through Envoy: what callers see")
    shown.add_column("case")
    shown.add_column("loop")
    for name in ("per s", "p50 ms", "p99 ms", "sent late ms"):
        shown.add_column(name, justify="right")
    for case in found:
        for loop in LOOPS[1:]:
            if case.turns[loop]:
                times = [f"{case.median(loop, what) * 1000:,.2f}" for what in _TIMES[loop]]
                shown.add_row(case.name, loop, f"{case.rate(loop):,.0f}", *times)
        shown.add_section()
    return shown


def _spent(found: Sequence[Case]) -> Table:
    shown = new_table("Through Envoy: processor time a request, closed loop, microseconds")
    shown.add_column("case")
    for name in ("servers", *_GROUPS.values()):
        shown.add_column(name, justify="right")
    for case in found:
        groups = (*case.groups, "generator")
        parts = [f"{case.cpu_us(group):,.0f}" if group in groups else "" for group in _GROUPS]
        shown.add_row(case.name, f"{sum(map(case.cpu_us, case.groups)):,.0f}", *parts)
    return shown
