"""A servicer whose stream a test feeds message by message, on a clock that it turns."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from typing import cast

from envoy.service.ext_proc.v3 import external_processor_pb2 as ext_proc
from tidegate.admission.queue.fair_queue import FairQueue
from tidegate.admission.queue.places import MemoryPlaces
from tidegate.clock import Clock, SystemClock
from tidegate.envoy.exchange import Exchange
from tidegate.envoy.heartbeats import Heartbeats
from tidegate.envoy.holds import Holds
from tidegate.envoy.keeping import Keeping
from tidegate.envoy.places import Places
from tidegate.envoy.process import ProcessServicer

from tests.envoy.clock import Turned
from tests.envoy.served import Desk, Record, Undecided
from tests.envoy.world import exchange


class Stage:
    """A servicer whose stream a test feeds a message at a time, and what it wrote."""

    def __init__(
        self, *, every: float = 15.0, make: Callable[[], Exchange] = exchange, line: Record | None = None
    ) -> None:
        self.clock, self.line, self.desk, self.told = Turned(), line or Record(), Desk(), 0
        self._queue: asyncio.Queue[ext_proc.ProcessingRequest | None] = asyncio.Queue()
        places = FairQueue(MemoryPlaces(SystemClock()), SystemClock(), where="m")
        servicer = ProcessServicer(
            exchange=make,
            decisions=Undecided(),
            keeping=Keeping(
                settlements=self.desk.settlements(),
                holds=Holds(
                    self.desk, record=lambda *_: None, on_error=self.desk.errors.append, sleep=self.clock.sleep
                ),
                places=Places(places, record=lambda *_: None, on_error=self.desk.errors.append),
            ),
            on_error=self.desk.errors.append,
            heartbeats=Heartbeats(
                lambda: every, clock=cast(Clock, self.clock), record=self._tell, sleep=self.clock.sleep
            ),
        )
        self.running = asyncio.create_task(servicer.process(self._messages(), self.line))

    def _tell(self) -> None:
        self.told += 1

    async def _messages(self) -> AsyncIterator[ext_proc.ProcessingRequest]:
        while (given := await self._queue.get()) is not None:
            yield given

    async def send(self, given: ext_proc.ProcessingRequest | None) -> None:
        self._queue.put_nowait(given)
        for _ in range(20):
            await asyncio.sleep(0)

    async def over(self) -> bytes:
        await self.send(None)
        await asyncio.gather(self.running, return_exceptions=True)
        return self.line.out()
