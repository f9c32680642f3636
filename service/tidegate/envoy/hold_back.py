"""How long text waits here: from when a piece of it came to when the last of it was let out."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable

from tidegate.clock import Clock, SystemClock
from tidegate.filtering.formats import Progress


def unmeasured() -> HoldBack:
    """One that tells nobody."""
    return HoldBack(SystemClock(), lambda _seconds: None)


class HoldBack:
    """One body's. `record` is told the seconds that each piece waited, in the order in which they came.

    A piece is what one message brought. Texts of several channels count as one, first in, first out.
    """

    def __init__(self, clock: Clock, record: Callable[[float], None]) -> None:
        self._clock = clock
        self._record = record
        self._came = 0.0
        self._taken = 0
        self._waiting: deque[tuple[int, float]] = deque()  # up to which character, and since when

    def came(self) -> None:
        """A message came."""
        self._came = self._clock.monotonic()

    def left(self, progress: Progress) -> None:
        """It was dealt with: what was taken in of it and before, and what of that is still held."""
        if progress.taken > self._taken:
            self._taken = progress.taken
            self._waiting.append((progress.taken, self._came))
        released = progress.taken - progress.held
        if not self._waiting or self._waiting[0][0] > released:
            return
        now = self._clock.monotonic()
        while self._waiting and self._waiting[0][0] <= released:
            self._record(now - self._waiting.popleft()[1])
