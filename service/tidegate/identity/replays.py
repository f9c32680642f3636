"""Which proofs were used: each may be, once."""

from __future__ import annotations

from collections import Counter, OrderedDict
from typing import Final, Protocol

from tidegate.clock import Clock
from tidegate.errors import StoreUnavailable

HOLDER: Final = 16


class Replays(Protocol):
    """A memory of used proofs, shared by all that may be asked with the same one."""

    async def first(self, digest: bytes, seconds: float) -> bool:
        """Whether this is the first use of `digest` (32 bytes) in the last `seconds`; it is remembered for as long.

        It begins with `HOLDER` bytes that all proofs of one key share.

        Of uses at the same time, one is the first. Raises StoreUnavailable where that cannot be told.
        """
        ...

    async def close(self) -> None:
        """Release what it holds."""
        ...


class MemoryReplays:
    """In this process. At most `size` proofs are remembered: none is forgotten early, so when full it cannot tell.

    When half full it takes no more from keys that fill an eighth: one caller alone shuts nobody else out.
    """

    def __init__(self, clock: Clock, *, size: int = 250_000) -> None:
        self._clock = clock
        self._size = size
        self._until: OrderedDict[bytes, float] = OrderedDict()  # digest → monotonic seconds, about in order
        self._of: Counter[bytes] = Counter()  # by key

    async def first(self, digest: bytes, seconds: float) -> bool:
        """See `Replays.first`."""
        now = self._clock.monotonic()
        while self._until and next(iter(self._until.values())) <= now:
            self._forget(next(iter(self._until)))
        if self._until.get(digest, now) > now:
            return False
        self._forget(digest)
        holder = digest[:HOLDER]
        crowded = len(self._until) >= self._size // 2 and self._of[holder] >= max(1, self._size // 8)
        if crowded or len(self._until) >= self._size:
            raise StoreUnavailable("the memory of used proofs is full")
        self._until[digest] = now + seconds
        self._of[holder] += 1
        return True

    def _forget(self, digest: bytes) -> None:
        if self._until.pop(digest, None) is None:
            return
        holder = digest[:HOLDER]
        self._of[holder] -= 1
        if not self._of[holder]:
            del self._of[holder]

    async def close(self) -> None:
        """Nothing is held."""

    def __len__(self) -> int:
        return len(self._until)
