"""Callers that give up at every moment of a decision: nothing of it is left, neither charge nor lease nor place."""

from __future__ import annotations

import asyncio
import itertools
import secrets
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import replace
from random import Random
from typing import Any, TypeVar

import pytest
import redis.asyncio
from tidegate.admission.batches import ScriptRunner
from tidegate.admission.ledger import NOTHING, Ledger
from tidegate.admission.queue.fair_queue import FairQueue
from tidegate.admission.queue.redis import RedisPlaces
from tidegate.admission.queue.terms import Capacity, Demand, Overload, Place
from tidegate.admission.redis import RedisLedger
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
        await _turns(turns)
        turns += 1
        if task.cancel():
            await asyncio.wait([task])
        if not task.cancelled():
            in_time += 1
            await keep(task.result())
    return turns - in_time


@pytest.fixture(params=["redis", "cluster"])
async def replicas(request: pytest.FixtureRequest) -> AsyncIterator[list[Ledger]]:
    url, prefix = request.getfixturevalue(f"{request.param}_url"), secrets.token_hex(6)
    kind = cluster_ledger if request.param == "cluster" else RedisLedger
    made: list[Ledger] = [kind(url, prefix=prefix, timeout=5.0) for _ in range(2)]
    yield made
    for ledger in made:
        await ledger.close()


async def _left(ledger: Ledger) -> list[int]:
    looks = [charge._replace(cost=0) for charge in CHARGES]
    return [state.remaining for state in (await ledger.reserve(looks)).states]


async def _turns(count: int) -> None:
    for _ in range(count):
        await asyncio.sleep(0)


async def test_nothing_stays_reserved_for_who_gives_up(replicas: list[Ledger]) -> None:
    ledger = replicas[0]
    gave_up = await _give_up_at_every_turn(
        lambda: ledger.reserve(CHARGES, hold=600), lambda admission: ledger.settle(admission.reservation, NOTHING)
    )
    assert gave_up > 3
    async with asyncio.timeout(10):
        while await _left(ledger) != [1_000] * len(CHARGES):
            await asyncio.sleep(0.01)


async def test_what_counts_is_what_was_used_whatever_is_cut_off_on_the_way(replicas: list[Ledger]) -> None:
    chance, used, running, most = Random(3), 0, 0, 0
    few = [CHARGES[0]._replace(limit=replace(CHARGES[0].limit, capacity=3)), *CHARGES[1:]]

    async def exchange(ledger: Ledger) -> None:
        nonlocal used, running, most
        taking = asyncio.create_task(ledger.reserve(few, hold=600))
        await _turns(chance.randrange(60))
        if chance.random() < 0.3:
            taking.cancel()
        await asyncio.wait([taking])
        if taking.cancelled() or taking.result().refused is not None:
            return
        running += 1
        most = max(most, running)
        for _ in range(chance.randrange(3)):
            growing = asyncio.create_task(ledger.extend(taking.result().reservation, {"requests": 1}, hold=600))
            await _turns(chance.randrange(30))
            if chance.random() < 0.3:
                growing.cancel()
            await asyncio.wait([growing])
        cost = chance.randrange(4)
        running, used = running - 1, used + cost
        assert await ledger.settle(taking.result().reservation, {"requests": cost})

    async def client(ledger: Ledger) -> None:
        for _ in range(30):
            await exchange(ledger)

    await asyncio.gather(*(client(ledger) for ledger in replicas * 8))
    assert 1 < most <= 3
    async with asyncio.timeout(10):
        while await _left(replicas[0]) != [1_000, *[1_000 - used] * 3]:
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
        await _turns(turns // 10 + 1)
        leaving.cancel()
    async with redis.asyncio.Redis.from_url(redis_url) as client, asyncio.timeout(10):
        while [key async for key in client.scan_iter(f"{prefix}|*")]:
            await asyncio.sleep(0.01)
    await queue.close()
