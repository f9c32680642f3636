"""identify → authorize → admit with each phase failing in its turn: the answer is no, and the record is complete."""

from __future__ import annotations

import asyncio
import dataclasses
import json
import math
from collections.abc import Mapping, Sequence
from typing import Any

import pytest
from tidegate.admission.charges import render
from tidegate.admission.queue.fair_queue import Queue
from tidegate.admission.queue.terms import Capacity, Demand, Overload, Place
from tidegate.errors import StoreUnavailable
from tidegate.model import (
    UNITS,
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
        self.settled: list[tuple[str, Mapping[str, int]]] = []
        self.seen: list[Charge] = []

    async def reserve(self, charges: Sequence[Charge], *, hold: float | None = None) -> Admission:
        if self.failure is not None:
            raise self.failure
        self.seen = list(charges)
        self.held.append(hold)
        states = tuple(LimitState(c.limit, 0, 9.0, self.wait if c.limit.name == self.refuse else 0.0) for c in charges)
        return Admission(states, next((s for s in states if s.limit.name == self.refuse), None), "res" if hold else "")

    async def settle(self, reservation: str, costs: Mapping[str, int]) -> bool:
        if self.failure is not None:
            raise self.failure
        self.settled.append((reservation, costs))
        return True


def pipeline(
    who: Any = ADA,
    ledger: Counts | None = None,
    errors: list[Exception] | None = None,
    policy: Policy = POLICY,
    queue: Queue | None = None,
    audited: bool = True,
) -> Pipeline:
    tell = errors.append if errors is not None else None
    return Pipeline(
        policy=lambda: policy,
        identifier=Knows(who),
        ledger=ledger or Counts(),
        on_error=tell,
        queue=queue,
        audited=lambda: audited,
    )


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
    caller = ADA._replace(client_id="app-1", scopes=frozenset({"read", "write", "other"}))
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


async def test_what_must_be_on_record_and_cannot_be_is_refused_before_anything_is_asked_or_charged() -> None:
    required = dataclasses.replace(POLICY, audit_required=True)
    ledger = Counts()
    decision = await pipeline(AssertionError(), ledger, policy=required, audited=False).decide(REQUEST)
    assert isinstance(decision.verdict, Deny)
    assert (decision.verdict.status, decision.verdict.reason) == (503, Reason.AUDIT_UNAVAILABLE)
    assert ("retry-after", "1") in decision.verdict.headers
    assert not ledger.seen
    assert isinstance((await pipeline(policy=required).decide(REQUEST)).verdict, Allow)
    assert isinstance((await pipeline(audited=False).decide(REQUEST)).verdict, Allow)


async def test_a_decision_says_what_was_asked_of_each_limit() -> None:
    decision = await pipeline().decide(REQUEST)
    assert [(charge.limit.name, charge.cost) for charge in decision.charges] == [("ip", 1), ("rpm", 1)]


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


async def test_a_decision_tells_how_long_each_phase_took_and_ends_in_the_one_that_refused() -> None:
    allowed = await pipeline().decide(REQUEST)
    assert [lap.phase for lap in allowed.laps] == ["identify", "authorize", "admit"]
    assert all(lap.seconds >= 0 for lap in allowed.laps)
    stranger = Deny(401, Reason.CREDENTIAL_MISSING, "No.")
    assert [lap.phase for lap in (await pipeline(stranger).decide(REQUEST)).laps] == ["identify"]
    elsewhere = dataclasses.replace(REQUEST, path="/nowhere")
    assert [lap.phase for lap in (await pipeline().decide(elsewhere)).laps] == ["identify", "authorize"]
    broken = await pipeline(RuntimeError("boom"), errors=[]).decide(REQUEST)
    assert isinstance(broken.verdict, Deny)
    assert [lap.phase for lap in broken.laps] == ["identify"]
