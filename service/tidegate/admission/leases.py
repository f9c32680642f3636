"""The leases of `reference_leases` as a mutable object, for `memory`: the same numbers, without copying a state."""

from __future__ import annotations

from bisect import bisect_left, insort

from tidegate.admission.arithmetic import ASK_AGAIN
from tidegate.admission.plans import NEVER, Filed, Plan

Lease = list[int]
"""[expiry, number, cost]; as it is renewed its expiry changes."""


class LeasesCounter(Filed):
    """What runs at once under one key. A mark is the lease itself."""

    __slots__ = ("held", "next", "total")

    def __init__(self) -> None:
        self.held: list[Lease] = []  # the first to lapse first
        self.next = 0
        self.total = 0

    def take(self, plan: Plan, now: int, cost: int, force: bool) -> tuple[int, Lease | None]:
        """Take a lease if it fits: (0 or the wait or NEVER, the lease)."""
        self._lapse(now)
        if cost <= 0:
            return 0, None
        if self.total + cost > plan.capacity and not force:
            return (ASK_AGAIN if cost <= plan.capacity else NEVER), None
        lease = [now + plan.window, self.next, cost]
        self.next += 1
        self._hold(lease)
        return 0, lease

    def idle(self, _plan: Plan, now: int) -> bool:
        """Whether nothing is held."""
        return not self.held or self.held[-1][0] <= now

    def undo(self, mark: object) -> None:
        """Take the last lease back."""
        self.end(mark)

    def look(self, plan: Plan, now: int) -> tuple[int, int]:
        """(places left, microseconds until all leases have lapsed)."""
        left = plan.capacity - self.total
        return (left if left > 0 else 0), self.held[-1][0] - now if self.held else 0

    def end(self, mark: object) -> None:
        """Give a lease back, if it has not lapsed."""
        if mark is None:  # of a cost of nothing
            return
        held = self.held
        lease: Lease = mark  # type: ignore[assignment]  # a mark is its own counter's
        at = bisect_left(held, lease)
        if at < len(held) and held[at] is lease:
            self.total -= held.pop(at)[2]

    def renew(self, plan: Plan, now: int, mark: object) -> None:
        """Let a lease last one lease time from now, lapsed or not, also when its counter was dropped meanwhile."""
        self._lapse(now)
        self.end(mark)
        lease: Lease = mark  # type: ignore[assignment]  # likewise
        lease[:2] = now + plan.window, self.next
        self.next += 1
        self._hold(lease)

    def _hold(self, lease: Lease) -> None:
        insort(self.held, lease)
        self.total += lease[2]

    def _lapse(self, now: int) -> None:
        held = self.held
        gone = 0
        for lease in held:
            if lease[0] > now:
                break
            self.total -= lease[2]
            gone += 1
        del held[:gone]
