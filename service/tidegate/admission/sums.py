"""The two algorithms of `reference_sums` as mutable objects, for `memory`: the same numbers, without copying a state.

A counter is rolled over to a new window or period only when a charge is entered: looks and refusals leave it as it is.
"""

from __future__ import annotations

from typing import Any

from tidegate.admission.arithmetic import LONG_AGO, MAX_SUM, room_after, weighted
from tidegate.admission.plans import NEVER, Filed, Growth, Plan


class WindowsCounter(Filed):
    """A sliding-window counter under one key."""

    __slots__ = ("current", "previous", "start")

    def __init__(self) -> None:
        self.start = LONG_AGO
        self.current = 0
        self.previous = 0

    def take(self, plan: Plan, now: int, cost: int, force: bool) -> tuple[int, Any]:
        """Charge if it fits: (0 or the wait or NEVER, what `undo` and `settle` need)."""
        start, current, previous, into = self._rolled(now, plan.window)
        mark = (start, self.start, self.current, self.previous)
        if cost <= 0:
            return 0, mark
        if current + weighted(previous, into, plan.window) + cost > plan.capacity and not force:
            if cost > plan.capacity:
                return NEVER, mark
            return room_after(current, previous, cost, plan.capacity, into, plan.window), mark
        self.start = start
        self.current = min(MAX_SUM, current + cost)
        self.previous = previous
        return 0, mark

    def idle(self, plan: Plan, now: int) -> bool:
        """Whether it is full again: the same as one that was never used."""
        _, current, previous, _ = self._rolled(now, plan.window)
        return not (current or previous)

    def undo(self, mark: Any) -> None:
        """Take the last charge back."""
        _, self.start, self.current, self.previous = mark

    def look(self, plan: Plan, now: int) -> tuple[int, int]:
        """(units left, microseconds until full)."""
        _, current, previous, into = self._rolled(now, plan.window)
        left = plan.capacity - current - weighted(previous, into, plan.window)
        reset = 2 * plan.window - into if current else plan.window - into if previous else 0
        return max(0, left), reset

    def spent(self, plan: Plan, now: int) -> int:
        """Units that count, as estimated."""
        _, current, previous, into = self._rolled(now, plan.window)
        return current + weighted(previous, into, plan.window)

    def settle(self, plan: Plan, _now: int, charged: int, mark: Any, cost: int) -> None:
        """Change the sum that the charge is in, if it still counts."""
        at = mark[0]
        if not charged and at > self.start:
            self.start, self.current, self.previous, _ = self._rolled(at, plan.window)
        if at == self.start:
            self.current = _changed(self.current, cost - charged)
        elif at == self.start - plan.window:
            self.previous = _changed(self.previous, cost - charged)

    def grow(self, plan: Plan, now: int, mark: Any, more: int) -> Growth:
        """Add to the sum that the charge is in, or to the current one when that counts no more."""
        start, current, previous, into = self._rolled(now, plan.window)
        if mark[0] != start - plan.window:
            retry, new = self.take(plan, now, more, False)
            return None if retry else (new, mark[0] != start)
        previous += more
        if previous > plan.capacity or current + weighted(previous, into, plan.window) > plan.capacity:
            return None
        self.start, self.current, self.previous = start, current, previous
        return mark, False

    def _rolled(self, now: int, window: int) -> tuple[int, int, int, int]:
        """(start, current, previous) as they count at `now`, and how far that is into the window."""
        now = max(now, self.start)
        into = now % window
        start = now - into
        if self.start >= start:
            return self.start, self.current, self.previous, now - self.start
        return start, 0, self.current if self.start >= start - window else 0, into


class QuotaCounter(Filed):
    """A quota under one key. Its `now` is wall time."""

    __slots__ = ("start", "used")

    def __init__(self) -> None:
        self.start = LONG_AGO
        self.used = 0

    def take(self, plan: Plan, now: int, cost: int, force: bool) -> tuple[int, Any]:
        """Charge if it fits: (0 or the wait or NEVER, what `undo` and `settle` need)."""
        start, used, until = self._counted(plan, now)
        mark = (start, self.start, self.used)
        if cost <= 0:
            return 0, mark
        if used + cost > plan.capacity and not force:
            return (until if cost <= plan.capacity else NEVER), mark
        self.start = start
        self.used = min(MAX_SUM, used + cost)
        return 0, mark

    def idle(self, plan: Plan, now: int) -> bool:
        """Whether it is full again: the same as one that was never used."""
        return not self.spent(plan, now)

    def undo(self, mark: Any) -> None:
        """Take the last charge back."""
        _, self.start, self.used = mark

    def look(self, plan: Plan, now: int) -> tuple[int, int]:
        """(units left, microseconds until full)."""
        _, used, until = self._counted(plan, now)
        return max(0, plan.capacity - used), until if used else 0

    def spent(self, plan: Plan, now: int) -> int:
        """Units charged in the period."""
        return self._counted(plan, now)[1]

    def settle(self, _plan: Plan, _now: int, charged: int, mark: Any, cost: int) -> None:
        """Change what was used, if the period of the charge still lasts."""
        at = mark[0]
        if not charged and at > self.start:
            self.start, self.used = at, 0
        if at == self.start:
            self.used = _changed(self.used, cost - charged)

    def grow(self, plan: Plan, now: int, mark: Any, more: int) -> Growth:
        """Add to what was used, in the period of the charge or, when it is over, in this one."""
        retry, new = self.take(plan, now, more, False)
        return None if retry else (new, new[0] != mark[0])

    def _counted(self, plan: Plan, now: int) -> tuple[int, int, int]:
        """(start, used) as they count at `now`, and the microseconds that the period still lasts."""
        assert plan.calendar is not None  # noqa: S101 - a quota has one
        now = max(now, self.start)
        start, end = plan.calendar.period(now)
        if self.start >= start:
            return self.start, self.used, end - now
        return start, 0, end - now


def _changed(total: int, difference: int) -> int:
    return min(MAX_SUM, max(0, total + difference))
