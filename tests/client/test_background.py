"""The loop behind the sync in-process engine: nobody is left waiting when it ends."""

from __future__ import annotations

import asyncio
import subprocess
import sys
import threading

from tidegate_client import TidegateUnavailable
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
        except TidegateUnavailable as failure:
            outcome.append(failure.code)

    async def last() -> None:
        outcome.append("last")

    thread = threading.Thread(target=call)
    thread.start()
    assert running.wait(5)
    loop.stop(last)
    thread.join(5)
    assert sorted(outcome) == ["CANCELLED", "last"]
    loop.stop(last)
    assert len(outcome) == 2


FORKED = """
import os
from tidegate_client import TidegateUnavailable
from tidegate_client.background import Background

loop = Background("forks")

async def nothing(): ...

loop.run(nothing())
child = os.fork()
if child == 0:
    try:
        loop.run(nothing())
    except TidegateUnavailable as failure:
        loop.stop(nothing)
        loop.run(nothing())  # after which it is as new
        print(failure, flush=True)
    os._exit(0)
os.waitpid(child, 0)
loop.run(nothing())
"""


def test_a_forked_process_is_told_that_its_loop_stayed_behind() -> None:
    done = subprocess.run([sys.executable, "-W", "error", "-c", FORKED], capture_output=True, text=True, timeout=60)
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout == "FAILED_PRECONDITION: used before this process was forked: make one in each\n"
