"""Workers come back; a first start that fails ends the command; a later one leaves the others alone."""

from __future__ import annotations

import asyncio
import signal
from typing import Any

import pytest
from tidegate import supervisor


class Child:
    """A worker that ends with `status`, or None: when it is told to."""

    def __init__(self, status: int | None) -> None:
        self.returncode = status
        self._told = asyncio.Event()

    def send_signal(self, number: int) -> None:
        self.returncode = -number
        self._told.set()

    async def wait(self) -> int:
        if self.returncode is None:
            await self._told.wait()
        assert self.returncode is not None
        return self.returncode


class Children:
    """Makes the children of each worker, by the statuses that its starts are to have; the last one serves."""

    def __init__(self, **statuses: list[int]) -> None:
        self.statuses = {name.removeprefix("worker_"): iter(given) for name, given in statuses.items()}
        self.made: dict[str, list[Child]] = {}
        self.news = asyncio.Event()

    async def start(self, *command: Any) -> Child:
        index = command[-1]
        child = Child(next(self.statuses.get(index, iter(())), None))
        self.made.setdefault(index, []).append(child)
        self.news.set()
        return child

    async def starts(self, index: str, count: int) -> None:
        async with asyncio.timeout(10):
            while len(self.made.get(index, ())) < count:
                self.news.clear()
                await self.news.wait()


def supervised(children: Children, monkeypatch: pytest.MonkeyPatch) -> asyncio.Task[int]:
    monkeypatch.setattr(asyncio, "create_subprocess_exec", children.start)
    monkeypatch.setattr(supervisor, "_RESTART_DELAY", 0.0)
    return asyncio.create_task(supervisor.supervise([], 2))


async def test_a_worker_that_cannot_start_at_first_ends_the_whole(monkeypatch: pytest.MonkeyPatch) -> None:
    children = Children(worker_1=[2])
    assert await asyncio.wait_for(supervised(children, monkeypatch), 10) == 2
    assert [child.returncode for child in children.made["0"]] == [-signal.SIGTERM]


async def test_a_worker_that_cannot_be_started_again_leaves_the_others_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    """It crashed while the policy file was bad: the other workers still hold the good policy."""
    children = Children(worker_1=[-signal.SIGKILL, 2, 2])
    command = supervised(children, monkeypatch)
    await children.starts("1", 4)
    assert not command.done()
    assert [child.returncode for child in children.made["0"]] == [None]
    signal.raise_signal(signal.SIGTERM)
    assert await asyncio.wait_for(command, 10) == 0
    assert children.made["0"][0].returncode == -signal.SIGTERM
