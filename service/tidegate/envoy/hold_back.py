"""How long text waits here, from when a piece of it came to when the last of it was let out, and how long we work."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from typing import Literal

from tidegate.clock import Clock, SystemClock
from tidegate.filtering.formats import Progress


def unmeasured() -> HoldBack:
    """One that tells nobody."""
    return HoldBack(SystemClock(), lambda _seconds: None)


What = Literal["first", "work"]


class HoldBack:
    """One body's. `record` is told the seconds that each piece waited, in the order in which they came.

    A piece is what one message brought. Texts of several channels count as one, first in, first out. `once` is told
    what there is one of: how much later the "first" text of a stream leaves than it came, and, with `over`, how long
    we were at "work" on the whole of it, waits for other services included.
    """

    def __init__(
        self,
        clock: Clock,
        record: Callable[[float], None],
        once: Callable[[What, float], None] = lambda _what, _seconds: None,
    ) -> None:
        self._clock = clock
        self._record = record
        self._once = once
        self._first = 0.0
        self._worked = 0.0
        self._begun = False
        self._answered = False
        self._came = 0.0
        self._taken = 0
        self._waiting: deque[tuple[int, float]] = deque()  # up to which character, and since when

    def came(self) -> None:
        """A message came."""
        self._came = self._clock.monotonic()

    def left(self, progress: Progress) -> None:
        """It was dealt with: what was taken in of it and before, and what of that is still held."""
        now = self._clock.monotonic()
        self._worked += now - self._came
        if progress.taken > self._taken:
            if not self._begun:
                self._begun, self._first = True, self._came
            self._taken = progress.taken
            self._waiting.append((progress.taken, self._came))
        released = progress.taken - progress.held
        if released and not self._answered:
            self._answered = True
            self._once("first", now - self._first)
        if not self._waiting or self._waiting[0][0] > released:
            return
        while self._waiting and self._waiting[0][0] <= released:
            self._record(now - self._waiting.popleft()[1])

    def over(self) -> None:
        """Nothing more comes."""
        self._once("work", self._worked)
