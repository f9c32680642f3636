"""A real Redis stops, dies, freezes or comes back empty: answered in time, limited all the same, and made up for."""

from __future__ import annotations

import asyncio
import os
import secrets
import signal
import time
from contextlib import suppress
from typing import Any

import pytest
import redis.asyncio
from tidegate.admission.denials import Denials
from tidegate.admission.memory import MemoryLedger
from tidegate.admission.open import open_ledger
from tidegate.admission.outage import OnOutage, OutageLedger
from tidegate.admission.redis import RedisLedger
from tidegate.clock import SystemClock
from tidegate.demo.redis_server import RedisServer
from tidegate.errors import StoreUnavailable
from tidegate.model import Charge

from tests.admission.switchboard import BOTH, DAY, SUMS
from tests.admission.world import HandClock, limit, until


def real(server: RedisServer, prefix: str = "", **options: Any) -> OutageLedger:
    store = RedisLedger(server.url, prefix=prefix or secrets.token_hex(6), timeout=0.1)
    return OutageLedger(store, MemoryLedger(SystemClock()), denials=Denials(SystemClock()), probe_every=0.05, **options)


async def take(ledger: OutageLedger, count: int) -> tuple[int, float]:
    """(how many were let in, the longest wait)"""
    admitted, longest = 0, 0.0
    for _ in range(count):
        began = time.perf_counter()
        admitted += (await ledger.reserve(BOTH)).refused is None
        longest = max(longest, time.perf_counter() - began)
    return admitted, longest


async def test_frozen_and_thawed(redis_server: RedisServer) -> None:
    ledger = real(redis_server, replicas=lambda: 2)
    assert (await take(ledger, 2))[0] == 2
    os.kill(redis_server.pid, signal.SIGSTOP)
    try:
        admitted, longest = await take(ledger, 20)
        assert admitted == 5
        assert longest < 1.0
        assert ledger.state == "open"
        await asyncio.sleep(0.2)  # probes meet the frozen store
        assert ledger.state != "closed"
        assert (await take(ledger, 5))[0] == 0
    finally:
        os.kill(redis_server.pid, signal.SIGCONT)
    await until(lambda: ledger.state == "closed")
    await settled(ledger, 3)
    assert (await take(ledger, 20))[0] <= 3
    await ledger.close()


@pytest.mark.parametrize("kill", [False, True])
async def test_gone_and_back_empty(redis_server: RedisServer, kill: bool) -> None:
    ledger = real(redis_server, replicas=lambda: 2)
    assert (await take(ledger, 4))[0] == 4
    redis_server.stop(kill=kill)
    admitted, longest = await take(ledger, 20)
    assert admitted == 5
    assert longest < 1.0
    redis_server.start()
    await until(lambda: ledger.state == "closed")
    await settled(ledger, 5)
    assert (await take(ledger, 20))[0] == 5  # the 4 went with the store, the 5 of the outage are counted
    await ledger.close()


@pytest.mark.parametrize("rule", ["share", "deny"])
async def test_a_decision_that_always_fails_in_the_store_is_limited_all_the_same(
    redis_server: RedisServer, rule: OnOutage
) -> None:
    ledger = real(redis_server, replicas=lambda: 2, on_outage=lambda: rule)
    async with redis.asyncio.Redis.from_url(redis_server.url) as client:
        await ledger.reserve(BOTH)
        for key in await client.keys("*|bucket|*"):
            await client.delete(key)
            await client.lpush(key, "no bucket")
    admitted = 0
    for _ in range(20):
        with suppress(StoreUnavailable):
            admitted += (await ledger.reserve(BOTH)).refused is None
        await asyncio.sleep(0.01)  # time to hand over what memory counted
    assert admitted == (5 if rule == "share" else 0)
    assert ledger.state == "closed"
    assert (await ledger.reserve([BOTH[1]])).enforcement == "exact"
    await ledger.close()


async def test_a_quota_holds_for_a_worker_whose_clock_is_days_off(redis_server: RedisServer) -> None:
    ahead = HandClock(round((time.time() + 3 * DAY) * 1e6))
    store = RedisLedger(redis_server.url, timeout=5.0, clock=ahead)
    ledger = OutageLedger(store, MemoryLedger(ahead))
    admitted = 0
    for _ in range(20):
        admitted += (await ledger.reserve(SUMS)).refused is None
        await asyncio.sleep(0.01)
    assert admitted == 10
    await ledger.close()


async def test_an_outage_lets_run_as_many_again_and_no_more(redis_server: RedisServer) -> None:
    prefix = secrets.token_hex(6)
    replicas = [real(redis_server, prefix=prefix, replicas=lambda: 2) for _ in range(2)]
    leased = Charge(limit("concurrency", 4, period=60.0), "k")

    async def admitted() -> list[tuple[OutageLedger, str]]:
        taken = [(ledger, (await ledger.reserve([leased], hold=600)).reservation) for ledger in replicas * 6]
        return [(ledger, reservation) for ledger, reservation in taken if reservation]

    before = await admitted()
    assert len(before) == 4
    os.kill(redis_server.pid, signal.SIGSTOP)
    try:
        during = await admitted()
        assert len(during) == 4
        assert [await ledger.extend(held, {}, hold=600) for ledger, held in before + during] == ["extended"] * 8
        assert await admitted() == []
        assert all([await ledger.settle(held, {}) for ledger, held in before[:1] + during[:1]])
        assert len(await admitted()) == 1  # the place in memory; the store does not know of the other yet
    finally:
        os.kill(redis_server.pid, signal.SIGCONT)
    await until(lambda: all(ledger.state == "closed" for ledger in replicas))

    async def one_more() -> bool:
        return bool(await admitted())

    async with asyncio.timeout(5):
        while not await one_more():  # the settlement is made up for
            await asyncio.sleep(0.01)
    assert all([await ledger.settle(held, {}) for ledger, held in before[1:] + during[1:]])
    assert len(await admitted()) == 3
    for ledger in replicas:
        await ledger.close()


async def test_what_ran_when_the_store_came_back_empty_is_unknown_and_goes_on(redis_server: RedisServer) -> None:
    ledger = real(redis_server)
    leased = Charge(limit("concurrency", 1, period=60.0), "k")
    held = (await ledger.reserve([leased], hold=600)).reservation
    redis_server.stop(kill=True)
    assert await ledger.extend(held, {}, hold=600) == "extended"
    redis_server.start()
    await until(lambda: ledger.state == "closed")
    assert await ledger.extend(held, {}, hold=600) == "gone"
    assert (await ledger.reserve([leased], hold=600)).refused is None
    assert not await ledger.settle(held, {})
    assert (await ledger.reserve([leased], hold=600)).refused is not None
    await ledger.close()


async def settled(ledger: OutageLedger, remaining: int) -> None:
    look = [charge._replace(cost=0) for charge in BOTH]

    async def entered() -> bool:
        return all(state.remaining <= remaining for state in (await ledger.reserve(look)).states)

    async with asyncio.timeout(5):
        while not await entered():
            await asyncio.sleep(0.01)


async def test_open_ledger_needs_no_redis_to_begin_with(redis_server: RedisServer) -> None:
    redis_server.stop()
    ledger = await open_ledger(redis_server.url, clock=SystemClock(), replicas=5)
    admitted = [(await ledger.reserve(BOTH)).refused is None for _ in range(5)]
    assert admitted == [True, True, False, False, False]
    redis_server.start()
    await until(lambda: ledger.state == "closed")  # type: ignore[attr-defined]
    assert await ledger.ready()
    await ledger.close()
