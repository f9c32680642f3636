"""Nothing stays in Redis: keys of limits, holds and leases go by themselves, and none goes too early."""

from __future__ import annotations

import asyncio
import time

import pytest
import redis.asyncio
from tidegate.admission.redis import RedisLedger
from tidegate.model import Algorithm, Charge

from tests.admission.world import FEW, limit

BOTH = pytest.mark.parametrize("algorithm", ["token_bucket", "sliding_window"])


@BOTH
async def test_every_key_goes_by_itself(algorithm: Algorithm, ledger: RedisLedger, client: redis.asyncio.Redis) -> None:
    charged = limit(algorithm, 10, refill=10, period=10.0)
    await ledger.reserve([Charge(charged, "k", 3)], hold=7)
    await ledger.reserve([Charge(charged, "refused", 11)])
    await ledger.reserve([Charge(charged, "look", 0)])
    ttls = {key: await client.pttl(key) async for key in client.scan_iter(f"{ledger._prefix}|*")}
    assert len(ttls) == 2
    for key, ttl in ttls.items():
        most = 7000 if b"|hold|" in key else 3002 if algorithm == "token_bucket" else 10_002
        assert most - 1000 < ttl <= most


@pytest.mark.parametrize("settled", [1, 8])
@pytest.mark.parametrize(
    ("algorithm", "least", "most"), [("sliding_window_counter", 100, 200), ("quota", 0, 31 * 86_400)]
)
async def test_every_sum_goes_by_itself_settled_or_not(
    algorithm: Algorithm, least: int, most: int, settled: int, ledger: RedisLedger, client: redis.asyncio.Redis
) -> None:
    charged = limit(algorithm, 10, period=100.0, resets="month")
    held = await ledger.reserve([Charge(charged, "k", 3)], hold=7)
    await ledger.reserve([Charge(charged, "refused", 11)])
    await ledger.reserve([Charge(charged, "look", 0)])
    (key,) = [key async for key in client.scan_iter(f"{ledger._prefix}|*") if b"|hold|" not in key]
    before = await client.pttl(key)
    assert least * 1000 < before <= most * 1000 + 2
    assert await ledger.settle(held.reservation, {"requests": settled})
    assert before - 1000 < await client.pttl(key) <= before
    assert (await ledger.reserve([Charge(charged, "k", 0)])).states[0].remaining == 10 - settled
    nothing = await ledger.reserve([Charge(charged, "later", 0)], hold=7)
    assert await ledger.settle(nothing.reservation, {"requests": settled})
    (key,) = [key async for key in client.scan_iter(f"{ledger._prefix}|*later*") if b"|hold|" not in key]
    assert least * 1000 < await client.pttl(key) <= most * 1000 + 2


async def test_leases_go_by_themselves_or_with_the_last_one(ledger: RedisLedger, client: redis.asyncio.Redis) -> None:
    leased = limit("concurrency", 3, period=10.0)

    async def keys() -> list[bytes]:
        return [key async for key in client.scan_iter(f"{ledger._prefix}|*") if b"|hold|" not in key]

    held = [(await ledger.reserve([Charge(leased, "k")], hold=100)).reservation for _ in range(3)]
    assert (await ledger.reserve([Charge(leased, "k")], hold=100)).refused is not None
    assert not (await ledger.reserve([Charge(leased, "refused", 4)], hold=100)).reservation
    (key,) = await keys()
    assert 9000 < await client.pttl(key) <= 10_002
    await client.pexpire(key, 5)
    assert await ledger.extend(held[0], {}, hold=100) == "extended"
    assert 9000 < await client.pttl(key) <= 10_002
    assert [await ledger.settle(one, {}) for one in held] == [True] * 3
    assert await keys() == []


async def test_extending_never_shortens_a_hold(ledger: RedisLedger, client: redis.asyncio.Redis) -> None:
    held = await ledger.reserve([Charge(FEW, "k")], hold=50)
    for hold, least, most in ((5, 49_000, 50_000), (70, 69_000, 70_000)):
        assert await ledger.extend(held.reservation, {"requests": 1}, hold=hold) == "extended"
        assert least < await client.pttl(ledger._hold_key(held.reservation)) <= most


async def test_ten_thousand_leases_lapse_in_one_look(ledger: RedisLedger, client: redis.asyncio.Redis) -> None:
    leased = limit("concurrency", 20_000, period=0.2)
    many = limit("concurrency", 20_000, period=600.0, name="many")
    charges = [Charge(leased, "k"), Charge(many, "k")] * 50
    await asyncio.gather(*(ledger.reserve(charges, hold=100) for _ in range(100)))
    assert (await ledger.reserve([Charge(many, "k", 0)])).states[0].remaining == 15_000
    await asyncio.sleep(0.25)
    admission = await ledger.reserve([Charge(leased, "k"), Charge(many, "k", 15_000)], hold=100)
    assert [state.remaining for state in admission.states] == [19_999, 0]
    began = time.perf_counter()
    for _ in range(50):
        assert (await ledger.reserve([Charge(many, "k", 4)], hold=100)).refused is not None
    assert (time.perf_counter() - began) / 50 < 0.02
