"""identify → authorize → admit with each phase failing in its turn: the answer is no, and the record is complete."""

from __future__ import annotations

import dataclasses
import json
import math
from collections.abc import Sequence
from typing import Any

import pytest
from tidegate.admission.charges import render
from tidegate.errors import StoreUnavailable
from tidegate.model import (
    Admission,
    Allow,
    BodyState,
    Charge,
    Deny,
    Identity,
    Limit,
    LimitState,
    Price,
    Reason,
    Request,
)
from tidegate.pipeline import Pipeline
from tidegate.policy import parse_policy
from tidegate.policy.compiled import Policy, Prices

POLICY = parse_policy("""
version: 1
platform:
  floor:
    rulesets: [secrets]
    limits: [{name: ip, algorithm: sliding_window, limit: 100, window: 60s, per: [client_ip]}]
tiers:
  free: {limits: [{name: rpm, algorithm: token_bucket, capacity: 20, refill: 20/60s, per: [subject]}]}
rulesets:
  secrets: [{detect: [AWS_KEY], act: redact}]
tenants:
  acme: {grants: [{role: analyst, endpoints: [chat]}]}
endpoints:
  chat: {owner: acme, match: {hosts: ["*"], path: /v1/chat, methods: [POST]}}
""")
ADA = Identity("ada", "acme", "free", "api_key", roles=frozenset({"analyst"}), credential="k1")
REQUEST = Request("r1", "POST", "models.example.com", "/v1/chat", client_ip="192.0.2.1")


class Knows:
    def __init__(self, answer: Identity | Deny | Exception) -> None:
        self.answer = answer

    async def identify(self, policy: Policy, request: Request) -> Identity | Deny:
        if isinstance(self.answer, Exception):
            raise self.answer
        return self.answer


class Counts:
    def __init__(self, refuse: str = "", failure: Exception | None = None, wait: float = 2.5) -> None:
        self.refuse, self.failure, self.wait = refuse, failure, wait
        self.held: list[float | None] = []
        self.seen: list[Charge] = []

    async def reserve(self, charges: Sequence[Charge], *, hold: float | None = None) -> Admission:
        if self.failure is not None:
            raise self.failure
        self.seen = list(charges)
        self.held.append(hold)
        states = tuple(LimitState(c.limit, 0, 9.0, self.wait if c.limit.name == self.refuse else 0.0) for c in charges)
        return Admission(states, next((s for s in states if s.limit.name == self.refuse), None), "res" if hold else "")


def pipeline(
    who: Any = ADA, ledger: Counts | None = None, errors: list[Exception] | None = None, policy: Policy = POLICY
) -> Pipeline:
    tell = errors.append if errors is not None else None
    return Pipeline(policy=lambda: policy, identifier=Knows(who), ledger=ledger or Counts(), on_error=tell)


async def test_every_limit_that_applies_is_charged_in_one_call() -> None:
    ledger = Counts()
    decision = await pipeline(ledger=ledger).decide(REQUEST)
    assert isinstance(decision.verdict, Allow)
    assert [charge.limit.name for charge in ledger.seen] == ["ip", "rpm"]
    assert decision.verdict.rulesets == ("secrets",)
    assert (decision.policy, decision.endpoint, decision.dialect) == (POLICY.version, "chat", "openai")


async def test_a_limit_may_count_by_every_attribute_of_a_request() -> None:
    per = ("tenant", "subject", "client_id", "tier", "scope", "model", "endpoint", "client_ip", "api_key", "method")
    limit = Limit("platform", "all", "sliding_window", 9, 60.0, per=per)
    chat = dataclasses.replace(POLICY.endpoints[0], scopes=frozenset({"write", "read"}))
    policy = dataclasses.replace(POLICY, floor_limits=(limit,), endpoints=(chat,))
    caller = dataclasses.replace(ADA, client_id="app-1", scopes=frozenset({"read", "write", "other"}))
    ledger = Counts()
    decision = await pipeline(caller, ledger, policy=policy).decide(REQUEST)
    assert isinstance(decision.verdict, Allow)
    scopes = render("scope", "read write")
    assert ledger.seen[0].key == f"acme|ada|app-1|free|{scopes}||chat|192.0.2.1|k1|POST"


async def test_a_refused_identity_is_never_charged() -> None:
    ledger = Counts()
    refusal = Deny(401, Reason.CREDENTIAL_INVALID, "No.")
    decision = await pipeline(refusal, ledger).decide(REQUEST)
    assert decision.verdict is refusal
    assert ledger.seen == []


async def test_an_unauthorised_caller_is_never_charged() -> None:
    ledger = Counts()
    stranger = Identity("eve", "acme", "free", "api_key")
    decision = await pipeline(stranger, ledger).decide(REQUEST)
    assert isinstance(decision.verdict, Deny)
    assert (decision.verdict.status, decision.identity, ledger.seen) == (403, stranger, [])


async def test_a_spent_limit_is_a_429_that_names_it_and_says_when() -> None:
    decision = await pipeline(ledger=Counts(refuse="rpm")).decide(REQUEST)
    assert isinstance(decision.verdict, Deny)
    assert (decision.verdict.status, decision.verdict.reason) == (429, Reason.LIMIT_EXCEEDED)
    assert ("retry-after", "3") in decision.verdict.headers
    assert "rpm" in decision.verdict.message
    assert decision.verdict.violated == ("rpm",)
    assert decision.admission is not None


async def test_a_store_that_cannot_count_is_a_503_deny() -> None:
    decision = await pipeline(ledger=Counts(failure=StoreUnavailable("down"))).decide(REQUEST)
    assert isinstance(decision.verdict, Deny)
    assert (decision.verdict.status, decision.verdict.reason) == (503, Reason.STORE_UNAVAILABLE)


@pytest.mark.parametrize("failure", [RuntimeError("boom sk-secret"), KeyError("x"), RecursionError()])
async def test_anything_unexpected_is_a_deny_that_says_nothing(failure: Exception) -> None:
    for broken in (pipeline(failure), pipeline(ledger=Counts(failure=failure))):
        decision = await broken.decide(REQUEST)
        assert isinstance(decision.verdict, Deny)
        assert decision.verdict.status == 500
        assert "boom" not in str(decision.verdict)
    errors: list[Exception] = []
    await pipeline(failure, errors=errors).decide(REQUEST)
    assert errors == [failure]


PRICED = dataclasses.replace(
    POLICY,
    floor_limits=(
        *POLICY.floor_limits,
        Limit("platform", "tpm", "sliding_window", 9_000, 60.0, cost="tokens"),
        Limit("platform", "bytes", "sliding_window", 9_000, 60.0, cost="request_bytes"),
        Limit("platform", "out", "sliding_window", 9_000, 60.0, cost="completion_tokens"),
    ),
)
BODY = json.dumps({"messages": [{"role": "user", "content": "x" * 40}], "max_tokens": 50}).encode()
ASKED = dataclasses.replace(REQUEST, body=BODY, body_state=BodyState.WHOLE)


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
