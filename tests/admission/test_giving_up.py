"""Callers that give up at every moment of a decision: nothing of it is left, neither charge nor lease nor place."""

from __future__ import annotations

import asyncio
import itertools
import secrets
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any, TypeVar

import pytest
import redis.asyncio
from tidegate.admission.ledger import NOTHING, Ledger
from tidegate.admission.queue.fair_queue import FairQueue
from tidegate.admission.queue.redis import RedisPlaces
from tidegate.admission.queue.terms import Capacity, Demand, Overload, Place
from tidegate.admission.redis import RedisLedger
from tidegate.admission.scripts import ScriptRunner
from tidegate.clock import SystemClock
from tidegate.model import Charge

from tests.admission.world import cluster_ledger, limit

CHARGES = [
    Charge(limit("concurrency", 1_000, name="running", per=("tenant",)), "acme"),
    Charge(limit("sliding_window", 1_000, name="window", per=("tenant",)), "acme"),
    Charge(limit("token_bucket", 1_000, period=86_400.0, name="bucket", scope="platform"), ""),
    Charge(limit("quota", 1_000, name="quota", scope="endpoint:chat"), ""),
]
DEMAND = Demand("acme", "standard", 1, 1)
_T = TypeVar("_T")


async def _give_up_at_every_turn(take: Callable[[], Awaitable[_T]], keep: Callable[[_T], Awaitable[Any]]) -> int:
    """Cancel `take` after 0, 1, 2, … turns of the loop until it is over before that; how often it was cancelled."""
    turns = in_time = 0
    while in_time < 3:
        task = asyncio.ensure_future(take())
        for _ in range(turns):
            await asyncio.sleep(0)
        turns += 1
        if task.cancel():
            await asyncio.wait([task])
        if not task.cancelled():
            in_time += 1
            await keep(task.result())
    return turns - in_time


@pytest.fixture(params=["redis", "cluster"])
async def ledger(request: pytest.FixtureRequest) -> AsyncIterator[Ledger]:
    url = request.getfixturevalue(f"{request.param}_url")
    prefix = secrets.token_hex(6)
    made: Ledger = (
        RedisLedger(url, prefix=prefix, timeout=5.0)
        if request.param == "redis"
        else cluster_ledger(url, prefix=prefix, timeout=5.0)
    )
    yield made
    await made.close()


async def test_nothing_stays_reserved_for_who_gives_up(ledger: Ledger) -> None:
    gave_up = await _give_up_at_every_turn(
        lambda: ledger.reserve(CHARGES, hold=600), lambda admission: ledger.settle(admission.reservation, NOTHING)
    )
    assert gave_up > 3
    looks = [charge._replace(cost=0) for charge in CHARGES]
    async with asyncio.timeout(10):
        while [state.remaining for state in (await ledger.reserve(looks)).states] != [1_000] * len(CHARGES):
            await asyncio.sleep(0.01)


async def test_no_place_stays_taken_by_who_gives_up(redis_url: str) -> None:
    runner, prefix = ScriptRunner(redis_url, timeout=5.0, max_batch=128), secrets.token_hex(6)
    queue = FairQueue(RedisPlaces(runner, prefix=prefix), SystemClock(), where="r")
    full = Capacity(1, max_wait=1.0)
    place = await queue.join("chat", full, DEMAND)
    assert isinstance(place, Place)
    enough = asyncio.Event()

    async def leave() -> None:
        await enough.wait()
        await queue.leave("chat", place.ticket)

    leaving = asyncio.create_task(leave())
    asked = itertools.count()

    async def ask() -> Place | Overload:
        if next(asked) == 60:  # that many had to wait
            enough.set()
        return await queue.join("chat", full, DEMAND)

    gave_up = await _give_up_at_every_turn(
        ask, lambda place: queue.leave("chat", place.ticket if isinstance(place, Place) else "")
    )
    assert gave_up > 50
    await leaving
    async with redis.asyncio.Redis.from_url(redis_url) as client, asyncio.timeout(10):
        while [key async for key in client.scan_iter(f"{prefix}|*")]:
            await asyncio.sleep(0.01)
    await queue.close()


async def test_a_place_is_given_back_by_who_gives_up_giving_it_back(redis_url: str) -> None:
    runner, prefix = ScriptRunner(redis_url, timeout=5.0, max_batch=128), secrets.token_hex(6)
    queue = FairQueue(RedisPlaces(runner, prefix=prefix), SystemClock(), where="r")
    places = [await queue.join("chat", Capacity(1_000), DEMAND) for _ in range(100)]
    for turns, place in enumerate(places):
        assert isinstance(place, Place)
        leaving = asyncio.create_task(queue.leave("chat", place.ticket))
        for _ in range(turns // 10 + 1):
            await asyncio.sleep(0)
        leaving.cancel()
    async with redis.asyncio.Redis.from_url(redis_url) as client, asyncio.timeout(10):
        while [key async for key in client.scan_iter(f"{prefix}|*")]:
            await asyncio.sleep(0.01)
    await queue.close()
