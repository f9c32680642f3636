"""The integer arithmetic that all forms of the limits share. Times are microseconds, costs are units.

Lua has only doubles, exact to 2^53. The bounds below keep every number that the scripts compute within that, so they
find the same ones.
"""

from __future__ import annotations

from fractions import Fraction
from math import isqrt
from typing import NamedTuple

from tidegate.model import Limit

EXACT = 2**52
"""P * R of a bucket does not exceed this, so that the sums of the Lua script stay below 2^53."""
MAX_COST = 2**40
"""The largest cost that is recorded; a settled cost beyond it is cut to it. Units."""
MAX_SUM = 2**44
"""The largest sum that a sliding-window counter or a quota keeps; it is cut to it. Units."""
MAX_WAIT = 2**53 - 1
"""Waits are cut to this. Microseconds (285 years)."""
MAX_WALK = 256
"""How many of the oldest entries are read to find a wait; past them the wait is the one of an empty log."""
ASK_AGAIN = 1_000_000
"""The wait that is told for a place among what runs at once: it is free when an exchange is over, and nobody can
foretell that. Microseconds."""
LONG_AGO = -(2**53 - 1)
"""Before any window or period. Microseconds since the epoch of whichever clock."""


class Outcome(NamedTuple):
    """A limit just after a step: whole units left, and microseconds until full and until the cost fits.

    `retry_us` is 0 when the cost fitted and None when it never can.
    """

    remaining: int
    reset_us: int
    retry_us: int | None


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
    """What is still spent of a bucket after `elapsed` microseconds, as (spent, back)."""
    returned, back = divmod(min(back, p - 1) + elapsed * r, p)
    return (spent - returned, back) if returned < spent else (0, 0)


def wait(tokens: int, back: int, p: int, r: int) -> int:
    """Microseconds, rounded up, until `tokens` whole tokens have come back, when `back`/p of one already has."""
    return min(MAX_WAIT, -((back - tokens * p) // r))


def weighted(previous: int, into: int, window: int) -> int:
    """What the window before still counts, `into` microseconds into the current one: its even share, rounded up."""
    return -(previous * (into - window) // window)


def room_after(current: int, previous: int, cost: int, capacity: int, into: int, window: int) -> int:
    """Microseconds until a refused `cost`, not over `capacity`, fits a sliding-window counter that nothing is added to.

    While the current window lasts if there will be room, else in the next one, where this one is the window before.
    """
    if current + cost <= capacity:
        return window - (capacity - current - cost) * window // previous - into
    return 2 * window - (capacity - cost) * window // current - into
