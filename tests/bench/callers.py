"""Callers of one event loop, each of whom asks again when it is answered."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable

CALLERS = 64


async def rate(decide: Callable[[int], Awaitable[bool]], decisions: int) -> float:
    """Decisions a second. `decide` gets the number of the decision and says whether it went as it should."""
    numbers = iter(range(decisions))

    async def caller() -> None:
        for number in numbers:
            if not await decide(number):
                raise RuntimeError("a limit of the bench decided otherwise than it should")

    started = time.perf_counter()
    await asyncio.gather(*(caller() for _ in range(CALLERS)))
    return decisions / (time.perf_counter() - started)
