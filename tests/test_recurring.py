"""One step, again and again: until it is stopped, and whatever breaks."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

import pytest
from tidegate.recurring import Recurring

from tests.turns import Turns


class Steps:
    """Counts those that are taken, so many intervals long."""

    def __init__(self, often: int) -> None:
        self.taken = 0
        self.turns = Turns(often)

    async def take(self) -> None:
        self.taken += 1


def recurring(
    steps: Steps,
    step: Callable[[], Awaitable[None]] | None = None,
    on_error: Callable[[Exception], None] = lambda failure: pytest.fail(repr(failure)),
) -> Recurring:
    return Recurring(step or steps.take, name="steps", interval=7.0, on_error=on_error, sleep=steps.turns)


def running() -> int:
    return sum(task.get_name() == "steps" for task in asyncio.all_tasks())


async def test_it_waits_before_every_step_and_runs_once_however_often_it_is_started() -> None:
    steps = Steps(3)
    subject = recurring(steps)
    subject.start()
    subject.start()
    await steps.turns.done.wait()
    assert (steps.taken, steps.turns.slept, running()) == (3, {7.0}, 1)
    await subject.close()
    assert running() == 0
    await subject.close()


async def test_what_breaks_a_step_is_told_and_ends_nothing() -> None:
    steps, told = Steps(3), list[Exception]()

    async def breaks() -> None:
        steps.taken += 1
        raise LookupError(str(steps.taken))

    subject = recurring(steps, breaks, told.append)
    subject.start()
    await steps.turns.done.wait()
    assert [str(failure) for failure in told] == ["1", "2", "3"]
    await subject.close()


async def test_it_ends_where_its_cancellation_was_lost() -> None:
    steps, told, asked = Steps(99), list[Exception](), asyncio.Event()

    async def deaf() -> None:
        asked.set()
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            raise TimeoutError from None

    subject = recurring(steps, deaf, told.append)
    subject.start()
    await asked.wait()
    await asyncio.wait_for(subject.close(), 30)
    assert (running(), len(told)) == (0, 1)


async def test_it_may_be_stopped_by_its_own_step_and_started_again() -> None:
    steps = Steps(99)

    async def once() -> None:
        steps.taken += 1
        subject.stop()

    subject = recurring(steps, once)
    for taken in (1, 2):
        subject.start()
        while running():
            await asyncio.sleep(0)
        assert steps.taken == taken


async def test_who_is_cancelled_while_it_closes_is_cancelled() -> None:
    steps, asked, over = Steps(1), asyncio.Event(), asyncio.Event()

    async def lingers() -> None:
        asked.set()
        try:
            await asyncio.Event().wait()
        finally:
            await over.wait()

    subject = recurring(steps, lingers)
    subject.start()
    await asked.wait()
    closing = asyncio.create_task(subject.close())
    await asyncio.sleep(0)
    closing.cancel()
    with pytest.raises(asyncio.CancelledError):
        await closing
    over.set()
    while running():
        await asyncio.sleep(0)
