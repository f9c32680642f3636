"""Everything that the demo tries, in the order of the table."""

from __future__ import annotations

from tidegate.demo.scenarios import behind, leave, pressure, room, who
from tidegate.demo.scenarios.scenario import Scenario


def all_scenarios(processes: int, *, to_the_end: bool = True) -> tuple[Scenario, ...]:
    """The rows for a gate with this many policy processes; `to_the_end` ends with the one that stops them."""
    rows = who.SCENARIOS + room.scenarios(processes) + pressure.SCENARIOS + leave.SCENARIOS + behind.SCENARIOS
    return rows + behind.LAST if to_the_end else rows
