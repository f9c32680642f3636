"""Which proofs were used: each may be, once."""

from __future__ import annotations

from collections import OrderedDict
from typing import Protocol

from tidegate.clock import Clock
from tidegate.errors import StoreUnavailable


class Replays(Protocol):
    """A memory of used proofs, shared by all that may be asked with the same one."""

    async def first(self, digest: bytes, seconds: float) -> bool:
        """Whether this is the first use of `digest` (32 bytes) in the last `seconds`; it is remembered for as long.

        Of uses at the same time, one is the first. Raises StoreUnavailable where that cannot be told.
        """
        ...

    async def close(self) -> None:
        """Release what it holds."""
        ...


class MemoryReplays:
    """In this process. At most `size` proofs are remembered: none is forgotten early, so when full it cannot tell."""

    def __init__(self, clock: Clock, *, size: int = 250_000) -> None:
        self._clock = clock
        self._size = size
        self._until: OrderedDict[bytes, float] = OrderedDict()  # digest → monotonic seconds, about in order

    async def first(self, digest: bytes, seconds: float) -> bool:
        """See `Replays.first`."""
        now = self._clock.monotonic()
        while self._until and next(iter(self._until.values())) <= now:
            self._until.popitem(last=False)
        if self._until.get(digest, now) > now:
            return False
        if len(self._until) >= self._size:
            raise StoreUnavailable("the memory of used proofs is full")
        self._until[digest] = now + seconds
        self._until.move_to_end(digest)
        return True

    async def close(self) -> None:
        """Nothing is held."""

    def __len__(self) -> int:
        return len(self._until)
