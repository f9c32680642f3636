"""The loop behind the sync in-process engine: nobody is left waiting when it ends."""

from __future__ import annotations

import asyncio
import threading
from concurrent.futures import CancelledError

from tidegate_client.background import Background


def test_a_call_in_flight_ends_with_the_loop() -> None:
    loop = Background("ends")
    running, outcome = threading.Event(), []

    async def forever() -> None:
        running.set()
        await asyncio.Event().wait()

    def call() -> None:
        try:
            loop.run(forever())
        except CancelledError:
            outcome.append("cancelled")

    async def last() -> None:
        outcome.append("last")

    thread = threading.Thread(target=call)
    thread.start()
    assert running.wait(5)
    loop.stop(last)
    thread.join(5)
    assert sorted(outcome) == ["cancelled", "last"]
    loop.stop(last)
    assert len(outcome) == 2
