"""What keeps a silent body alive, put into it while the application thinks: when and what, the service says."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress

from tidegate_client.exchange import Release


class KeepingAlive:
    """One body's. `send` puts bytes into it. Within its block what the service allowed is put in when it is due."""

    def __init__(
        self,
        send: Callable[[bytes], Awaitable[None]],
        *,
        now: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        self._send = send
        self._now = now
        self._sleep = sleep
        self._release = Release()
        self._since = 0.0
        self._speaking = asyncio.Lock()
        self._allowed = asyncio.Event()
        self._task: asyncio.Task[None] | None = None

    async def __aenter__(self) -> KeepingAlive:
        return self

    async def __aexit__(self, *_: object) -> None:
        if self._task is not None:
            self._task.cancel()
            with suppress(asyncio.CancelledError, Exception):  # who cannot be written to is told so by the next write
                await self._task

    @asynccontextmanager
    async def speaking(self, release: Release) -> AsyncIterator[None]:
        """While what `release` lets out is sent, nothing else is; afterwards what it allows counts."""
        async with self._speaking:
            self._release = Release()
            yield
            self._release, self._since = release, self._now()
        if release.keep_alive_after:
            self._allowed.set()
            self._task = self._task or asyncio.create_task(self._run())

    async def _run(self) -> None:
        while True:
            release = self._release
            left = release.keep_alive_after - (self._now() - self._since)
            if not release.keep_alive_after:
                self._allowed.clear()
                await self._allowed.wait()
            elif left > 0:
                await self._sleep(left)
            else:
                async with self._speaking:
                    if self._release is release:
                        await self._send(release.keep_alive)
                        self._since = self._now()
