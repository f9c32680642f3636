"""Several workers as one command: each a process of its own on its own address, restarted when it dies."""

from __future__ import annotations

import asyncio
import signal
import sys
from collections.abc import Sequence

_RESTART_DELAY = 0.5  # seconds; a worker that dies at once must not spin


async def supervise(arguments: Sequence[str], workers: int) -> int:
    """Run `workers` copies of `tidegate serve ARGUMENTS --worker-index i`; the exit status is 0 after a signal.

    SIGTERM, SIGINT and SIGHUP are passed on. A worker that cannot start at first (exit status 2) ends the whole. One
    that cannot be started again, because the policy went bad meanwhile, say, does not: the others serve.
    """
    stopping = asyncio.Event()
    running: dict[int, asyncio.subprocess.Process] = {}
    loop = asyncio.get_running_loop()

    def forward(number: signal.Signals) -> None:
        if number is not signal.SIGHUP:
            stopping.set()
        for child in running.values():
            if child.returncode is None:
                child.send_signal(number)

    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
        loop.add_signal_handler(number, forward, number)

    async def keep(index: int) -> int:
        restarted = False
        while True:
            child = await asyncio.create_subprocess_exec(
                sys.executable, "-m", "tidegate", "serve", *arguments, "--worker-index", str(index)
            )
            running[index] = child
            if stopping.is_set():
                child.send_signal(signal.SIGTERM)
            status = await child.wait()
            if stopping.is_set():
                return 0
            if status == 2 and not restarted:
                forward(signal.SIGTERM)
                return status
            restarted = True
            await asyncio.sleep(_RESTART_DELAY)

    return max(await asyncio.gather(*(keep(index) for index in range(workers))))
