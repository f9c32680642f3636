"""What only Redis has: scripts, pipelines, processes, and failing."""

from __future__ import annotations

import asyncio
import os
import secrets
import signal
import sys
import time
from collections.abc import AsyncIterator
from dataclasses import dataclass

import pytest
import redis.asyncio
from tidegate.admission.heartbeats import Heartbeats
from tidegate.admission.open import open_ledger
from tidegate.admission.redis import RedisLedger
from tidegate.admission.scripts import ScriptFailed, StoreTimedOut
from tidegate.clock import SystemClock
from tidegate.demo.redis_server import RedisServer
from tidegate.errors import StoreUnavailable
from tidegate.model import Algorithm, Charge

from tests.admission.world import HandClock, limit

BOTH = pytest.mark.parametrize("algorithm", ["token_bucket", "sliding_window"])
FEW = limit("token_bucket", 100)


@pytest.fixture
async def ledger(redis_url: str) -> AsyncIterator[RedisLedger]:
    made = RedisLedger(redis_url, prefix=secrets.token_hex(6), timeout=5.0)
    yield made
    await made.close()


@pytest.fixture
async def client(redis_url: str) -> AsyncIterator[redis.asyncio.Redis]:
    async with redis.asyncio.Redis.from_url(redis_url) as made:
        yield made


async def _evaluations(client: redis.asyncio.Redis) -> int:
    stats = await client.info("commandstats")
    return sum(stats.get(f"cmdstat_{name}", {"calls": 0})["calls"] for name in ("eval", "evalsha"))


async def test_one_turn_of_the_loop_is_one_script_call(ledger: RedisLedger, client: redis.asyncio.Redis) -> None:
    await ledger.ready()
    await ledger.reserve([Charge(FEW, "warm")])
    before = await _evaluations(client)
    admissions = await asyncio.gather(*(ledger.reserve([Charge(FEW, "k")]) for _ in range(100)))
    assert await _evaluations(client) == before + 1
    assert [admission.states[0].remaining for admission in admissions] == list(range(99, -1, -1))


async def test_calls_that_keep_coming_travel_together(ledger: RedisLedger, client: redis.asyncio.Redis) -> None:
    await ledger.reserve([Charge(FEW, "warm")])
    before = await _evaluations(client)
    callers = []
    for _ in range(10):
        callers.append(asyncio.create_task(ledger.reserve([Charge(FEW, "k")])))
        for _ in range(4):
            await asyncio.sleep(0)
    await asyncio.gather(*callers)
    assert await _evaluations(client) <= before + 2


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
        before = await _evaluations(client)
        began = time.monotonic()
        admissions = [await ledger.reserve(charge) for _ in range(1000)]
        elapsed = time.monotonic() - began
        calls = await _evaluations(client) - before
        assert calls <= 2 * elapsed + 2  # of the refusals and of the heartbeats, one a second each
        assert len(spared) >= 1000 - calls
        assert all(one.refused is not None and one.enforcement == "exact" for one in admissions)
        assert (await ledger.reserve([charge[0]._replace(key=key + "x")])).refused is None
    finally:
        await ledger.close()


async def test_a_flushed_script_is_loaded_again(ledger: RedisLedger, client: redis.asyncio.Redis) -> None:
    for _ in range(3):
        await client.script_flush()
        held = await ledger.reserve([Charge(FEW, "k", 10)], hold=60)
        await client.script_flush()
        both = await asyncio.gather(
            ledger.settle(held.reservation, {"requests": 1}), ledger.reserve([Charge(FEW, "other")])
        )
        assert both[0] is True
        assert both[1].refused is None
    assert (await ledger.reserve([Charge(FEW, "k", 0)])).states[0].remaining == 97


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


async def test_a_flushed_script_is_loaded_again_for_an_extension(
    ledger: RedisLedger, client: redis.asyncio.Redis
) -> None:
    held = await ledger.reserve([Charge(FEW, "k", 10)], hold=60)
    await client.script_flush()
    assert await ledger.extend(held.reservation, {"requests": 1}, hold=60) == "extended"
    assert (await ledger.reserve([Charge(FEW, "k", 0)])).states[0].remaining == 89


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


async def test_a_thawed_redis_does_nothing_for_who_met_it_frozen(redis_server: RedisServer) -> None:
    warm, ledger = (RedisLedger(redis_server.url, timeout=timeout) for timeout in (5.0, 0.1))
    await warm.reserve([Charge(FEW, "other")])  # the script is known, the clock is not
    os.kill(redis_server.pid, signal.SIGSTOP)
    try:
        for _ in range(3):
            with pytest.raises(StoreTimedOut):
                await ledger.reserve([Charge(FEW, "k")], hold=60)
    finally:
        os.kill(redis_server.pid, signal.SIGCONT)
    async with asyncio.timeout(5):
        while not await ledger.ready():
            await asyncio.sleep(0.01)
    assert (await ledger.reserve([Charge(FEW, "k", 0)])).states[0].remaining == 100
    await ledger.close()
    await warm.close()


async def test_a_redis_that_is_gone_fails_at_once_and_may_come_back(redis_server: RedisServer) -> None:
    ledger = RedisLedger(redis_server.url, timeout=1.0)
    await ledger.reserve([Charge(FEW, "k")])
    redis_server.stop(kill=True)
    for _ in range(3):
        with pytest.raises(StoreUnavailable):
            await ledger.reserve([Charge(FEW, "k")])
    redis_server.start()
    assert (await ledger.reserve([Charge(FEW, "k")])).states[0].remaining == 99
    await ledger.close()


async def test_a_store_whose_clock_jumps_is_believed_at_the_next_call(ledger: RedisLedger) -> None:
    await ledger.reserve([Charge(FEW, "k")])
    ledger._runner._ahead -= 3600 * 1_000_000
    with pytest.raises(StoreTimedOut):
        await ledger.reserve([Charge(FEW, "k")])
    assert (await ledger.reserve([Charge(FEW, "k")])).states[0].remaining == 98


async def test_a_store_that_takes_no_writes_is_not_ready(redis_server: RedisServer) -> None:
    ledger = RedisLedger(redis_server.url, timeout=1.0)
    assert await ledger.ready()
    async with redis.asyncio.Redis.from_url(redis_server.url) as client:
        await client.config_set("maxmemory", "1")
        assert not await ledger.ready()
        with pytest.raises(StoreUnavailable):
            await ledger.reserve([Charge(FEW, "k")])
        await client.config_set("maxmemory", "0")
    assert await ledger.ready()
    await ledger.close()


async def test_a_master_that_became_a_replica_is_left_for_whoever_has_its_name_now(redis_server: RedisServer) -> None:
    ledger = RedisLedger(redis_server.url, timeout=5.0)
    await ledger.reserve([Charge(FEW, "k")])
    async with redis.asyncio.Redis.from_url(redis_server.url) as client:
        connected = {one["id"] for one in await client.client_list()} - {str(await client.client_id())}
        await client.execute_command("REPLICAOF", "127.0.0.1", "1")
        with pytest.raises(StoreUnavailable, match="replica") as caught:
            await ledger.reserve([Charge(FEW, "k")])
        assert not isinstance(caught.value, ScriptFailed)
        async with asyncio.timeout(5):
            while connected & {one["id"] for one in await client.client_list()}:
                await asyncio.sleep(0.01)
        await client.execute_command("REPLICAOF", "NO", "ONE")
    assert (await ledger.reserve([Charge(FEW, "k")])).refused is None
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
