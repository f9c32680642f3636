"""How many replicas share the limits: each writes its name into Redis, and all count the names."""

from __future__ import annotations

import asyncio
import secrets
from collections import deque
from collections.abc import Awaitable, Callable
from contextlib import suppress

from tidegate.admission.redis import RedisLedger
from tidegate.errors import StoreUnavailable


class Heartbeats:
    """Call it for the number of live replicas, this one included, as last known.

    A replica counts for `lasts` seconds after its last beat, by the server's clock; it beats every `interval`
    seconds. A higher count holds at once. A lower one holds when every beat of the last `lasts` seconds has said so: a
    Redis that came back empty knows nobody for a moment. While Redis is out the count stays. `assumed` holds until
    beats say otherwise.
    """

    def __init__(
        self,
        store: RedisLedger,
        *,
        assumed: int = 1,
        interval: float = 1.0,
        lasts: float = 5.0,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        self._store = store
        self._name = secrets.token_urlsafe(12)
        self._interval = interval
        self._lasts = lasts
        self._sleep = sleep
        self._counts = deque([max(1, assumed)], maxlen=max(1, round(lasts / interval)))
        self._task: asyncio.Task[None] | None = None
        self.failure = ""
        self._closing = False

    def __call__(self) -> int:
        """The number of live replicas, at least 1."""
        return max(self._counts)

    async def beat(self) -> bool:
        """Count this replica and learn how many there are; False, and `failure` says why, when Redis is out."""
        try:
            self._counts.append(max(1, await self._store.beat(self._name, self._lasts)))
        except StoreUnavailable as error:
            self.failure = str(error)
            return False
        return True

    def start(self) -> None:
        """Beat in the background, on the running loop, from now on."""
        if self._task is None:
            self._task = asyncio.create_task(self._run())

    async def close(self) -> None:
        """Stop, and take this replica out of the count."""
        self._closing = True
        if self._task is not None:
            self._task.cancel()
            await asyncio.wait([self._task])
            self._task = None
        with suppress(StoreUnavailable):
            await self._store.beat(self._name, 0)

    async def _run(self) -> None:
        while not self._closing:  # a cancellation may be lost in the client's own timeouts
            await self.beat()
            await self._sleep(self._interval)
