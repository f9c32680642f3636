"""What was decided while the store was out: entered and settled when it is back, once, and nothing is lost."""

from __future__ import annotations

import asyncio

from tidegate.admission.scripts import StoreTimedOut
from tidegate.errors import StoreUnavailable
from tidegate.model import Charge

from tests.admission.switchboard import BOTH, BUCKET, SUMS, Desk
from tests.admission.world import limit


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
