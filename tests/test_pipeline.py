"""identify → authorize → admit with each phase failing in its turn: the answer is no, and the record is complete."""

from __future__ import annotations

import dataclasses

import pytest
from tidegate.admission.charges import render
from tidegate.errors import StoreUnavailable
from tidegate.model import (
    Allow,
    Deny,
    Identity,
    Limit,
    Reason,
)

from tests.phases import ADA, POLICY, REQUEST, Counts, pipeline


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


@pytest.mark.parametrize("method", ["jwt", "introspection", "mtls"])
async def test_who_gets_a_new_token_gets_no_new_limit_of_api_keys(method: str) -> None:
    limit = Limit("platform", "keys", "sliding_window", 9, 60.0, per=("api_key",))
    policy = dataclasses.replace(POLICY, floor_limits=(limit,))
    ledger = Counts()
    keys = set()
    for token in ("jti-1", "jti-2"):
        caller = ADA._replace(method=method, credential=token)
        assert isinstance((await pipeline(caller, ledger, policy=policy).decide(REQUEST)).verdict, Allow)
        keys.add(ledger.seen[0].key)
    assert keys == {"acme|"}


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


@pytest.mark.parametrize(
    ("identified", "path", "told"),
    [
        (ADA, REQUEST.path, ("chat", "free")),
        (Deny(401, Reason.CREDENTIAL_MISSING, "No."), REQUEST.path, ("chat", "")),
        (Identity("eve", "acme", "free", "api_key"), REQUEST.path, ("chat", "free")),
        (Identity("eve", "acme", "a tier that a token made up", "jwt"), REQUEST.path, ("chat", "")),
        (RuntimeError("boom"), REQUEST.path, ("chat", "")),
        (ADA, "/nowhere", ("", "free")),
    ],
    ids=["allowed", "unknown", "without a grant", "tier that is none", "defect", "no endpoint"],
)
async def test_a_decision_names_the_endpoint_and_the_tier_that_the_policy_has_however_it_ends(
    identified: Identity | Deny | RuntimeError, path: str, told: tuple[str, str]
) -> None:
    decision = await pipeline(identified, errors=[]).decide(dataclasses.replace(REQUEST, path=path))
    assert (decision.endpoint, decision.tier) == told
