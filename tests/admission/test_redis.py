"""Limits in one Redis: periods by its clock, long logs, and processes that race for what is left."""

from __future__ import annotations

import asyncio
import secrets
import sys
import time
from dataclasses import dataclass

import pytest
from tidegate.admission.heartbeats import Heartbeats
from tidegate.admission.redis import RedisLedger
from tidegate.admission.scripts import ScriptFailed
from tidegate.model import Charge

from tests.admission.world import FEW, limit


@dataclass
class Askew:
    """A wall clock that is wrong."""

    seconds: float

    def now(self) -> float:
        return time.time() + self.seconds

    def monotonic(self) -> float:
        return time.monotonic()


async def test_replicas_with_wrong_clocks_agree_on_the_period(redis_url: str) -> None:
    prefix = secrets.token_hex(6)
    clocks = [Askew(hours * 3600) for hours in (-23, 0, 23)]
    ledgers = [RedisLedger(redis_url, prefix=prefix, timeout=5.0, clock=clock) for clock in clocks]
    quota = limit("quota", 6, resets="day")
    states = [(await ledger.reserve([Charge(quota, "k")])).states[0] for ledger in ledgers * 2]
    assert [state.remaining for state in states] == [5, 4, 3, 2, 1, 0]
    assert max(state.reset_after for state in states) - min(state.reset_after for state in states) < 5
    far = RedisLedger(redis_url, prefix=prefix, timeout=5.0, clock=Askew(3 * 86_400))
    with pytest.raises(ScriptFailed, match="more than a period"):
        await far.reserve([Charge(quota, "k")])
    for ledger in (*ledgers, far):
        await ledger.close()


async def test_a_replica_that_made_no_reservation_extends_it_in_its_next_period(redis_url: str) -> None:
    prefix, quota = secrets.token_hex(6), limit("quota", 100, resets="hour", time_zone="Asia/Kolkata")
    clock = Askew(-3 * 3600)
    now = lambda: round(clock.now() * 1e6)  # noqa: E731
    ledgers = [RedisLedger(redis_url, prefix=prefix, timeout=5.0, now_us=now) for _ in range(2)]
    held = await ledgers[0].reserve([Charge(quota, "k", 10)], hold=60)
    clock.seconds = 0.0
    assert await ledgers[1].extend(held.reservation, {"requests": 20}, hold=60) == "extended"
    assert (await ledgers[0].reserve([Charge(quota, "k", 0)])).states[0].remaining == 80
    assert await ledgers[0].settle(held.reservation, {"requests": 15})
    assert (await ledgers[1].reserve([Charge(quota, "k", 0)])).states[0].remaining == 95
    for ledger in ledgers:
        await ledger.close()


async def test_a_long_log_is_not_read_by_a_decision(ledger: RedisLedger) -> None:
    charged = limit("sliding_window", 50_000)
    for _ in range(40):
        await asyncio.gather(*(ledger.reserve([Charge(charged, "k")] * 100) for _ in range(10)))
    began = time.perf_counter()
    for _ in range(50):
        assert (await ledger.reserve([Charge(charged, "k", 20_000)])).refused is not None
    assert (time.perf_counter() - began) / 50 < 0.02


async def test_an_entry_is_made_once(ledger: RedisLedger) -> None:
    window = limit("sliding_window", 5, name="w")
    charges = [Charge(FEW, "k", 150), Charge(window, "k", 8)]
    assert await ledger.enter(charges, once="one", keep=60)
    assert not await ledger.enter(charges, once="one", keep=60)
    admission = await ledger.reserve([Charge(FEW, "k", 1), Charge(window, "k", 1)])
    assert [state.remaining for state in admission.states] == [0, 0]
    assert (await ledger.reserve([Charge(limit("token_bucket", 200), "k", 0)])).states[0].remaining == 50


async def test_replicas_count_each_other(redis_url: str) -> None:
    prefix = secrets.token_hex(6)
    stores = [RedisLedger(redis_url, prefix=prefix, timeout=5.0) for _ in range(3)]
    beats = [Heartbeats(store, interval=1.0, lasts=2.0) for store in stores]
    for _ in range(2):
        for beat in beats:
            await beat.beat()
    assert [beat() for beat in beats] == [3, 3, 3]
    await beats[0].close()
    await beats[1].beat()
    assert beats[1]() == 3  # one beat is not enough to believe in fewer
    await beats[1].beat()
    assert beats[1]() == 2
    for store in stores:
        await store.close()


RACER = """
import asyncio, sys
from tidegate.admission.redis import RedisLedger
from tidegate.model import Charge
from tests.admission.world import HandClock, limit
async def main():
    ledger = RedisLedger(sys.argv[1], prefix=sys.argv[2], timeout=20.0)
    charged = [Charge(limit(algorithm, int(sys.argv[3]), name=algorithm, period=86400.0), "k")
               for algorithm in ("token_bucket", "sliding_window", "sliding_window_counter")]
    charged.append(Charge(limit("quota", int(sys.argv[3]), name="quota", resets="month"), "k"))
    charged.append(Charge(limit("concurrency", int(sys.argv[3]), name="concurrency"), "k"))
    await ledger.ready()
    print("ready", flush=True)
    sys.stdin.readline()
    async def racer():
        return sum([(await ledger.reserve(charged, hold=60)).refused is None for _ in range(5)])
    print(sum(await asyncio.gather(*[racer() for _ in range(100)])))
    await ledger.close()
asyncio.run(main())
"""


async def test_two_hundred_racers_in_two_processes_get_exactly_the_limit(redis_url: str) -> None:
    prefix = secrets.token_hex(6)
    racers = [
        await asyncio.create_subprocess_exec(
            sys.executable, "-c", RACER, redis_url, prefix, "137",
            stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE,
        )
        for _ in range(2)
    ]  # fmt: skip
    for racer in racers:
        assert racer.stdout is not None
        assert (await racer.stdout.readline()).strip() == b"ready"
    outputs = await asyncio.gather(*(racer.communicate(b"go\n") for racer in racers))
    assert sum(int(output) for output, _ in outputs) == 137
