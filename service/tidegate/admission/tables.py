"""The counters of all limits in memory: found by limit and key, made when they are needed, gone when they are idle.

A key goes when its limit is full again, which is the same as never having been used; each new key looks at two old
ones, so idle keys cannot pile up and no call pays for all of them.
"""

from __future__ import annotations

from collections import deque

from tidegate.admission.counters import Counter, new_counter
from tidegate.admission.leases import LeasesCounter
from tidegate.admission.plans import Plan, Table
from tidegate.clock import Clock
from tidegate.errors import StoreUnavailable
from tidegate.model import Charge, Limit

_PLANS = 100_000
_LOOK = 2
_LOOK_WHEN_FULL = 64


class Tables:
    """At most `max_keys` counters. Times are microseconds; of a limit with a calendar that of the `clock`'s wall.

    `plans` are by the identity of their limits: see `plan`.
    """

    def __init__(self, clock: Clock, max_keys: int) -> None:
        self.plans: dict[int, Plan] = {}
        self._clock = clock
        self._max_keys = max_keys
        self._tables: dict[tuple[str, ...], Table] = {}
        self._keys: deque[tuple[Table, str]] = deque()

    def __len__(self) -> int:
        return len(self._keys)

    def wall(self) -> int:
        """The time of day."""
        return int(self._clock.now() * 1e6 + 0.5)

    def at(self, plan: Plan, now: int) -> int:
        """The time that a limit goes by."""
        return now if plan.calendar is None else self.wall()

    def plan(self, limit: Limit) -> Plan:
        """The plan of a limit that is not among `plans`."""
        # Found by identity, because hashing a Limit costs more than the step; the plan keeps the limit alive, so its
        # id cannot be given to another. Two limits that differ only in numbers (a reload) share a table.
        if len(self.plans) >= _PLANS:
            self.plans.clear()
        name = (limit.scope, limit.name, limit.algorithm, limit.cost)
        plan = Plan(limit, self._tables.setdefault(name, Table()))
        self.plans[id(limit)] = plan
        return plan

    def new(self, plan: Plan, key: str, now: int) -> Counter:
        """A counter for a key that has none. Raises `StoreUnavailable` when all are in use."""
        if len(self._keys) >= self._max_keys:
            self._sweep(now, _LOOK_WHEN_FULL)
            if len(self._keys) >= self._max_keys:
                raise StoreUnavailable(f"all {self._max_keys} keys of the limits in memory are in use")
        return self.add(plan, key, now)

    def add(self, plan: Plan, key: str, now: int) -> Counter:
        """The same for what was admitted before, which is never too much."""
        counter = plan.table[key] = new_counter(plan.limit, now)
        self._keys.append((plan.table, key))
        return counter

    def tidy(self, now: int, known: int) -> None:
        """There were `known` keys before: look at old ones for each that came."""
        self._sweep(now, _LOOK * (len(self._keys) - known))

    def spend(self, now: int) -> list[Charge]:
        """Give out what still counts against every key, as one charge each, and forget it; leases stay."""
        spent = []
        leases: deque[tuple[Table, str]] = deque()
        for table, key in self._keys:
            counter = table[key]
            if isinstance(counter, LeasesCounter):
                leases.append((table, key))
                continue
            del table[key]
            cost = counter.spent(table.plan, self.at(table.plan, now))
            if cost:
                spent.append(Charge(table.plan.limit, key, cost))
        self._keys = leases
        return spent

    def clear(self) -> None:
        """Forget everything."""
        self._tables.clear()
        self.plans.clear()
        self._keys.clear()

    def _sweep(self, now: int, looks: int) -> None:
        keys = self._keys
        for _ in range(min(looks, len(keys))):
            table, key = keys.popleft()
            if table[key].idle(table.plan, self.at(table.plan, now)):
                del table[key]
            else:
                keys.append((table, key))
