"""When a failed call may be sent again. Pure: the caller sleeps and sends."""

from __future__ import annotations

import random
import time
from collections.abc import Callable

_FIRST_PAUSE = 0.05  # seconds; doubles with every retry, each shortened by up to half at random
_FLOOR = 0.001  # seconds; a deadline that has passed is still a deadline

# gRPC's own words for a call that never left this process, because no connection could be made. They come from the
# channel, not from the peer. Should they change, a charge is no longer repeated: the safe side.
_NEVER_SENT = ("failed to connect to all addresses", "errors resolving ", "DNS resolution failed")


class Attempts:
    """The attempts of one call within one deadline.

    UNAVAILABLE alone is retried. A call that `charges` is retried only when it never left this process: after that, an
    error says nothing of whether the charge was made. `timeout` is seconds for all attempts and pauses together.
    """

    def __init__(
        self,
        *,
        charges: bool,
        timeout: float,
        retries: int,
        now: Callable[[], float] = time.monotonic,
        chance: Callable[[], float] = random.random,
    ) -> None:
        self._charges = charges
        self._retries = retries
        self._now = now
        self._chance = chance
        self._deadline = now() + timeout
        self._pause = _FIRST_PAUSE

    def remaining(self) -> float:
        """Seconds that the next attempt may take."""
        return max(_FLOOR, self._deadline - self._now())

    def pause(self, code: str, details: str) -> float | None:
        """Seconds to wait before the next attempt, or None when this failure is final."""
        if code != "UNAVAILABLE" or self._retries <= 0:
            return None
        if self._charges and not details.startswith(_NEVER_SENT):
            return None
        pause = self._pause * (1 - self._chance() / 2)
        if self._now() + pause >= self._deadline:
            return None
        self._retries -= 1
        self._pause *= 2
        return pause
