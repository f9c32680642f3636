"""Turns at something that takes so many at once: whoever asks for many waits behind himself, and not before others."""

from __future__ import annotations

import asyncio
from collections import OrderedDict, deque


class Turns:
    """A semaphore of `at_once` that those who wait get asker by asker, and of one asker in order.

    One asker alone may have all of it: nothing is kept for who is not there.
    """

    def __init__(self, at_once: int) -> None:
        self._free = at_once
        self._waiting: OrderedDict[str, deque[asyncio.Future[None]]] = OrderedDict()

    async def acquire(self, asker: str) -> None:
        """Wait for a turn; whoever is cancelled has none."""
        if self._free:
            self._free -= 1
            return
        mine: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiting.setdefault(asker, deque()).append(mine)
        try:
            await mine
        except asyncio.CancelledError:
            if mine.cancelled():
                self._forget(asker, mine)
            else:  # it was given just now
                self.release()
            raise

    def release(self) -> None:
        """Give a turn back: to the next asker, who then stands behind all others."""
        while self._waiting:
            asker, own = self._waiting.popitem(last=False)
            first = own.popleft()
            if own:
                self._waiting[asker] = own
            if not first.done():
                first.set_result(None)
                return
        self._free += 1

    def _forget(self, asker: str, mine: asyncio.Future[None]) -> None:
        own = self._waiting.get(asker, deque())
        if mine in own:
            own.remove(mine)
            if not own:
                del self._waiting[asker]
