"""A clock that stands until a test turns it, and wakes who sleeps by it."""

from __future__ import annotations

import asyncio


class Turned:
    """A clock that stands until it is turned."""

    def __init__(self) -> None:
        self.now = 0.0
        self._sleeping: list[tuple[float, asyncio.Event]] = []

    def monotonic(self) -> float:
        return self.now

    async def sleep(self, seconds: float) -> None:
        event = asyncio.Event()
        self._sleeping.append((self.now + seconds, event))
        await event.wait()

    async def turn(self, seconds: float) -> None:
        until = self.now + seconds
        while due := sorted((at for at, event in self._sleeping if not event.is_set() and at <= until)):
            self.now = due[0]
            for at, event in self._sleeping:
                if at <= self.now:
                    event.set()
            for _ in range(5):
                await asyncio.sleep(0)
        self.now = until
