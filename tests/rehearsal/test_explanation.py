"""An explanation is of the decision that the service makes, and names the rule that refused."""

from __future__ import annotations

import asyncio
import dataclasses
import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tidegate.authorization import Rule, authorize
from tidegate.demo.materials import Materials, make_materials
from tidegate.model import Allow, BodyState, Deny, Identity, Limit, Request
from tidegate.pipeline import Identifies
from tidegate.policy import load_policy, parse_policy
from tidegate.policy.compiled import Grant, Policy, Tenant
from tidegate.policy.compiled_identity import Revocation
from tidegate.rehearsal.explanation import Explanation, explain
from tidegate.rehearsal.files import Question, read_request
from tidegate.rehearsal.identifier import identifying
from tidegate.rehearsal.report import record, text

from tests.test_authorization import DATA, POLICY, identity, request


class Nobody:
    async def identify(self, policy: Policy, request: Request) -> Identity | Deny:
        raise AssertionError("the question says who calls")


def explained(policy: Policy, who: Identity, sent: Request) -> Explanation:
    return asyncio.run(explain(policy, Question(sent, who), Nobody()))


def assert_same(policy: Policy, who: Identity, sent: Request) -> None:
    """The verdict is authorize's, and the path is the rules in order up to the one that refused."""
    wanted, found = authorize(policy, who, sent), explained(policy, who, sent)
    verdict, rules = found.decision.verdict, [step.rule for step in found.steps]
    assert [step.outcome for step in found.steps[:-1]] == ["holds"] * (len(rules) - 1)
    if isinstance(wanted, Deny):
        assert verdict == wanted
        assert rules == ["identity", *list(Rule)[: list(Rule).index(Rule(wanted.rule)) + 1]]
        assert found.steps[-1].outcome == "refuses"
        assert found.charges == found.rulesets == ()
    else:
        assert isinstance(verdict, Allow)
        assert (verdict.endpoint, verdict.model) == (wanted.endpoint.name, wanted.model)
        assert rules == ["identity", *Rule, "limits"]
        assert found.steps[-1].outcome == "holds"
        assert tuple(charge.limit for charge in found.charges) == wanted.limits
        assert tuple(name for name, sources in found.rulesets if sources) == wanted.rulesets
    json.dumps(record(found))
    assert text(found)


@pytest.mark.parametrize("case", DATA["cases"], ids=lambda case: str(case["name"]))
def test_every_golden_decision_is_explained_as_it_is_made(case: dict[str, Any]) -> None:
    assert_same(POLICY, identity(case["as"]), request(**case.get("request", {})))


_LISTS = st.none() | st.frozensets(st.sampled_from(["chat", "models", "files", "predict"]))
_GRANTS = st.builds(
    Grant,
    role=st.sampled_from(["admin", "reader", "*"]),
    endpoints=_LISTS,
    methods=st.none() | st.frozensets(st.sampled_from(["GET", "POST"])),
    models=st.none() | st.frozensets(st.sampled_from(["small", "large"])),
)
_TENANTS = st.builds(
    lambda grants, denies: Tenant("acme", tuple(grants), denies=tuple(denies)),
    st.lists(_GRANTS, max_size=3),
    st.lists(_GRANTS, max_size=2),
)
_WHO = st.builds(
    Identity,
    claims=st.just({}),
    subject=st.just("s"),
    tenant=st.sampled_from(["acme", "acme", "globex", "x"]),
    tier=st.sampled_from(["free", "gold", "x"]),
    method=st.sampled_from(["test", "anonymous"]),
    roles=st.frozensets(st.sampled_from(["admin", "reader", "guest", "x"])),
    scopes=st.frozensets(st.sampled_from(["files.read", "files.write"])),
    audiences=st.none() | st.frozensets(st.sampled_from(["models", "other"])),
    endpoints=st.none() | st.frozensets(st.sampled_from(["chat", "models"])),
)
_SENT = st.builds(
    Request,
    id=st.just("r"),
    method=st.sampled_from(["GET", "POST", "PUT", "TRACE"]),
    host=st.sampled_from(["models.example.com", "h"]),
    path=st.sampled_from(
        ["/v1/chat/completions", "/v1/models", "/v1/files/7", "/models/a/versions/1/predict", "/v1/chat", "/"]
    )
    | st.text(max_size=8),
    body=st.sampled_from([b'{"model":"small"}', b'{"model":"large"}', b"{}", b"[", b'{"model":"a","Model":"b"}']),
    body_state=st.sampled_from(BodyState),
)


@settings(deadline=None, max_examples=200)
@given(_TENANTS, _WHO, _SENT)
def test_no_explanation_differs_from_the_decision(acme: Tenant, who: Identity, sent: Request) -> None:
    assert_same(dataclasses.replace(POLICY, tenants={**POLICY.tenants, "acme": acme}), who, sent)


@settings(deadline=None, max_examples=100)
@given(_TENANTS, _WHO, _SENT)
def test_what_is_said_of_grants_and_denies_adds_up_to_the_verdict(acme: Tenant, who: Identity, sent: Request) -> None:
    policy = dataclasses.replace(POLICY, tenants={**POLICY.tenants, "acme": acme})
    for step in explained(policy, who, sent).steps:
        covering = [part for part in step.parts if ": covers it" in part]
        if step.rule == Rule.DENIES:
            whole = [part for part in covering if "for models" not in part]
            assert bool(whole) == (step.outcome == "refuses")
        if step.rule == Rule.MODEL_DENIES:
            assert bool(covering) == (step.outcome == "refuses")
        if step.rule in (Rule.GRANTS, Rule.GRANT_MODELS) and who.method != "anonymous":
            assert bool(covering) == (step.outcome == "holds")


def test_what_nearly_matches_is_named() -> None:
    admin = identity("admin")
    other_host = explained(POLICY, admin, request(host="other.example.com")).steps[-1]
    assert other_host.parts[0] == "chat has the path, for hosts models.example.com"
    typo = explained(POLICY, admin, request(path="/v1/chat/completion")).steps[-1]
    assert typo.parts[0] == "chat has another path: /v1/chat/completions"
    method = explained(POLICY, admin, request(path="/v1/files/7")).steps[-1]
    assert (method.rule, method.outcome) == ("method", "refuses")
    assert method.says == "POST; files answers GET"
    assert method.parts == ("files-write answers DELETE, PUT",)


def test_each_grant_and_deny_says_why_it_does_or_does_not_cover() -> None:
    steps = {step.rule: step for step in explained(POLICY, identity("both"), request()).steps}
    assert steps["grants"].parts == (
        "tenants.acme.grants[0], role analyst: covers it for models small",
        "tenants.acme.grants[2], role reader: does not cover it, only methods GET",
        "role unknown: tenant acme grants it nothing",
    )
    assert steps["grants of models"].parts == ("tenants.acme.grants[0], role analyst: covers it",)
    denied = explained(POLICY, identity("barred-admin"), request(method="GET")).steps[-1]
    assert denied.rule == "denies"
    assert denied.parts == (
        "tenants.acme.denies[0], role barred: covers it for models large",
        "tenants.acme.denies[1], role barred: covers it",
        "tenants.acme.denies[4], role *: does not cover it, only endpoints files-write",
    )


def test_conditions_are_told_with_what_came_of_them_and_without_what_a_claim_holds() -> None:
    def said(who: str, rule: str) -> tuple[str, ...]:
        steps = explained(POLICY, identity(who), request(method="GET", path="/v1/models")).steps
        return next(step.parts for step in steps if step.rule == rule)

    source = 'claims.region == "eu" && claims.level >= 3'
    place = "tenants.acme.grants[6], role regional"
    assert said("regional", "grants") == (f"{place}: covers it, by its condition {source}",)
    assert said("regional-low", "grants") == (f"{place}: does not cover it, by its condition {source}",)
    assert said("regional-unknown", "grants") == (
        f"{place}: does not cover it, by its condition, which cannot be evaluated: {source}",
    )
    covers = "covers it, by its condition, which cannot be evaluated"
    assert f'tenants.acme.denies[5], role foreign: {covers}: claims.region != "eu"' in said("stateless", "denies")


def test_limits_are_told_with_their_key_and_cost_and_rulesets_with_their_sources() -> None:
    found = explained(POLICY, identity("ann"), request(client_ip="192.0.2.7"))
    assert [(one["scope"], one["name"], one["key"], one["cost"]) for one in record(found)["limits"]] == [
        ("platform", "ip", "192.0.2.7", 1),
        ("tier:free", "rpm", "acme|ann", 1),
        ("tenant:acme", "day", "acme", 1),
        ("endpoint:chat", "burst", "", 1),
    ]
    assert found.rulesets == (
        ("secrets", ("platform.floor", "classifications.restricted")),
        ("pii", ("classifications.restricted",)),
        ("cards", ("tiers.free", "endpoints.chat")),
        ("extra", ("endpoints.chat",)),
    )


def test_a_request_that_is_larger_than_a_limit_is_refused_by_the_limits() -> None:
    small = Limit("platform", "bytes", "sliding_window", 3, 60.0, cost="request_bytes")
    policy = dataclasses.replace(POLICY, floor_limits=(small,))
    found = explained(policy, identity("ann"), request())
    assert isinstance(found.decision.verdict, Deny)
    assert found.decision.verdict.status == 429
    assert (found.steps[-1].rule, found.steps[-1].outcome) == ("limits", "refuses")
    assert [charge.cost for charge in found.charges if charge.limit is small] == [len(request().body)]


def test_capacity_is_told_with_priority_and_weight() -> None:
    policy = parse_policy(
        """\
version: 1
tiers: {free: {priority: sheddable, weight: 2}}
tenants: {acme: {grants: [{role: user, endpoints: "*"}]}}
endpoints:
  all:
    owner: acme
    match: {hosts: "*", path: "/**", methods: [GET]}
    capacity: {concurrent: 8, queue: 16, max_wait: 150ms}
"""
    )
    who = Identity("s", "acme", "free", "test", frozenset({"user"}))
    found = explained(policy, who, Request("r", "GET", "h", "/x"))
    assert found.capacity == "8 at once, 16 wait up to 0.15 s; priority sheddable, weight 2"


@pytest.fixture(scope="module")
def demo(tmp_path_factory: pytest.TempPathFactory) -> Materials:
    return make_materials(tmp_path_factory.mktemp("demo"))


def ask(
    demo: Materials, folder: Path, pepper: bytes, headers: dict[str, str], revocation: Revocation | None = None
) -> Explanation:
    file = folder / "request.json"
    sent = {"method": "POST", "host": "h", "path": "/v1/chat/completions", "body": {"model": "small"}}
    file.write_text(json.dumps({"request": {**sent, "headers": headers}}))
    policy = dataclasses.replace(load_policy(demo.policy), revocation=revocation)

    async def run() -> Explanation:
        async with identifying(policy, pepper) as identifier:
            checked: Identifies = identifier
            return await explain(policy, read_request(file), checked)

    return asyncio.run(run())


def test_a_credential_in_the_request_tells_who_calls_and_is_not_repeated(demo: Materials, tmp_path: Path) -> None:
    pepper = demo.pepper.read_bytes().strip()
    for credential, subject, method in ((demo.keys["frida"], "frida", "api_key"), (demo.token("ada"), "ada", "jwt")):
        found = ask(demo, tmp_path, pepper, {"Authorization": f"Bearer {credential}"})
        who = found.decision.identity
        assert who is not None
        assert (who.subject, isinstance(found.decision.verdict, Allow)) == (subject, True)
        assert f"by {method}" in found.steps[0].says
        for written in (text(found), json.dumps(record(found)), repr(found.steps)):
            assert credential not in written
            assert credential.split("_" if method == "api_key" else ".", 2)[2] not in written


def test_without_the_pepper_or_the_key_file_a_key_proves_nothing_and_the_reason_is_told(
    demo: Materials, tmp_path: Path
) -> None:
    found = ask(demo, tmp_path, b"", {"Authorization": f"Bearer {demo.keys['frida']}"})
    assert isinstance(found.decision.verdict, Deny)
    assert found.decision.verdict.status == 503
    assert "pepper" in text(found)
    assert demo.keys["frida"] not in text(found)


@pytest.mark.parametrize(
    ("written", "status", "says"),
    [
        ("version: 1\nrevoked: [{subject: ada, before: 2100-01-01T00:00:00Z}]\n", 401, "token_revoked"),
        ("version: 1\nrevoked: [{subject: eve, before: 2100-01-01T00:00:00Z}]\n", None, "by jwt"),
        ("revoked", 503, "revoked.yaml"),
        ("", 503, "in the store"),
    ],
)
def test_a_revoked_token_is_explained_as_it_is_decided(
    written: str, status: int | None, says: str, demo: Materials, tmp_path: Path
) -> None:
    file = tmp_path / "revoked.yaml"
    file.write_text(written)
    revocation = Revocation(file if written else None)
    found = ask(demo, tmp_path, b"", {"Authorization": f"Bearer {demo.token('ada')}"}, revocation)
    assert (found.decision.verdict.status if isinstance(found.decision.verdict, Deny) else None) == status
    assert says in text(found)


def test_no_credential_is_a_401_that_names_the_accepted_methods(demo: Materials, tmp_path: Path) -> None:
    found = ask(demo, tmp_path, b"", {})
    assert isinstance(found.decision.verdict, Deny)
    assert found.decision.verdict.status == 401
    assert found.steps[-1].parts == ("accepted: API keys in authorization", "accepted: tokens of demo")


def test_what_no_policy_sees_is_refused_by_the_edge(tmp_path: Path) -> None:
    file = tmp_path / "r.yaml"
    file.write_text("request: {path: /a/../b}\nprincipal: {subject: s, tenant: acme, tier: free}\n")
    found = asyncio.run(explain(POLICY, read_request(file), Nobody()))
    assert [step.rule for step in found.steps] == ["request"]
    assert record(found)["verdict"]["status"] == 400


def test_a_failure_of_the_pipeline_is_not_taken_for_a_verdict() -> None:
    class Broken:
        async def identify(self, policy: Policy, request: Request) -> Identity | Deny:
            raise RuntimeError("boom")

    with pytest.raises(RuntimeError, match="boom"):
        asyncio.run(explain(POLICY, Question(request(), None), Broken()))


@pytest.mark.parametrize(
    ("body", "last", "outcome", "says"),
    [
        (b'{"messages": ["hi"]}', "prompt", "holds", "nothing was found"),
        (b'{"messages": ["bob@example.com"]}', "prompt", "refuses", "values were found"),
        (b'{"messages": [], "messages": []}', "request", "refuses", "request_malformed: "),
    ],
)
def test_what_the_body_holds_is_the_last_step(body: bytes, last: str, outcome: str, says: str) -> None:
    policy = parse_policy("""
version: 1
tiers: {free: {}}
tenants: {acme: {grants: [{role: analyst, endpoints: "*"}]}}
endpoints:
  chat:
    owner: acme
    match: {hosts: "*", path: /v1/chat, methods: [POST]}
    request: {rules: [{detect: [EMAIL], act: block}]}
""")
    who = Identity("ann", "acme", "free", "api_key", roles=frozenset({"analyst"}))
    found = explained(policy, who, Request("r", "POST", "h", "/v1/chat", body=body, body_state=BodyState.WHOLE))
    step = found.steps[-1]
    assert (step.rule, step.outcome) == (last, outcome)
    assert step.says.startswith(says)
    assert [one.outcome for one in found.steps[:-1]] == ["holds"] * (len(found.steps) - 1)
    assert "bob@" not in text(found) + json.dumps(record(found))
