"""Keys in a real Redis: what replicas learn of changes, what writers do to each other, what an outage does."""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

import pytest
from pydantic import ValidationError
from tidegate.errors import StoreUnavailable
from tidegate.identity import KeyStore, KeyUses, RedisKeys, key_store, mint_key
from tidegate.identity.feed import Feed
from tidegate.identity.key_changes import KeyChangeRefused, expiring, revoked, rotated
from tidegate.identity.key_feed import StoredKeys
from tidegate.identity.key_store import Changes
from tidegate.identity.key_uses import Telling
from tidegate.model import Identity

from tests.identity.forge import NOW, FakeClock

PEPPER = b"a pepper of the tests"


def minted(number: int) -> tuple[str, dict[str, Any]]:
    key, key_id, digest = mint_key(PEPPER, key_id=f"stored{number:06}")
    return key, {"id": key_id, "hash": digest, "subject": f"s{number}", "tenant": "acme", "tier": "free"}


@pytest.fixture(params=["redis", "cluster"])
async def keys(request: pytest.FixtureRequest) -> AsyncIterator[RedisKeys]:
    url = request.getfixturevalue(f"{request.param}_url")
    made = RedisKeys(url, prefix=f"tgk-{secrets.token_hex(4)}")
    yield made
    await made.close()


@pytest.fixture
def redis(keys: RedisKeys) -> Any:
    """The store as somebody else might write to it."""
    return keys._redis


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
    keys: RedisKeys, redis: Any, clock: FakeClock, more: int
) -> None:
    """What was written after it had the number of what was lost: whoever knew that one asked for nothing."""
    first, second, third = (minted(number) for number in range(3))
    await keys.add(first[1])
    await keys.add(second[1])
    replica = Replica(Flaky(keys), clock)
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
    keys: RedisKeys, redis: Any, clock: FakeClock
) -> None:
    key, record = minted(1)
    await keys.add(record)
    store = Rewound(redis, keys._lists)
    await store.keep()
    await keys.change("stored000001", lambda entry: revoked(entry, now=NOW))
    replica = Replica(Flaky(keys), clock)
    await replica.feed.refresh()
    await store.fail_over()
    for _ in range(2):
        await replica.feed.refresh()
        assert replica.prove(key) == "401 key_revoked"
    await keys.add(minted(2)[1])
    await replica.feed.refresh()
    assert replica.prove(key) == "401 key_revoked"
    assert replica.prove(minted(2)[0]) != ""


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


class Flaky:
    """Keys that can be made to be out."""

    def __init__(self, keys: RedisKeys) -> None:
        self.keys = keys
        self.out = False
        self.broken = False
        self.counted: list[dict[str, int]] = []

    async def since(self, number: int, mark: bytes = b"") -> Changes:
        if self.broken:
            raise RuntimeError("a bug")
        if self.out:
            raise StoreUnavailable("out")
        return await self.keys.since(number, mark)

    async def count(self, uses: Any, *, now: float) -> None:
        if self.out:
            raise StoreUnavailable("out")
        self.counted.append(dict(uses))

    async def close(self) -> None:
        pass


class Replica:
    def __init__(
        self, store: Flaky, clock: FakeClock, *, sleep: Callable[[float], Awaitable[None]] = asyncio.sleep
    ) -> None:
        self.states: list[str] = []
        self.errors: list[Exception] = []
        self.keys: KeyStore | None = None
        self.feed = Feed(
            StoredKeys(store, pepper=PEPPER),
            name="API keys",
            clock=clock,
            adopt=self._adopt,
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
def flaky(keys: RedisKeys) -> Flaky:
    return Flaky(keys)


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


async def test_nothing_changed_makes_no_new_keys(flaky: Flaky, keys: RedisKeys, clock: FakeClock) -> None:
    replica = Replica(flaky, clock)
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
    flaky: Flaky, keys: RedisKeys, clock: FakeClock
) -> None:
    key, record = minted(1)
    await keys.add(record)
    replica = Replica(flaky, clock)
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
    flaky: Flaky, keys: RedisKeys, clock: FakeClock
) -> None:
    key, record = minted(1)
    await keys.add(record)
    replica = Replica(flaky, clock)
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
    flaky: Flaky, keys: RedisKeys, redis: Any, clock: FakeClock
) -> None:
    key, record = minted(1)
    await keys.add(record)
    replica = Replica(flaky, clock)
    await replica.feed.refresh()
    assert replica.prove(key) == ""
    await redis.hset(keys._entries, "stored000001", b"{")
    await redis.zadd(keys._lists[1], {"stored000001": await redis.incr(keys._lists[0])})
    await replica.feed.refresh()
    assert replica.prove(key) == "401 key_unknown"


async def test_uses_are_written_seldom_in_parts_and_never_lost(flaky: Flaky, clock: FakeClock) -> None:
    uses = KeyUses()
    await uses.flush(flaky, now=NOW)
    assert flaky.counted == []
    for number in range(5):
        for _ in range(number + 1):
            uses.note(f"k{number}")
    flaky.out = True
    await uses.flush(flaky, now=NOW)
    uses.note("k0")
    flaky.out = False
    for _ in range(4):
        await uses.flush(flaky, now=NOW, at_most=2)
    assert [len(part) for part in flaky.counted] == [2, 2, 1]
    assert {key: count for part in flaky.counted for key, count in part.items()} == {
        "k0": 2, "k1": 2, "k2": 3, "k3": 4, "k4": 5
    }  # fmt: skip


class Turns:
    """A sleep that lets time pass, so often."""

    def __init__(self, clock: FakeClock, often: int) -> None:
        self.clock = clock
        self.left = often
        self.slept: set[float] = set()
        self.done = asyncio.Event()

    async def __call__(self, seconds: float) -> None:
        self.slept.add(seconds)
        if self.left == 0:
            self.done.set()
            await asyncio.Event().wait()
        self.left -= 1
        self.clock.advance(seconds)


async def test_the_loop_asks_every_half_second(flaky: Flaky, keys: RedisKeys, clock: FakeClock) -> None:
    turns = Turns(clock, 3)
    replica = Replica(flaky, clock, sleep=turns)
    key, record = minted(1)
    await keys.add(record)
    replica.feed.start()
    await turns.done.wait()
    assert turns.slept == {0.5}
    assert (replica.prove(key), replica.states) == ("", ["current"])
    await replica.feed.close()


async def test_uses_are_told_every_five_seconds_and_at_the_end(flaky: Flaky, clock: FakeClock) -> None:
    turns, uses = Turns(clock, 2), KeyUses()
    telling = Telling(uses, flaky, clock=clock, sleep=turns)
    uses.note("stored000001")
    telling.start()
    await turns.done.wait()
    assert turns.slept == {5.0}
    assert flaky.counted == [{"stored000001": 1}]
    for number in range(2500):
        uses.note(f"k{number}")
    await telling.close()
    assert [len(part) for part in flaky.counted[1:]] == [1000, 1000, 500]


async def test_a_store_that_is_out_holds_nobody_at_the_end(flaky: Flaky, clock: FakeClock) -> None:
    uses, flaky.out = KeyUses(), True
    uses.note("stored000001")
    await Telling(uses, flaky, clock=clock).close()
    assert len(uses) == 1
