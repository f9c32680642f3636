"""What only memory has: its bounds."""

from __future__ import annotations

import tracemalloc
from typing import get_args

import pytest
from tidegate.admission.memory import MemoryLedger
from tidegate.errors import StoreUnavailable
from tidegate.model import Algorithm, Charge

from tests.admission.world import HandClock, limit

BOTH = pytest.mark.parametrize("algorithm", ["token_bucket", "sliding_window"])
ALL = pytest.mark.parametrize("algorithm", get_args(Algorithm))


@pytest.mark.parametrize(("algorithm", "most"), [("sliding_window_counter", 210), ("quota", 110)])
async def test_idle_sums_go_when_they_count_no_more(algorithm: Algorithm, most: int) -> None:
    clock = HandClock()
    ledger = MemoryLedger(clock)
    charged = limit(algorithm, 1, period=3600.0)
    for i in range(1000):
        await ledger.reserve([Charge(charged, str(i))])
        clock.us += 36_000_000
    assert len(ledger) <= most  # a hundred an hour


@BOTH
async def test_idle_keys_go_as_new_ones_come(algorithm: Algorithm) -> None:
    clock = HandClock()
    ledger = MemoryLedger(clock)
    charged = limit(algorithm, 1, refill=1, period=1.0)
    for i in range(10_000):
        await ledger.reserve([Charge(charged, str(i))])
        clock.us += 10_000
    assert len(ledger) <= 210  # 100 are spent at any time


@BOTH
async def test_a_spent_key_is_never_forgotten(algorithm: Algorithm) -> None:
    clock = HandClock()
    ledger = MemoryLedger(clock, max_keys=50)
    charged = limit(algorithm, 1, refill=1, period=10.0)
    for i in range(50):
        await ledger.reserve([Charge(charged, str(i))])
    with pytest.raises(StoreUnavailable):
        await ledger.reserve([Charge(charged, "one too many")])
    for i in range(50):
        assert (await ledger.reserve([Charge(charged, str(i))])).refused is not None
    clock.us += 10_000_000
    assert (await ledger.reserve([Charge(charged, "room again")])).refused is None


@ALL
async def test_a_decision_for_which_there_is_no_room_charges_nothing(algorithm: Algorithm) -> None:
    ledger = MemoryLedger(HandClock(), max_keys=1)
    charged = limit(algorithm, 2)
    await ledger.reserve([Charge(charged, "a")], hold=60)
    with pytest.raises(StoreUnavailable):
        await ledger.reserve([Charge(charged, "a"), Charge(charged, "b")], hold=60)
    assert (await ledger.reserve([Charge(charged, "a", 0)])).states[0].remaining == 1


@ALL
async def test_refused_and_looking_callers_leave_no_keys(algorithm: Algorithm) -> None:
    ledger = MemoryLedger(HandClock())
    charged, full = limit(algorithm, 1, name="each"), limit(algorithm, 1, name="all")
    await ledger.reserve([Charge(full, "")], hold=60)
    for i in range(1000):
        await ledger.reserve([Charge(charged, str(i)), Charge(full, "")], hold=60)
        await ledger.reserve([Charge(charged, f"look {i}", 0)], hold=60)
    assert len(ledger) < 10


async def test_reservations_are_bounded_and_expire() -> None:
    clock = HandClock()
    ledger = MemoryLedger(clock, max_keys=10)
    charged = limit("token_bucket", 1000)
    held = [(await ledger.reserve([Charge(charged, "k")], hold=5)).reservation for _ in range(10)]
    with pytest.raises(StoreUnavailable):
        await ledger.reserve([Charge(charged, "k")], hold=5)
    assert (await ledger.reserve([Charge(charged, "k", 0)])).states[0].remaining == 990
    clock.us += 5_000_000
    assert not await ledger.settle(held[0], {"requests": 0})
    assert (await ledger.reserve([Charge(charged, "k")], hold=5)).reservation


async def test_handing_over_is_what_still_counts() -> None:
    clock = HandClock()
    ledger = MemoryLedger(clock)
    bucket, window = limit("token_bucket", 10, refill=1, period=1.0, name="b"), limit("sliding_window", 10, name="w")
    await ledger.reserve([Charge(bucket, "k", 5), Charge(window, "k", 5), Charge(bucket, "gone", 1)])
    clock.us += 2_000_000
    assert ledger.hand_over() == [Charge(bucket, "k", 3), Charge(window, "k", 5)]
    assert len(ledger) == 0
    assert (await ledger.reserve([Charge(bucket, "k", 0)])).states[0].remaining == 10


async def test_handing_over_sums_is_what_still_counts() -> None:
    clock = HandClock()
    ledger = MemoryLedger(clock)
    counter, quota = limit("sliding_window_counter", 10, period=100.0, name="c"), limit("quota", 10, name="q")
    await ledger.reserve([Charge(counter, "k", 5), Charge(quota, "k", 5)])
    clock.us += 110_000_000
    await ledger.reserve([Charge(counter, "k", 2)])
    assert ledger.hand_over() == [Charge(counter, "k", 7), Charge(quota, "k", 5)]
    await ledger.reserve([Charge(quota, "k", 5)])
    clock.us += 3_600_000_000
    assert ledger.hand_over() == []


async def test_leases_are_not_handed_over_and_still_end() -> None:
    clock = HandClock()
    ledger = MemoryLedger(clock)
    leased, window = limit("concurrency", 2, period=10.0), limit("sliding_window", 9, name="w")
    held = [(await ledger.reserve([Charge(leased, "k"), Charge(window, "k")], hold=60)).reservation for _ in range(2)]
    other = (await ledger.reserve([Charge(window, "k")], hold=60)).reservation
    assert ledger.hand_over() == [Charge(window, "k", 3)]
    assert (await ledger.reserve([Charge(leased, "k")], hold=60)).refused is not None
    assert not await ledger.settle(other, {"requests": 0})
    assert await ledger.settle(held[0], {"requests": 9})
    assert (await ledger.reserve([Charge(leased, "k", 0), Charge(window, "k", 0)])).states[0].remaining == 1
    assert await ledger.extend(held[1], {"requests": 5}, hold=60) == "extended"
    assert ledger.hand_over() == []
    clock.us += 10_000_000
    assert (await ledger.reserve([Charge(leased, "k", 0)])).states[0].remaining == 2


async def test_idle_leases_go_as_new_ones_come() -> None:
    clock = HandClock()
    ledger = MemoryLedger(clock)
    leased = limit("concurrency", 1, period=10.0)
    for i in range(5_000):
        held = await ledger.reserve([Charge(leased, str(i))], hold=60)
        if i % 2:
            await ledger.settle(held.reservation, {})
        clock.us += 100_000
    assert len(ledger) <= 210  # half of the hundred that ten seconds bring, and what was not looked at since


async def test_quotas_go_by_wall_time_and_the_rest_does_not() -> None:
    clock = HandClock()
    clock.now = lambda: 1_790_000_000.0  # type: ignore[method-assign]
    ledger = MemoryLedger(clock)
    quota, window = limit("quota", 1, resets="month"), limit("sliding_window", 1)
    admission = await ledger.reserve([Charge(quota, "k"), Charge(window, "k")])
    assert [state.reset_after for state in admission.states] == [1_790_812_800.0 - 1_790_000_000.0, 60.0]
    clock.us += 61_000_000
    admission = await ledger.reserve([Charge(quota, "k"), Charge(window, "k")])
    assert [bool(state.retry_after) for state in admission.states] == [True, False]


async def full_of_what_lasts(ledger: MemoryLedger, keys: int) -> None:
    """The first keys, which no later one finds idle."""
    lasting = limit("sliding_window", 1, period=86_400.0, name="day")
    for i in range(keys):
        await ledger.reserve([Charge(lasting, str(i))])


@ALL
async def test_a_limit_that_is_full_again_keeps_nobody_out(algorithm: Algorithm) -> None:
    clock = HandClock()
    ledger = MemoryLedger(clock, max_keys=1_000)
    await full_of_what_lasts(ledger, 900)
    charged = limit(algorithm, 2, refill=1, period=10.0, name="burst")
    for i in range(100):
        await ledger.reserve([Charge(charged, str(i))], hold=5)
    with pytest.raises(StoreUnavailable):
        await ledger.reserve([Charge(charged, "one too many")], hold=5)
    clock.us += 3_601_000_000 if algorithm == "quota" else 21_000_000
    for i in range(100):
        assert (await ledger.reserve([Charge(charged, f"new {i}")], hold=5)).refused is None
    with pytest.raises(StoreUnavailable):
        await ledger.reserve([Charge(charged, "one too many again")], hold=5)


@ALL
async def test_what_is_given_back_keeps_nobody_out(algorithm: Algorithm) -> None:
    ledger = MemoryLedger(HandClock(), max_keys=1_000)
    await full_of_what_lasts(ledger, 900)
    charged = limit(algorithm, 9, period=3600.0, name="burst", resets="month")
    held = [(await ledger.reserve([Charge(charged, str(i))], hold=5)).reservation for i in range(100)]
    for reservation in held:
        await ledger.settle(reservation, {"requests": 0})
    for i in range(100):
        assert (await ledger.reserve([Charge(charged, f"new {i}")], hold=5)).refused is None


async def test_what_is_given_back_in_part_keeps_nobody_out_for_longer_than_the_rest_takes() -> None:
    clock = HandClock()
    ledger = MemoryLedger(clock, max_keys=1_000)
    await full_of_what_lasts(ledger, 900)
    charged = limit("token_bucket", 1_000, refill=1, period=1.0, cost="tokens")
    held = [(await ledger.reserve([Charge(charged, str(i), 1_000)], hold=5)).reservation for i in range(100)]
    for reservation in held:
        await ledger.settle(reservation, {"tokens": 1})
    clock.us += 2_000_000
    for i in range(100):
        assert (await ledger.reserve([Charge(charged, f"new {i}", 1_000)])).refused is None


async def test_what_a_refused_request_touched_keeps_nobody_out() -> None:
    ledger = MemoryLedger(HandClock(), max_keys=1_000)
    await full_of_what_lasts(ledger, 998)
    charged, spent = limit("token_bucket", 9, name="each"), limit("token_bucket", 1, name="all")
    await ledger.reserve([Charge(spent, "")])
    for i in range(100):
        assert (await ledger.reserve([Charge(charged, str(i)), Charge(spent, "")])).refused is not None
    assert (await ledger.reserve([Charge(charged, "new")])).refused is None


@pytest.mark.parametrize("algorithm", ["token_bucket", "sliding_window", "sliding_window_counter"])
async def test_a_limit_that_a_reload_makes_full_sooner_keeps_nobody_out(algorithm: Algorithm) -> None:
    clock = HandClock()
    ledger = MemoryLedger(clock, max_keys=1_000)
    await full_of_what_lasts(ledger, 900)
    for i in range(100):
        await ledger.reserve([Charge(limit(algorithm, 1, period=86_400.0, name="burst"), str(i))])
    clock.us += 21_000_000
    shorter = limit(algorithm, 1, period=10.0, name="burst")
    for i in range(100):
        assert (await ledger.reserve([Charge(shorter, f"new {i}")])).refused is None


async def test_a_limit_that_a_reload_makes_full_later_is_not_forgotten() -> None:
    clock = HandClock()
    ledger = MemoryLedger(clock, max_keys=100)
    shorter, longer = limit("sliding_window", 1, period=10.0), limit("sliding_window", 1, period=100.0)
    for i in range(100):
        await ledger.reserve([Charge(shorter, str(i))])
    await ledger.reserve([Charge(longer, "0", 0)])
    clock.us += 50_000_000
    with pytest.raises(StoreUnavailable):
        await ledger.reserve([Charge(longer, "new")])
    for i in range(100):
        assert (await ledger.reserve([Charge(longer, str(i))])).refused is not None
    clock.us += 51_000_000
    assert (await ledger.reserve([Charge(longer, "new")])).refused is None


async def test_a_ledger_that_nobody_asked_for_days_has_room_again() -> None:
    clock = HandClock()
    ledger = MemoryLedger(clock, max_keys=100)
    charged = limit("sliding_window", 1, period=7_200.0)
    for i in range(100):
        await ledger.reserve([Charge(charged, str(i))])
    clock.us += 3 * 86_400_000_000
    for i in range(100):
        assert (await ledger.reserve([Charge(charged, f"new {i}")])).refused is None


async def test_callers_who_come_again_and_again_leave_nothing_behind_but_their_keys() -> None:
    clock = HandClock()
    ledger = MemoryLedger(clock)
    limits = [limit("token_bucket", 9, name="b"), limit("sliding_window", 9, name="w"), limit("concurrency", 9)]
    tracemalloc.start()
    try:
        held = 0
        for hour in range(3):
            for _ in range(3_600):
                taken = await ledger.reserve([Charge(one, "k") for one in limits], hold=60)
                await ledger.settle(taken.reservation, {"requests": 1})
                clock.us += 1_000_000
            if hour == 0:
                held = tracemalloc.get_traced_memory()[0]
        assert tracemalloc.get_traced_memory()[0] < held + 100_000
    finally:
        tracemalloc.stop()
    assert len(ledger) == 3
