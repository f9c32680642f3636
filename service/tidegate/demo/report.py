"""The table that a person reads."""

from __future__ import annotations

from collections.abc import Iterable
from itertools import groupby

from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.table import Table
from rich.text import Text

from tidegate.demo.scenarios.scenario import Row

WIDTH = 120


def console() -> Console:
    """As wide as the terminal, and wide enough for the table where there is none."""
    real = Console()
    return real if real.is_terminal else Console(width=WIDTH)


def table(rows: Iterable[Row]) -> Table:
    """One line a scenario, one section a question."""
    shown = Table(title="tidegate demo", title_justify="left", box=SIMPLE_HEAD, pad_edge=False)
    shown.add_column("what was tried", max_width=40)
    shown.add_column("expected", max_width=24)
    shown.add_column("got", overflow="fold")
    shown.add_column("", no_wrap=True)
    for group, members in groupby(rows, key=lambda row: row.scenario.group):
        shown.add_row(Text(group, style="bold cyan"))
        for row in members:
            verdict = Text("ok", style="green") if row.outcome.ok else Text("FAIL", style="bold red")
            scenario = row.scenario
            cells = (f"  {scenario.tried}", scenario.expected, row.outcome.got)
            shown.add_row(*(Text(cell) for cell in cells), verdict)
        shown.add_section()
    return shown
