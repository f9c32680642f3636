"""How often API keys are used: counted in each process, and told to a place for all of them every few seconds."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from typing import Protocol

from tidegate.clock import Clock
from tidegate.errors import StoreUnavailable
from tidegate.recurring import Recurring


class Sums(Protocol):
    """Where the uses of all processes add up."""

    async def count(self, uses: Mapping[str, int], *, now: float) -> None:
        """Add to the uses of keys, by id; they were last used at `now` (Unix seconds). Raises StoreUnavailable."""
        ...

    async def close(self) -> None:
        """Close the connections."""
        ...


class KeyUses:
    """How often each key was proved since the last flush. Bounded by the number of keys there are."""

    def __init__(self) -> None:
        self._counts: dict[str, int] = {}

    def __len__(self) -> int:
        return len(self._counts)

    def note(self, key_id: str) -> None:
        """Count one use."""
        self._counts[key_id] = self._counts.get(key_id, 0) + 1

    async def flush(self, sums: Sums, *, now: float, at_most: int = 1000) -> str:
        """Tell `sums` of at most so many keys; the others wait, and all of them when it does not answer.

        Gives why it did not, "" where it did or there was nothing to tell.
        """
        sent = {key_id: self._counts.pop(key_id) for key_id in list(self._counts)[:at_most]}
        if not sent:
            return ""
        try:
            await sums.count(sent, now=now)
        except StoreUnavailable as failure:
            for key_id, count in sent.items():
                self._counts[key_id] = self._counts.get(key_id, 0) + count
            return str(failure)
        return ""


class Telling:
    """Tells `sums` of the uses every `interval` seconds, and at the end. `on_silence` is told why that fails, once.

    `on_error` is told of what should not happen.
    """

    def __init__(
        self,
        uses: KeyUses,
        sums: Sums,
        *,
        clock: Clock,
        on_silence: Callable[[str], None] = lambda _: None,
        on_error: Callable[[Exception], None] = lambda _: None,
        interval: float = 5.0,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        self._uses = uses
        self._sums = sums
        self._clock = clock
        self._on_silence = on_silence
        self._silent = ""
        self._telling = Recurring(
            self._tell, name="uses of API keys", interval=interval, on_error=on_error, sleep=sleep
        )

    def start(self) -> None:
        """Keep telling in the background, on the running loop."""
        self._telling.start()

    async def close(self) -> None:
        """Stop, tell of the last uses, and close the place."""
        await self._telling.close()
        while self._uses and not await self._uses.flush(self._sums, now=self._clock.now()):
            pass
        await self._sums.close()

    async def _tell(self) -> None:
        why = await self._uses.flush(self._sums, now=self._clock.now())
        if why and not self._silent:
            self._on_silence(why)
        self._silent = why
