"""The store stops answering: everyone is answered, by the policy's rule, until a probe finds it back."""

from __future__ import annotations

import asyncio
from dataclasses import replace

import pytest
from tidegate.admission.scripts import StoreTimedOut
from tidegate.errors import StoreUnavailable
from tidegate.model import Charge, LimitState

from tests.admission.switchboard import BOTH, BUCKET, DAY, SUMS, WINDOW, Desk


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
