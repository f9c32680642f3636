"""The reference arithmetic of leases: how many exchanges may run at once.

A charge takes a lease, which holds its cost until it is ended (the reservation is settled), or until one lease time
has passed since it was taken or last renewed: so what a crash leaves behind ends by itself. A lease has a number of
its own, so ending one that has lapsed frees nobody else's. One that lapsed while its exchange still runs is taken
again when it is renewed, over the capacity if need be: the exchange is there, and is counted.

Nobody can foretell when an exchange is over, so the wait that is told is a second. `reset_us` is until all leases have
lapsed if none is renewed.
"""

from __future__ import annotations

from dataclasses import dataclass

from tidegate.admission.arithmetic import ASK_AGAIN, Outcome, microseconds
from tidegate.model import Limit


@dataclass(frozen=True, slots=True)
class Leases:
    """`held` leases as (expiry, number, cost), the first to lapse first; `next` number; `last` in microseconds.

    A lease counts until its expiry, exclusive. Where none is held there is no time to keep: `last` is 0.
    """

    held: tuple[tuple[int, int, int], ...] = ()
    next: int = 0
    last: int = 0


def lapse(state: Leases, now_us: int) -> Leases:
    """The state without the leases that have lapsed."""
    now = max(now_us, state.last)
    held = tuple(lease for lease in state.held if lease[0] > now)
    if len(held) == len(state.held):
        return state
    return Leases(held, state.next, now if held else 0)


def step_leases(limit: Limit, state: Leases, now_us: int, cost: int) -> tuple[Leases, Outcome]:
    """One step of a limit on what runs at once; see `reference.step`."""
    state = lapse(state, now_us)
    now = max(now_us, state.last)
    total = sum(lease[2] for lease in state.held)
    retry: int | None = 0
    if cost > 0 and total + cost <= limit.capacity:
        total += cost
        lease = (now + microseconds(limit.period), state.next, cost)
        state = Leases(tuple(sorted((*state.held, lease))), state.next + 1, now)
    elif cost > 0:
        retry = ASK_AGAIN if cost <= limit.capacity else None
    reset = state.held[-1][0] - now if state.held else 0
    return state, Outcome(max(0, limit.capacity - total), reset, retry)


def end(state: Leases, now_us: int, number: int) -> Leases:
    """End a lease, if it has not lapsed."""
    state = lapse(state, now_us)
    held = tuple(lease for lease in state.held if lease[1] != number)
    return Leases(held, state.next, state.last if held else 0)


def renew(limit: Limit, state: Leases, now_us: int, number: int, cost: int) -> Leases:
    """Let a lease of `cost` last one lease time from now, lapsed or not."""
    state = lapse(state, now_us)
    now = max(now_us, state.last)
    others = [lease for lease in state.held if lease[1] != number]
    lease = (now + microseconds(limit.period), number, cost)
    return Leases(tuple(sorted((*others, lease))), state.next, now)
