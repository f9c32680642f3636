"""What a replica knows of the keys in a store, and for how long it relies on that."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import pytest
from tidegate.identity import KeyStore, RedisKeys
from tidegate.identity.feed import Feed
from tidegate.identity.key_changes import revoked
from tidegate.identity.key_feed import StoredKeys
from tidegate.model import Identity

from tests.identity.forge import NOW, FakeClock
from tests.identity.stored_keys import PEPPER, Flaky, minted
from tests.turns import Turns


class Replica:
    def __init__(
        self, store: Flaky, clock: FakeClock, *, sleep: Callable[[float], Awaitable[None]] = asyncio.sleep
    ) -> None:
        self.wanted = True
        self.states: list[str] = []
        self.errors: list[Exception] = []
        self.keys: KeyStore | None = None
        self.feed = Feed(
            StoredKeys(store, pepper=PEPPER),
            name="API keys",
            clock=clock,
            adopt=self._adopt,
            wanted=lambda: self.wanted,
            on_state=self.states.append,
            on_error=self.errors.append,
            sleep=sleep,
        )

    def _adopt(self, keys: KeyStore) -> None:
        self.keys = keys

    def prove(self, key: str) -> str:
        verdict = self.feed.known.prove(key, now=NOW)
        assert self.keys in (None, self.feed.known)
        return "" if isinstance(verdict, Identity) else f"{verdict.status} {verdict.detail}"


@pytest.fixture
def replica(flaky: Flaky, clock: FakeClock) -> Replica:
    return Replica(flaky, clock)


@pytest.fixture
async def key(keys: RedisKeys) -> str:
    """One that is in the store, as stored000001."""
    made, record = minted(1)
    await keys.add(record)
    return made


async def test_every_replica_learns_of_every_change(flaky: Flaky, keys: RedisKeys, clock: FakeClock) -> None:
    replicas = [Replica(flaky, clock) for _ in range(3)]
    key, record = minted(1)
    for replica in replicas:
        await replica.feed.refresh()
        assert replica.prove(key) == "401 key_unknown"
    await keys.add(record)
    for replica in replicas:
        await replica.feed.refresh()
        assert replica.prove(key) == ""
    await keys.change("stored000001", lambda entry: revoked(entry, now=NOW))
    for replica in replicas:
        await replica.feed.refresh()
        assert replica.prove(key) == "401 key_revoked"
        assert replica.states == ["current"]


async def test_nothing_changed_makes_no_new_keys(replica: Replica, keys: RedisKeys) -> None:
    await replica.feed.refresh()
    empty = replica.feed.known
    await replica.feed.refresh()
    assert replica.feed.known is empty
    await keys.add(minted(1)[1])
    await replica.feed.refresh()
    one = replica.feed.known
    await replica.feed.refresh()
    assert replica.feed.known is one


async def test_before_the_first_answer_and_an_hour_after_the_last_every_key_is_503(
    key: str, replica: Replica, flaky: Flaky, clock: FakeClock
) -> None:
    flaky.out = True
    await replica.feed.refresh()
    assert replica.prove(key).startswith("503 ")
    flaky.out = False
    await replica.feed.refresh()
    assert replica.prove(key) == ""
    flaky.out = True
    clock.advance(3600)
    await replica.feed.refresh()
    assert replica.prove(key) == ""
    clock.advance(0.1)
    await replica.feed.refresh()
    assert replica.prove(key).startswith("503 ")
    flaky.out = False
    await replica.feed.refresh()
    assert replica.prove(key) == ""
    assert replica.states == ["none", "current", "old", "none", "current"]


async def test_what_should_not_happen_is_told_of_and_is_no_answer(
    key: str, replica: Replica, flaky: Flaky, clock: FakeClock
) -> None:
    await replica.feed.refresh()
    flaky.broken = True
    await replica.feed.refresh()
    assert [type(error) for error in replica.errors] == [RuntimeError]
    assert (replica.prove(key), replica.states) == ("", ["current", "old"])
    clock.advance(3601)
    await replica.feed.refresh()
    assert replica.prove(key).startswith("503 ")
    flaky.broken = False
    await replica.feed.refresh()
    assert replica.prove(key) == ""


async def test_a_key_whose_record_becomes_unreadable_is_no_key(
    key: str, replica: Replica, keys: RedisKeys, redis: Any
) -> None:
    await replica.feed.refresh()
    assert replica.prove(key) == ""
    await redis.hset(keys._entries, "stored000001", b"{")
    await redis.zadd(keys._lists[1], {"stored000001": await redis.incr(keys._lists[0])})
    await replica.feed.refresh()
    assert replica.prove(key) == "401 key_unknown"


async def test_the_loop_asks_every_half_second(key: str, flaky: Flaky, clock: FakeClock) -> None:
    turns = Turns(3, clock.advance)
    replica = Replica(flaky, clock, sleep=turns)
    replica.feed.start()
    await turns.done.wait()
    assert turns.slept == {0.5}
    assert (replica.prove(key), replica.states) == ("", ["current"])
    await replica.feed.close()


async def test_what_a_policy_did_not_want_for_a_while_is_not_relied_on_when_it_does_again(
    flaky: Flaky, keys: RedisKeys, clock: FakeClock
) -> None:
    """A policy with a key file, and back: a key that was revoked in between stood until the store had answered."""
    key, record = minted(1)
    await keys.add(record)
    turns = Turns(2, clock.advance)
    replica = Replica(flaky, clock, sleep=turns)
    await replica.feed.refresh()
    assert replica.prove(key) == ""
    replica.wanted = False
    replica.feed.start()
    await turns.done.wait()
    await keys.change("stored000001", lambda entry: revoked(entry, now=NOW))
    replica.wanted = True
    assert replica.prove(key).startswith("503 ")
    await replica.feed.refresh()
    assert replica.prove(key) == "401 key_revoked"
    await replica.feed.close()


class Rewound:
    """A store that fails over to a replica which had not heard of the last changes."""

    def __init__(self, redis: Any, names: list[str]) -> None:
        self._redis = redis
        self._names = names
        self._kept: list[bytes | None] = []

    async def keep(self) -> None:
        self._kept = [await self._redis.dump(name) for name in self._names]

    async def fail_over(self) -> None:
        for name, value in zip(self._names, self._kept, strict=True):
            await self._redis.delete(name)
            if value is not None:
                await self._redis.restore(name, 0, value)


@pytest.mark.parametrize("more", [0, 1])
async def test_a_failover_that_lost_a_change_hides_no_revocation(
    replica: Replica, keys: RedisKeys, redis: Any, more: int
) -> None:
    """What was written after it had the number of what was lost: whoever knew that one asked for nothing."""
    first, second, third = (minted(number) for number in range(3))
    await keys.add(first[1])
    await keys.add(second[1])
    store = Rewound(redis, keys._lists)
    await store.keep()
    await keys.add(third[1])
    await replica.feed.refresh()
    assert [replica.prove(key) for key, _ in (first, second, third)] == ["", "", ""]
    await store.fail_over()
    await keys.change("stored000000", lambda entry: revoked(entry, now=NOW))
    for number in range(more):
        await keys.add(minted(10 + number)[1])
    await replica.feed.refresh()
    assert replica.prove(first[0]) == "401 key_revoked"
    assert replica.prove(second[0]) == ""
    assert replica.prove(third[0]) == "401 key_unknown"


async def test_a_revoked_key_stays_so_where_the_store_has_lost_that(
    key: str, replica: Replica, keys: RedisKeys, redis: Any
) -> None:
    store = Rewound(redis, keys._lists)
    await store.keep()
    await keys.change("stored000001", lambda entry: revoked(entry, now=NOW))
    await replica.feed.refresh()
    await store.fail_over()
    for _ in range(2):
        await replica.feed.refresh()
        assert replica.prove(key) == "401 key_revoked"
    await keys.add(minted(2)[1])
    await replica.feed.refresh()
    assert replica.prove(key) == "401 key_revoked"
    assert replica.prove(minted(2)[0]) != ""
