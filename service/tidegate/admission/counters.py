"""The algorithms of `reference` as mutable objects, for `memory`: the same numbers, without copying a state."""

from __future__ import annotations

from collections import deque
from itertools import islice

from tidegate.admission.arithmetic import MAX_WAIT, MAX_WALK, drain, wait
from tidegate.admission.leases import LeasesCounter
from tidegate.admission.plans import NEVER, Filed, Growth, Plan
from tidegate.admission.sums import QuotaCounter, WindowsCounter
from tidegate.model import Limit


class BucketCounter(Filed):
    """A token bucket under one key."""

    __slots__ = ("back", "last", "used")

    def __init__(self, now: int) -> None:
        self.used = 0
        self.back = 0
        self.last = now

    def take(self, plan: Plan, now: int, cost: int, force: bool) -> tuple[int, object]:
        """Charge if it fits: (0 or the wait or NEVER, what `undo` and `settle` need)."""
        old = (self.used, self.back, self.last)
        if cost <= 0:
            return 0, old
        p = plan.p
        r = plan.r
        used = self.used
        back = 0
        if used:  # `drain`, in line: this is the hot path
            returned, back = divmod(min(self.back, p - 1) + (now - self.last) * r, p)
            if returned < used:
                used -= returned
            else:
                used = back = 0
        over = used + cost - plan.capacity
        if over > 0 and not force:
            return (wait(over, back, p, r) if cost <= plan.capacity else NEVER), old
        self.used = used + cost
        self.back = back
        self.last = now
        return 0, old

    def idle(self, plan: Plan, now: int) -> bool:
        """Whether it is full again: the same as one that was never used."""
        return not self.spent(plan, now)

    def undo(self, mark: object) -> None:
        """Take the last charge back."""
        self.used, self.back, self.last = mark  # type: ignore[misc]  # a mark is its own counter's

    def look(self, plan: Plan, now: int) -> tuple[int, int]:
        """(whole tokens left, microseconds until full)."""
        used = self.used
        if not used:
            return plan.capacity, 0
        back = self.back
        if now != self.last:
            used, back = drain(used, back, now - self.last, plan.p, plan.r)
        left = plan.capacity - used
        return (left if left > 0 else 0), min(MAX_WAIT, -((back - used * plan.p) // plan.r))

    def spent(self, plan: Plan, now: int) -> int:
        """Whole tokens that have not come back, rounded up."""
        return drain(self.used, self.back, now - self.last, plan.p, plan.r)[0]

    def settle(self, plan: Plan, now: int, charged: int, mark: object, cost: int) -> None:
        """Replace a cost of `charged` by `cost`."""
        spent, back = drain(self.used, self.back, now - self.last, plan.p, plan.r)
        spent += cost - charged
        self.used, self.back = (spent, back) if spent > 0 else (0, 0)
        self.last = now

    def grow(self, plan: Plan, now: int, mark: object, more: int) -> Growth:
        """Add to a charge: the bucket does not tell its charges apart."""
        retry, new = self.take(plan, now, more, False)
        return None if retry else (new, False)


class WindowCounter(Filed):
    """A sliding window under one key: a deque of [time, cost], and their sum."""

    __slots__ = ("entries", "total")

    def __init__(self) -> None:
        self.entries: deque[list[int]] = deque()
        self.total = 0

    def take(self, plan: Plan, now: int, cost: int, force: bool) -> tuple[int, object]:
        """Charge if it fits: (0 or the wait or NEVER, what `undo` and `settle` need)."""
        entries = self.entries
        if entries and entries[0][0] <= now - plan.window:
            self._trim(now - plan.window)
        if cost <= 0:
            return 0, None
        over = self.total + cost - plan.capacity
        if over > 0 and not force:
            return (self._wait(over, now, plan.window) if cost <= plan.capacity else NEVER), None
        entry = [now, cost]
        entries.append(entry)
        self.total += cost
        return 0, entry

    def idle(self, plan: Plan, now: int) -> bool:
        """Whether it is full again: the same as one that was never used."""
        return not self.entries or self.entries[-1][0] <= now - plan.window

    def undo(self, mark: object) -> None:
        """Take the last charge back."""
        if mark is not None:
            self.total -= self.entries.pop()[1]

    def look(self, plan: Plan, now: int) -> tuple[int, int]:
        """(units left, microseconds until full)."""
        left = plan.capacity - self.total
        reset = self.entries[-1][0] + plan.window - now if self.entries else 0
        return (left if left > 0 else 0), reset

    def spent(self, plan: Plan, now: int) -> int:
        """Units in the window."""
        self._trim(now - plan.window)
        return self.total

    def settle(self, plan: Plan, now: int, charged: int, mark: object, cost: int) -> None:
        """Change the entry of a charge, if it is still in the window; `mark` None enters the cost now."""
        entries = self.entries
        self._trim(now - plan.window)
        if mark is None:
            self.take(plan, now, cost, force=True)
            return
        entry: list[int] = mark  # type: ignore[assignment]  # likewise
        if entry[0] <= now - plan.window:
            return
        self.total += cost - entry[1]
        entry[1] = cost
        while entries and not entries[-1][1]:
            entries.pop()
        while entries and not entries[0][1]:
            entries.popleft()

    def grow(self, plan: Plan, now: int, mark: object, more: int) -> Growth:
        """Add to the entry of a charge, or enter a new one when it has left the window."""
        self._trim(now - plan.window)
        entry: list[int] = mark  # type: ignore[assignment]  # likewise
        if entry[0] <= now - plan.window:
            retry, new = self.take(plan, now, more, False)
            return None if retry else (new, True)
        if self.total + more > plan.capacity:
            return None
        self.total += more
        entry[1] += more
        return entry, False

    def _trim(self, until: int) -> None:
        entries = self.entries
        while entries and entries[0][0] <= until:
            self.total -= entries.popleft()[1]

    def _wait(self, need: int, now: int, window: int) -> int:
        for time, cost in islice(self.entries, MAX_WALK):
            need -= cost
            if need <= 0:
                return time + window - now
        return self.entries[-1][0] + window - now


Summing = BucketCounter | WindowCounter | WindowsCounter | QuotaCounter
"""The counters whose charges can be settled and grow."""
Counter = Summing | LeasesCounter


def new_counter(limit: Limit, now: int) -> Counter:
    """A counter on which nothing has been charged."""
    match limit.algorithm:
        case "token_bucket":
            return BucketCounter(now)
        case "sliding_window":
            return WindowCounter()
        case "sliding_window_counter":
            return WindowsCounter()
        case "quota":
            return QuotaCounter()
        case "concurrency":
            return LeasesCounter()
