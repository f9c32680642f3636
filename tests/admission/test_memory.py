"""What only memory has: its bounds."""

from __future__ import annotations

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
