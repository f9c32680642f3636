"""A reservation that was made while the store was out costs what it cost, whoever settles it, and whenever."""

from __future__ import annotations

import os
import secrets
import signal
from dataclasses import replace

import pytest
from tidegate.admission.carried import carried
from tidegate.admission.scripts import StoreTimedOut
from tidegate.demo.redis_server import RedisServer
from tidegate.model import Charge

from tests.admission.switchboard import BOTH, BUCKET, DAY, Desk
from tests.admission.test_outage_of_redis import real
from tests.admission.world import limit, until

TOKENS = replace(limit("sliding_window", 1000, period=DAY, name="tokens"), cost="tokens")
PRICED = [Charge(TOKENS, "k", 70), Charge(BUCKET, "k")]


async def out(desk: Desk) -> str:
    """A reservation of an outage that has just begun."""
    desk.store.error = StoreTimedOut("late")
    return (await desk.ledger.reserve(PRICED, hold=60)).reservation


async def back(*desks: Desk) -> None:
    for desk in desks:
        desk.store.error = None
        await desk.probe()


@pytest.mark.parametrize("when", ["in the outage", "after it"])
async def test_another_replica_enters_what_a_reservation_of_the_outage_cost_beyond_it(when: str) -> None:
    here, there = Desk(replicas=2), Desk(replicas=2)
    reservation = await out(here)
    there.store.error = here.store.error
    if when == "in the outage":
        assert await there.ledger.settle(reservation, {"tokens": 100})
    await back(here, there)
    if when == "after it":
        assert await there.ledger.settle(reservation, {"tokens": 100})
        await there.probe()
    assert here.store.entered == PRICED
    assert there.store.entered == [Charge(TOKENS, "k", 30)]
    assert there.store.names == [carried(reservation)[0]]  # so that whoever settles it again enters nothing
    for desk in (here, there):
        await desk.ledger.close()


async def test_what_was_entered_is_settled_by_what_it_cost_beyond_that(desk: Desk) -> None:
    """It grew before the store came back: what was entered is more than what was reserved."""
    reservation = await out(desk)
    assert await desk.ledger.extend(reservation, {"tokens": 20}, hold=60) == "extended"
    await back(desk)
    assert [charge.cost for charge in desk.store.entered] == [90, 1]
    assert await desk.ledger.settle(reservation, {"tokens": 100})
    await desk.probe()
    assert desk.store.entered[2:] == [Charge(TOKENS, "k", 10)]
    assert not await desk.ledger.settle(reservation, {"tokens": 100})
    await desk.probe()
    assert len(desk.store.entered) == 3


async def test_what_was_entered_stays_known_over_the_next_outage_and_past_its_hold(desk: Desk) -> None:
    desk.store.error = StoreTimedOut("late")
    leased = Charge(limit("concurrency", 5, period=60.0, name="open"), "k")
    reservation = (await desk.ledger.reserve([*PRICED, leased], hold=60)).reservation
    assert await desk.ledger.extend(reservation, {"tokens": 20}, hold=60) == "extended"
    await back(desk)
    desk.store.error = StoreTimedOut("late")
    await desk.ledger.reserve(BOTH)
    await back(desk)
    desk.clock.us += 700 * 10**6
    del desk.store.entered[:]
    assert await desk.ledger.settle(reservation, {"tokens": 100})
    await desk.probe()
    assert desk.store.entered == [Charge(TOKENS, "k", 10)]


@pytest.mark.parametrize("cost", [0, 70])
async def test_what_cost_no_more_than_was_entered_stands(desk: Desk, cost: int) -> None:
    reservation = await out(desk)
    await back(desk)
    assert await desk.ledger.settle(reservation, {"tokens": cost})
    other = Desk()
    assert not await other.ledger.settle(reservation, {"tokens": cost})
    await other.ledger.close()
    assert desk.store.entered == PRICED


async def test_a_reservation_of_the_outage_is_settled_once_in_it(desk: Desk) -> None:
    reservation = await out(desk)
    assert await desk.ledger.settle(reservation, {"tokens": 100})
    assert not await desk.ledger.settle(reservation, {"tokens": 100})
    await back(desk)
    assert [charge.cost for charge in desk.store.entered] == [100, 1]


async def test_a_charge_that_a_shadow_left_out_is_not_made_up_for(desk: Desk) -> None:
    shadow = replace(TOKENS, name="shadow", capacity=50, shadow=True)
    desk.store.error = StoreTimedOut("late")
    held = await desk.ledger.reserve([Charge(TOKENS, "k", 70), Charge(shadow, "k", 70)], hold=60)
    await back(desk)
    await desk.ledger.settle(held.reservation, {"tokens": 100})
    await desk.probe()
    assert desk.store.entered == [Charge(TOKENS, "k", 70), Charge(TOKENS, "k", 30)]


async def test_two_replicas_on_a_real_redis_count_all_of_an_exchange_that_one_admits_and_the_other_ends(
    redis_server: RedisServer,
) -> None:
    prefix = secrets.token_hex(6)
    here, there = (real(redis_server, prefix, replicas=lambda: 2) for _ in range(2))
    for ledger in (here, there):
        await ledger.reserve(BOTH)
    os.kill(redis_server.pid, signal.SIGSTOP)
    try:
        held = await here.reserve(PRICED, hold=600)
        assert held.enforcement == "share"
        assert await there.settle(held.reservation, {"tokens": 100})
    finally:
        os.kill(redis_server.pid, signal.SIGCONT)
    await until(lambda: here.idle and there.idle)
    (state,) = (await here.reserve([Charge(TOKENS, "k", 0)])).states
    assert state.remaining == TOKENS.capacity - 100
    for ledger in (here, there):
        await ledger.close()
