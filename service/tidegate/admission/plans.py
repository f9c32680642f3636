"""What the counters of `memory` need to know of a limit, worked out once."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tidegate.admission.arithmetic import microseconds, rate
from tidegate.admission.periods import Calendar, calendar_of
from tidegate.model import Limit

if TYPE_CHECKING:
    from tidegate.admission.counters import Counter

NEVER = -1
"""The wait of a cost over the capacity."""
Growth = tuple[object, bool] | None
"""What became of a charge that was to grow: None when more does not fit, else its mark, and whether in a new place.

The same mark says that the place itself was changed: to undo that, settle. For another mark, `undo` takes more back.
"""


SLOT = 1_000_000
"""Microseconds, in whose multiples `tables` files counters."""
IDLE = -1
"""Before every slot."""


class Filed:
    """A counter as `tables` finds it: by `table` and `key`.

    Its limit is full again in slot `due` if nothing more is charged, and it is `filed` in no later one.
    """

    __slots__ = ("due", "filed", "key", "table")
    table: Table
    key: str
    due: int
    filed: int


class Table(dict[str, "Counter"]):
    """The counters of one limit by key; `plan` is the limit as it stood last.

    `changed`: some are filed as an earlier plan had it.
    """

    __slots__ = ("changed", "plan")
    plan: Plan

    def __init__(self) -> None:
        super().__init__()
        self.changed = False


class Plan:
    """A limit with what its steps need worked out, and the counters of its keys.

    `calendar` is None unless the limit goes by wall time. `leases`: whether charges on it need a hold.
    """

    __slots__ = ("calendar", "capacity", "leases", "limit", "p", "r", "table", "window")
    calendar: Calendar | None

    def __init__(self, limit: Limit, table: Table) -> None:
        self.limit = limit
        self.table = table
        table.plan = self
        self.capacity = limit.capacity
        self.window = microseconds(limit.period)
        self.leases = limit.algorithm == "concurrency"
        self.p, self.r = rate(limit) if limit.algorithm == "token_bucket" else (1, 1)
        self.calendar = calendar_of(limit.resets, limit.time_zone) if limit.algorithm == "quota" else None
