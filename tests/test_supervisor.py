"""Workers come back; a first start that fails ends the command, a later one does not; all are replaced in turn.

One that hangs, or does not end when it is told to, is killed.
"""

from __future__ import annotations

import asyncio
import signal
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

import pytest
from structlog.testing import CapturingLogger
from tidegate import supervisor
from tidegate.lifeline import BEAT
from tidegate.supervisor import Supervisor
from tidegate.telemetry.workers import Workers

HEARD, PATIENCE, HUNG = 1.5, 20.0, 10


class Child:
    """A worker that ends with `status`, or None: when it is told to. A deaf one lets streams finish, or hangs."""

    def __init__(self, status: int | None, serves: Callable[[], None], *, deaf: bool = False) -> None:
        self.returncode = status
        self.serves = serves
        self.heard: list[int] = []
        self._deaf = deaf
        self._over = asyncio.Event()

    def send_signal(self, number: int) -> None:
        self.heard.append(number)
        if not self._deaf or number == signal.SIGKILL:
            self.end(-number)

    def end(self, status: int) -> None:
        self.returncode = status
        self._over.set()

    async def wait(self) -> int:
        if self.returncode is None:
            await self._over.wait()
        assert self.returncode is not None
        return self.returncode


class Children:
    """Makes the children of each worker, by the statuses that its starts are to have; the last one runs on."""

    def __init__(self, statuses: dict[int, list[int]] | None = None, *, deaf: bool = False) -> None:
        self.statuses = {index: iter(given) for index, given in (statuses or {}).items()}
        self.made: dict[int, list[Child]] = {}
        self.sleeps: list[float] = []
        self.sleeping: dict[float, asyncio.Event] = {seconds: asyncio.Event() for seconds in (BEAT, PATIENCE)}
        self._deaf = deaf

    async def start(self, index: int, serves: Callable[[], None]) -> Child:
        child = Child(next(self.statuses.get(index, iter(())), None), serves, deaf=self._deaf)
        self.made.setdefault(index, []).append(child)
        return child

    async def sleep(self, seconds: float) -> None:
        if seconds in self.sleeping:
            await self.sleeping[seconds].wait()
        else:
            self.sleeps.append(seconds)
            await asyncio.sleep(0)

    async def passed(self, seconds: float) -> None:
        """Who sleeps for so long wakes."""
        self.sleeping[seconds].set()
        self.sleeping[seconds] = asyncio.Event()
        await turns()

    def newest(self, index: int) -> Child:
        return self.made[index][-1]

    def counts(self) -> tuple[int, int]:
        return len(self.made[0]), len(self.made[1])


async def turns() -> None:
    """All that can happen by itself has happened."""
    for _ in range(100):
        await asyncio.sleep(0)


class Told(CapturingLogger):
    """What the log was told."""

    def events(self, method: str) -> list[str]:
        return [call.args[0] for call in self.calls if call.method_name == method]

    def killed(self) -> list[tuple[str, int, float]]:
        calls = [call for call in self.calls if "killed" in call.args[0]]
        return [(call.args[0], call.kwargs["worker"], call.kwargs["seconds"]) for call in calls]


@asynccontextmanager
async def supervised(children: Children) -> AsyncIterator[tuple[asyncio.Task[int], Told]]:
    told = Told()
    terms = {"heard": HEARD, "patience": PATIENCE, "hung": HUNG}
    command = asyncio.create_task(
        Supervisor(children.start, 2, told=Workers(told), sleep=children.sleep, **terms).run()
    )
    await turns()
    yield command, told
    if not command.done():
        signal.raise_signal(signal.SIGTERM)
        await turns()
        for child in (children.newest(0), children.newest(1)):
            child.end(0)
        assert await asyncio.wait_for(command, 10) == 0


async def test_a_worker_that_cannot_start_at_first_ends_the_whole() -> None:
    children = Children({1: [2]})
    async with supervised(children) as (command, _):
        assert await asyncio.wait_for(command, 10) == 2
        assert [child.returncode for child in children.made[0]] == [-signal.SIGTERM]


async def test_a_worker_that_cannot_be_started_again_leaves_the_others_alone() -> None:
    """It crashed while the policy file was bad: the other workers still hold the good policy."""
    children = Children({1: [-signal.SIGKILL, 2, 2]})
    async with supervised(children) as (command, _):
        assert children.counts() == (1, 4)
        assert not command.done()
        assert [child.returncode for child in children.made[0]] == [None]
        assert children.sleeps == [supervisor._RESTART_DELAY] * 3
        signal.raise_signal(signal.SIGTERM)
        assert await asyncio.wait_for(command, 10) == 0
    assert children.made[0][0].returncode == -signal.SIGTERM


async def ask_for_new_ones() -> None:
    signal.raise_signal(signal.SIGUSR2)
    await turns()


async def serves(child: Child) -> None:
    child.serves()
    await turns()


async def test_workers_are_replaced_one_after_another_each_when_all_others_are_known_to_serve() -> None:
    children = Children(deaf=True)
    async with supervised(children) as (_, told):
        await serves(children.newest(0))
        await ask_for_new_ones()
        assert [child.heard for child in (children.newest(0), children.newest(1))] == [[], []]  # one starts still
        await serves(children.newest(1))
        assert children.sleeps == [1.5]
        assert [child.heard for child in (children.newest(0), children.newest(1))] == [[signal.SIGTERM], []]
        await turns()
        assert children.counts() == (1, 1)  # streams finish
        children.newest(0).end(0)
        await turns()
        assert children.counts() == (2, 1)
        assert children.newest(1).heard == []
        await serves(children.newest(0))
        assert children.sleeps == [1.5, 1.5]
        assert children.newest(1).heard == [signal.SIGTERM]
        children.newest(1).end(0)
        await turns()
        assert len(told.events("info")) == 1
        await serves(children.newest(1))
        assert told.events("info") == ["replacing the workers, one after another", "every worker is replaced"]
        assert children.counts() == (2, 2)
        assert children.newest(0).heard == []


async def test_a_new_worker_that_cannot_start_keeps_the_old_ones_where_they_are() -> None:
    children = Children()
    async with supervised(children):
        for index in range(2):
            await serves(children.newest(index))
        children.statuses[0] = iter([2, 2])
        await ask_for_new_ones()
        assert children.counts() == (4, 1)
        assert children.newest(1).heard == []
        await serves(children.newest(0))  # what was wrong is mended
        assert children.counts() == (4, 2)


async def test_a_worker_that_dies_meanwhile_is_waited_for() -> None:
    children = Children()
    async with supervised(children):
        for index in range(2):
            await serves(children.newest(index))
        await ask_for_new_ones()
        assert children.counts() == (2, 1)
        children.newest(1).end(-signal.SIGKILL)
        await turns()
        await serves(children.newest(0))
        assert children.counts() == (2, 2)
        assert children.newest(0).heard == []
        await serves(children.newest(1))
        assert children.counts() == (2, 3)  # it may have been started with the old code


async def test_a_worker_that_is_gone_before_it_is_told_to_go_ends_no_replacement() -> None:
    class Gone(Child):
        def send_signal(self, number: int) -> None:
            super().send_signal(number)
            raise ProcessLookupError

    children = Children()
    async with supervised(children) as (_, told):
        for index in range(2):
            children.newest(index).__class__ = Gone
            await serves(children.newest(index))
        await ask_for_new_ones()
        for index in range(2):
            await serves(children.newest(index))
        assert children.counts() == (2, 2)
        assert told.events("info") == ["replacing the workers, one after another", "every worker is replaced"]


async def test_who_asks_again_meanwhile_gets_another_round() -> None:
    """The new code may have come after the first worker was replaced."""
    children = Children()
    async with supervised(children) as (_, told):
        for index in range(2):
            await serves(children.newest(index))
        await ask_for_new_ones()
        await ask_for_new_ones()
        for index in (0, 1, 0, 1):
            await serves(children.newest(index))
        assert children.counts() == (3, 3)
        assert len(told.events("info")) == 4


async def test_the_end_comes_before_the_replacement() -> None:
    children = Children(deaf=True)
    async with supervised(children) as (command, _):
        for index in range(2):
            await serves(children.newest(index))
        await ask_for_new_ones()
        signal.raise_signal(signal.SIGTERM)
        await turns()
        for index in range(2):
            children.newest(index).end(0)
        assert await asyncio.wait_for(command, 10) == 0
        assert children.counts() == (1, 1)


@pytest.mark.parametrize("number", [signal.SIGHUP, signal.SIGTERM])
async def test_signals_are_passed_on(number: signal.Signals) -> None:
    children = Children(deaf=True)
    async with supervised(children):
        signal.raise_signal(number)
        await turns()
        assert [children.newest(index).heard for index in range(2)] == [[number], [number]]


async def beats(children: Children, workers: tuple[int, ...], times: int) -> None:
    """So many seconds pass, in which the loops of some turn."""
    for _ in range(times):
        for index in workers:
            children.newest(index).serves()
        await children.passed(BEAT)


async def both_serve(children: Children) -> None:
    for index in range(2):
        await serves(children.newest(index))


async def test_a_worker_that_hangs_is_killed_and_started_again_and_no_other() -> None:
    children = Children(deaf=True)
    async with supervised(children) as (_, told):
        await both_serve(children)
        await beats(children, (0,), HUNG - 1)
        assert children.counts() == (1, 1)
        await beats(children, (0,), 1)
        assert children.counts() == (1, 2)
        assert told.killed() == [("a worker hangs and is killed", 1, HUNG)]
        assert told.events("warning")[1:] == ["a worker has ended and is started again"]


async def test_a_worker_that_is_heard_of_now_and_then_is_left_alone_and_so_is_one_that_starts() -> None:
    children = Children(deaf=True)
    async with supervised(children) as (_, told):
        await serves(children.newest(0))
        for _ in range(3):
            await beats(children, (), HUNG - 2)
            await beats(children, (0,), 1)
        assert children.counts() == (1, 1)
        assert not told.calls


async def test_a_worker_that_does_not_end_in_time_is_killed_and_the_replacement_goes_on() -> None:
    children = Children(deaf=True)
    async with supervised(children) as (_, told):
        await both_serve(children)
        await ask_for_new_ones()
        assert children.newest(0).heard == [signal.SIGTERM]
        await children.passed(PATIENCE)
        assert children.made[0][0].returncode == -signal.SIGKILL
        await serves(children.newest(0))
        assert children.newest(1).heard == [signal.SIGTERM]
        children.newest(1).end(0)
        await turns()
        await serves(children.newest(1))
        await children.passed(PATIENCE)
        assert children.counts() == (2, 2)
        assert told.killed() == [("a worker that was to end did not, and is killed", 0, PATIENCE)]
        assert told.events("info")[-1] == "every worker is replaced"


async def test_no_worker_leaves_while_another_hangs() -> None:
    """It would leave nobody who answers; the one that hangs may go."""
    children = Children(deaf=True)
    async with supervised(children):
        await both_serve(children)
        await beats(children, (0,), supervisor._LATE)
        await ask_for_new_ones()
        assert [child.heard for child in (children.newest(0), children.newest(1))] == [[], []]
        await serves(children.newest(1))  # it was only slow
        assert children.newest(0).heard == [signal.SIGTERM]
        children.newest(0).end(0)
        await turns()
        await serves(children.newest(0))
        await beats(children, (0,), supervisor._LATE)
        assert children.newest(1).heard == [signal.SIGTERM]


async def test_workers_that_do_not_hear_of_the_end_are_killed() -> None:
    children = Children(deaf=True)
    async with supervised(children) as (command, told):
        await both_serve(children)
        signal.raise_signal(signal.SIGTERM)
        await turns()
        children.newest(0).end(0)
        await turns()
        assert not command.done()
        await children.passed(PATIENCE)
        assert await asyncio.wait_for(command, 10) == 0
        assert children.newest(1).returncode == -signal.SIGKILL
        assert told.killed() == [("a worker that was to end did not, and is killed", 1, PATIENCE)]


async def test_who_asks_twice_for_the_end_gives_no_more_and_no_less_time() -> None:
    children = Children(deaf=True)
    async with supervised(children) as (command, told):
        await both_serve(children)
        for _ in range(2):
            signal.raise_signal(signal.SIGTERM)
            await turns()
        await children.passed(PATIENCE)
        assert await asyncio.wait_for(command, 10) == 0
        assert len(told.killed()) == 2
