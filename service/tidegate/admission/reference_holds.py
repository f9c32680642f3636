"""The reference for what becomes of a reservation: its charges are replaced by what was used, or grow meanwhile.

What an exchange costs counts from its admission on, so a charge is changed in its place: the entry of a log, the sum
of the window or period that it was charged in, the bucket. When it has left that place (the window or period is over)
nothing is changed there any more; more cost is then charged now, in a new place, and `before` says what had been
charged in places that are gone.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import NamedTuple

from tidegate.admission.arithmetic import MAX_COST, drain, microseconds, rate, weighted
from tidegate.admission.reference import Bucket, Key, Log, State, fresh, key_of, step, trim
from tidegate.admission.reference_leases import Leases, end, renew
from tidegate.admission.reference_sums import Spent, Windows, begin, roll, settle_quota, settle_windows
from tidegate.model import Charge, Limit


class Taken(NamedTuple):
    """A charge as a reservation holds it: `cost` stands in the place that `at` (`found_at`) and `number` name.

    `number` is the index of a log's entry, or that of a lease. `before` was charged in places that are gone.
    """

    cost: int
    at: int
    number: int
    before: int = 0


def found_at(limit: Limit, state: State, now_us: int) -> int:
    """The time by which a charge that was just made is found: of the step, or the start of what it is in."""
    if isinstance(state, Windows):
        return roll(state, now_us, microseconds(limit.period)).start
    return begin(limit, state, now_us)[0].start if isinstance(state, Spent) else state.last


def next_number(state: State) -> int:
    """The number that the next charge on a state gets."""
    if isinstance(state, Leases):
        return state.next
    return state.base + len(state.entries) if isinstance(state, Log) else 0


def settle(limit: Limit, state: State, now_us: int, taken: Taken, cost: int) -> State:
    """Replace a cost that was charged by the actual `cost`.

    A bucket gives back, or takes, the difference now; it never holds more than full. In a log the entry itself is
    changed, and when it has left the window nothing is. A charge of 0 left no entry: its actual cost is entered now.
    A lease ends, whatever the cost.
    """
    cost = max(0, min(cost, MAX_COST) - taken.before)
    charged, at, number, _ = taken
    if isinstance(state, Leases):
        return end(state, now_us, number) if charged else state
    if isinstance(state, Windows):
        return settle_windows(limit, state, charged, at, cost)
    if isinstance(state, Spent):
        return settle_quota(state, charged, at, cost)
    now = max(now_us, state.last)
    if isinstance(state, Bucket):
        spent, back = drain(state.spent, state.back, now - state.last, *rate(limit))
        spent += cost - charged
        return Bucket(spent, back, now) if spent > 0 else Bucket(0, 0, now)
    state = trim(state, now, microseconds(limit.period))
    if not charged:
        return Log((*state.entries, (now, cost)), state.base, now) if cost else state
    place = _place(state, taken)
    if place is None:
        return state
    entries = [*state.entries[:place], (at, cost), *state.entries[place + 1 :]]
    base = state.base
    while entries and not entries[-1][1]:
        entries.pop()
    while entries and not entries[0][1]:
        entries.pop(0)
        base += 1
    return replace(state, entries=tuple(entries), base=base)


def grow(limit: Limit, state: State, now_us: int, taken: Taken, more: int) -> tuple[State, Taken] | None:
    """Add `more` (> 0) to what was charged, in its place or in a new one; None when it does not fit.

    Not for leases, which are only renewed.
    """
    grown = taken._replace(cost=taken.cost + more)
    if isinstance(state, Log) and taken.cost:
        window = microseconds(limit.period)
        state = trim(state, max(now_us, state.last), window)
        place = _place(state, taken)
        if place is not None:
            if sum(cost for _, cost in state.entries) + more > limit.capacity:
                return None
            entries = (*state.entries[:place], (taken.at, grown.cost), *state.entries[place + 1 :])
            return replace(state, entries=entries), grown
    if isinstance(state, Windows) and taken.cost:
        window = microseconds(limit.period)
        rolled = roll(state, now_us, window)
        if taken.at == rolled.start - window:
            previous = rolled.previous + more
            share = weighted(previous, max(now_us, state.start) - rolled.start, window)
            if previous > limit.capacity or rolled.current + share > limit.capacity:
                return None
            return replace(rolled, previous=previous), grown
    number = next_number(state)
    after, outcome = step(limit, state, now_us, more)
    if outcome.retry_us != 0:
        return None
    at = found_at(limit, after, now_us)
    if isinstance(state, Bucket) or (taken.cost and at == taken.at and not isinstance(state, Log)):
        return after, grown._replace(at=at)
    return after, Taken(more, at, number, taken.before + taken.cost)


def extend(
    states: Mapping[Key, State], held: Sequence[tuple[Charge, Taken]], costs: Mapping[str, int], now_us: int
) -> tuple[dict[Key, State], list[tuple[Charge, Taken]], bool]:
    """Add `costs` (by unit) to the charges of a reservation, all or none, and renew its leases either way.

    (states, charges, whether all fitted). A charge on a shadow limit that more does not fit is left as it is. States
    of a refusal differ only by trimmed entries, and leases.
    """
    after = dict(states)
    grown = []
    fits = True
    growing = []
    for charge, taken in held:
        more = min(max(0, costs.get(charge.limit.cost, 0)), MAX_COST)
        if more and charge.limit.algorithm != "concurrency":
            growing.append(charge)
            key = key_of(charge)
            found = grow(charge.limit, after.get(key, fresh(charge.limit)), now_us, taken, more)
            if found is not None:
                after[key], taken = found
            elif not charge.limit.shadow:
                fits = False
        grown.append((charge, taken))
    final = after if fits else dict(states)
    for charge in growing:
        key = key_of(charge)
        final[key], _ = step(charge.limit, final.get(key, fresh(charge.limit)), now_us, 0)
    for charge, taken in held:
        state = final.get(key_of(charge), fresh(charge.limit))
        if isinstance(state, Leases) and taken.cost:
            final[key_of(charge)] = renew(charge.limit, state, now_us, taken.number, taken.cost)
    return final, grown if fits else list(held), fits


def _place(state: Log, taken: Taken) -> int | None:
    place = taken.number - state.base
    return place if 0 <= place < len(state.entries) and state.entries[place][0] == taken.at else None
