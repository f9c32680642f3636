"""Several workers as one command: each a process of its own on its own address, started again when it dies or hangs.

SIGUSR2 replaces them one after another, for new code and for the files that are read once, such as the pepper. A worker
leaves only when all others serve, and have for as long as Envoys need to hear of it. Workers drain when their
supervisor has ended, even by SIGKILL: see `lifeline`.
"""

from __future__ import annotations

import asyncio
import signal
import socket
import sys
from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress
from typing import TYPE_CHECKING, Final, Protocol

from tidegate.lifeline import BEAT, follow

if TYPE_CHECKING:
    from tidegate.telemetry.workers import Workers

_RESTART_DELAY: Final = 0.5  # seconds; a worker that dies at once must not spin
_LATE: Final = 5
"""Beats: a worker that was silent for so many does not count as one that serves."""


class Child(Protocol):
    """A worker's process."""

    @property
    def returncode(self) -> int | None:
        """Its exit status, None while it runs."""

    def send_signal(self, number: int, /) -> None:
        """Send it a signal."""

    async def wait(self) -> int:
        """Wait for its end; the exit status."""


Start = Callable[[int, Callable[[], None]], Awaitable[Child]]


class _Post:
    """One process of a worker: whether it takes calls, and for how many beats nothing was heard of it since."""

    def __init__(self, news: asyncio.Event) -> None:
        self.child: Child | None = None
        self.overdue: asyncio.Task[None] | None = None
        self.serves = False
        self.silent = 0
        self._news = news

    def heard(self) -> None:
        self.serves = True
        self.silent = 0
        self._news.set()

    def tell(self, number: int) -> None:
        if self.child is not None and self.child.returncode is None:
            with suppress(ProcessLookupError):  # it is over, and nobody has waited for it yet
                self.child.send_signal(number)


class Supervisor:
    """Keeps `workers` processes running.

    `start` starts one by its index, and has the callback called once that process takes calls, and every second from
    then on. `heard` is how many seconds Envoys need to see that a worker serves again. One that is told to end has
    `patience` seconds for it, and one that serves may be silent for `hung` of them: then it is killed. `told` is what
    says so, and when workers are replaced.
    """

    def __init__(
        self,
        start: Start,
        workers: int,
        *,
        heard: float,
        patience: float,
        hung: int,
        told: Workers,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        self._start = start
        self._heard = heard
        self._patience = patience
        self._hung = hung
        self._told = told
        self._sleep = sleep
        self._leaving: int | None = None
        self._asked = asyncio.Event()
        self._news = asyncio.Event()
        self._stopping = asyncio.Event()
        self._posts = {index: _Post(self._news) for index in range(workers)}

    async def run(self) -> int:
        """Until SIGTERM or SIGINT; the exit status is 0 then.

        These and SIGHUP are passed on. A worker that cannot start at first (exit status 2) ends the whole. One that
        cannot be started again, because the policy went bad meanwhile, say, does not: the others serve.
        """
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, self._end)
        loop.add_signal_handler(signal.SIGHUP, self._reload)
        loop.add_signal_handler(signal.SIGUSR2, self._asked.set)
        beside = [asyncio.create_task(self._replace()), asyncio.create_task(self._watch())]
        try:
            return max(await asyncio.gather(*map(self._keep, self._posts)))
        finally:
            for task in beside:
                task.cancel()
            await asyncio.wait(beside)

    def _reload(self) -> None:
        for post in self._posts.values():
            post.tell(signal.SIGHUP)

    def _end(self) -> None:
        self._stopping.set()
        for index in self._posts:
            self._dismiss(index)

    def _dismiss(self, index: int) -> None:
        """Have a worker drain and end, by SIGKILL where it does not."""
        post = self._posts[index]
        post.tell(signal.SIGTERM)
        if post.overdue is None and post.child is not None:
            post.overdue = asyncio.create_task(self._kill_overdue(index, post))

    async def _kill_overdue(self, index: int, post: _Post) -> None:
        await self._sleep(self._patience)
        self._told.overdue(index, self._patience)
        post.tell(signal.SIGKILL)

    async def _keep(self, index: int) -> int:
        restarted = False
        while True:
            post = self._posts[index] = _Post(self._news)
            post.child = await self._start(index, post.heard)
            if self._stopping.is_set():
                self._dismiss(index)
            status = await post.child.wait()
            if post.overdue is not None:
                post.overdue.cancel()
            self._posts[index] = _Post(self._news)
            self._news.set()
            if self._stopping.is_set():
                return 0
            if status == 2 and not restarted:
                self._end()
                return status
            restarted = True
            if self._leaving == index:
                self._leaving = None
            else:
                self._told.ended(index, status)
                await self._sleep(_RESTART_DELAY)

    async def _watch(self) -> None:
        """Kill the worker whose event loop hangs.

        Beats are counted, not time: where this process did not run either, because the machine slept, none is missing.
        """
        while True:
            await self._sleep(BEAT)
            for index, post in self._posts.items():
                post.silent += post.serves
                if post.silent == self._hung:
                    self._told.hangs(index, self._hung)
                    post.tell(signal.SIGKILL)

    def _serve(self, apart: int | None) -> bool:
        posts = self._posts.items()
        return all(post.serves and (post.silent < _LATE or index == apart) for index, post in posts)

    async def _replace(self) -> None:
        while True:
            await self._asked.wait()
            self._asked.clear()
            self._told.replacing()
            for index in self._posts:
                await self._known(apart=index)
                self._leaving = index
                self._dismiss(index)
                while self._leaving == index:
                    await self._heard_of()
            await self._known()
            self._told.replaced()

    async def _known(self, apart: int | None = None) -> None:
        """Every worker serves, and the same ones have for as long as it takes to be known; `apart` may hang."""
        while True:
            while not self._serve(apart):
                await self._heard_of()
            before = dict(self._posts)
            await self._sleep(self._heard)
            if self._serve(apart) and self._posts == before:
                return

    async def _heard_of(self) -> None:
        self._news.clear()
        await self._news.wait()


async def supervise(
    arguments: Sequence[str], workers: int, *, heard: float, patience: float, hung: int, told: Workers
) -> int:
    """Run `workers` copies of `tidegate serve ARGUMENTS --worker-index i`; the exit status. See `Supervisor`."""

    async def start(index: int, beats: Callable[[], None]) -> Child:
        ours, theirs = socket.socketpair()
        with theirs:
            follow(ours, beats)
            worker = ("--worker-index", str(index), "--lifeline", str(theirs.fileno()))
            return await asyncio.create_subprocess_exec(
                sys.executable, "-m", "tidegate", "serve", *arguments, *worker, pass_fds=(theirs.fileno(),)
            )

    return await Supervisor(start, workers, heard=heard, patience=patience, hung=hung, told=told).run()
