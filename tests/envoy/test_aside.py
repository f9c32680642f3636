"""Steps beside the event loop: whoever asked for one finds it over."""

from __future__ import annotations

import asyncio
import threading

import pytest
from tidegate.envoy.aside import Aside
from tidegate.filtering.spotting import Effort


@pytest.mark.parametrize("effort", [Effort.LONG, Effort.WAIT])
async def test_a_step_is_over_when_its_caller_goes_on_however_often_that_is_cancelled(effort: Effort) -> None:
    begun, go_on = threading.Event(), threading.Event()
    over: list[bool] = []

    def step() -> None:
        begun.set()
        go_on.wait(10)
        over.append(True)

    async def caller() -> bool:
        try:
            await Aside("test").run(step, effort)
        except asyncio.CancelledError:
            return bool(over)
        return False

    task = asyncio.create_task(caller())
    await asyncio.to_thread(begun.wait, 10)
    for _ in range(3):
        task.cancel()
        for _ in range(5):
            await asyncio.sleep(0)
    assert not task.done()
    go_on.set()
    assert await asyncio.wait_for(task, 10)
