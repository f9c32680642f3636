"""API keys in a Redis or a Redis Cluster, for all replicas: their records, the order of their changes, their uses.

    tgk|{keys}|sequence    the number of the last change
    tgk|{keys}|changes     id by the number of its last change
    tgk|{keys}|entries     id → the record of `key_file`, as JSON; hashes of secrets, never a secret
    tgk|{keys}|marks       number of a change → its mark, which no other has; of the last 10,000
    tgk|{keys}|uses        id → how often it was proved
    tgk|{keys}|used        id → when it last was, Unix seconds, some seconds late

A replica asks for the changes after the last one that it knows, and names that by its mark too: a Redis that failed
over to one that was behind gives the same numbers to others. Writers compare before they write, in a script. All of it
lies in one slot of a cluster.
"""

from __future__ import annotations

import secrets
from collections.abc import Callable, Mapping
from importlib.resources import files
from typing import Any, Final, NamedTuple

import orjson
from pydantic import ValidationError

from tidegate.identity.key_changes import KeyChangeRefused
from tidegate.identity.key_file import KeyEntry
from tidegate.identity.store import connect, naming_failures

_WHAT: Final = "the key store"
_PAGE: Final = 1000
_MARKS: Final = 10_000
_TRIES: Final = 10
_WRITE: Final = files("tidegate.identity").joinpath("key_write.lua").read_text("utf-8")
_READ: Final = files("tidegate.identity").joinpath("key_read.lua").read_text("utf-8")


class Changes(NamedTuple):
    """Keys as they are after the change `number`. `afresh`: they are all that there are, not only what changed.

    `mark` is that of the change. `unreadable` are the ids whose record is none, or is gone: they are no keys.
    """

    number: int
    entries: tuple[KeyEntry, ...]
    afresh: bool = False
    unreadable: frozenset[str] = frozenset()
    mark: bytes = b""


class Use(NamedTuple):
    """How often a key was proved, and when last (Unix seconds)."""

    times: int
    last: float


class RedisKeys:
    """The keys in the Redis at `url`. Everything raises StoreUnavailable, within about `timeout` seconds."""

    def __init__(self, url: str, *, timeout: float = 1.0, prefix: str = "tgk") -> None:
        self._redis = connect(url, timeout)
        self._lists = [f"{prefix}|{{keys}}|{name}" for name in ("sequence", "changes", "entries", "marks")]
        self._entries = self._lists[2]
        self._uses, self._used = (f"{prefix}|{{keys}}|{name}" for name in ("uses", "used"))

    async def since(self, number: int, mark: bytes = b"") -> Changes:
        """What changed after the change `number` of that `mark`; everything where the store does not know that one."""
        entries: dict[str, KeyEntry] = {}
        unreadable: set[str] = set()
        at, afresh = number, number == 0
        while True:
            with naming_failures(_WHAT):
                newest, *rest = await self._redis.eval(_READ, len(self._lists), *self._lists, at, _PAGE, mark)
            # Another Redis, or one that lost something: what we know counts for nothing.
            if newest < at:
                at, mark, afresh = 0, b"", True
                entries.clear()
                unreadable.clear()
                continue
            mark, *page = rest
            if not page:
                return Changes(newest, tuple(entries.values()), afresh, frozenset(unreadable), mark)
            for last, key_id, text in zip(page[::3], page[1::3], page[2::3], strict=True):
                at = last
                entry = _entry(key_id, text or b"")
                if entry is None:
                    unreadable.add(key_id.decode("utf-8", "replace"))
                else:
                    entries[entry.id] = entry

    async def add(self, record: Mapping[str, Any]) -> KeyEntry:
        """Add a key. Raises ValidationError for a bad record, and KeyChangeRefused when its id is taken."""
        entry = KeyEntry.model_validate(dict(record))
        if not await self._write(entry, b""):
            raise KeyChangeRefused(f"the store has a key {entry.id} already")
        return entry

    async def change(self, key_id: str, step: Callable[[KeyEntry], KeyEntry]) -> KeyEntry:
        """Replace the entry with this id by what `step` makes of it. Raises what it raises, and KeyChangeRefused."""
        for _ in range(_TRIES):
            with naming_failures(_WHAT):
                stands = await self._redis.hget(self._entries, key_id)
            if stands is None:
                raise KeyChangeRefused(f"the store has no key {key_id}")
            entry = _entry(key_id.encode(), stands)
            if entry is None:
                raise KeyChangeRefused(f"the record of key {key_id} is unreadable")
            made = step(entry)
            if await self._write(made, stands):
                return made
        raise KeyChangeRefused(f"key {key_id} is being changed by others; try again")

    async def count(self, uses: Mapping[str, int], *, now: float) -> None:
        """Add to the uses of keys, by id; they were last used at `now` (Unix seconds)."""
        with naming_failures(_WHAT):
            async with self._redis.pipeline(transaction=False) as together:
                for key_id, count in uses.items():
                    together.hincrby(self._uses, key_id, count)
                together.hset(self._used, mapping=dict.fromkeys(uses, round(now)))
                await together.execute()

    async def uses(self) -> dict[str, Use]:
        """The uses of every key that was used, by id."""
        with naming_failures(_WHAT):
            counts, last = await self._redis.hgetall(self._uses), await self._redis.hgetall(self._used)
        return {key.decode(): Use(int(count), float(last.get(key, 0))) for key, count in counts.items()}

    async def close(self) -> None:
        """Close the connections."""
        await self._redis.aclose()

    async def _write(self, entry: KeyEntry, stands: bytes) -> bool:
        with naming_failures(_WHAT):
            text, mark = orjson.dumps(entry.record()), secrets.token_bytes(12)
            written = await self._redis.eval(
                _WRITE, len(self._lists), *self._lists, entry.id, stands, text, mark, _MARKS
            )
        return bool(written)


def _entry(key_id: bytes, text: bytes) -> KeyEntry | None:
    """The entry in a record; None for one that is none, or another key's."""
    try:
        entry = KeyEntry.model_validate_json(text)
    except ValidationError:
        return None
    return entry if entry.id.encode() == key_id else None
