"""Keys in a real Redis: what a reader is told of changes, what writers do to each other, what cannot be read."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from pydantic import ValidationError
from tidegate.errors import StoreUnavailable
from tidegate.identity import RedisKeys, key_store
from tidegate.identity.key_changes import KeyChangeRefused, expiring, revoked, rotated
from tidegate.identity.key_store import Changes

from tests.identity.forge import NOW
from tests.identity.stored_keys import minted


async def after(keys: RedisKeys, number: int) -> Changes:
    """What somebody is told who knows the changes up to this one."""
    return await keys.since(number, await keys._redis.hget(keys._lists[3], number) or b"")


async def ids(keys: RedisKeys, since: int) -> tuple[int, list[str]]:
    changes = await after(keys, since)
    return changes.number, [entry.id for entry in changes.entries]


async def test_a_reader_is_told_what_changed_and_nothing_twice(keys: RedisKeys) -> None:
    assert await keys.since(0) == Changes(0, (), afresh=True)
    for number in range(3):
        await keys.add(minted(number)[1])
    assert await ids(keys, 0) == (3, ["stored000000", "stored000001", "stored000002"])
    await keys.change("stored000001", lambda entry: revoked(entry, now=NOW))
    await keys.change("stored000001", lambda entry: entry)
    assert await ids(keys, 3) == (5, ["stored000001"])
    assert await ids(keys, 5) == (5, [])


async def test_many_keys_come_in_pages(keys: RedisKeys, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(key_store, "_PAGE", 3)
    for number in range(10):
        await keys.add(minted(number)[1])
    changes = await keys.since(0)
    assert (changes.number, len(changes.entries), changes.afresh) == (10, 10, True)
    assert len((await after(keys, 4)).entries) == 6


async def test_a_store_that_lost_its_changes_is_read_afresh(keys: RedisKeys, redis: Any) -> None:
    await keys.add(minted(1)[1])
    await keys.add(minted(2)[1])
    await redis.delete(*keys._lists)
    assert await keys.since(2) == Changes(0, (), afresh=True)
    await keys.add(minted(3)[1])
    changes = await keys.since(2)
    assert (changes.number, changes.afresh, [entry.id for entry in changes.entries]) == (1, True, ["stored000003"])


async def test_keys_that_another_version_wrote_are_followed(keys: RedisKeys, redis: Any) -> None:
    """Without marks: a rolling restart has both versions."""
    for number in range(3):
        await keys.add(minted(number)[1])
    await redis.delete(keys._lists[3])
    known = await keys.since(0)
    assert (known.number, known.mark) == (3, b"")
    assert (await keys.since(3)).entries == ()
    await keys.add(minted(3)[1])
    changes = await keys.since(3)
    assert ([entry.id for entry in changes.entries], changes.afresh) == (["stored000003"], False)


async def test_old_marks_go(keys: RedisKeys, redis: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(key_store, "_MARKS", 2)
    await keys.add(minted(0)[1])
    first = await keys.since(0)
    await keys.add(minted(1)[1])
    assert not (await keys.since(first.number, first.mark)).afresh
    await keys.add(minted(2)[1])
    assert await redis.hlen(keys._lists[3]) == 2
    assert (await keys.since(first.number, first.mark)).afresh  # so long ago that nobody can tell


async def test_an_id_is_given_once(keys: RedisKeys) -> None:
    await keys.add(minted(1)[1])
    await keys.change("stored000001", lambda entry: revoked(entry, now=NOW))
    with pytest.raises(KeyChangeRefused, match="has a key stored000001 already"):
        await keys.add(minted(1)[1])
    with pytest.raises(KeyChangeRefused, match="has no key unknown00000"):
        await keys.change("unknown00000", lambda entry: entry)
    with pytest.raises(ValidationError):
        await keys.add(minted(2)[1] | {"roles": "admin"})


async def test_two_writers_lose_nothing(keys: RedisKeys) -> None:
    """One takes the key's end away and sets it, the other revokes it: whoever is second sees what the first wrote."""
    await keys.add(minted(1)[1])

    async def rotate() -> None:
        await keys.change("stored000001", lambda entry: rotated(entry, minted(1)[1]["hash"], overlap_until=None))

    async def expire() -> None:
        await keys.change("stored000001", lambda entry: expiring(entry, None))

    await asyncio.gather(*(step() for step in (rotate, expire) for _ in range(4)))
    assert (await keys.since(0)).number == 9
    await keys.change("stored000001", lambda entry: revoked(entry, now=NOW))
    outcomes = await asyncio.gather(rotate(), expire(), return_exceptions=True)
    assert all(isinstance(outcome, KeyChangeRefused) for outcome in outcomes)


async def test_a_record_that_is_none_is_no_key(keys: RedisKeys, redis: Any) -> None:
    """Whoever can write to the store cannot make a key of another's record, or make us stop reading."""
    for number in (1, 2, 3):
        await keys.add(minted(number)[1])
    stolen = await redis.hget(keys._entries, "stored000001")
    await redis.hset(keys._entries, mapping={"stored000002": b"{", "stored000003": stolen})
    changes = await keys.since(0)
    assert [entry.id for entry in changes.entries] == ["stored000001"]
    assert changes.unreadable == {"stored000002", "stored000003"}
    with pytest.raises(KeyChangeRefused, match="unreadable"):
        await keys.change("stored000002", lambda entry: entry)


async def test_no_secret_is_stored(keys: RedisKeys, redis: Any) -> None:
    key, record = minted(1)
    await keys.add(record)
    stored = await redis.hget(keys._entries, "stored000001")
    assert key.split("_", 2)[2].encode() not in stored


async def test_uses_add_up_over_replicas(keys: RedisKeys) -> None:
    await keys.count({"stored000001": 3, "stored000002": 1}, now=NOW)
    await keys.count({"stored000001": 2}, now=NOW + 7)
    uses = await keys.uses()
    assert (uses["stored000001"].times, uses["stored000001"].last) == (5, NOW + 7)
    assert (uses["stored000002"].times, uses["stored000002"].last) == (1, NOW)


@pytest.mark.parametrize("url", ["redis://127.0.0.1:9", "redis+cluster://127.0.0.1:9,127.0.0.1:19"])
async def test_a_store_that_is_not_there(url: str) -> None:
    keys = RedisKeys(url, timeout=0.5)
    for call in (keys.since(0), keys.add(minted(1)[1]), keys.count({"a": 1}, now=NOW), keys.uses()):
        with pytest.raises(StoreUnavailable, match="the key store: "):
            await call
    await keys.close()
