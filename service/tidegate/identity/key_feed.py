"""Keeps one process's API keys what they are in a store, and tells the store how they are used."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from contextlib import suppress
from typing import Literal, Protocol

from tidegate.clock import Clock
from tidegate.errors import StoreUnavailable
from tidegate.identity.api_key import KeyStore
from tidegate.identity.key_store import Changes

State = Literal["current", "old", "none"]


class Keeps(Protocol):
    """Where keys are kept."""

    async def since(self, number: int) -> Changes:
        """What changed after the change `number`. Raises StoreUnavailable."""
        ...

    async def count(self, uses: Mapping[str, int], *, now: float) -> None:
        """Add to the uses of keys. Raises StoreUnavailable."""
        ...

    async def close(self) -> None:
        """Close the connections."""
        ...


class KeyUses:
    """How often each key was proved since the last flush. Bounded by the number of keys there are."""

    def __init__(self) -> None:
        self._counts: dict[str, int] = {}

    def note(self, key_id: str) -> None:
        """Count one use."""
        self._counts[key_id] = self._counts.get(key_id, 0) + 1

    async def flush(self, store: Keeps, *, now: float, at_most: int = 1000) -> None:
        """Tell `store` of at most so many keys; the others wait, and all of them when it does not answer."""
        sent = {key_id: self._counts.pop(key_id) for key_id in list(self._counts)[:at_most]}
        if not sent:
            return
        try:
            await store.count(sent, now=now)
        except StoreUnavailable:
            for key_id, count in sent.items():
                self._counts[key_id] = self._counts.get(key_id, 0) + count


class KeyFeed:
    """The keys of `store` in this process, at most `interval` seconds old while it answers.

    `adopt` is handed every new set of keys. While the store does not answer, the known keys are good for `max_age`
    seconds; after that, and before the first answer, there are none and every key is answered 503. `wanted` says
    whether the keys are asked for at all. Uses are told every `flush_interval` seconds. `on_state` is told of changes,
    `on_error` of what should not happen: that, too, is no answer.
    """

    def __init__(
        self,
        store: Keeps,
        *,
        pepper: bytes,
        clock: Clock,
        uses: KeyUses,
        adopt: Callable[[KeyStore], None],
        wanted: Callable[[], bool] = lambda: True,
        on_state: Callable[[State], None] = lambda _: None,
        on_error: Callable[[Exception], None] = lambda _: None,
        interval: float = 0.5,
        flush_interval: float = 5.0,
        max_age: float = 3600.0,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        self._store = store
        self._pepper = pepper
        self._clock = clock
        self._uses = uses
        self._adopt = adopt
        self._wanted = wanted
        self._on_state = on_state
        self._on_error = on_error
        self._interval = interval
        self._flush_interval = flush_interval
        self._max_age = max_age
        self._sleep = sleep
        self._number = 0
        self._answered = float("-inf")
        self._flushed = clock.monotonic()
        self._state: State | None = None
        self._task: asyncio.Task[None] | None = None
        self.keys = no_keys(pepper)

    async def refresh(self) -> None:
        """Ask for changes once."""
        try:
            changes = await self._store.since(self._number)
        except StoreUnavailable:
            self._age()
            return
        except Exception as failure:  # noqa: BLE001 - or nobody would ask again, and no key could be revoked
            self._on_error(failure)
            self._age()
            return
        self._answered = self._clock.monotonic()
        self._number = changes.number
        if changes.afresh and (changes.entries or len(self.keys) or self._state != "current"):
            self._take(KeyStore.of(changes.entries, pepper=self._pepper))
        elif changes.entries or changes.unreadable:
            self._take(self.keys.with_changes(changes.entries, changes.unreadable))
        self._tell("current")

    def start(self) -> None:
        """Keep asking in the background, on the running loop."""
        if self._task is None:
            self._task = asyncio.create_task(self._run(), name="API keys")

    async def close(self) -> None:
        """Stop, tell of the last uses, and close the store."""
        if self._task is not None:
            self._task.cancel()
            with suppress(asyncio.CancelledError):
                await self._task
            self._task = None
        await self._uses.flush(self._store, now=self._clock.now())
        await self._store.close()

    async def _run(self) -> None:
        while True:
            await self._sleep(self._interval)
            if self._wanted():
                await self.refresh()
            if self._clock.monotonic() - self._flushed >= self._flush_interval:
                self._flushed = self._clock.monotonic()
                await self._uses.flush(self._store, now=self._clock.now())

    def _age(self) -> None:
        old = self._clock.monotonic() - self._answered <= self._max_age
        if not old and self._number:
            self._number = 0
            self._take(no_keys(self._pepper))
        self._tell("old" if old else "none")

    def _take(self, keys: KeyStore) -> None:
        self.keys = keys
        self._adopt(keys)

    def _tell(self, state: State) -> None:
        if state != self._state:
            self._state = state
            self._on_state(state)


def no_keys(pepper: bytes) -> KeyStore:
    """What there is while nobody can tell which keys there are."""
    return KeyStore({}, pepper=pepper, unavailable="the key store does not answer")
