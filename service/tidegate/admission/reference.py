"""The arithmetic of the algorithms, written to be read: frozen states, integer microseconds, integer units.

`memory` and the Lua scripts are faster forms of the same steps and must give the same numbers. Nothing drifts, because
nothing is rounded into a state. For what they share, and how Lua agrees, see `arithmetic`.

**Token bucket.** A state says how much is *spent*, not how much is left, so it does not know the capacity: a raised
capacity is room at once, a lowered one is owed at once. `spent` whole tokens less `back`/P of one, at `last`, where
the limit regains R tokens every P microseconds (lowest terms). A changed rate reinterprets `back`, less than a token.

**Sliding window.** An exact log of (time, cost). An entry counts from its time until one window later, exclusive.

**Sliding-window counter** and **quota** keep sums: see `reference_sums`. **Concurrency** keeps leases: see
`reference_leases`. What becomes of a charge that is reserved, settled or extended is in `reference_holds`.

In all, time never runs backwards: a step takes place at max(now, last), or, of the sums, max(now, start).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from tidegate.admission.arithmetic import MAX_WALK, Outcome, drain, microseconds, rate, wait
from tidegate.admission.reference_leases import Leases, step_leases
from tidegate.admission.reference_sums import Spent, Windows, step_quota, step_windows
from tidegate.model import Charge, Limit


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


State = Bucket | Log | Windows | Spent | Leases
Key = tuple[str, str, str, str, str]

_FRESH: Mapping[str, State] = {
    "token_bucket": Bucket(),
    "sliding_window": Log(),
    "sliding_window_counter": Windows(),
    "quota": Spent(),
    "concurrency": Leases(),
}


def step(limit: Limit, state: State, now_us: int, cost: int) -> tuple[State, Outcome]:
    """Charge `cost` units at `now_us` if they fit, and say how the limit stands. A refusal costs nothing.

    A cost of 0 (or less) always fits and changes nothing: it is a look. A cost over the capacity is refused for ever.
    """
    if isinstance(state, Bucket):
        return _bucket(limit, state, now_us, cost)
    if isinstance(state, Log):
        return _log(limit, state, now_us, cost)
    if isinstance(state, Windows):
        return step_windows(limit, state, now_us, cost)
    if isinstance(state, Leases):
        return step_leases(limit, state, now_us, cost)
    return step_quota(limit, state, now_us, cost)


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
    state = trim(state, now, window)
    total = sum(entry[1] for entry in state.entries)
    retry: int | None = 0
    if cost > 0 and total + cost <= limit.capacity:
        total += cost
        state = Log((*state.entries, (now, cost)), state.base, now)
    elif cost > 0:
        retry = _log_wait(state, total + cost - limit.capacity, now, window) if cost <= limit.capacity else None
    reset = state.entries[-1][0] + window - now if state.entries else 0
    return state, Outcome(max(0, limit.capacity - total), reset, retry)


def trim(state: Log, now: int, window: int) -> Log:
    """The log without what has left the window."""
    gone = sum(1 for time, _ in state.entries if time <= now - window)
    return Log(state.entries[gone:], state.base + gone, now) if gone else state


def _log_wait(state: Log, need: int, now: int, window: int) -> int:
    for time, cost in state.entries[:MAX_WALK]:
        need -= cost
        if need <= 0:
            return time + window - now
    return state.entries[-1][0] + window - now


def key_of(charge: Charge) -> Key:
    """What names the state that a charge falls on. The limit's unit is part of it, its numbers are not."""
    return charge.limit.scope, charge.limit.name, charge.limit.algorithm, charge.limit.cost, charge.key


def fresh(limit: Limit) -> State:
    """The state of a limit on which nothing has been charged."""
    return _FRESH[limit.algorithm]


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
