"""The store stops, dies or freezes: everyone is answered in time, by the policy's rule, and nothing is lost after."""

from __future__ import annotations

import asyncio
import os
import secrets
import signal
import time
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import replace
from typing import Any

import pytest
import redis.asyncio
from tidegate.admission.denials import Denials
from tidegate.admission.ledger import Extension
from tidegate.admission.memory import MemoryLedger
from tidegate.admission.open import open_ledger
from tidegate.admission.outage import OnOutage, OutageLedger, State
from tidegate.admission.redis import RedisLedger
from tidegate.admission.scripts import StoreTimedOut
from tidegate.clock import SystemClock
from tidegate.demo.redis_server import RedisServer
from tidegate.errors import StoreUnavailable
from tidegate.model import Admission, Charge, LimitState

from tests.admission.world import HandClock, limit, until

DAY = 86_400.0
BUCKET = limit("token_bucket", 10, refill=10, period=DAY, name="bucket")
WINDOW = limit("sliding_window", 10, period=DAY, name="window")
BOTH = [Charge(BUCKET, "k"), Charge(WINDOW, "k")]
SUMS = [
    Charge(limit("sliding_window_counter", 10, period=DAY, name="counter"), "k"),
    Charge(limit("quota", 10, name="quota", resets="day"), "k"),
]


class Switchboard:
    """A store that does as it is told, in place of Redis: what is tested is who asks it what, and when."""

    def __init__(self) -> None:
        self.error: Exception | None = None
        self.refused: LimitState | None = None
        self.asked = 0
        self.entered: list[Charge] = []
        self.names: list[str] = []
        self.settled: dict[str, Mapping[str, int]] = {}
        self.entry_errors: list[Exception] = []
        self.gate: asyncio.Event | None = None

    async def reserve(self, charges: Sequence[Charge], *, hold: float | None = None) -> Admission:
        self.asked += 1
        if self.error is not None:
            raise self.error
        if self.refused is not None:
            return Admission((self.refused,), self.refused)
        return Admission((), reservation="r1" if hold else "")

    async def settle(self, reservation: str, costs: Mapping[str, int]) -> bool:
        if self.error is not None:
            raise self.error
        self.settled[reservation] = costs
        return True

    async def extend(self, reservation: str, costs: Mapping[str, int], *, hold: float) -> Extension:
        self.asked += 1
        if self.error is not None:
            raise self.error
        return "refused"

    async def enter(self, charges: Sequence[Charge], *, once: str, keep: float) -> bool:
        if self.error is not None:
            raise self.error
        self.names.append(once)
        if self.gate is not None:
            await self.gate.wait()
        if self.entry_errors:
            raise self.entry_errors.pop(0)
        self.entered += charges
        return True

    async def ready(self) -> bool:
        return self.error is None

    async def close(self) -> None:
        pass


class Probes:
    """Sleeping until the test says so."""

    def __init__(self) -> None:
        self.due = asyncio.Event()
        self.sleeping = 0

    async def sleep(self, _seconds: float) -> None:
        self.sleeping += 1
        await self.due.wait()
        self.due.clear()
        self.sleeping -= 1


class Desk:
    def __init__(self, replicas: int = 1, failures: int = 3) -> None:
        self.store = Switchboard()
        self.clock = HandClock()
        self.probes = Probes()
        self.rule: OnOutage = "share"
        self.replicas = replicas
        self.states: list[State] = []
        self.ledger = OutageLedger(
            self.store,  # type: ignore[arg-type]
            MemoryLedger(self.clock),
            denials=Denials(self.clock),
            replicas=lambda: self.replicas,
            on_outage=lambda: self.rule,
            failures=failures,
            on_state=self.states.append,
            sleep=self.probes.sleep,
        )

    async def probe(self) -> None:
        """Let one probe run to its end."""
        self.probes.due.set()
        for _ in range(20):
            await asyncio.sleep(0)


@pytest.fixture
async def desk() -> AsyncIterator[Desk]:
    made = Desk()
    yield made
    await made.ledger.close()


async def test_the_store_counts_while_it_answers(desk: Desk) -> None:
    assert (await desk.ledger.reserve(BOTH)).enforcement == "exact"
    assert desk.ledger.state == "closed"
    assert await desk.ledger.ready()


async def test_the_first_timeout_opens_and_is_answered(desk: Desk) -> None:
    desk.store.error = StoreTimedOut("late")
    admission = await desk.ledger.reserve(BOTH)
    assert (admission.enforcement, admission.refused) == ("share", None)
    assert desk.ledger.state == "open"
    assert not await desk.ledger.ready()
    for _ in range(5):
        await desk.ledger.reserve(BOTH)
    assert desk.store.asked == 1


async def test_a_lost_connection_opens_when_making_up_for_it_fails_too(desk: Desk) -> None:
    desk.store.error = StoreUnavailable("refused")
    await desk.ledger.reserve(BOTH)
    assert desk.ledger.state == "closed"
    await desk.probe()
    assert desk.ledger.state == "open"


async def test_one_lost_connection_is_made_up_for(desk: Desk) -> None:
    desk.store.error = StoreUnavailable("reset by peer")
    assert (await desk.ledger.reserve(BOTH)).enforcement == "share"
    desk.store.error = None
    assert (await desk.ledger.reserve(BOTH)).enforcement == "exact"
    await desk.probe()
    assert desk.store.entered == BOTH
    assert desk.states == []


async def test_failures_in_a_row_open(desk: Desk) -> None:
    desk.store.error = StoreUnavailable("refused")
    for _ in range(3):
        await desk.ledger.reserve(BOTH)
    assert desk.ledger.state == "open"


async def test_a_refusal_is_repeated_until_the_store_is_out(desk: Desk) -> None:
    desk.store.refused = LimitState(BUCKET, 0, DAY, 60.0)
    for _ in range(5):
        assert (await desk.ledger.reserve(BOTH[:1])).refused is not None
    assert desk.store.asked == 1
    desk.store.error = StoreTimedOut("late")
    assert (await desk.ledger.reserve(BOTH[1:])).enforcement == "share"
    desk.rule = "allow"
    admission = await desk.ledger.reserve(BOTH[:1])
    assert (admission.refused, admission.enforcement) == (None, "none")


async def test_a_repeated_refusal_is_no_word_of_the_store(desk: Desk) -> None:
    desk.store.refused = LimitState(BUCKET, 0, DAY, 60.0)
    await desk.ledger.reserve(BOTH[:1])
    desk.store.error = StoreUnavailable("refused")
    for _ in range(3):
        await desk.ledger.reserve(BOTH[1:])
        await desk.ledger.reserve(BOTH[:1])
    assert desk.ledger.state == "open"


@pytest.mark.parametrize(("replicas", "each"), [(1, 10), (2, 5), (3, 3), (10, 1), (25, 1)])
async def test_a_replica_enforces_its_share(replicas: int, each: int) -> None:
    desk = Desk(replicas)
    desk.store.error = StoreTimedOut("late")
    for charge in (*BOTH, *SUMS):
        admitted = [(await desk.ledger.reserve([charge])).refused is None for _ in range(12)]
        assert sum(admitted) == each
    # the bucket of a share refills as much slower, exactly: n replicas together refill like one
    desk.clock.us += round(DAY * 1e6 / 10 * replicas) - 1
    assert (await desk.ledger.reserve(BOTH[:1])).refused is not None
    desk.clock.us += 1
    assert (await desk.ledger.reserve(BOTH[:1])).refused is None
    await desk.ledger.close()


async def test_a_cost_over_the_share_is_not_refused_for_ever() -> None:
    desk = Desk(replicas=4)
    desk.store.error = StoreTimedOut("late")
    admission = await desk.ledger.reserve([Charge(WINDOW, "k", 5)])
    assert admission.refused is not None
    assert admission.refused.retry_after == WINDOW.period
    admission = await desk.ledger.reserve([Charge(WINDOW, "k", 11)])
    assert admission.refused is not None
    assert admission.refused.retry_after == float("inf")
    await desk.ledger.close()


async def test_a_shadow_stays_one_in_an_outage() -> None:
    desk = Desk(replicas=2)
    desk.store.error = StoreTimedOut("late")
    shadow = replace(WINDOW, name="shadow", capacity=4, shadow=True)
    charges = [Charge(shadow, "k"), Charge(WINDOW, "k")]
    admissions = [await desk.ledger.reserve(charges) for _ in range(6)]
    assert [admission.refused is None for admission in admissions] == [True] * 5 + [False]
    assert [len(admission.shadowed) for admission in admissions] == [0, 0, 1, 1, 1, 1]
    admission = await desk.ledger.reserve([Charge(shadow, "k", 3), Charge(WINDOW, "k", 6)])
    assert admission.refused is not None
    assert admission.refused.retry_after == WINDOW.period
    assert len(admission.shadowed) == 1
    await desk.ledger.close()


async def test_the_policy_decides_at_each_call(desk: Desk) -> None:
    desk.store.error = StoreTimedOut("late")
    desk.rule = "deny"
    with pytest.raises(StoreUnavailable):
        await desk.ledger.reserve(BOTH)
    desk.rule = "allow"
    for _ in range(20):
        assert (await desk.ledger.reserve(BOTH)).enforcement == "none"
    desk.rule = "share"
    assert (await desk.ledger.reserve(BOTH)).refused is not None


async def test_one_probe_at_a_time_closes_it_again(desk: Desk) -> None:
    desk.store.error = StoreTimedOut("late")
    await asyncio.gather(*(desk.ledger.reserve(BOTH) for _ in range(5)))
    await desk.probe()
    assert desk.probes.sleeping == 1
    assert desk.states == ["open", "half_open", "open"]
    desk.store.error = None
    assert (await desk.ledger.reserve(BOTH)).enforcement == "share"
    await desk.probe()
    assert desk.states == ["open", "half_open", "open", "half_open", "closed"]
    assert (await desk.ledger.reserve(BOTH)).enforcement == "exact"


async def test_what_was_admitted_is_entered_when_the_store_is_back() -> None:
    desk = Desk(replicas=2)
    desk.store.error = StoreTimedOut("late")
    for _ in range(3):
        await desk.ledger.reserve(BOTH + SUMS)
    desk.rule = "allow"
    for _ in range(9):
        await desk.ledger.reserve(BOTH + SUMS)
    desk.store.error = None
    await desk.probe()
    assert desk.store.entered == [charge._replace(cost=12) for charge in BOTH + SUMS]
    await desk.ledger.close()


async def test_an_entry_that_met_the_next_outage_keeps_its_name_and_the_rest_counts_on(desk: Desk) -> None:
    desk.store.error = StoreTimedOut("late")
    charges = [Charge(BUCKET, str(i)) for i in range(100)]
    for charge in charges:
        await desk.ledger.reserve([charge])
    desk.store.error = None
    desk.store.entry_errors = [StoreTimedOut("late")]
    await desk.probe()
    assert desk.ledger.state == "open"
    assert (await desk.ledger.reserve([Charge(BUCKET, "99", 10)])).refused is not None
    await desk.probe()
    assert desk.ledger.state == "closed"
    assert desk.store.names[0] == desk.store.names[1]
    assert sorted(c.key for c in desk.store.entered) == sorted(c.key for c in charges)


async def test_what_is_admitted_while_the_rest_is_being_entered_is_entered_too(desk: Desk) -> None:
    desk.store.error = StoreTimedOut("late")
    await desk.ledger.reserve(BOTH)
    desk.store.error = None
    desk.store.gate = asyncio.Event()
    await desk.probe()
    desk.store.error = StoreUnavailable("reset by peer")
    assert (await desk.ledger.reserve([Charge(BUCKET, "other")])).enforcement == "share"
    desk.store.error = None
    desk.store.gate.set()
    for _ in range(20):
        await asyncio.sleep(0)
    assert desk.store.entered == [*BOTH, Charge(BUCKET, "other")]
    assert desk.ledger.idle


async def test_settlements_are_made_up_for_once(desk: Desk) -> None:
    held = await desk.ledger.reserve(BOTH, hold=60)
    desk.store.error = StoreTimedOut("late")
    assert await desk.ledger.settle(held.reservation, {"requests": 7})
    assert not await desk.ledger.settle(held.reservation, {"requests": 8})
    assert desk.ledger.state == "open"
    desk.store.error = None
    await desk.probe()
    assert desk.store.settled == {held.reservation: {"requests": 7}}


async def test_a_reservation_of_the_outage_is_settled_in_it(desk: Desk) -> None:
    desk.store.error = StoreTimedOut("late")
    held = await desk.ledger.reserve([Charge(BUCKET, "k", 9)], hold=60)
    assert await desk.ledger.settle(held.reservation, {"requests": 2})
    assert not await desk.ledger.settle(held.reservation, {"requests": 2})
    assert (await desk.ledger.reserve([Charge(BUCKET, "k", 8)])).refused is None


async def test_what_the_store_holds_is_extended_by_nobody_while_it_is_out(desk: Desk) -> None:
    held = await desk.ledger.reserve(BOTH, hold=60)
    assert await desk.ledger.extend(held.reservation, {"requests": 1}, hold=60) == "refused"
    desk.store.error = StoreTimedOut("late")
    for rule in ("share", "deny", "allow"):
        desk.rule = rule  # type: ignore[assignment]
        assert await desk.ledger.extend(held.reservation, {"requests": 99}, hold=60) == "extended"
    assert desk.ledger.state == "open"
    assert desk.store.asked == 3  # nobody waits for it twice
    desk.store.error = None
    await desk.probe()
    assert desk.ledger.state == "closed"
    assert await desk.ledger.extend(held.reservation, {"requests": 1}, hold=60) == "refused"


async def test_a_reservation_of_the_outage_is_extended_in_it(desk: Desk) -> None:
    desk.store.error = StoreTimedOut("late")
    held = await desk.ledger.reserve([Charge(BUCKET, "k", 5)], hold=60)
    assert await desk.ledger.extend(held.reservation, {"requests": 4}, hold=60) == "extended"
    assert await desk.ledger.extend(held.reservation, {"requests": 4}, hold=60) == "refused"
    assert (await desk.ledger.reserve([Charge(BUCKET, "k", 2)])).refused is not None


async def test_each_replica_lets_its_share_run_at_once_and_ends_it_when_the_store_is_back() -> None:
    desk = Desk(replicas=2)
    leased = Charge(limit("concurrency", 5, period=10.0), "k")
    desk.store.error = StoreTimedOut("late")
    held = [await desk.ledger.reserve([leased], hold=60) for _ in range(3)]
    assert [admission.refused is None for admission in held] == [True, True, False]
    assert await desk.ledger.settle(held[0].reservation, {})
    held[0] = await desk.ledger.reserve([leased], hold=60)
    assert held[0].reservation
    desk.store.error = None
    await desk.probe()
    assert desk.store.entered == []
    for _ in range(3):
        desk.clock.us += 9_000_000
        assert await desk.ledger.extend(held[1].reservation, {}, hold=60) == "extended"
    desk.store.error = StoreTimedOut("late")  # the next outage finds what still runs
    assert (await desk.ledger.reserve([leased], hold=60)).refused is None
    assert (await desk.ledger.reserve([leased], hold=60)).refused is not None
    assert await desk.ledger.settle(held[1].reservation, {})
    assert (await desk.ledger.reserve([leased], hold=60)).refused is None
    await desk.ledger.close()


# With a real Redis ---------------------------------------------------------------------------------------------------


def _real(server: RedisServer, prefix: str = "", **options: Any) -> OutageLedger:
    store = RedisLedger(server.url, prefix=prefix or secrets.token_hex(6), timeout=0.1)
    return OutageLedger(store, MemoryLedger(SystemClock()), denials=Denials(SystemClock()), probe_every=0.05, **options)


async def _take(ledger: OutageLedger, count: int) -> tuple[int, float]:
    """(how many were let in, the longest wait)"""
    admitted, longest = 0, 0.0
    for _ in range(count):
        began = time.perf_counter()
        admitted += (await ledger.reserve(BOTH)).refused is None
        longest = max(longest, time.perf_counter() - began)
    return admitted, longest


async def test_frozen_and_thawed(redis_server: RedisServer) -> None:
    ledger = _real(redis_server, replicas=lambda: 2)
    assert (await _take(ledger, 2))[0] == 2
    os.kill(redis_server.pid, signal.SIGSTOP)
    try:
        admitted, longest = await _take(ledger, 20)
        assert admitted == 5
        assert longest < 1.0
        assert ledger.state == "open"
        await asyncio.sleep(0.2)  # probes meet the frozen store
        assert ledger.state != "closed"
        assert (await _take(ledger, 5))[0] == 0
    finally:
        os.kill(redis_server.pid, signal.SIGCONT)
    await until(lambda: ledger.state == "closed")
    await _settled(ledger, 3)
    assert (await _take(ledger, 20))[0] <= 3
    await ledger.close()


@pytest.mark.parametrize("kill", [False, True])
async def test_gone_and_back_empty(redis_server: RedisServer, kill: bool) -> None:
    ledger = _real(redis_server, replicas=lambda: 2)
    assert (await _take(ledger, 4))[0] == 4
    redis_server.stop(kill=kill)
    admitted, longest = await _take(ledger, 20)
    assert admitted == 5
    assert longest < 1.0
    redis_server.start()
    await until(lambda: ledger.state == "closed")
    await _settled(ledger, 5)
    assert (await _take(ledger, 20))[0] == 5  # the 4 went with the store, the 5 of the outage are counted
    await ledger.close()


@pytest.mark.parametrize("rule", ["share", "deny"])
async def test_a_decision_that_always_fails_in_the_store_is_limited_all_the_same(
    redis_server: RedisServer, rule: OnOutage
) -> None:
    ledger = _real(redis_server, replicas=lambda: 2, on_outage=lambda: rule)
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
    replicas = [_real(redis_server, prefix=prefix, replicas=lambda: 2) for _ in range(2)]
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
    ledger = _real(redis_server)
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


async def _settled(ledger: OutageLedger, remaining: int) -> None:
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


async def test_open_ledger_in_memory() -> None:
    ledger = await open_ledger("memory://", clock=SystemClock())
    assert isinstance(ledger, MemoryLedger)
    with pytest.raises(ValueError):
        await open_ledger("ftp://x", clock=SystemClock())
