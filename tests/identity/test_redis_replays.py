"""Proofs that were used, remembered for all replicas in a real Redis and a real Redis Cluster."""

from __future__ import annotations

import asyncio
import uuid
from collections.abc import AsyncIterator
from typing import Any

import pytest
from tidegate.errors import StoreUnavailable
from tidegate.identity.redis_replays import RedisReplays

REDIS = pytest.mark.parametrize("shared", ["redis_url", "cluster_url"], indirect=True)


@pytest.fixture
async def shared(request: pytest.FixtureRequest) -> AsyncIterator[tuple[RedisReplays, RedisReplays]]:
    url = request.getfixturevalue(request.param)
    pair = RedisReplays(url, timeout=5.0), RedisReplays(url, timeout=5.0)
    yield pair
    for one in pair:
        await one.close()


@REDIS
async def test_replicas_share_what_was_used(shared: tuple[RedisReplays, RedisReplays]) -> None:
    one, other = shared
    digest = uuid.uuid4().bytes * 2
    assert await one.first(digest, 60)
    assert not await other.first(digest, 60)
    assert not await one.first(digest, 60)


@REDIS
async def test_of_a_race_over_two_replicas_each_proof_has_one_winner(shared: tuple[RedisReplays, RedisReplays]) -> None:
    digests = [uuid.uuid4().bytes * 2 for _ in range(100)]
    tries = [(digest, side) for digest in digests for side in shared for _ in range(3)]
    won = await asyncio.gather(*(side.first(digest, 60) for digest, side in tries))
    winners = [digest for (digest, _), first in zip(tries, won, strict=True) if first]
    assert sorted(winners) == sorted(digests)


@REDIS
async def test_what_was_used_is_kept_for_its_time_in_keys_of_its_own(
    shared: tuple[RedisReplays, RedisReplays],
) -> None:
    one, _ = shared
    digest = uuid.uuid4().bytes * 2
    await one.first(digest, 60)
    left = await one._redis.pttl(f"tgp|{digest.hex()}")
    assert 55_000 < left <= 60_000
    await one.first(digest[::-1], 0.001)  # never a time of nothing, which Redis refuses
    assert 0 < await one._redis.pttl(f"tgp|{digest[::-1].hex()}") <= 1000


async def test_a_command_that_is_repeated_is_not_a_replay(redis_url: str) -> None:
    """A client that lost the answer asks again with the same value."""
    one = RedisReplays(redis_url, timeout=5.0)
    digest = uuid.uuid4().bytes * 2
    genuine = one._ask

    async def twice(batch: Any) -> None:
        async with one._redis.pipeline(transaction=False) as lost:
            for question in batch:
                lost.set(question.name, question.value, px=question.milliseconds, nx=True)
            await lost.execute()
        await genuine(batch)

    one._ask = twice  # type: ignore[method-assign]
    assert await one.first(digest, 60)
    assert not await one.first(digest, 60)
    await one.close()


async def test_a_store_that_is_out_tells_nobody_that_a_proof_is_new() -> None:
    gone = RedisReplays("redis://127.0.0.1:1", timeout=1.0)
    answers = await asyncio.gather(*(gone.first(bytes([n]) * 32, 60) for n in range(5)), return_exceptions=True)
    assert {type(answer) for answer in answers} == {StoreUnavailable}
    await gone.close()


@pytest.fixture
async def silent() -> AsyncIterator[str]:
    """A store that accepts connections and answers nothing."""

    async def hang(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while await reader.read(1 << 20):
            pass
        writer.close()

    server = await asyncio.start_server(hang, "127.0.0.1", 0)
    yield f"redis://127.0.0.1:{server.sockets[0].getsockname()[1]}"
    server.close()


async def test_a_store_that_hangs_holds_nobody_longer_than_its_time(silent: str) -> None:
    frozen = RedisReplays(silent, timeout=0.05)
    async with asyncio.timeout(5):
        with pytest.raises(StoreUnavailable):
            await frozen.first(b"a" * 32, 60)
    await frozen.close()


async def test_closing_leaves_nobody_waiting(silent: str) -> None:
    frozen = RedisReplays(silent, timeout=30.0)
    waiting = asyncio.create_task(frozen.first(b"a" * 32, 60))
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    await frozen.close()
    with pytest.raises(StoreUnavailable):
        await waiting
