"""Steps that would hold up the event loop, beside it: long ones one at a time, those that wait each on a thread."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from typing import Final, TypeVar

from tidegate.filtering.spotting import Effort

LONG: Final = 64 * 1024
"""Bytes; to read more than this at once would stall every other exchange, and Envoy's health check."""

_WAITING: Final = 64
"""Steps that wait for another service at once; what comes then waits for them."""

Result = TypeVar("Result")


class Aside:
    """Runs steps, on threads of that name."""

    def __init__(self, name: str) -> None:
        self._long = ThreadPoolExecutor(1, name)
        self._waiting = ThreadPoolExecutor(_WAITING, f"{name}-wait")

    async def run(self, step: Callable[[], Result], effort: Effort = Effort.LONG) -> Result:
        """The step's result; it is over when this returns or raises, cancelled or not. A quick one is done here."""
        if effort is Effort.QUICK:
            return step()
        thread = self._waiting if effort is Effort.WAIT else self._long
        running = asyncio.get_running_loop().run_in_executor(thread, step)
        try:
            return await asyncio.shield(running)
        except asyncio.CancelledError:
            while not running.done():
                with suppress(asyncio.CancelledError):  # once more
                    await asyncio.wait((running,))
            raise


def effort_of(effort: Effort, size: int) -> Effort:
    """What it takes to read that many bytes of a body that is read with that effort."""
    return Effort.LONG if size > LONG and effort is Effort.QUICK else effort
