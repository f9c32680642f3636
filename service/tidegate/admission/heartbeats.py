"""How many replicas share the limits: each writes its name into Redis, and all count the names."""

from __future__ import annotations

import asyncio
import secrets
from collections import deque
from collections.abc import Awaitable, Callable
from contextlib import suppress

from tidegate.admission.redis import RedisLedger
from tidegate.errors import StoreUnavailable
from tidegate.recurring import Recurring


class Heartbeats:
    """Call it for the number of live replicas, this one included, as last known.

    A replica counts for `lasts` seconds after its last beat, by the server's clock; it beats every `interval`
    seconds. A higher count holds at once. A lower one holds when every beat of the last `lasts` seconds has said so: a
    Redis that came back empty knows nobody for a moment. While Redis is out the count stays. `assumed` holds until
    beats say otherwise. `on_error` is told of what should not happen.
    """

    def __init__(
        self,
        store: RedisLedger,
        *,
        assumed: int = 1,
        interval: float = 1.0,
        lasts: float = 5.0,
        on_error: Callable[[Exception], None] = lambda _: None,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        self._store = store
        self._name = secrets.token_urlsafe(12)
        self._lasts = lasts
        self._counts = deque([max(1, assumed)], maxlen=max(1, round(lasts / interval)))
        self._beating = Recurring(
            self.beat, name="count of replicas", interval=interval, on_error=on_error, sleep=sleep
        )
        self.failure = ""

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
        """Beat in the background, on the running loop, from one interval on."""
        self._beating.start()

    async def close(self) -> None:
        """Stop, and take this replica out of the count."""
        await self._beating.close()
        with suppress(StoreUnavailable):
            await self._store.beat(self._name, 0)
