"""A sleep for what is done again and again: it lets so many intervals pass at once, and then none."""

from __future__ import annotations

import asyncio
from collections.abc import Callable


class Turns:
    """Sleeps `often` times, of which `pass_time` is told, seconds; who sleeps then sleeps for good, and is `done`."""

    def __init__(self, often: int, pass_time: Callable[[float], None] = lambda _seconds: None) -> None:
        self.left = often
        self.slept: set[float] = set()
        self.done = asyncio.Event()
        self._pass_time = pass_time

    async def __call__(self, seconds: float) -> None:
        self.slept.add(seconds)
        if self.left == 0:
            self.done.set()
            await asyncio.Event().wait()
        self.left -= 1
        self._pass_time(seconds)
