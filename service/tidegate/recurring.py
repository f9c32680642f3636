"""One step taken again and again beside everything else, from when it is started until it is stopped."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable


class Recurring:
    """Takes `step` every `interval` seconds, the first time after one; as a task of that `name`.

    What breaks a step ends nothing: `on_error` is told of it, and the next comes all the same.
    """

    def __init__(
        self,
        step: Callable[[], Awaitable[object]],
        *,
        name: str,
        interval: float,
        on_error: Callable[[Exception], None],
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        self._step = step
        self._name = name
        self._interval = interval
        self._on_error = on_error
        self._sleep = sleep
        self._task: asyncio.Task[None] | None = None

    def start(self) -> None:
        """Begin, on the running loop; nothing changes where it runs already."""
        if self._task is None:
            self._task = asyncio.get_running_loop().create_task(self._run(), name=self._name)

    def stop(self) -> None:
        """Take no further step, and break off the one under way. It may be started again."""
        if self._task is not None:
            self._task.cancel()
            self._task = None

    async def close(self) -> None:
        """Stop, and wait until the step under way is over."""
        task = self._task
        self.stop()
        if task is not None:
            await asyncio.wait([task])

    async def _run(self) -> None:
        this = asyncio.current_task()
        while self._task is this:  # a cancellation may be lost in the timeouts of what a step calls
            await self._sleep(self._interval)
            try:
                await self._step()
            except Exception as failure:  # noqa: BLE001 - or one failure would end all steps to come
                self._on_error(failure)
