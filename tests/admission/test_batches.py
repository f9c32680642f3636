"""Calls to Redis travel together: when, how long they wait for others and for it, and that each gets its own answer."""

from __future__ import annotations

import asyncio
import os
import secrets
import signal
import time

import pytest
import redis.asyncio
from tidegate.admission.open import open_ledger
from tidegate.admission.redis import RedisLedger
from tidegate.admission.scripts import ScriptFailed, StoreTimedOut
from tidegate.clock import SystemClock
from tidegate.demo.redis_server import RedisServer
from tidegate.errors import StoreUnavailable
from tidegate.model import Charge

from tests.admission.world import FEW, HandClock, limit


async def evaluations(client: redis.asyncio.Redis) -> int:
    stats = await client.info("commandstats")
    return sum(stats.get(f"cmdstat_{name}", {"calls": 0})["calls"] for name in ("eval", "evalsha"))


async def test_one_turn_of_the_loop_is_one_script_call(ledger: RedisLedger, client: redis.asyncio.Redis) -> None:
    await ledger.ready()
    await ledger.reserve([Charge(FEW, "warm")])
    before = await evaluations(client)
    admissions = await asyncio.gather(*(ledger.reserve([Charge(FEW, "k")]) for _ in range(100)))
    assert await evaluations(client) == before + 1
    assert [admission.states[0].remaining for admission in admissions] == list(range(99, -1, -1))


async def test_calls_that_keep_coming_travel_together(ledger: RedisLedger, client: redis.asyncio.Redis) -> None:
    await ledger.reserve([Charge(FEW, "warm")])
    before = await evaluations(client)
    callers = []
    for _ in range(10):
        callers.append(asyncio.create_task(ledger.reserve([Charge(FEW, "k")])))
        for _ in range(4):
            await asyncio.sleep(0)
    await asyncio.gather(*callers)
    assert await evaluations(client) <= before + 2


async def test_calls_that_never_stop_coming_hold_nobody_up(redis_url: str) -> None:
    ledger = RedisLedger(redis_url, prefix=secrets.token_hex(6), timeout=5.0, max_batch=10**6)
    first = asyncio.create_task(ledger.reserve([Charge(FEW, "k")]))
    others = []
    while not first.done():
        others.append(asyncio.create_task(ledger.reserve([Charge(FEW, "other", 0)])))
        await asyncio.sleep(0)
        assert len(others) < 20_000
    await asyncio.gather(*others)
    await ledger.close()


async def test_a_key_that_is_over_asks_redis_once_a_second(redis_url: str, client: redis.asyncio.Redis) -> None:
    spared = []
    ledger = await open_ledger(redis_url, clock=SystemClock(), timeout=5.0, on_spared=lambda: spared.append(1))
    try:
        key = secrets.token_hex(6)
        charge = [Charge(limit("sliding_window", 3, period=3600.0), key)]
        assert [(await ledger.reserve(charge)).refused is None for _ in range(5)] == [True] * 3 + [False] * 2
        before = await evaluations(client)
        began = time.monotonic()
        admissions = [await ledger.reserve(charge) for _ in range(1000)]
        elapsed = time.monotonic() - began
        calls = await evaluations(client) - before
        assert calls <= 2 * elapsed + 2  # of the refusals and of the heartbeats, one a second each
        assert len(spared) >= 1000 - calls
        assert all(one.refused is not None and one.enforcement == "exact" for one in admissions)
        assert (await ledger.reserve([charge[0]._replace(key=key + "x")])).refused is None
    finally:
        await ledger.close()


async def test_a_batch_gives_each_caller_its_own_answer(ledger: RedisLedger) -> None:
    admissions = await asyncio.gather(*(ledger.reserve([Charge(FEW, str(i), i)]) for i in range(1, 300)))
    for i, admission in enumerate(admissions, start=1):
        assert (admission.refused is None) == (i <= 100)
        assert admission.states[0].remaining == (100 - i if i <= 100 else 100)


async def test_a_caller_that_goes_away_leaves_the_others_alone(ledger: RedisLedger) -> None:
    callers = [asyncio.create_task(ledger.reserve([Charge(FEW, "k")])) for _ in range(20)]
    await asyncio.sleep(0)
    for caller in callers[::2]:
        caller.cancel()
    answers = await asyncio.gather(*callers, return_exceptions=True)
    assert all(isinstance(answer, asyncio.CancelledError) for answer in answers[::2])
    assert all(answer.refused is None for answer in answers[1::2])  # type: ignore[union-attr]


async def test_a_broken_key_fails_its_own_caller_only(ledger: RedisLedger, client: redis.asyncio.Redis) -> None:
    await ledger.reserve([Charge(FEW, "broken")])
    (key,) = [key async for key in client.scan_iter(f"{ledger._prefix}|*broken*")]
    await client.delete(key)
    await client.lpush(key, "no bucket")
    good, bad = await asyncio.gather(
        ledger.reserve([Charge(FEW, "k")]), ledger.reserve([Charge(FEW, "broken")]), return_exceptions=True
    )
    assert isinstance(bad, ScriptFailed)
    assert not isinstance(good, BaseException)


async def test_a_broken_key_loses_nothing_else_of_an_entry(ledger: RedisLedger, client: redis.asyncio.Redis) -> None:
    await ledger.reserve([Charge(FEW, "broken")])
    (key,) = [key async for key in client.scan_iter(f"{ledger._prefix}|*broken*")]
    await client.delete(key)
    await client.lpush(key, "no bucket")
    apart = RedisLedger(ledger._runner, prefix=ledger._prefix, clock=HandClock())
    daily = Charge(limit("quota", 10, resets="day"), "k")
    used = [Charge(FEW, "one", 7), Charge(FEW, "broken", 7), daily, Charge(FEW, "two", 7)]
    assert await apart.enter(used, once="once", keep=60)
    assert not await apart.enter(used, once="once", keep=60)
    looks = [Charge(FEW, "one", 0), Charge(FEW, "two", 0), daily._replace(cost=0)]
    assert [state.remaining for state in (await ledger.reserve(looks)).states] == [93, 93, 10]


async def test_a_broken_key_keeps_no_lease_from_ending(ledger: RedisLedger, client: redis.asyncio.Redis) -> None:
    leased = Charge(limit("concurrency", 1), "k")
    held = await ledger.reserve([Charge(FEW, "broken"), leased], hold=60)
    (key,) = [key async for key in client.scan_iter(f"{ledger._prefix}|*broken*|t|*")]
    await client.delete(key)
    await client.lpush(key, "no bucket")
    with pytest.raises(ScriptFailed, match="WRONGTYPE"):
        await ledger.settle(held.reservation, {"requests": 0})
    assert (await ledger.reserve([leased], hold=60)).refused is None


async def test_a_frozen_redis_fails_everyone_in_time(redis_server: RedisServer) -> None:
    ledger = RedisLedger(redis_server.url, timeout=1.0)
    await ledger.reserve([Charge(FEW, "k")])
    os.kill(redis_server.pid, signal.SIGSTOP)
    try:
        began = time.perf_counter()
        callers = [asyncio.create_task(ledger.reserve([Charge(FEW, "k")])) for _ in range(300)]
        await asyncio.sleep(0.05)
        callers += [asyncio.create_task(ledger.reserve([Charge(FEW, "k")])) for _ in range(10)]
        answers = await asyncio.gather(*callers, return_exceptions=True)
        assert all(isinstance(answer, StoreTimedOut) for answer in answers)
        assert time.perf_counter() - began < 2.0  # not once for each batch that waits
        assert not await ledger.ready()
    finally:
        os.kill(redis_server.pid, signal.SIGCONT)
    # it thaws, and finds what nobody waits for any more: only `ready` and this look are done
    assert (await ledger.reserve([Charge(FEW, "k", 0)])).states[0].remaining == 99
    await ledger.close()


async def test_closing_fails_who_waits(redis_server: RedisServer) -> None:
    ledger = RedisLedger(redis_server.url, timeout=5.0)
    await ledger.ready()
    os.kill(redis_server.pid, signal.SIGSTOP)
    waiting = asyncio.create_task(ledger.reserve([Charge(FEW, "k")]))
    await asyncio.sleep(0.01)
    await ledger.close()
    with pytest.raises(StoreUnavailable):
        await waiting
    with pytest.raises(StoreUnavailable):
        await ledger.reserve([Charge(FEW, "k")])
    assert not await ledger.ready()


async def test_a_stall_of_this_process_is_not_taken_for_a_slow_store(redis_url: str) -> None:
    quick = RedisLedger(redis_url, prefix=secrets.token_hex(6), timeout=0.05)
    await quick.ready()
    for turns in (1, 2, 3):  # before it is sent, and after
        waiting = asyncio.create_task(quick.reserve([Charge(FEW, "k")]))
        for _ in range(turns):
            await asyncio.sleep(0)
        time.sleep(0.08)
        assert (await waiting).refused is None
    await quick.close()
