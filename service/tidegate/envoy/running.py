"""How many exchanges run, and waiting until none does."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from contextlib import suppress


class Running:
    """Counts them; `live` is told of one that begins (+1) or ends (-1)."""

    def __init__(self, live: Callable[[int], None]) -> None:
        self._live = live
        self._count = 0
        self._idle = asyncio.Event()
        self._idle.set()

    def begin(self) -> None:
        """One more."""
        self._live(1)
        self._count += 1
        self._idle.clear()

    def end(self) -> None:
        """One less."""
        self._live(-1)
        self._count -= 1
        if not self._count:
            self._idle.set()

    async def idle(self, timeout: float) -> None:
        """Wait until none runs, at most `timeout` seconds."""
        with suppress(TimeoutError):
            await asyncio.wait_for(self._idle.wait(), timeout)
