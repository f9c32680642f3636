"""Limits in this process's memory: exact for one process, and the share of one replica while the store is out.

A decision is one synchronous stretch on the event loop, so it needs no lock. Each charge is taken as it is read and
taken back when a later one refuses; at one instant that undoes it to the bit.

Memory: about 0.2 KiB a key, of an exact sliding window 1 KiB and 0.1 KiB for each entry that it still holds; 0.1 KiB a
lease, 0.4 KiB a reservation. There are at most `max_keys` keys (`tidegate.admission.tables`), and as many reservations.
When `max_keys` keys are all in use a new one is refused with `StoreUnavailable`: forgetting a spent limit would refill
it.
"""

from __future__ import annotations

import secrets
from collections.abc import Mapping, Sequence
from math import inf

from tidegate.admission.arithmetic import MAX_COST, MAX_WAIT, microseconds
from tidegate.admission.counters import BucketCounter, Counter, Summing
from tidegate.admission.leases import LeasesCounter
from tidegate.admission.ledger import Extension
from tidegate.admission.plans import IDLE, NEVER, SLOT, Plan
from tidegate.admission.tables import Tables
from tidegate.clock import Clock
from tidegate.errors import StoreUnavailable
from tidegate.model import Admission, Charge, LimitState

_LOOK = 2
_REMEMBERED = 3_600_000_000  # microseconds: as long as an entry in the store is known by its name
_Where = tuple[str, str, str]  # a limit's scope and name, and a key
# Plan, key, cost, counter, mark, and the cost that was charged in places that are gone.
_Taken = tuple[Plan, str, int, Counter, object, int]


class MemoryLedger:
    """A `Ledger` for one event loop. Time is `clock.monotonic()`, for quotas `clock.now()`. Nothing outlives it."""

    def __init__(self, clock: Clock, *, max_keys: int = 100_000) -> None:
        self._clock = clock
        self._max_keys = max_keys
        self._now = 0
        self._tables = Tables(clock, max_keys)
        self._holds: dict[str, tuple[int, list[_Taken]]] = {}
        self._entered: dict[str, tuple[int, dict[_Where, int]]] = {}
        self._own = "m" + secrets.token_urlsafe(6)

    def __len__(self) -> int:
        """How many keys are held."""
        return len(self._tables)

    async def reserve(self, charges: Sequence[Charge], *, hold: float | None = None) -> Admission:
        """Take every charge or none. Raises `StoreUnavailable` when `max_keys` keys are in use and one is new."""
        return self.take(charges, hold=hold)

    def take(self, charges: Sequence[Charge], *, hold: float | None = None, force: bool = False) -> Admission:
        """`reserve`, without a coroutine. With `force` the charges are taken even where they do not fit."""
        now = self._time()
        wall = 0
        tables = self._tables
        known, plans = len(tables), tables.plans
        steps: list[tuple[Charge, Plan, Counter, int, int]] = []
        taken: list[_Taken] = []
        worst = 0
        try:
            for charge in charges:
                plan = plans.get(id(charge.limit)) or tables.plan(charge.limit)
                if plan.leases and hold is None and charge.cost > 0:
                    raise ValueError(f"a charge on {charge.limit.name} needs a hold: nobody could end its lease")
                counter = plan.table.get(charge.key) or tables.new(plan, charge.key, now)
                at = now
                if plan.calendar is not None:
                    at = wall = wall or tables.wall()
                retry, mark = counter.take(plan, at, charge.cost, force)
                steps.append((charge, plan, counter, at, retry))
                if retry == 0:
                    taken.append((plan, charge.key, charge.cost, counter, mark, 0))
                elif charge.limit.shadow:
                    pass
                elif retry < 0 or worst < 0:
                    worst = NEVER
                elif retry > worst:
                    worst = retry
            reservation = self._hold(now, hold, taken) if worst == 0 and hold is not None else ""
        except BaseException:
            self._undo(taken)
            raise
        if worst:
            self._undo(taken)
        states: list[LimitState] = []
        shadowed: list[LimitState] = []
        for charge, plan, counter, at, retry in steps:
            remaining, reset = counter.look(plan, at)
            counter.due = (now + reset) // SLOT if reset > 0 else IDLE
            if counter.due < counter.filed:
                tables.file(counter)
            if charge.limit.shadow and not retry:
                continue
            state = LimitState(charge.limit, remaining, reset / 1e6, retry / 1e6 if retry >= 0 else inf)
            (shadowed if charge.limit.shadow else states).append(state)
        if len(tables) > known:
            tables.tidy(now, known)
        return Admission(
            tuple(states), max(states, key=_longest) if worst else None, reservation, shadowed=tuple(shadowed)
        )

    async def settle(self, reservation: str, costs: Mapping[str, int]) -> bool:
        """Replace reserved costs by actual ones, once; False when the reservation is unknown or expired."""
        held = self._holds.pop(reservation, None)
        now = self._time()
        if held is None or now >= held[0]:
            return False
        for plan, key, charged, counter, mark, before in held[1]:
            if isinstance(counter, LeasesCounter):
                counter.end(mark)
                if not counter.held:
                    self._given_back(counter, IDLE)
                continue
            unit = plan.limit.cost
            if unit not in costs:
                continue
            cost = max(0, min(costs[unit], MAX_COST) - before)
            current = plan.table.get(key)
            if current is not counter and charged and not isinstance(counter, BucketCounter):
                continue  # the counter was dropped because the charge had left the window, or the period was over
            if current is None:
                if cost <= charged:
                    continue
                current = self._tables.add(plan, key, now)
            _summing(current).settle(plan, now, charged, mark, cost)
            if cost < charged:
                reset = current.look(plan, self._tables.at(plan, now))[1]
                self._given_back(current, (now + reset) // SLOT if reset > 0 else IDLE)
        return True

    async def extend(self, reservation: str, costs: Mapping[str, int], *, hold: float) -> Extension:
        """Add to reserved costs, all or none, and renew the hold and its leases."""
        held = self._holds.get(reservation)
        now = self._time()
        if held is None or now >= held[0]:
            return "gone"
        grown = self._grown(held[1], costs, now)
        taken = [self._renewed(one, now) for one in (held[1] if grown is None else grown)]
        self._holds[reservation] = (max(held[0], now + _hold_time(hold)), taken)
        return "refused" if grown is None else "extended"

    async def ready(self) -> bool:
        """True: memory always answers."""
        return True

    async def close(self) -> None:
        """Forget everything."""
        self._tables.clear()
        self._holds.clear()

    def hand_over(self) -> list[Charge]:
        """Give out what still counts against every key, as one charge each, and forget it.

        Leases stay, with the reservations that end them: what runs does so whoever counts. Of the other reservations
        `entered` tells what they had been charged.
        """
        now = self._time()
        self._remember(now)
        spent = self._tables.spend(now)
        running = {
            name: (until, [one for one in taken if isinstance(one[3], LeasesCounter)])
            for name, (until, taken) in self._holds.items()
        }
        self._holds = {name: held for name, held in running.items() if held[1]}
        return spent

    def _remember(self, now: int) -> None:
        """What each reservation had been charged. One that was handed over before has nothing left but leases."""
        kept = {name: entry for name, entry in self._entered.items() if now < entry[0]}
        for name, (until, taken) in self._holds.items():
            if now < until and name not in kept:
                costs = {(p.limit.scope, p.limit.name, key): before + cost for p, key, cost, _, _, before in taken}
                kept[name] = now + _REMEMBERED, costs
        self._entered = dict(list(kept.items())[-self._max_keys :])

    def entered(self, reservation: str) -> Mapping[_Where, int] | None:
        """What a reservation had been charged when it was handed over, by limit and key; once. None if it was not."""
        until, costs = self._entered.pop(reservation, (0, None))
        return costs if self._time() < until else None

    def made(self, reservation: str) -> bool:
        """Whether a reservation was made here, whatever became of it."""
        return reservation.startswith(self._own)

    def _time(self) -> int:
        self._now = max(self._now, int(self._clock.monotonic() * 1e6 + 0.5))
        return self._now

    def _given_back(self, counter: Counter, due: int) -> None:
        """A limit is full again in that slot, which may be sooner than it was to be."""
        counter.due = due
        if due < counter.filed:
            self._tables.file(counter)

    @staticmethod
    def _undo(taken: list[_Taken]) -> None:
        for _, _, _, counter, mark, _ in reversed(taken):
            counter.undo(mark)

    def _renewed(self, one: _Taken, now: int) -> _Taken:
        plan, key, charged, counter, mark, before = one
        if not (charged and isinstance(counter, LeasesCounter)):
            return one
        current = plan.table.get(key) or self._tables.add(plan, key, now)  # dropped when the lease had lapsed
        assert isinstance(current, LeasesCounter)  # noqa: S101 - a table holds one kind
        current.renew(plan, now, mark)
        return plan, key, charged, current, mark, before

    def _grown(self, taken: list[_Taken], costs: Mapping[str, int], now: int) -> list[_Taken] | None:
        """The charges with `costs` added, or None, and nothing is changed, when they do not all fit."""
        grown: list[_Taken] = []
        done: list[tuple[Summing, Plan, int, int, int, object, object]] = []
        for one in taken:
            plan, key, charged, counter, mark, before = one
            more = min(max(0, costs.get(plan.limit.cost, 0)), MAX_COST)
            if not more or isinstance(counter, LeasesCounter):
                grown.append(one)
                continue
            at = self._tables.at(plan, now)
            current = _summing(plan.table.get(key) or self._tables.add(plan, key, now))
            if charged and (current is counter or isinstance(counter, BucketCounter)):
                growth = current.grow(plan, at, mark, more)
            else:
                retry, fresh = current.take(plan, at, more, force=False)
                growth = None if retry else (fresh, True)
            if growth is not None:
                new, moved = growth
                done.append((current, plan, at, charged, more, mark, new))
                cost, before = (more, before + charged) if moved else (charged + more, before)
                grown.append((plan, key, cost, current, new, before))
            elif plan.limit.shadow:
                grown.append(one)
            else:
                for current, plan, at, charged, more, mark, new in reversed(done):
                    if new is mark:
                        current.settle(plan, at, charged + more, mark, charged)
                    else:
                        current.undo(new)
                return None
        return grown

    def _hold(self, now: int, hold: float, taken: list[_Taken]) -> str:
        holds = self._holds
        for _ in range(min(len(holds), _LOOK)):
            name = next(iter(holds))
            held = holds.pop(name)
            if now < held[0]:
                holds[name] = held
        if len(holds) >= self._max_keys:
            raise StoreUnavailable(f"all {self._max_keys} reservations of the limits in memory are in use")
        name = self._own + secrets.token_urlsafe(12)
        holds[name] = (now + _hold_time(hold), taken)
        return name


def _hold_time(seconds: float) -> int:
    return microseconds(min(seconds, MAX_WAIT / 1e6))


def _summing(counter: Counter) -> Summing:
    assert not isinstance(counter, LeasesCounter)  # noqa: S101 - a table holds one kind
    return counter


def _longest(state: LimitState) -> float:
    return state.retry_after
