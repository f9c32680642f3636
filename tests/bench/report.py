"""The tables of `make bench`, for terminals of 80 columns: what has a goal first, and then all the rest, by case."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from rich import box
from rich.table import Table

from tests.bench.goals import GOALS, met

_VERDICTS: Final = {True: "ok", False: "MISSED"}


def new_table(title: str) -> Table:
    """Without columns yet."""
    return Table(title=title, title_justify="left", title_style="bold", box=box.SIMPLE_HEAD, pad_edge=False)


def tables(found: Mapping[str, Mapping[str, float]]) -> tuple[Table, Table]:
    """Of the figures by case: those that have a goal, and those that have none."""
    missed = sum(met(figure, value) is False for figures in found.values() for figure, value in figures.items())
    goals = new_table(f"Goals: {missed} missed" if missed else "Goals: all met")
    rest = new_table("What has no goal")
    for table in goals, rest:
        table.add_column("figure", no_wrap=True)
        table.add_column("value", justify="right", no_wrap=True)
    goals.add_column("goal", no_wrap=True)
    goals.add_column("", no_wrap=True)
    for figures in found.values():
        for figure, value in figures.items():
            verdict = met(figure, value)
            if verdict is None:
                rest.add_row(figure, _shown(value))
            else:
                sign, goal = GOALS[figure]
                goals.add_row(figure, _shown(value), f"{sign} {goal:g}", _VERDICTS[verdict])
        for table in goals, rest:
            table.add_section()
    return goals, rest


def _shown(value: float) -> str:
    return f"{value:,.0f}" if value >= 1000 else f"{value:g}"
