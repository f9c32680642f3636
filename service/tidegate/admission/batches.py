"""Calls of scripts, coalesced: what a few turns of the event loop ask for goes to Redis in one write.

One connection, one batch at a time. While a batch is out the next one collects, and a little longer while calls keep
coming, so batches grow with the load and a single call waits for next to nothing.

Time: a call is answered, or fails, within `timeout` of being made, and `_GRACE`. Only when this process was so late to
send it that less than half of `timeout` was left, the store still gets that half: a stall here is no fault there.
Connecting may take longer; it goes on in the background.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from typing import Any, Literal

from tidegate.admission.connection import Call, ScriptConnection, fail_all
from tidegate.admission.scripts import Script, ScriptFailed, StoreTimedOut
from tidegate.errors import StoreUnavailable

_GRACE = 0.005
# Under load gRPC brings a call every few turns of the loop, never several in one. Waiting for them costs an idle loop
# some 40 us, and a busy one nothing: each batch wakes Redis and then this process again, which cools both their caches.
# Half as many turns make a request through Envoy dearer by 40 us of 1,250, and twice as many no cheaper (measured).
_QUIET = 16  # turns without a new call, after which a batch goes out
_TURNS = 64  # and at the most
Record = Callable[[Literal["answered", "late", "failed"], float], None]


class ScriptRunner:
    """Runs scripts on the Redis at `url`. `timeout` in seconds; `max_batch` calls at most go out together.

    `record` is told of each batch how it went ("answered", "late", "failed") and after how many seconds.
    """

    def __init__(
        self, url: str, *, timeout: float, max_batch: int, record: Record = lambda _how, _seconds: None
    ) -> None:
        self._connection = ScriptConnection(url)
        self._timeout = timeout
        self._max_batch = max_batch
        self._record = record
        self._waiting: deque[Call] = deque()
        self._flushing: asyncio.Task[None] | None = None
        self._closed = False

    @property
    def idle(self) -> bool:
        """Whether nobody waits for an answer."""
        return self._flushing is None

    async def run(
        self,
        script: Script,
        keys: Sequence[bytes],
        args: Sequence[bytes],
        now: bytes = b"",
        *,
        group: int = 0,
        asking: bool = False,
    ) -> Any:
        """One call's element of the reply. Raises `StoreUnavailable`, and `Redirected` when nothing ran.

        A caller that is cancelled leaves the others alone; if its call had been sent, what it did stands. `now`,
        `group` and `asking` are those of a `Call`.
        """
        if self._closed:
            raise StoreUnavailable("closed")
        call = Call(script, keys, args, now, group, asking, asyncio.get_running_loop())
        self._waiting.append(call)
        if self._flushing is None:
            self._flushing = asyncio.create_task(self._flush())
        reply = await call.future
        if isinstance(reply, bytes):
            raise ScriptFailed(reply.decode(errors="replace"))
        return reply

    async def close(self) -> None:
        """Fail what is waiting and close the connection."""
        self._closed = True
        if self._flushing is not None:
            self._flushing.cancel()
            await asyncio.wait([self._flushing])
        fail_all(self._waiting, StoreUnavailable("closed"))
        await self._connection.close()

    async def _flush(self) -> None:
        batch: list[Call] = []
        try:
            while self._waiting:
                await self._gather()
                batch = [call for call in self._take() if not call.future.done()]
                if batch:
                    await self._exchange(batch)
        finally:
            self._flushing = None
            fail_all((*batch, *self._waiting), StoreUnavailable("interrupted"))

    async def _gather(self) -> None:
        """Let the loop turn while it keeps bringing calls."""
        turns = quiet = 0
        while quiet < _QUIET and turns < _TURNS and (known := len(self._waiting)) < self._max_batch:
            await asyncio.sleep(0)
            turns += 1
            quiet = quiet + 1 if len(self._waiting) == known else 0

    def _take(self) -> Iterator[Call]:
        for _ in range(min(len(self._waiting), self._max_batch)):
            yield self._waiting.popleft()

    async def _exchange(self, batch: list[Call]) -> None:
        loop = asyncio.get_running_loop()
        sent = loop.time()
        until = max(batch[0].at + self._timeout, sent + self._timeout / 2)
        try:
            # The timer does not end the exchange but gives it a last moment: after a stall of this event loop the timer
            # is due together with the reply that had come in long before.
            async with asyncio.timeout(None) as scope:
                timer = loop.call_at(until, lambda: scope.reschedule(loop.time() + _GRACE))
                try:
                    await self._connection.converse(batch, until + _GRACE)
                finally:
                    timer.cancel()
            self._record("answered", loop.time() - sent)
        except TimeoutError:
            self._record("late", loop.time() - sent)
            # Nobody who waits behind a store that does not answer should wait the full time for the same news.
            late = StoreTimedOut(f"the limit store did not answer within {self._timeout * 1000:g} ms")
            fail_all(batch, late)
            fail_all(self._waiting, late)
            await self._connection.drop()
        except Exception as error:  # noqa: BLE001 - whatever it was, what still comes here would answer somebody else
            self._record("failed", loop.time() - sent)
            fail_all(batch, StoreUnavailable(f"the limit store failed: {error}"))
            await self._connection.drop()
