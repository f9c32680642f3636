"""The list of revoked tokens of a store, as a feed follows it: what was once on it stays until it is over."""

from __future__ import annotations

import asyncio
from typing import Final, Protocol

from tidegate.clock import Clock
from tidegate.identity.revocation import Revocation, RevokedTokens
from tidegate.identity.revocation_store import Listed

UNKNOWN: Final = RevokedTokens(unavailable="the list of revoked tokens does not answer")


class Lists(Protocol):
    """Where the list is kept."""

    async def since(self, at: bytes) -> Listed:
        """The list, if it is not the one that `at` names. Raises StoreUnavailable."""
        ...

    async def close(self) -> None:
        """Close the connections."""
        ...


class StoredRevocations:
    """The list of `store`, and of what the store has lost meanwhile. While nobody can tell, tokens are answered 503."""

    def __init__(self, store: Lists, *, clock: Clock) -> None:
        self._store = store
        self._clock = clock
        self._at = b""
        self._known: frozenset[Revocation] = frozenset()
        self._told = False

    async def changed(self) -> RevokedTokens | None:
        """The list, where it has changed. Raises StoreUnavailable, and ValueError for entries of another version."""
        listed = await self._store.since(self._at)
        if listed.unreadable:
            raise ValueError(f"{listed.unreadable} revocations were written by another version")
        news: RevokedTokens | None = None
        if listed.entries is not None:
            # Beside the event loop, which a long list would hold up.
            self._known, news = await asyncio.to_thread(_joined, self._known, listed.entries, self._clock.now())
        elif not self._told:
            news = RevokedTokens(self._known)
        self._at = listed.at
        self._told = True
        return news

    def unknown(self) -> RevokedTokens:
        """The word that nobody knows."""
        self._told = False
        return UNKNOWN

    async def close(self) -> None:
        """Close the store."""
        await self._store.close()


def _joined(
    known: frozenset[Revocation], more: tuple[Revocation, ...], now: float
) -> tuple[frozenset[Revocation], RevokedTokens]:
    left = frozenset(entry for entry in (*known, *more) if not entry.over(now))
    return left, RevokedTokens(left)
