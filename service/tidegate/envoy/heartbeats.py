"""Something on a stream that is silent, so that nobody on the way takes it for dead: see `filtering.formats.beats`."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Protocol

from tidegate.clock import Clock


class Stream(Protocol):
    """What beats: `written` is when something was last written to it, in the clock's monotonic seconds."""

    written: float

    async def beat(self) -> bool:
        """Write what says nothing, where it breaks nothing in two; whether it was. Raises what a write raises."""
        ...


class Heartbeats:
    """Keeps streams alive. `every` gives seconds of silence, 0 for never; `record` is told of each time."""

    def __init__(
        self,
        every: Callable[[], float],
        *,
        clock: Clock,
        record: Callable[[], None],
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        self._every = every
        self._clock = clock
        self._record = record
        self._sleep = sleep

    def now(self) -> float:
        """The clock's monotonic seconds."""
        return self._clock.monotonic()

    def start(self, stream: Stream) -> asyncio.Task[None] | None:
        """Beat until cancelled, or until the stream takes nothing more; None where the policy wants no heartbeats."""
        every = self._every()
        return asyncio.get_running_loop().create_task(self._run(stream, every)) if every else None

    async def _run(self, stream: Stream, every: float) -> None:
        while True:
            silent = self.now() - stream.written
            if silent < every:
                await self._sleep(every - silent)
            elif await stream.beat():
                self._record()
