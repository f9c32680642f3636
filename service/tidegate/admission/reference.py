"""The arithmetic of both algorithms, written to be read: frozen states, integer microseconds, integer units.

`memory` and the Lua scripts are faster forms of the same steps and must give the same numbers. Nothing drifts, because
nothing is rounded into a state. Lua has only doubles, exact to 2^53: see `rate` and `limit.lua` for how it agrees.

**Token bucket.** A state says how much is *spent*, not how much is left, so it does not know the capacity: a raised
capacity is room at once, a lowered one is owed at once. `spent` whole tokens less `back`/P of one, at `last`, where
the limit regains R tokens every P microseconds (lowest terms). A changed rate reinterprets `back`, less than a token.

**Sliding window.** An exact log of (time, cost). An entry counts from its time until one window later, exclusive.

In both, time never runs backwards: a step takes place at max(now, last).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from fractions import Fraction
from math import isqrt
from typing import NamedTuple

from tidegate.model import Charge, Limit

EXACT = 2**52
"""P * R of a bucket does not exceed this, so that the sums of the Lua script stay below 2^53."""
MAX_COST = 2**40
"""The largest cost that is recorded; a settled cost beyond it is cut to it. Units."""
MAX_WAIT = 2**53 - 1
"""Waits are cut to this. Microseconds (285 years)."""
MAX_WALK = 256
"""How many of the oldest entries are read to find a wait; past them the wait is the one of an empty log."""


class Outcome(NamedTuple):
    """A limit just after a step: whole units left, and microseconds until full and until the cost fits.

    `retry_us` is 0 when the cost fitted and None when it never can.
    """

    remaining: int
    reset_us: int
    retry_us: int | None


@dataclass(frozen=True, slots=True)
class Bucket:
    """A token bucket: `spent` tokens, of which `back`/P of one has come back, at `last` (microseconds)."""

    spent: int = 0
    back: int = 0
    last: int = 0


@dataclass(frozen=True, slots=True)
class Log:
    """A sliding window: entries (time, cost), oldest first; the first has index `base`. `last` in microseconds."""

    entries: tuple[tuple[int, int], ...] = ()
    base: int = 0
    last: int = 0


State = Bucket | Log
Key = tuple[str, str, str, str, str]


def microseconds(seconds: float) -> int:
    """Seconds as whole microseconds, to the nearest, at least 1."""
    return max(1, round(seconds * 1e6))


def rate(limit: Limit) -> tuple[int, int]:
    """(P, R): a bucket regains R tokens every P microseconds.

    In lowest terms, which is exact. Where even P * R would pass `EXACT` (a prime number of tokens a month), the
    nearest fraction that fits is taken: it is off by less than one part in 10^12. Raises ValueError for a bucket
    that never refills.
    """
    if limit.refill <= 0:
        raise ValueError(f"{limit.scope}: {limit.name}: a token bucket must refill")
    exact = Fraction(limit.refill, microseconds(limit.period))
    if exact.numerator * exact.denominator > EXACT:
        exact = exact.limit_denominator(max(1, isqrt(EXACT * exact.denominator // exact.numerator)))
    return exact.denominator, exact.numerator


def drain(spent: int, back: int, elapsed: int, p: int, r: int) -> tuple[int, int]:
    """What is still spent after `elapsed` microseconds, as (spent, back)."""
    returned, back = divmod(min(back, p - 1) + elapsed * r, p)
    return (spent - returned, back) if returned < spent else (0, 0)


def wait(tokens: int, back: int, p: int, r: int) -> int:
    """Microseconds, rounded up, until `tokens` whole tokens have come back, when `back`/p of one already has."""
    return min(MAX_WAIT, -((back - tokens * p) // r))


def step(limit: Limit, state: State, now_us: int, cost: int) -> tuple[State, Outcome]:
    """Charge `cost` units at `now_us` if they fit, and say how the limit stands. A refusal costs nothing.

    A cost of 0 (or less) always fits and changes nothing: it is a look. A cost over the capacity is refused for ever.
    """
    if isinstance(state, Bucket):
        return _bucket(limit, state, now_us, cost)
    return _log(limit, state, now_us, cost)


def _bucket(limit: Limit, state: Bucket, now_us: int, cost: int) -> tuple[Bucket, Outcome]:
    p, r = rate(limit)
    now = max(now_us, state.last)
    spent, back = drain(state.spent, state.back, now - state.last, p, r)
    retry: int | None = 0
    if cost > 0 and spent + cost <= limit.capacity:
        spent += cost
        state = Bucket(spent, back, now)
    elif cost > 0:
        retry = wait(spent + cost - limit.capacity, back, p, r) if cost <= limit.capacity else None
    return state, Outcome(max(0, limit.capacity - spent), wait(spent, back, p, r), retry)


def _log(limit: Limit, state: Log, now_us: int, cost: int) -> tuple[Log, Outcome]:
    window = microseconds(limit.period)
    now = max(now_us, state.last)
    state = _trim(state, now, window)
    total = sum(entry[1] for entry in state.entries)
    retry: int | None = 0
    if cost > 0 and total + cost <= limit.capacity:
        total += cost
        state = Log((*state.entries, (now, cost)), state.base, now)
    elif cost > 0:
        retry = _log_wait(state, total + cost - limit.capacity, now, window) if cost <= limit.capacity else None
    reset = state.entries[-1][0] + window - now if state.entries else 0
    return state, Outcome(max(0, limit.capacity - total), reset, retry)


def _trim(state: Log, now: int, window: int) -> Log:
    gone = sum(1 for time, _ in state.entries if time <= now - window)
    return Log(state.entries[gone:], state.base + gone, now) if gone else state


def _log_wait(state: Log, need: int, now: int, window: int) -> int:
    for time, cost in state.entries[:MAX_WALK]:
        need -= cost
        if need <= 0:
            return time + window - now
    return state.entries[-1][0] + window - now


def settle(limit: Limit, state: State, now_us: int, taken: tuple[int, int, int], cost: int) -> State:
    """Replace a cost that was charged by the actual `cost`. `taken` is (cost, time, log index) of the charge.

    A bucket gives back, or takes, the difference now; it never holds more than full. In a log the entry itself is
    changed, and when it has left the window nothing is. A charge of 0 left no entry: its actual cost is entered now.
    """
    charged, at, index = taken
    cost = min(cost, MAX_COST)
    now = max(now_us, state.last)
    if isinstance(state, Bucket):
        spent, back = drain(state.spent, state.back, now - state.last, *rate(limit))
        spent += cost - charged
        return Bucket(spent, back, now) if spent > 0 else Bucket(0, 0, now)
    state = _trim(state, now, microseconds(limit.period))
    entries = list(state.entries)
    place = index - state.base
    if not charged:
        return Log((*entries, (now, cost)), state.base, now) if cost else state
    if not (0 <= place < len(entries)) or entries[place][0] != at:
        return state
    entries[place] = (at, cost)
    base = state.base
    while entries and not entries[-1][1]:
        entries.pop()
    while entries and not entries[0][1]:
        entries.pop(0)
        base += 1
    return replace(state, entries=tuple(entries), base=base)


def key_of(charge: Charge) -> Key:
    """What names the state that a charge falls on. The limit's unit is part of it, its numbers are not."""
    return charge.limit.scope, charge.limit.name, charge.limit.algorithm, charge.limit.cost, charge.key


def fresh(limit: Limit) -> State:
    """The state of a limit on which nothing has been charged."""
    return Bucket() if limit.algorithm == "token_bucket" else Log()


def decide(
    states: Mapping[Key, State], charges: Sequence[Charge], now_us: int
) -> tuple[dict[Key, State], tuple[Outcome, ...]]:
    """Charge all or none, in order. Each outcome is the limit after the decision, with the wait of its own charge.

    Refused when the outcome of any limit but a shadow has a `retry_us` other than 0; the returned states then differ
    only by trimmed entries. A shadow that would refuse is not charged.
    """
    before = dict(states)
    after = dict(states)
    retries: list[int | None] = []
    for charge in charges:
        key = key_of(charge)
        after[key], outcome = step(charge.limit, after.get(key, fresh(charge.limit)), now_us, charge.cost)
        retries.append(outcome.retry_us)
    refused = any(retry != 0 and not charge.limit.shadow for charge, retry in zip(charges, retries, strict=True))
    final = before if refused else after
    outcomes = []
    for charge, retry in zip(charges, retries, strict=True):
        key = key_of(charge)
        final[key], look = step(charge.limit, final.get(key, fresh(charge.limit)), now_us, 0)
        outcomes.append(look._replace(retry_us=retry))
    return final, tuple(outcomes)
