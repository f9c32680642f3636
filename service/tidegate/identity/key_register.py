"""The two places where API keys are kept, seen alike by whoever administers them."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Protocol

from tidegate.identity import key_edit, key_file
from tidegate.identity.key_file import KeyEntry
from tidegate.identity.key_store import RedisKeys


class KeyRegister(Protocol):
    """Where keys are kept. What goes wrong is a TidegateError, an OSError, a ValidationError or a KeyChangeRefused."""

    async def entries(self) -> tuple[KeyEntry, ...]:
        """Every key, revoked ones included."""
        ...

    async def add(self, record: Mapping[str, Any]) -> object:
        """Add a key: its fields, plain values."""
        ...

    async def change(self, key_id: str, step: Callable[[KeyEntry], KeyEntry]) -> KeyEntry:
        """Replace the entry with this id by what `step` makes of it, and by nobody else's in between."""
        ...

    async def close(self) -> None:
        """Release connections."""
        ...


class FileRegister:
    """Keys in a key file."""

    def __init__(self, path: Path) -> None:
        self._path = path

    async def entries(self) -> tuple[KeyEntry, ...]:
        """Every key of the file."""
        return await asyncio.to_thread(key_file.read, self._path)

    async def add(self, record: Mapping[str, Any]) -> None:
        """Add a key; a file that is not there is made."""
        await asyncio.to_thread(key_edit.append, self._path, record)

    async def change(self, key_id: str, step: Callable[[KeyEntry], KeyEntry]) -> KeyEntry:
        """Replace one entry in the file."""
        return await asyncio.to_thread(key_edit.change, self._path, key_id, step)

    async def close(self) -> None:
        """Nothing is held open."""


class StoreRegister:
    """Keys in a Redis."""

    def __init__(self, keys: RedisKeys) -> None:
        self._keys = keys

    async def entries(self) -> tuple[KeyEntry, ...]:
        """Every key of the store."""
        return (await self._keys.since(0)).entries

    async def add(self, record: Mapping[str, Any]) -> KeyEntry:
        """Add a key."""
        return await self._keys.add(record)

    async def change(self, key_id: str, step: Callable[[KeyEntry], KeyEntry]) -> KeyEntry:
        """Replace one entry."""
        return await self._keys.change(key_id, step)

    async def close(self) -> None:
        """Close the connections."""
        await self._keys.close()
