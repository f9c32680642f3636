"""Keeps one process's list of revoked tokens what it is in a store."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import suppress
from typing import Final, Literal, Protocol

from tidegate.clock import Clock
from tidegate.errors import StoreUnavailable
from tidegate.identity.revocation import Revocation, RevokedTokens
from tidegate.identity.revocation_store import Listed

State = Literal["current", "old", "none"]
UNKNOWN: Final = RevokedTokens(unavailable="the list of revoked tokens does not answer")


class Lists(Protocol):
    """Where the list is kept."""

    async def since(self, at: bytes) -> Listed:
        """The list, if it is not the one that `at` names. Raises StoreUnavailable."""
        ...

    async def close(self) -> None:
        """Close the connections."""
        ...


class RevocationFeed:
    """The list of `store` in this process, at most `interval` seconds old while it answers.

    `adopt` is handed every new list. What was once on it stays until it is over, also when the store loses it. Before
    the first answer nobody knows which tokens stand, and so when the last is `max_age` seconds ago: they are answered
    503. `wanted` says whether the list is asked for at all. `on_state` is told of changes, `on_error` of what should
    not happen: that, too, is no answer.
    """

    def __init__(
        self,
        store: Lists,
        *,
        clock: Clock,
        adopt: Callable[[RevokedTokens], None],
        wanted: Callable[[], bool] = lambda: True,
        on_state: Callable[[State], None] = lambda _: None,
        on_error: Callable[[Exception], None] = lambda _: None,
        interval: float = 0.5,
        max_age: float = 3600.0,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        self._store = store
        self._clock = clock
        self._adopt = adopt
        self._wanted = wanted
        self._on_state = on_state
        self._on_error = on_error
        self._interval = interval
        self._max_age = max_age
        self._sleep = sleep
        self._at = b""
        self._known: frozenset[Revocation] = frozenset()
        self._answered = float("-inf")
        self._state: State | None = None
        self._task: asyncio.Task[None] | None = None
        self.list = UNKNOWN

    async def refresh(self) -> None:
        """Ask once."""
        try:
            listed = await self._store.since(self._at)
            if listed.unreadable:
                raise ValueError(f"{listed.unreadable} revocations were written by another version")
        except StoreUnavailable:
            self._age()
            return
        except Exception as failure:  # noqa: BLE001 - or nobody would ask again, and no token could be revoked
            self._on_error(failure)
            self._age()
            return
        self._answered = self._clock.monotonic()
        if listed.entries is not None:
            # Beside the event loop, which a long list would hold up.
            self._known, known = await asyncio.to_thread(_joined, self._known, listed.entries, self._clock.now())
            self._take(known)
        elif self.list.unavailable:
            self._take(RevokedTokens(self._known))
        self._at = listed.at
        self._tell("current")

    def start(self) -> None:
        """Keep asking in the background, on the running loop."""
        if self._task is None:
            self._task = asyncio.create_task(self._run(), name="revoked tokens")

    async def close(self) -> None:
        """Stop, and close the store."""
        if self._task is not None:
            self._task.cancel()
            with suppress(asyncio.CancelledError):
                await self._task
            self._task = None
        await self._store.close()

    async def _run(self) -> None:
        while True:
            await self._sleep(self._interval)
            if self._wanted():
                await self.refresh()

    def _age(self) -> None:
        old = self._clock.monotonic() - self._answered <= self._max_age
        if not old and not self.list.unavailable:
            self._take(UNKNOWN)
        self._tell("old" if old else "none")

    def _take(self, revoked: RevokedTokens) -> None:
        self.list = revoked
        self._adopt(revoked)

    def _tell(self, state: State) -> None:
        if state != self._state:
            self._state = state
            self._on_state(state)


def _joined(
    known: frozenset[Revocation], more: tuple[Revocation, ...], now: float
) -> tuple[frozenset[Revocation], RevokedTokens]:
    left = frozenset(entry for entry in (*known, *more) if not entry.over(now))
    return left, RevokedTokens(left)
