"""Several workers as one command: each a process of its own on its own address, restarted when it dies.

SIGUSR2 replaces them one after another, for new code and for the files that are read once, such as the pepper. A worker
leaves only when all others serve, and have for as long as Envoys need to hear of it.
"""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress
from functools import partial
from typing import Protocol

_RESTART_DELAY = 0.5  # seconds; a worker that dies at once must not spin


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


class Supervisor:
    """Keeps `workers` processes running.

    `start` starts one by its index, and has the callback called once that process takes calls. `heard` is how many
    seconds Envoys need to see that a worker serves again. `log` is told when workers are replaced.
    """

    def __init__(
        self,
        start: Start,
        workers: int,
        *,
        heard: float,
        log: Callable[[str], None] = lambda _: None,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        self._start = start
        self._workers = range(workers)
        self._heard = heard
        self._log = log
        self._sleep = sleep
        self._running: dict[int, Child] = {}
        self._served = {index: asyncio.Event() for index in self._workers}
        self._leaving: int | None = None
        self._asked = asyncio.Event()
        self._news = asyncio.Event()
        self._stopping = asyncio.Event()

    async def run(self) -> int:
        """Until SIGTERM or SIGINT; the exit status is 0 then.

        These and SIGHUP are passed on. A worker that cannot start at first (exit status 2) ends the whole. One that
        cannot be started again, because the policy went bad meanwhile, say, does not: the others serve.
        """
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
            loop.add_signal_handler(number, self._forward, number)
        loop.add_signal_handler(signal.SIGUSR2, self._asked.set)
        replacing = asyncio.create_task(self._replace())
        try:
            return max(await asyncio.gather(*map(self._keep, self._workers)))
        finally:
            replacing.cancel()
            await asyncio.wait([replacing])

    def _forward(self, number: signal.Signals) -> None:
        if number is not signal.SIGHUP:
            self._stopping.set()
        for child in self._running.values():
            _tell(child, number)

    async def _keep(self, index: int) -> int:
        restarted = False
        while True:
            serves = partial(self._serves, self._served[index])
            child = self._running[index] = await self._start(index, serves)
            if self._stopping.is_set():
                _tell(child, signal.SIGTERM)
            status = await child.wait()
            self._served[index] = asyncio.Event()
            self._news.set()
            if self._stopping.is_set():
                return 0
            if status == 2 and not restarted:
                self._forward(signal.SIGTERM)
                return status
            restarted = True
            if self._leaving == index:
                self._leaving = None
            else:
                await self._sleep(_RESTART_DELAY)

    def _serves(self, served: asyncio.Event) -> None:
        served.set()
        self._news.set()

    def _all_serve(self) -> bool:
        return all(served.is_set() for served in self._served.values())

    async def _replace(self) -> None:
        while True:
            await self._asked.wait()
            self._asked.clear()
            self._log("replacing the workers, one after another")
            for index in self._workers:
                await self._all_known()
                self._leaving = index
                _tell(self._running[index], signal.SIGTERM)
                while self._leaving == index:
                    await self._heard_of()
            await self._all_known()
            self._log("every worker is replaced")

    async def _all_known(self) -> None:
        """Every worker serves, and the same ones have for as long as it takes to be known."""
        while True:
            while not self._all_serve():
                await self._heard_of()
            before = dict(self._running)
            await self._sleep(self._heard)
            if self._all_serve() and self._running == before:
                return

    async def _heard_of(self) -> None:
        self._news.clear()
        await self._news.wait()


def _tell(child: Child, number: signal.Signals) -> None:
    if child.returncode is None:
        with suppress(ProcessLookupError):  # it is over, and nobody has waited for it yet
            child.send_signal(number)


async def supervise(
    arguments: Sequence[str], workers: int, *, heard: float, log: Callable[[str], None] = lambda _: None
) -> int:
    """Run `workers` copies of `tidegate serve ARGUMENTS --worker-index i`; the exit status. See `Supervisor`."""

    async def start(index: int, serves: Callable[[], None]) -> Child:
        ours, theirs = os.pipe()
        loop = asyncio.get_running_loop()

        def told() -> None:
            loop.remove_reader(ours)
            if os.read(ours, 1):  # nothing: it ended before it served
                serves()
            os.close(ours)

        loop.add_reader(ours, told)
        try:
            worker = ("--worker-index", str(index), "--ready-fd", str(theirs))
            return await asyncio.create_subprocess_exec(
                sys.executable, "-m", "tidegate", "serve", *arguments, *worker, pass_fds=(theirs,)
            )
        finally:
            os.close(theirs)

    return await Supervisor(start, workers, heard=heard, log=log).run()
