"""The counters of all limits in memory: found by limit and key, made when they are needed, gone when they are idle.

A key may go when its limit is full again, which is the same as never having been used. Each counter is filed by the
second in which it may be so, as in a timing wheel (Varghese and Lauck, SOSP 1987), and anew if it is not by then. So
nobody looks for idle keys among those in use: each new key takes two away, and where all places are taken, a key whose
limit has been full for a second makes room, however many are in use.
"""

from __future__ import annotations

from itertools import islice
from typing import Final

from tidegate.admission.counters import Counter, new_counter
from tidegate.admission.leases import LeasesCounter
from tidegate.admission.plans import IDLE, SLOT, Plan, Table
from tidegate.clock import Clock
from tidegate.errors import StoreUnavailable
from tidegate.model import Charge, Limit

_AHEAD: Final = 3600
"""Slots: what is full later than that is looked at then, and filed anew."""
_PLANS: Final = 100_000
_LOOK: Final = 2
_LOOK_WHEN_FULL: Final = 64


class Tables:
    """At most `max_keys` counters. Times are microseconds; of a limit with a calendar that of the `clock`'s wall.

    `plans` are by the identity of their limits: see `plan`.
    """

    def __init__(self, clock: Clock, max_keys: int) -> None:
        self.plans: dict[int, Plan] = {}
        self._clock = clock
        self._max_keys = max_keys
        self._tables: dict[tuple[str, ...], Table] = {}
        self._idle: list[Counter] = []  # of the slots before `_slot`
        self._wheel: dict[int, list[Counter]] = {}
        self._slot = int(clock.monotonic() * 1e6) // SLOT
        self._count = 0

    def __len__(self) -> int:
        return self._count

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
        table = self._tables.setdefault((limit.scope, limit.name, limit.algorithm, limit.cost), Table())
        table.changed = table.changed or bool(table)
        plan = self.plans[id(limit)] = Plan(limit, table)
        return plan

    def new(self, plan: Plan, key: str, now: int) -> Counter:
        """A counter for a key that has none. Raises `StoreUnavailable` when all are in use."""
        if self._count >= self._max_keys and not self._make_room(now):
            raise StoreUnavailable(f"all {self._max_keys} keys of the limits in memory are in use")
        return self.add(plan, key, now)

    def add(self, plan: Plan, key: str, now: int) -> Counter:
        """The same for what was admitted before, which is never too much."""
        counter = plan.table[key] = new_counter(plan.limit, now)
        counter.table, counter.key, counter.due, counter.filed = plan.table, key, IDLE, IDLE
        self._idle.append(counter)
        self._count += 1
        return counter

    def file(self, counter: Counter) -> None:
        """Its limit is full again sooner than it was filed for."""
        if counter.table.get(counter.key) is counter:  # it has not gone
            self._file(counter, counter.due)

    def tidy(self, now: int, known: int) -> None:
        """There were `known` keys before: let two idle ones go for each that came."""
        for _ in range(_LOOK * (self._count - known)):
            if not self._drop_idle(now):
                return

    def spend(self, now: int) -> list[Charge]:
        """Give out what still counts against every key, as one charge each, and forget it; leases stay."""
        spent = []
        for table in self._tables.values():
            for key, counter in list(table.items()):
                if isinstance(counter, LeasesCounter):
                    break
                self._drop(counter)
                cost = counter.spent(table.plan, self.at(table.plan, now))
                if cost:
                    spent.append(Charge(table.plan.limit, key, cost))
        return spent

    def clear(self) -> None:
        """Forget everything."""
        self._tables.clear()
        self.plans.clear()
        self._idle.clear()
        self._wheel.clear()
        self._count = 0

    def _make_room(self, now: int) -> bool:
        if self._drop_idle(now):
            return True
        # Of the second that is not over yet some are idle already.
        for counter in list(islice(self._wheel.get(self._slot, ()), _LOOK_WHEN_FULL)):
            if counter.filed == self._slot and self._drop_if_idle(counter, now):
                return True
        for table in self._tables.values():
            if table.changed:
                table.changed = False
                for counter in list(table.values()):
                    self._drop_if_idle(counter, now)
        return self._count < self._max_keys

    def _drop_idle(self, now: int) -> bool:
        """Let one key go; False where none is idle."""
        self._turn(now // SLOT)
        while self._idle:
            counter = self._idle.pop()
            if counter.filed == IDLE and self._drop_if_idle(counter, now):
                return True
        return False

    def _turn(self, slot: int) -> None:
        """What was filed for a second that is over is idle, or was charged since."""
        if slot <= self._slot:
            return
        self._slot = slot
        for over in [filed for filed in self._wheel if filed < slot]:
            for counter in self._wheel.pop(over):
                if counter.filed == over:  # not sooner meanwhile
                    self._file(counter, counter.due)

    def _drop_if_idle(self, counter: Counter, now: int) -> bool:
        if counter.table.get(counter.key) is not counter:  # it has gone
            return False
        plan = counter.table.plan
        at = self.at(plan, now)
        if counter.idle(plan, at):
            self._drop(counter)
            return True
        counter.due = (now + max(SLOT, counter.look(plan, at)[1])) // SLOT
        self._file(counter, counter.due)
        return False

    def _file(self, counter: Counter, slot: int) -> None:
        if slot < self._slot:
            counter.filed = IDLE
            self._idle.append(counter)
        else:
            counter.filed = slot = min(slot, self._slot + _AHEAD)
            self._wheel.setdefault(slot, []).append(counter)

    def _drop(self, counter: Counter) -> None:
        del counter.table[counter.key]
        self._count -= 1
