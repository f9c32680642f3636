"""What the bench prints can be read on a terminal of 80 columns: nothing is cut, and no word stands in two lines."""

from __future__ import annotations

import io
from collections import Counter

import pytest
from rich.console import Console
from rich.table import Table

from tests.bench.goals import GOALS
from tests.bench.report import tables
from tests.bench.through_envoy_case import LOOPS, Case
from tests.bench.through_envoy_report import figures
from tests.bench.through_envoy_report import tables as tables_of


def printed(*shown: Table) -> list[str]:
    console = Console(width=80, file=io.StringIO())
    for table in shown:
        console.print(table)
    return console.file.getvalue().splitlines()  # type: ignore[attr-defined,no-any-return]


def case(name: str, *groups: str) -> Case:
    made = Case(name, 1, "", dict.fromkeys(("proxy", *groups, "model"), (1,)), "")
    cpu = dict.fromkeys((*made.groups, "generator"), 12.0)
    turn = {"answers": 9876, "wall": 0.1, "p50": 0.1234, "p99": 1.2345, "late": 0.0123, "cpu": cpu}
    made.turns = {loop: [turn] for loop in LOOPS}
    return made


CASES = [
    case("alone"),
    case("empty", "policy"),
    case("tidegate", "policy", "redis"),
    case("empty_one_call", "policy"),
    case("tidegate_one_call", "policy", "redis"),
    case("litellm"),
]


def test_every_figure_and_its_goal_stand_in_a_line() -> None:
    envoy = figures(CASES)
    found = {"others": dict.fromkeys(GOALS.keys() - envoy.keys(), 1234567.8), "through_envoy": envoy}
    lines = printed(*tables(found))
    assert max(map(len, lines)) <= 80
    for name, value in {**found["others"], **envoy}.items():
        (line,) = [line.split() for line in lines if line.split()[:1] == [name]]
        assert line[1] == (f"{value:,.0f}" if value >= 1000 else f"{value:g}")
        if name in GOALS:
            sign, goal = GOALS[name]
            assert line[2:4] == [sign, f"{goal:g}"]


@pytest.mark.parametrize(
    ("value", "title", "verdict"), [(9.0, "Goals: all met", "ok"), (0.1, "Goals: 1 missed", "MISSED")]
)
def test_what_is_missed_is_said_in_the_title_and_beside_the_figure(value: float, title: str, verdict: str) -> None:
    lines = printed(*tables({"exhausted": {"exhausted_times": value, "exhausted_asked_per_s": 1.0}}))
    assert lines[0].strip() == title
    assert [line.split() for line in lines if "exhausted_times" in line] == [
        ["exhausted_times", f"{value:g}", ">=", "3", verdict]
    ]


def test_every_case_through_envoy_is_a_line_of_both_tables() -> None:
    lines = printed(*tables_of(CASES))
    assert max(map(len, lines)) <= 80
    rows = [line.split() for line in lines]
    assert [row for row in rows if row[:1] == ["tidegate"]] == [
        ["tidegate", "closed", "98,760", "123.40", "1,234.50"],
        ["tidegate", "open", "98,760", "123.40", "1,234.50", "12.30"],
        ["tidegate", "streams", "98,760"],
        ["tidegate", "4,860", "1,215", "1,215", "1,215", "1,215", "1,215"],
    ]
    assert Counter(row[0] for row in rows if row) >= Counter({one.name: 4 for one in CASES})
