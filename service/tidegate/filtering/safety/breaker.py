"""When not to ask: a service that failed some times in a row is left alone for a while, then one call finds out."""

from __future__ import annotations

import threading
from collections.abc import Callable


class Breaker:
    """Shared by threads. It opens after `failures` in a row, for `cooldown` seconds of `now`."""

    def __init__(self, *, failures: int = 5, cooldown: float = 10.0, now: Callable[[], float]) -> None:
        self._failures, self._cooldown, self._now = failures, cooldown, now
        self._lock = threading.Lock()
        self._failed = 0
        self._until = 0.0

    def lets_through(self) -> bool:
        """Whether to call. While it is open, once in each cooldown."""
        with self._lock:
            if self._failed < self._failures:
                return True
            if self._now() < self._until:
                return False
            self._until = self._now() + self._cooldown
            return True

    def told(self, *, answered: bool) -> None:
        """How a call went."""
        with self._lock:
            self._failed = 0 if answered else self._failed + 1
            if self._failed >= self._failures:
                self._until = self._now() + self._cooldown
