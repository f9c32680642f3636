"""Revoked tokens in a Redis or a Redis Cluster, for all replicas.

    tgr|{revoked}|sequence    how often something was added
    tgr|{revoked}|entries     entry, as JSON → Unix seconds of its end, 0 for none
    tgr|{revoked}|epoch       drawn at each addition: one that a failover lost is noticed, whatever was added since

What is over is taken out by whoever adds the next. All of it lies in one slot of a cluster.
"""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import Sequence
from importlib.resources import files
from typing import Final, NamedTuple

import orjson
from pydantic import ValidationError

from tidegate.identity.revocation import MAX_ENTRIES, Revocation
from tidegate.identity.store import connect, naming_failures

_ADD: Final = files("tidegate.identity").joinpath("revocation_add.lua").read_text("utf-8")
_READ: Final = files("tidegate.identity").joinpath("revocation_read.lua").read_text("utf-8")


class Listed(NamedTuple):
    """The list at a time that `at` names; `entries` is None where nothing was added since.

    `unreadable` counts entries that another version wrote: who cannot read one does not know whom it refuses.
    """

    at: bytes
    entries: tuple[Revocation, ...] | None
    unreadable: int = 0


class RevocationsFull(Exception):
    """There is no room on the list."""


class RedisRevocations:
    """The list in the Redis at `url`. Everything raises StoreUnavailable, within about `timeout` seconds."""

    def __init__(self, url: str, *, timeout: float = 1.0, prefix: str = "tgr") -> None:
        self._redis = connect(url, timeout)
        self._keys = [f"{prefix}|{{revoked}}|{name}" for name in ("sequence", "entries", "epoch")]

    async def since(self, at: bytes) -> Listed:
        """The list, if it is not the one that `at` names."""
        with naming_failures("the list of revoked tokens"):
            now, *texts = await self._redis.eval(_READ, 3, *self._keys, at)
        if now == at:
            return Listed(at, None)
        entries = await asyncio.to_thread(_entries, texts)  # a long list takes half a second
        return Listed(now, entries, len(texts) - len(entries))

    async def add(self, entry: Revocation, *, now: float) -> None:
        """Add an entry; those that are over at `now` (Unix seconds) go. Raises `RevocationsFull`."""
        end = 0.0 if entry.until is None else entry.until.timestamp()
        text = orjson.dumps(entry.record(), option=orjson.OPT_SORT_KEYS)
        with naming_failures("the list of revoked tokens"):
            added = await self._redis.eval(_ADD, 3, *self._keys, text, end, now, MAX_ENTRIES, secrets.token_bytes(12))
        if not added:
            raise RevocationsFull(f"the list has {MAX_ENTRIES} entries; revoke a whole subject, tenant or issuer")

    async def close(self) -> None:
        """Close the connections."""
        await self._redis.aclose()


def _entries(texts: Sequence[bytes]) -> tuple[Revocation, ...]:
    return tuple([entry for text in texts if (entry := _entry(text)) is not None])


def _entry(text: bytes) -> Revocation | None:
    try:
        return Revocation.model_validate_json(text)
    except ValidationError:
        return None
