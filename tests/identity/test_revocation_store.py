"""A list of revoked tokens in a real Redis: many writers, readers that are told when it changed."""

from __future__ import annotations

import asyncio

import pytest
from tidegate.identity.revocation import Revocation
from tidegate.identity.revocation_store import Listed, RedisRevocations, RevocationsFull

from tests.identity.forge import NOW
from tests.identity.test_revocation import at


async def test_a_reader_is_told_the_list_when_it_changed(listed: RedisRevocations) -> None:
    empty = await listed.since(b"")
    assert empty.entries == ()
    first, second = Revocation(token="t1"), Revocation(subject="ada", before=at(NOW), until=at(NOW + 60))
    await listed.add(first, now=NOW)
    await listed.add(second, now=NOW)
    full = await listed.since(empty.at)
    assert set(full.entries or ()) == {first, second}
    assert await listed.since(full.at) == Listed(full.at, None)
    await listed.add(Revocation(token="t2"), now=NOW + 60)  # the second is over by then
    assert set((await listed.since(full.at)).entries or ()) == {first, Revocation(token="t2")}


async def test_a_list_that_was_lost_and_begun_anew_is_another(listed: RedisRevocations) -> None:
    await listed.add(Revocation(token="t1"), now=NOW)
    known = (await listed.since(b"")).at
    for key in listed._keys:
        await listed._redis.delete(key)
    await listed.add(Revocation(token="t2"), now=NOW + 1)
    assert (await listed.since(known)).entries == (Revocation(token="t2"),)


async def test_a_failover_that_lost_an_entry_hides_no_other(listed: RedisRevocations) -> None:
    """What was added after it made the list as long as the one that was lost: whoever knew that heard of nothing."""
    await listed.add(Revocation(token="t1"), now=NOW)
    kept = [await listed._redis.dump(name) for name in listed._keys]
    await listed.add(Revocation(token="lost"), now=NOW)
    known = (await listed.since(b"")).at
    for name, value in zip(listed._keys, kept, strict=True):
        await listed._redis.delete(name)
        await listed._redis.restore(name, 0, value)
    await listed.add(Revocation(token="t2"), now=NOW)
    assert set((await listed.since(known)).entries or ()) == {Revocation(token="t1"), Revocation(token="t2")}


async def test_many_writers_lose_nothing_and_a_full_list_says_so(
    listed: RedisRevocations, url: str, prefix: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def write(number: int) -> None:
        writer = RedisRevocations(url, prefix=prefix)
        await writer.add(Revocation(token=f"t{number}"), now=NOW)
        await writer.close()

    await asyncio.gather(*map(write, range(20)))
    assert len((await listed.since(b"")).entries or ()) == 20
    monkeypatch.setattr("tidegate.identity.revocation_store.MAX_ENTRIES", 20)
    with pytest.raises(RevocationsFull, match="the list has 20 entries"):
        await listed.add(Revocation(token="more"), now=NOW)


async def test_an_entry_that_cannot_be_read_is_counted(listed: RedisRevocations) -> None:
    await listed.add(Revocation(token="t1"), now=NOW)
    await listed._redis.hset(listed._keys[1], '{"scope": "of a later version"}', 0)
    found = await listed.since(b"")
    assert (found.entries, found.unreadable) == ((Revocation(token="t1"),), 1)
