"""The API keys of a store, as a feed follows them: change by change."""

from __future__ import annotations

from typing import Protocol

from tidegate.identity.api_key import KeyStore
from tidegate.identity.key_file import KeyEntry
from tidegate.identity.key_store import Changes


class Keeps(Protocol):
    """Where keys are kept."""

    async def since(self, number: int, mark: bytes = b"") -> Changes:
        """What changed after the change `number` of that `mark`. Raises StoreUnavailable."""
        ...

    async def close(self) -> None:
        """Close the connections."""
        ...


class StoredKeys:
    """The keys of `store`, under `pepper`. As long as nobody can tell which there are, every key is answered 503.

    A key that was once revoked stays so, also where the store has lost that.
    """

    def __init__(self, store: Keeps, *, pepper: bytes) -> None:
        self._store = store
        self._pepper = pepper
        self._number, self._mark = 0, b""
        self._revoked: dict[str, KeyEntry] = {}
        self._keys = self.unknown()

    async def changed(self) -> KeyStore | None:
        """The keys, where one has changed. Raises StoreUnavailable."""
        changes = await self._store.since(self._number, self._mark)
        before = self._keys
        self._revoked |= {entry.id: entry for entry in changes.entries if entry.revoked is not None}
        entries = [self._revoked.get(entry.id, entry) for entry in changes.entries]
        if changes.afresh and (entries or len(before) or before.unavailable):
            self._keys = KeyStore.of(entries, pepper=self._pepper)
        elif entries or changes.unreadable:
            self._keys = before.with_changes(entries, changes.unreadable)
        self._number, self._mark = changes.number, changes.mark
        return None if self._keys is before else self._keys

    def unknown(self) -> KeyStore:
        """No keys, and the word that nobody can tell."""
        self._number, self._mark = 0, b""
        self._keys = KeyStore({}, pepper=self._pepper, unavailable="the key store does not answer")
        return self._keys

    async def close(self) -> None:
        """Close the store."""
        await self._store.close()
