"""What a request is charged before it runs: each limit in its own unit, money at its price, a hold where one is due."""

from __future__ import annotations

import dataclasses
import math

import pytest
from tidegate.model import (
    Allow,
    BodyState,
    Deny,
    Limit,
    Price,
    Reason,
)
from tidegate.policy.compiled import Prices

from tests.phases import ASKED, BODY, POLICY, PRICED, REQUEST, Counts, pipeline


async def test_only_priced_limits_need_the_body_and_a_hold() -> None:
    ledger = Counts()
    decision = await pipeline(ledger=ledger).decide(ASKED)
    assert isinstance(decision.verdict, Allow)
    assert (ledger.held, decision.verdict.prompt_tokens, decision.verdict.admission.reservation) == ([None], 0, "")
    assert [charge.cost for charge in ledger.seen] == [1, 1]


async def test_each_limit_is_charged_in_its_own_unit() -> None:
    ledger = Counts()
    decision = await pipeline(ledger=ledger, policy=PRICED).decide(ASKED)
    assert isinstance(decision.verdict, Allow)
    assert {charge.limit.name: charge.cost for charge in ledger.seen} == {
        "ip": 1,
        "rpm": 1,
        "tpm": 3 + 4 + 10 + 50,
        "bytes": len(BODY),
        "out": 50,
    }
    assert ledger.held == [600.0]
    assert (decision.verdict.prompt_tokens, decision.verdict.admission.reservation) == (17, "res")


RUNNING = Limit("platform", "running", "concurrency", 4, 60.0)


@pytest.mark.parametrize(
    ("lease", "shadow", "priced", "held"),
    [
        (60.0, False, False, 600.0),
        (7200.0, True, False, 7200.0),
        (60.0, False, True, 600.0),
        (7200.0, True, True, 7200.0),
    ],
)
async def test_what_holds_a_place_is_reserved_with_a_hold(
    lease: float, shadow: bool, priced: bool, held: float
) -> None:
    ledger = Counts()
    running = dataclasses.replace(RUNNING, period=lease, shadow=shadow)
    policy = PRICED if priced else POLICY
    policy = dataclasses.replace(policy, floor_limits=(running, *policy.floor_limits))
    decision = await pipeline(ledger=ledger, policy=policy).decide(ASKED)
    assert isinstance(decision.verdict, Allow)
    assert ledger.held == [held]
    assert (ledger.seen[0].limit, ledger.seen[0].cost) == (running, 1)
    assert (decision.verdict.prompt_tokens, decision.verdict.admission.reservation) == (17 if priced else 0, "res")


async def test_a_full_house_is_a_429_with_a_short_wait() -> None:
    policy = dataclasses.replace(POLICY, floor_limits=(RUNNING,))
    decision = await pipeline(ledger=Counts(refuse="running", wait=1.0), policy=policy).decide(REQUEST)
    assert isinstance(decision.verdict, Deny)
    assert (decision.verdict.status, decision.verdict.headers) == (429, (("retry-after", "1"),))
    assert "running" in decision.verdict.message


BOUGHT = dataclasses.replace(
    PRICED,
    floor_limits=(*PRICED.floor_limits, Limit("platform", "usd", "quota", 9_000, 3600.0, cost="money", resets="hour")),
    prices=Prices("USD", {}, Price(2_000_000, 4_000_000, 0, 0, 5)),
)


async def test_money_is_reserved_from_the_estimate_at_the_price_that_is_handed_on() -> None:
    ledger = Counts()
    decision = await pipeline(ledger=ledger, policy=BOUGHT).decide(ASKED)
    assert isinstance(decision.verdict, Allow)
    assert {c.limit.name: c.cost for c in ledger.seen}["usd"] == 2 * (3 + 4 + 10) + 4 * 50 + 5
    assert decision.verdict.price == Price(2_000_000, 4_000_000, 0, 0, 5)
    plain = await pipeline(policy=dataclasses.replace(PRICED, prices=BOUGHT.prices)).decide(ASKED)
    assert isinstance(plain.verdict, Allow)
    assert plain.verdict.price is None


async def test_a_model_without_a_price_is_refused_and_not_free() -> None:
    ledger = Counts()
    unpriced = dataclasses.replace(BOUGHT, prices=Prices("USD", {"small": Price(0, 0, 0, 0)}))
    decision = await pipeline(ledger=ledger, policy=unpriced).decide(ASKED)
    assert isinstance(decision.verdict, Deny)
    assert (decision.verdict.status, decision.verdict.reason) == (403, Reason.MODEL_NOT_ALLOWED)
    assert ledger.held == []


async def test_a_body_that_cannot_be_priced_is_413_and_never_charged() -> None:
    ledger = Counts()
    partial = dataclasses.replace(ASKED, body_state=BodyState.PARTIAL)
    decision = await pipeline(ledger=ledger, policy=PRICED).decide(partial)
    assert isinstance(decision.verdict, Deny)
    assert (decision.verdict.status, decision.endpoint, decision.dialect) == (413, "chat", "openai")
    assert ledger.held == []


async def test_a_request_larger_than_a_limit_is_told_so_and_not_to_wait() -> None:
    decision = await pipeline(ledger=Counts(refuse="tpm", wait=math.inf), policy=PRICED).decide(ASKED)
    assert isinstance(decision.verdict, Deny)
    assert (decision.verdict.status, decision.verdict.headers) == (429, ())
    assert "larger than limit 'tpm'" in decision.verdict.message
