"""The reference arithmetic of the two algorithms that keep sums, not entries: one value of fixed size a key.

**Sliding-window counter.** Time is cut into windows from the clock's epoch on. The state is what was charged in the
current window and in the one before, and the estimate is: current + previous x (part of the window before that the last
`period` still covers), rounded up. That takes the costs of the window before to lie evenly in it. So it errs, at most:

- *too much*: never more than `capacity` in one such window, and less than 2 x `capacity` in any span of one `period`:
  a span that ends s into a window holds at most a of the one before, and what then passes is at most
  capacity - a(1 - s/period), together capacity + a x s/period. The worst needs a full burst just before the edge.
- *too little*: a burst just after an edge is held against the caller for up to two periods, not one.

Charges that come evenly are counted as the exact log counts them. A changed `period` moves the edges: what then falls
between them is forgotten.

**Quota.** What was charged in the current calendar period. A changed period or time zone counts on what was charged
since the new one's period began, if the old one's began no earlier; else it starts afresh.

A settlement changes the sum that its charge is in. When that one has gone, it changes nothing.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

from tidegate.admission.arithmetic import LONG_AGO, MAX_SUM, Outcome, microseconds, room_after, weighted
from tidegate.admission.periods import calendar_of
from tidegate.model import Limit


@dataclass(frozen=True, slots=True)
class Windows:
    """A sliding-window counter: `current` was charged since `start` (microseconds), `previous` in the window before."""

    start: int = LONG_AGO
    current: int = 0
    previous: int = 0


@dataclass(frozen=True, slots=True)
class Spent:
    """A quota: `used` was charged in the period that holds `start` (microseconds since the Unix epoch)."""

    start: int = LONG_AGO
    used: int = 0


def roll(state: Windows, now_us: int, window: int) -> Windows:
    """The state as it counts at `now_us`."""
    now = max(now_us, state.start)
    start = now - now % window
    if state.start >= start:
        return state
    return Windows(start, 0, state.current if state.start >= start - window else 0)


def step_windows(limit: Limit, state: Windows, now_us: int, cost: int) -> tuple[Windows, Outcome]:
    """One step of a sliding-window counter; see `reference.step`."""
    window = microseconds(limit.period)
    rolled = roll(state, now_us, window)
    into = max(now_us, state.start) - rolled.start
    current, previous = rolled.current, rolled.previous
    retry: int | None = 0
    if cost > 0 and current + weighted(previous, into, window) + cost <= limit.capacity:
        current += cost
        state = replace(rolled, current=current)
    elif cost > 0:
        fits = cost <= limit.capacity
        retry = room_after(current, previous, cost, limit.capacity, into, window) if fits else None
    left = limit.capacity - current - weighted(previous, into, window)
    reset = 2 * window - into if current else window - into if previous else 0
    return state, Outcome(max(0, left), reset, retry)


def begin(limit: Limit, state: Spent, now_us: int) -> tuple[Spent, int]:
    """The state as it counts at `now_us`, and when its period ends."""
    start, end = calendar_of(limit.resets, limit.time_zone).period(max(now_us, state.start))
    return (state if state.start >= start else Spent(start)), end


def step_quota(limit: Limit, state: Spent, now_us: int, cost: int) -> tuple[Spent, Outcome]:
    """One step of a quota; see `reference.step`."""
    counted, end = begin(limit, state, now_us)
    until = end - max(now_us, state.start)
    retry: int | None = 0
    if cost > 0 and counted.used + cost <= limit.capacity:
        state = counted = replace(counted, used=counted.used + cost)
    elif cost > 0:
        retry = until if cost <= limit.capacity else None
    return state, Outcome(max(0, limit.capacity - counted.used), until if counted.used else 0, retry)


def settle_windows(limit: Limit, state: Windows, charged: int, at: int, cost: int) -> Windows:
    """Replace a cost that was charged in the window that began `at`."""
    window = microseconds(limit.period)
    if not charged and at > state.start:
        state = roll(state, at, window)
    if at == state.start:
        return replace(state, current=_changed(state.current, cost - charged))
    if at == state.start - window:
        return replace(state, previous=_changed(state.previous, cost - charged))
    return state


def settle_quota(state: Spent, charged: int, at: int, cost: int) -> Spent:
    """Replace a cost that was charged in the period of `at`."""
    if not charged and at > state.start:
        state = Spent(at)
    return replace(state, used=_changed(state.used, cost - charged)) if at == state.start else state


def _changed(total: int, difference: int) -> int:
    return min(MAX_SUM, max(0, total + difference))
