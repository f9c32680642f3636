"""Long steps beside the event loop: one at a time, on a thread of their own."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Final, TypeVar

LONG: Final = 64 * 1024
"""Bytes; to read more than this at once would stall every other exchange, and Envoy's health check."""

Result = TypeVar("Result")


class Aside:
    """Runs steps that read a long body, on a thread of that name."""

    def __init__(self, name: str) -> None:
        self._thread = ThreadPoolExecutor(1, name)

    async def run(self, step: Callable[[], Result]) -> Result:
        """The step's result; it is over when this returns or raises, cancelled or not."""
        running = asyncio.get_running_loop().run_in_executor(self._thread, step)
        try:
            return await asyncio.shield(running)
        except asyncio.CancelledError:
            await asyncio.wait((running,))
            raise
