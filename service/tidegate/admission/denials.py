"""Denied until: refusals that the store gave a moment ago and would give again are repeated without asking it.

A refusal holds for one limit as it stands in one policy (a reloaded policy has other `Limit`s, so nothing old lives
on), one key, and every cost that is not lower. It holds until the refused cost would fit, and no longer than

- 1 s where the limit counts requests: room comes sooner only by a cancelled exchange or a reset of the limit;
- 100 ms where it counts what is settled: a settlement, here or in another replica, makes room at any time.

So a decision is at most that old, and only ever a refusal: nothing is admitted that the store would not admit. A limit
that gives back whenever an exchange ends is always asked. Shadow limits refuse nothing here either; those that would
have are still named beside a refusal. What was pushed out, there being too many, is asked again.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import NamedTuple

from tidegate.clock import Clock
from tidegate.model import Admission, Charge, Limit, LimitState

MAX_AGE = 1.0
"""How long a refusal of a limit in requests may be repeated. Seconds."""
MAX_AGE_SETTLED = 0.1
"""The same, of a limit in any other unit. Seconds."""
_BY_TIME = frozenset({"token_bucket", "sliding_window", "sliding_window_counter", "quota"})
"""The algorithms in which room comes back with time, so that a wait means something."""


class _Denial(NamedTuple):
    state: LimitState
    cost: int
    told: float
    until: float


class Denials:
    """The refusals of the last second, `max_keys` at most. `on_spared` is told of each that is repeated.

    The caller reads the time (`now`) before it asks the store: what it is then told was true no earlier.
    """

    def __init__(self, clock: Clock, *, max_keys: int = 10_000, on_spared: Callable[[], None] = lambda: None) -> None:
        self._monotonic = clock.monotonic
        self._max_keys = max_keys
        self._on_spared = on_spared
        self._denials: dict[tuple[int, str], _Denial] = {}

    def __len__(self) -> int:
        """How many refusals are kept, those that are over among them."""
        return len(self._denials)

    def now(self) -> float:
        """Seconds on the clock that `refusal` and `remember` go by."""
        return self._monotonic()

    def refusal(self, charges: Sequence[Charge], now: float) -> Admission | None:
        """The refusal that the store would repeat, or None: it has to be asked.

        The states are those of the limits that refuse, as they stood when the store was asked, their times counted
        down; nothing is known of the others.
        """
        denials = self._denials
        if not denials:
            return None
        states: list[LimitState] = []
        shadowed: list[LimitState] = []
        for charge in charges:
            denial = denials.get((id(charge.limit), charge.key))
            if denial is None:
                continue
            if now >= denial.until:
                del denials[id(charge.limit), charge.key]
            elif charge.cost >= denial.cost:
                (shadowed if charge.limit.shadow else states).append(_later(denial.state, now - denial.told))
        if not states:
            return None
        self._on_spared()
        return Admission(tuple(states), max(states, key=_longest), shadowed=tuple(shadowed))

    def remember(self, charges: Sequence[Charge], admission: Admission, asked: float) -> None:
        """Keep what `admission`, an exact answer to `charges` that were sent at `asked`, refused."""
        if len({id(charge.limit) for charge in charges}) < len(charges):
            return  # of two charges on one limit, the second was judged on top of the first
        told = self._monotonic()
        states = {id(state.limit): state for state in (*admission.states, *admission.shadowed)}
        for charge in charges:
            state = states.get(id(charge.limit))
            if state is not None and (life := min(state.retry_after, _max_age(charge.limit))) > 0:
                self._keep((id(charge.limit), charge.key), _Denial(state, charge.cost, told, asked + life), told)

    def _keep(self, name: tuple[int, str], denial: _Denial, now: float) -> None:
        # The limit in the denial keeps the id in its name from being another's.
        denials = self._denials
        known = denials.pop(name, None)
        if known is not None and known.cost < denial.cost and now < known.until:
            denial = known
        elif len(denials) >= self._max_keys:
            del denials[next(iter(denials))]
        denials[name] = denial


def _max_age(limit: Limit) -> float:
    if limit.algorithm not in _BY_TIME:
        return 0.0
    return MAX_AGE if limit.cost == "requests" else MAX_AGE_SETTLED


def _later(state: LimitState, elapsed: float) -> LimitState:
    return state._replace(
        reset_after=max(0.0, state.reset_after - elapsed), retry_after=max(1e-6, state.retry_after - elapsed)
    )


def _longest(state: LimitState) -> float:
    return state.retry_after
