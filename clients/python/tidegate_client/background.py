"""An event loop in a thread of its own, for calling async code from code that is not."""

from __future__ import annotations

import asyncio
import inspect
import os
import threading
from collections.abc import Awaitable, Callable
from concurrent.futures import CancelledError
from typing import TypeVar

from tidegate_client.errors import TidegateUnavailable

Result = TypeVar("Result")


class Background:
    """A loop that starts with the first `run` and ends with `stop`; a later `run` starts another. Thread-safe."""

    def __init__(self, name: str) -> None:
        self._name = name
        self._lock = threading.Lock()
        self._loop: asyncio.AbstractEventLoop | None = None
        self._thread: threading.Thread | None = None
        self._process = 0

    def run(self, work: Awaitable[Result]) -> Result:
        """Wait for `work`, which runs on the loop. Must not be called on the loop itself.

        Raises `TidegateUnavailable` when `stop` ends it, and in a process that was forked since: the thread stayed
        behind.
        """
        try:
            loop = self._started()
        except TidegateUnavailable:
            if inspect.iscoroutine(work):
                work.close()
            raise
        future = asyncio.run_coroutine_threadsafe(_await(work), loop)
        try:
            return future.result()
        except CancelledError:
            raise TidegateUnavailable("CANCELLED", "the client was closed") from None
        except BaseException:
            future.cancel()  # the waiting thread was interrupted: so is the work
            raise

    def stop(self, last: Callable[[], Awaitable[None]]) -> None:
        """Cancel what still runs, run `last` and end the thread; does nothing when it never started."""
        with self._lock:
            loop, thread, self._loop, self._thread = self._loop, self._thread, None, None
        if loop is None or thread is None or self._process != os.getpid():
            return
        asyncio.run_coroutine_threadsafe(_end(last), loop).result()
        loop.call_soon_threadsafe(loop.stop)
        thread.join()
        loop.close()

    def _started(self) -> asyncio.AbstractEventLoop:
        with self._lock:
            if self._loop is not None and self._process != os.getpid():
                raise TidegateUnavailable(
                    "FAILED_PRECONDITION", "used before this process was forked: make one in each"
                )
            if self._loop is None:
                self._process = os.getpid()
                self._loop = asyncio.new_event_loop()
                self._thread = threading.Thread(target=self._loop.run_forever, name=self._name, daemon=True)
                self._thread.start()
            return self._loop


async def _await(work: Awaitable[Result]) -> Result:
    return await work


async def _end(last: Callable[[], Awaitable[None]]) -> None:
    rest = asyncio.all_tasks() - {asyncio.current_task()}
    for task in rest:
        task.cancel()
    await asyncio.gather(*rest, return_exceptions=True)
    await last()
    await asyncio.get_running_loop().shutdown_asyncgens()
