"""A place is asked for after the limits: who gets none gets every charge back."""

from __future__ import annotations

import asyncio
import dataclasses
from collections.abc import Mapping
from typing import Any

import pytest
from tidegate.admission.queue.terms import Capacity, Demand, Overload, Place
from tidegate.errors import StoreUnavailable
from tidegate.model import (
    UNITS,
    Allow,
    BodyState,
    Deny,
    Limit,
    Reason,
)
from tidegate.policy.compiled import Policy

from tests.phases import ASKED, POLICY, PRICED, REQUEST, Counts, pipeline


class Room:
    """A queue that answers as it is told, or not at all."""

    def __init__(self, answer: Place | Overload | Exception | None) -> None:
        self.answer = answer
        self.asked: list[tuple[str, Capacity, Demand]] = []
        self.never = asyncio.Event()

    async def join(self, endpoint: str, capacity: Capacity, demand: Demand) -> Place | Overload:
        self.asked.append((endpoint, capacity, demand))
        if isinstance(self.answer, Exception):
            raise self.answer
        if self.answer is None:
            await self.never.wait()
        assert isinstance(self.answer, Place | Overload)
        return self.answer

    async def renew(self, endpoint: str, ticket: str) -> None:
        raise NotImplementedError

    async def leave(self, endpoint: str, ticket: str) -> None:
        raise NotImplementedError

    async def close(self) -> None:
        pass


def with_capacity(policy: Policy, **given: Any) -> Policy:
    capacity = Capacity(8, **given)
    return dataclasses.replace(
        policy, endpoints=tuple(dataclasses.replace(endpoint, capacity=capacity) for endpoint in policy.endpoints)
    )


BUSY = with_capacity(POLICY)
BUSY_PRICED = with_capacity(PRICED)
NOTHING = dict.fromkeys(UNITS, 0)


async def test_a_place_is_asked_for_after_the_limits_and_its_ticket_handed_on() -> None:
    room, ledger = Room(Place("chat", "m160000.x")), Counts()
    decision = await pipeline(ledger=ledger, policy=BUSY, queue=room).decide(ASKED)
    assert isinstance(decision.verdict, Allow)
    assert decision.verdict.ticket == "m160000.x"
    assert room.asked == [("chat", Capacity(8), Demand("acme", "standard", 1, 3 + 4 + 10 + 50))]
    assert (ledger.held, ledger.settled) == ([5.15], [])
    assert decision.verdict.admission.reservation == ""  # nothing is left to settle
    assert [state.limit.name for state in decision.verdict.admission.states] == ["ip", "rpm"]


async def test_what_has_a_price_is_still_settled_when_it_is_over() -> None:
    ledger = Counts()
    decision = await pipeline(ledger=ledger, policy=BUSY_PRICED, queue=Room(Place("chat", "t"))).decide(ASKED)
    assert isinstance(decision.verdict, Allow)
    assert (ledger.held, decision.verdict.admission.reservation) == ([600.0], "res")


async def test_a_limit_on_concurrency_is_held_until_the_exchange_is_over() -> None:
    lease = Limit("platform", "open", "concurrency", 9, 60.0)
    leased = dataclasses.replace(POLICY, floor_limits=(lease,))
    for policy, queue in ((leased, None), (with_capacity(leased), Room(Place("chat", "t")))):
        ledger = Counts()
        decision = await pipeline(ledger=ledger, policy=policy, queue=queue).decide(REQUEST)
        assert isinstance(decision.verdict, Allow)
        assert (ledger.held, decision.verdict.admission.reservation) == ([600.0], "res")


@pytest.mark.parametrize("policy", [BUSY, BUSY_PRICED])
async def test_who_gets_no_place_gets_503_and_every_charge_back(policy: Policy) -> None:
    ledger = Counts()
    decision = await pipeline(ledger=ledger, policy=policy, queue=Room(Overload("late", 2.1))).decide(ASKED)
    assert isinstance(decision.verdict, Deny)
    assert (decision.verdict.status, decision.verdict.reason) == (503, Reason.OVERLOADED)
    assert decision.verdict.headers == (("retry-after", "3"),)
    assert decision.verdict.detail == "standard, late"
    assert ledger.settled == [("res", NOTHING)]
    assert decision.admission is not None
    assert decision.admission.states == ()  # they were given back, and would be told wrongly


async def test_who_is_over_a_limit_does_not_queue() -> None:
    room = Room(Place("chat", "t"))
    decision = await pipeline(ledger=Counts(refuse="rpm"), policy=BUSY, queue=room).decide(ASKED)
    assert isinstance(decision.verdict, Deny)
    assert (decision.verdict.status, room.asked) == (429, [])


async def test_who_leaves_while_it_waits_gets_every_charge_back() -> None:
    ledger, room = Counts(), Room(None)
    deciding = asyncio.create_task(pipeline(ledger=ledger, policy=BUSY, queue=room).decide(ASKED))
    while not room.asked:
        await asyncio.sleep(0)
    deciding.cancel()
    with pytest.raises(asyncio.CancelledError):
        await deciding
    assert ledger.settled == [("res", NOTHING)]


@pytest.mark.parametrize(("failure", "status"), [(StoreUnavailable("down"), 503), (RuntimeError("boom"), 500)])
async def test_a_queue_that_fails_denies_and_gives_back(failure: Exception, status: int) -> None:
    ledger = Counts()
    decision = await pipeline(ledger=ledger, policy=BUSY, queue=Room(failure)).decide(ASKED)
    assert isinstance(decision.verdict, Deny)
    assert (decision.verdict.status, ledger.settled) == (status, [("res", NOTHING)])


async def test_a_store_that_cannot_give_back_does_not_change_the_answer() -> None:
    class Forgets(Counts):
        async def settle(self, reservation: str, costs: Mapping[str, int]) -> bool:
            raise StoreUnavailable("down")

    decision = await pipeline(ledger=Forgets(), policy=BUSY, queue=Room(Overload("full", 1))).decide(ASKED)
    assert isinstance(decision.verdict, Deny)
    assert decision.verdict.reason == Reason.OVERLOADED


async def test_shares_are_in_requests_where_the_policy_says_so_and_a_guess_where_nothing_can_be_read() -> None:
    room = Room(Place("chat", "t"))
    await pipeline(policy=with_capacity(POLICY, cost="requests"), queue=room).decide(ASKED)
    partial = dataclasses.replace(ASKED, body_state=BodyState.PARTIAL)
    assert isinstance((await pipeline(policy=BUSY, queue=room).decide(partial)).verdict, Allow)
    assert [demand.cost for _, _, demand in room.asked] == [1, 1024]


async def test_class_and_weight_are_the_tiers_and_a_tenants_own_weight_goes_before() -> None:
    room = Room(Place("chat", "t"))
    tiers = {"free": dataclasses.replace(BUSY.tiers["free"], priority="sheddable", weight=7)}
    tenants = {"acme": dataclasses.replace(BUSY.tenants["acme"], weight=9)}
    for policy in (dataclasses.replace(BUSY, tiers=tiers), dataclasses.replace(BUSY, tiers=tiers, tenants=tenants)):
        await pipeline(policy=policy, queue=room).decide(REQUEST)
    assert [(demand.priority, demand.weight) for _, _, demand in room.asked] == [("sheddable", 7), ("sheddable", 9)]


async def test_an_endpoint_without_capacity_asks_nobody_and_holds_nothing() -> None:
    room, ledger = Room(Overload("full", 1)), Counts()
    decision = await pipeline(ledger=ledger, queue=room).decide(ASKED)
    assert isinstance(decision.verdict, Allow)
    assert (room.asked, ledger.held, decision.verdict.ticket) == ([], [None], "")
