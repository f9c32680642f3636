"""When not to ask at all: a service that has not answered for some calls in a row is left alone for a while."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Generator
from contextlib import contextmanager
from typing import Final, Literal

from tidegate_client.errors import TidegateUnavailable

WhenOpen = Literal["deny", "allow", "raise"]

# Any other status is an answer, and quick: nothing is gained by not asking.
_SILENCE: Final = frozenset({"UNAVAILABLE", "DEADLINE_EXCEEDED"})


class CircuitOpen(TidegateUnavailable):
    """Nobody was asked, because nobody has answered lately. `when_open` is what the caller chose for that."""

    def __init__(self, when_open: WhenOpen) -> None:
        super().__init__("UNAVAILABLE", "the service has not answered lately, and is not asked for a while")
        self.when_open = when_open

    def __reduce__(self) -> tuple[type[CircuitOpen], tuple[WhenOpen]]:
        return CircuitOpen, (self.when_open,)


class Breaker:
    """A circuit breaker for one client (`Tidegate(..., breaker=Breaker())`). Safe to share among threads.

    It opens after `failures` calls in a row that nobody answered (UNAVAILABLE or DEADLINE_EXCEEDED, retries included).
    Then no call is sent for `cooldown` seconds; after that one is, and its answer closes the circuit, or its silence
    leaves it open for another `cooldown`.

    While it is open `decide` is `Denied` with status 503 ("deny"), or raises `CircuitOpen` ("raise"), or is `Allowed`
    and `unchecked` ("allow"): then nobody is authenticated, no limit counts and no response is rewritten, and whoever
    can make the service late can bring that about. With "allow" `consume` admits, too, with enforcement "none".
    Everything else raises.
    """

    def __init__(
        self,
        *,
        failures: int = 5,
        cooldown: float = 1.0,
        when_open: WhenOpen = "deny",
        now: Callable[[], float] = time.monotonic,
    ) -> None:
        if failures < 1:
            raise ValueError("failures must be at least 1")
        if not cooldown > 0:
            raise ValueError("cooldown must be above 0 seconds")
        if when_open not in ("deny", "allow", "raise"):
            raise ValueError("when_open is 'deny', 'allow' or 'raise'")
        self._failures = failures
        self._cooldown = cooldown
        self._when_open: WhenOpen = when_open
        self._now = now
        self._lock = threading.Lock()
        self._silent = 0
        self._until = 0.0
        self._probing = False

    @property
    def is_open(self) -> bool:
        """Whether the next call will not be sent, or would be the one that finds out."""
        return self._silent >= self._failures

    @contextmanager
    def call(self) -> Generator[None, None, None]:
        """Around one call. Raises `CircuitOpen` in its place."""
        probe = self._enter()
        answered: bool | None = None  # who is interrupted learns nothing
        try:
            yield
            answered = True
        except TidegateUnavailable as failure:
            answered = None if failure.code == "CANCELLED" else failure.code not in _SILENCE
            raise
        except Exception:
            answered = True
            raise
        finally:
            self._leave(probe, answered)

    def _enter(self) -> bool:
        with self._lock:
            if not self.is_open:
                return False
            if self._probing or self._now() < self._until:
                raise CircuitOpen(self._when_open)
            self._probing = True
            return True

    def _leave(self, probe: bool, answered: bool | None) -> None:
        with self._lock:
            if probe:
                self._probing = False
            if answered:
                self._silent = 0
            elif answered is not None:
                self._silent += 1
                if self.is_open:
                    self._until = self._now() + self._cooldown
