"""Charges over our own API: what is held, for how long, and how it is given back."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import grpc
import pytest
from tidegate.admission.memory import MemoryLedger
from tidegate.api import tidegate_pb2 as pb
from tidegate.api.faults import InvalidCall
from tidegate.clock import SystemClock
from tidegate.model import Limit

from tests.admission.world import SECOND, HandClock
from tests.api.calls import CHARGE, ask, channel_to
from tests.client.world import SpyLedger, World, make_servicer


@pytest.mark.parametrize(
    ("rpc", "message", "answer"),
    [
        ("Consume", pb.ConsumeRequest(cost=1, costs={"requests": 1}), pb.ConsumeResponse),
        ("Settle", pb.SettleRequest(reservation="r", cost=1, costs={"requests": 1}), pb.SettleResponse),
    ],
)
async def test_one_cost_and_costs_by_unit_are_one_too_many(world: World, rpc: str, message: Any, answer: Any) -> None:
    async with channel_to(make_servicer(world)) as channel:
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await ask(channel, rpc, message, answer)
    assert caught.value.code() is grpc.StatusCode.INVALID_ARGUMENT
    assert "not both" in caught.value.details()


async def test_a_hold_reaches_the_ledger_only_when_asked_for(world: World) -> None:
    ledger = SpyLedger(MemoryLedger(SystemClock()))
    servicer = make_servicer(world, ledger)
    assert (await servicer.consume(CHARGE)).reservation == ""
    held = pb.ConsumeRequest()
    held.CopyFrom(CHARGE)
    held.hold_seconds = 5
    assert (await servicer.consume(held)).reservation != ""
    assert [charge.key for charges in ledger.charged for charge in charges] == ["acme|m", "acme|m"]


async def test_a_place_is_held_until_it_is_settled(world: World) -> None:
    running = Limit("endpoint:chat", "running", "concurrency", 2, 60.0)
    endpoints = tuple(replace(e, limits=(running,)) if e.name == "chat" else e for e in world.policy.endpoints)
    policy = replace(world.policy, endpoints=endpoints)
    servicer = make_servicer(replace(world, policy=policy), ledger=MemoryLedger(SystemClock()))
    with pytest.raises(InvalidCall, match="'running' of endpoint:chat holds a place"):
        await servicer.consume(CHARGE)
    held = pb.ConsumeRequest()
    held.CopyFrom(CHARGE)
    held.hold_seconds, held.cost = 60, 3
    taken = [await servicer.consume(held) for _ in range(3)]
    assert [one.admitted for one in taken] == [True, True, False]
    assert taken[2].refused.name == "running"
    assert (await servicer.settle(pb.SettleRequest(reservation=taken[0].reservation, cost=3))).settled
    assert (await servicer.consume(held)).admitted


async def test_a_place_can_be_given_back_for_as_long_as_it_lasts_however_short_the_hold(world: World) -> None:
    clock = HandClock()
    running = Limit("endpoint:chat", "running", "concurrency", 1, 60.0)
    endpoints = tuple(replace(e, limits=(running,)) if e.name == "chat" else e for e in world.policy.endpoints)
    policy = replace(world.policy, endpoints=endpoints)
    servicer = make_servicer(replace(world, policy=policy), ledger=MemoryLedger(clock))
    brief = pb.ConsumeRequest()
    brief.CopyFrom(CHARGE)
    brief.hold_seconds = 1
    taken = await servicer.consume(brief)
    clock.us += 59 * SECOND
    assert not (await servicer.consume(brief)).admitted
    assert (await servicer.settle(pb.SettleRequest(reservation=taken.reservation, cost=1))).settled
    assert (await servicer.consume(brief)).admitted
