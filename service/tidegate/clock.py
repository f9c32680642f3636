"""Time as a dependency: everything that reads a clock is handed one, so no test sleeps."""

from __future__ import annotations

import time
from typing import Protocol


class Clock(Protocol):
    """Wall and monotonic time."""

    def now(self) -> float:
        """Seconds since the Unix epoch (wall time: token expiry, records)."""
        ...

    def monotonic(self) -> float:
        """Seconds on a clock that never steps back (limits in memory, timeouts, cache ages)."""
        ...


class SystemClock:
    """The machine's clocks."""

    def now(self) -> float:
        """Seconds since the Unix epoch."""
        return time.time()

    def monotonic(self) -> float:
        """Seconds on the machine's monotonic clock."""
        return time.monotonic()
