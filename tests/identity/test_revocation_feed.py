"""The list of revoked tokens in a real Redis and a Redis Cluster, and how replicas learn of it."""

from __future__ import annotations

import asyncio
import secrets
import threading
from collections.abc import AsyncIterator
from datetime import UTC, datetime
from typing import Any

import pytest
from tidegate.errors import StoreUnavailable
from tidegate.identity import revocation_feed, revocation_store
from tidegate.identity.feed import Feed
from tidegate.identity.revocation import Revocation, RevokedTokens
from tidegate.identity.revocation_feed import StoredRevocations
from tidegate.identity.revocation_store import Listed, RedisRevocations, RevocationsFull

from tests.identity.forge import NOW, FakeClock


def at(seconds: float) -> datetime:
    return datetime.fromtimestamp(seconds, UTC)


@pytest.fixture(params=["redis", "cluster"])
def url(request: pytest.FixtureRequest) -> str:
    return str(request.getfixturevalue(f"{request.param}_url"))


@pytest.fixture
def prefix() -> str:
    return f"tgr-{secrets.token_hex(4)}"


@pytest.fixture
async def listed(url: str, prefix: str) -> AsyncIterator[RedisRevocations]:
    made = RedisRevocations(url, prefix=prefix)
    yield made
    await made.close()


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


class Scripted:
    """A store that answers as it is told."""

    def __init__(self, *answers: Listed | Exception) -> None:
        self.answers = [*answers]

    async def since(self, at: bytes) -> Listed:
        answer = self.answers.pop(0)
        if isinstance(answer, Exception):
            raise answer
        return answer

    async def close(self) -> None:
        pass


ONE, TWO = Revocation(token="t1", until=at(NOW + 100)), Revocation(token="t2")
OUT = StoreUnavailable("out")


async def test_what_was_once_revoked_stays_so_while_the_process_lives(clock: FakeClock) -> None:
    adopted: list[RevokedTokens] = []
    states: list[str] = []
    odd: list[Exception] = []
    store = Scripted(
        OUT, Listed(b"a", (ONE,)), Listed(b"a", None), OUT, Listed(b"b", (TWO,)), Listed(b"c", (), unreadable=1),
        Listed(b"d", ()), OUT, Listed(b"d", None),
    )  # fmt: skip
    feed = Feed(
        StoredRevocations(store, clock=clock),
        clock=clock,
        adopt=adopted.append,
        on_state=states.append,
        on_error=odd.append,
        max_age=60,
    )
    assert feed.known.unavailable
    await feed.refresh()
    assert (states, adopted) == (["none"], [])
    for _ in range(2):
        await feed.refresh()
    assert feed.known.entries == {ONE}
    await feed.refresh()
    assert feed.known.entries == {ONE}
    assert states == ["none", "current", "old"]
    await feed.refresh()  # the store has lost the first
    assert feed.known.entries == {ONE, TWO}
    await feed.refresh()  # another version's entry: nobody knows whom it refuses
    assert [type(error) for error in odd] == [ValueError]
    clock.advance(101)
    await feed.refresh()
    assert feed.known.entries == {TWO}  # the first is over
    clock.advance(61)
    await feed.refresh()
    assert feed.known.unavailable
    assert states[-1] == "none"
    await feed.refresh()
    assert feed.known.entries == {TWO}
    assert states[-1] == "current"


async def test_a_long_list_is_read_and_put_in_force_beside_the_event_loop(
    listed: RedisRevocations, clock: FakeClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    done_on: list[int] = []

    def noted(step: Any) -> Any:
        def run(*given: Any) -> Any:
            done_on.append(threading.get_ident())
            return step(*given)

        return run

    monkeypatch.setattr(revocation_store, "_entries", noted(revocation_store._entries))
    monkeypatch.setattr(revocation_feed, "_joined", noted(revocation_feed._joined))
    await listed.add(TWO, now=NOW)
    feed = Feed(StoredRevocations(listed, clock=clock), clock=clock, adopt=lambda _: None)
    await feed.refresh()
    assert feed.known.entries == {TWO}
    assert len(done_on) == 2
    assert threading.get_ident() not in done_on
