"""How long each phase of one decision took, and in which it ended."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final, Literal, NamedTuple, get_args

Phase = Literal["identify", "authorize", "accept", "admit", "inspect", "queue"]
PHASES: Final[tuple[Phase, ...]] = get_args(Phase)
"""In the order in which a decision goes through them."""


class Lap(NamedTuple):
    """One phase; times are seconds on the monotonic clock."""

    phase: Phase
    start: float
    end: float

    @property
    def seconds(self) -> float:
        """How long it took."""
        return self.end - self.start


class Watch:
    """Times one decision. A phase is over when the next begins, so it costs one look at the clock."""

    def __init__(self, now: Callable[[], float]) -> None:
        self._now = now
        self._begun: list[tuple[Phase, float]] = []

    def begin(self, phase: Phase) -> None:
        """The phase before this one is over."""
        self._begun.append((phase, self._now()))

    def stop(self) -> tuple[Lap, ...]:
        """All is over: what there was, in order. The last is the phase in which the decision ended."""
        if not self._begun:
            return ()
        ends = [start for _, start in self._begun[1:]]
        return tuple(
            [Lap(phase, start, end) for (phase, start), end in zip(self._begun, [*ends, self._now()], strict=True)]
        )
