"""Who may call what, and with which model. The cases are in cases/authorization.yaml."""

from __future__ import annotations

import dataclasses
import inspect
import json
import re
from typing import Any

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from tidegate.authorization import Access, Rule, authorize, find_endpoint
from tidegate.edge import canonical
from tidegate.model import BodyState, Deny, Identity, Limit, Reason, Request
from tidegate.policy import parse_policy
from tidegate.policy.compiled import Grant, Tenant
from tidegate.requested_model import MAX_NAME, _is_unambiguous, _may_repeat
from tidegate.usage.parts import MAX_PARTS

from tests.policy.cases import FOLDER, cases

DATA: Any = cases("authorization.yaml")
POLICY = parse_policy(DATA["policy"], base=FOLDER)


def identity(name: str) -> Identity:
    given_ = DATA["identities"][name]
    roles, scopes = frozenset(given_["roles"]), frozenset(given_.get("scopes", ()))
    endpoints = frozenset(given_["endpoints"]) if "endpoints" in given_ else None
    audiences = frozenset(given_["audiences"]) if "audiences" in given_ else None
    return Identity(
        name,
        given_["tenant"],
        given_["tier"],
        given_.get("method", "test"),
        roles=roles,
        scopes=scopes,
        claims=given_.get("claims", {}),
        audiences=audiences,
        endpoints=endpoints,
    )


def request(**changes: Any) -> Request:
    values = {"body_state": "whole", **DATA["request"], **changes}
    values["body_state"] = BodyState(values["body_state"])
    values["body"] = values["body"].encode() if isinstance(values["body"], str) else values["body"]
    return Request("r", **values)


def with_body(body: bytes, who: str = "ada") -> Access | Deny:
    return authorize(POLICY, identity(who), request(body=body))


@pytest.mark.parametrize("case", DATA["cases"], ids=lambda case: str(case["name"]))
def test_case(case: dict[str, Any]) -> None:
    verdict = authorize(POLICY, identity(case["as"]), request(**case.get("request", {})))
    want = case["want"]
    if isinstance(verdict, Access):
        assert {"endpoint": verdict.endpoint.name, "model": verdict.model} == want
    else:
        assert (verdict.status, verdict.reason) == (want["status"], want["reason"])
        assert dict(verdict.headers) == want.get("headers", dict(verdict.headers))
        assert verdict.message == want.get("message", verdict.message)


def test_an_access_carries_limits_and_rulesets_in_order() -> None:
    access = with_body(b'{"model":"small"}', who="ann")
    assert isinstance(access, Access)
    assert [(limit.scope, limit.name) for limit in access.limits] == [
        ("platform", "ip"),
        ("tier:free", "rpm"),
        ("tenant:acme", "day"),
        ("endpoint:chat", "burst"),
    ]
    assert access.rulesets == ("secrets", "pii", "cards", "extra")


def test_a_callers_own_limit_replaces_the_tiers_and_never_the_floors_or_the_endpoints() -> None:
    own = Limit("subject:acme/ann", "rpm", "sliding_window", 500, 60.0, per=("subject",))
    acme = dataclasses.replace(POLICY.tenants["acme"], subjects={"ann": (own,)})
    policy = dataclasses.replace(POLICY, tenants={**POLICY.tenants, "acme": acme})
    sent = request(body='{"model":"small"}')
    access = authorize(policy, identity("ann"), sent)
    assert isinstance(access, Access)
    assert [limit.scope for limit in access.limits] == ["platform", "tenant:acme", "subject:acme/ann", "endpoint:chat"]
    assert access.limits[2] is own


def test_a_lent_endpoint_brings_the_callers_limits_and_not_the_owners() -> None:
    access = with_body(b'{"model":"small"}', who="guest")
    assert isinstance(access, Access)
    assert [limit.scope for limit in access.limits] == ["platform", "tier:free", "endpoint:chat"]


def test_every_refusal_of_access_reads_the_same() -> None:
    """The causes differ in `detail`, which never leaves; a caller learns of no tenant, role or grant."""
    verdicts = [
        authorize(POLICY, identity(case["as"]), request(**case.get("request", {})))
        for case in DATA["cases"]
        if case["want"].get("reason") == "access_denied"
    ]
    denials = [verdict for verdict in verdicts if isinstance(verdict, Deny)]
    assert len({(denial.status, denial.message, denial.headers) for denial in denials}) == 1
    assert len({denial.detail for denial in denials}) > 5


def test_find_endpoint_gives_variables_of_the_endpoint_that_it_chose() -> None:
    for method, name, variables in (
        ("GET", "files", {"id": "7"}),
        ("PUT", "files-write", {"name": "7"}),
        ("", "files", {"id": "7"}),
        ("TRACE", "files", {"id": "7"}),
    ):
        found = find_endpoint(POLICY, "h", "/v1/files/7", method)
        assert found is not None
        assert (found[0].name, found[1]) == (name, variables)
    assert find_endpoint(POLICY, "h", "/nowhere") is None


@pytest.mark.parametrize(
    "body",
    [
        b'{"model":"small","x":' + b"[" * 100_000,
        b'{"model":"small","x":' + b"[" * 100_000 + b"]" * 100_000 + b"}",
        b'{"model":"small","model":' + b"[" * 1000 + b"]" * 1000 + b"}",
        b'{"model":"small","\\u0000":' + b'{"a":' * 1000 + b"1" + b"}" * 1000 + b"}",
        b"\xff\xfe{\x00}\x00",
        b'\xef\xbb\xbf{"model":"small"}',
        b'{"model":"\xff"}',
        b'{"model":"' + b"x" * (MAX_NAME + 1) + b'"}',
    ],
    ids=range(8),
)
def test_hostile_bodies_are_malformed(body: bytes) -> None:
    verdict = with_body(body)
    assert isinstance(verdict, Deny)
    assert (verdict.status, verdict.reason) == (400, Reason.REQUEST_MALFORMED)


@pytest.mark.parametrize("part", [b"{}", b"[]", b'""'])
def test_a_body_of_empty_parts_is_refused_before_it_costs_anything(part: bytes) -> None:
    """Refused callers cost this too, so no limit bounds it: 4 MiB of empty parts took 0.4 s, or 2 s with a doubt."""
    verdict = with_body(b'{"model":"small","x":["model",' + part + (b"," + part) * MAX_PARTS + b"]}")
    assert isinstance(verdict, Deny)
    assert (verdict.status, verdict.reason) == (413, Reason.REQUEST_MALFORMED)
    assert isinstance(with_body(b'{"model":"small","x":["model",' + part + (b"," + part) * 100 + b"]}"), Access)


@pytest.mark.parametrize("number", ["9" * 300, "-1e-999", "0." + "1" * 300])
@pytest.mark.parametrize("extra", ["", ',"x":"\\u0000"'])
def test_numbers_beyond_any_machine_do_no_harm(number: str, extra: str) -> None:
    assert isinstance(with_body(f'{{"model":"small","n":{number}{extra}}}'.encode()), Access)


@settings(deadline=None)
@given(st.binary(max_size=60) | st.text(max_size=60).map(lambda text: text.encode(errors="replace")))
def test_any_body_gets_a_verdict(body: bytes) -> None:
    assert isinstance(with_body(body), Access | Deny)


class Written(list[tuple[str, Any]]):
    """A JSON object with its keys as they are to be written."""


_KEYS = st.sampled_from(["model", "Model", "MODEL", "mode", "x", "task", "disk", "dıſK", "model\0", "modél", "moİdel"])
_VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.sampled_from(["small", "large", "model", '"model"', "é", "K"]),
    lambda inner: st.lists(inner, max_size=3) | st.lists(st.tuples(_KEYS, inner), max_size=4).map(Written),
    max_leaves=8,
)


def spell(value: Any, draw: Any) -> str:
    """JSON for a value, where every character of every string may be written as an escape."""
    if isinstance(value, Written):
        return "{" + ",".join(f"{spell(key, draw)}:{spell(child, draw)}" for key, child in value) + "}"
    if isinstance(value, list):
        return "[" + ",".join(spell(child, draw) for child in value) + "]"
    if isinstance(value, str):
        escape = draw(st.booleans())
        return '"' + "".join(_letter(char, escape and draw(st.booleans())) for char in value) + '"'
    return json.dumps(value)


def _letter(char: str, escape: bool) -> str:
    return f"\\u{ord(char):04x}" if escape or char in '"\\\0' else char


def readings(text: str) -> set[str]:
    """The models that different servers could read: first or last of repeated keys, minding case or not."""
    found = set()
    for fold in (str, str.lower):
        for first in (False, True):

            def pick(pairs: list[tuple[str, Any]], fold: Any = fold, first: bool = first) -> dict[str, Any]:
                ordered = [(fold(key.partition("\0")[0]), value) for key, value in pairs]
                return dict(reversed(ordered) if first else ordered)

            found.add(repr(json.loads(text, object_pairs_hook=pick).get("model")))
    return found


@settings(deadline=None)
@given(st.lists(st.tuples(_KEYS, _VALUES), max_size=5).map(Written), st.data())
def test_an_allowed_body_has_one_reading(body: Written, data: st.DataObject) -> None:
    text = spell(body, data.draw)
    verdict = with_body(text.encode(), who="admin")
    if isinstance(verdict, Access):
        assert readings(text) == {repr(verdict.model)}


@settings(deadline=None)
@given(st.lists(st.tuples(_KEYS, _VALUES), max_size=5).map(Written), st.data())
def test_the_quick_look_passes_nothing_that_the_thorough_one_would_stop(body: Written, data: st.DataObject) -> None:
    text = spell(body, data.draw).encode()
    for keys in (("model",), ("task", "disk"), ("Model",), ("x",)):
        assert _may_repeat(text, keys) or _is_unambiguous(text, keys)


@settings(deadline=None)
@given(
    method=st.sampled_from(["GET", "POST", "PUT", "X", ""]),
    host=st.sampled_from(["models.example.com", "*", "", "x"]) | st.text(max_size=5),
    path=st.lists(st.sampled_from(["v1", "chat", "files", "models", "{id}", "**", "", ".."]), max_size=5).map("/".join),
    who=st.builds(
        Identity,
        claims=st.just({}),
        subject=st.just("s"),
        tenant=st.sampled_from(["acme", "globex", "x", "*", ""]),
        tier=st.sampled_from(["free", "gold", "x", "*", ""]),
        method=st.just("test"),
        roles=st.frozensets(st.sampled_from(["admin", "reader", "x", "*", ""])),
    ),
    state=st.sampled_from(BodyState),
)
@example(
    "GET", "models.example.com", "/v1/models", Identity("s", "acme", "gold", "t", frozenset({"admin"})), BodyState.WHOLE
)
def test_access_is_only_what_the_policy_says(
    method: str, host: str, path: str, who: Identity, state: BodyState
) -> None:
    sent = Request("r", method, host, path, body=b'{"model":"small"}', body_state=state)
    verdict = authorize(POLICY, who, sent)
    if isinstance(verdict, Access):
        endpoint = verdict.endpoint
        assert method in endpoint.methods
        assert host in endpoint.hosts or "*" in endpoint.hosts
        assert who.tenant == endpoint.owner or who.tenant in endpoint.shared_with
        assert {grant.role for grant in POLICY.tenants[who.tenant].grants} & who.roles
        assert set(POLICY.floor_rulesets) <= set(verdict.rulesets)
        assert set(POLICY.floor_limits) <= set(verdict.limits)
        assert not endpoint.request_body or state is BodyState.WHOLE


_LISTS = st.none() | st.frozensets(st.sampled_from(["chat", "models", "files", "deep"]))
_GRANTS = st.builds(
    Grant,
    role=st.sampled_from(["admin", "reader", "x", "*"]),
    endpoints=_LISTS,
    methods=st.none() | st.frozensets(st.sampled_from(["GET", "POST"])),
    models=st.none() | st.frozensets(st.sampled_from(["small", "large"])),
)
_SENT = st.sampled_from(
    [
        request(body='{"model":"small"}'),
        request(body='{"model":"large"}'),
        request(method="GET", path="/v1/models"),
        request(method="GET", path="/v1/files/7"),
    ]
)


@settings(deadline=None)
@given(st.lists(_GRANTS, max_size=4), st.lists(_GRANTS, max_size=3), _SENT, st.sampled_from(["admin", "free-admin"]))
def test_a_deny_only_takes_away_and_wins_over_every_grant(
    grants: list[Grant], denies: list[Grant], sent: Request, who: str
) -> None:
    def verdict(denies: list[Grant]) -> Access | Deny:
        acme = Tenant("acme", tuple(grants), denies=tuple(denies))
        return authorize(dataclasses.replace(POLICY, tenants={**POLICY.tenants, "acme": acme}), identity(who), sent)

    without, given_denies = verdict([]), verdict(denies)
    covering = [
        deny
        for deny in denies
        if deny.role in ("*", "admin")
        and isinstance(without, Access)
        and (deny.endpoints is None or without.endpoint.name in deny.endpoints)
        and (deny.methods is None or sent.method in deny.methods)
        and (deny.models is None or without.model in deny.models)
    ]
    if covering:
        assert isinstance(given_denies, Deny)
        assert given_denies.reason is Reason.ACCESS_DENIED
    elif isinstance(without, Access):
        assert given_denies == without
    else:
        assert isinstance(given_denies, Deny)


def test_refusals_name_their_rule_and_the_rules_stand_in_the_order_in_which_they_are_asked() -> None:
    refused = {
        verdict.rule
        for case in DATA["cases"]
        if isinstance(verdict := authorize(POLICY, identity(case["as"]), request(**case.get("request", {}))), Deny)
    }
    assert refused == set(Rule)
    asked = re.findall(r"\bRule\.([A-Z_]+)|_(method_not_allowed|scope_insufficient)\(", inspect.getsource(authorize))
    helpers = {"method_not_allowed": "METHOD", "scope_insufficient": "SCOPES"}
    assert [name or helpers[helper] for name, helper in asked] == [rule.name for rule in Rule]


@pytest.mark.parametrize("order", [("large", "small"), ("small", "large")])
def test_two_headers_that_name_a_model_get_nobody_past_a_deny(order: tuple[str, str]) -> None:
    policy = parse_policy("""
version: 1
tiers: {free: {}}
tenants:
  acme:
    grants: [{role: analyst, endpoints: [chat]}]
    denies: [{endpoints: [chat], models: [large]}]
endpoints:
  chat:
    owner: acme
    match: {hosts: "*", path: /chat, methods: [POST]}
    model: {from: header.x-model, allowed: {free: "*"}}
""")
    ada = Identity("ada", "acme", "free", "api_key", roles=frozenset({"analyst"}))

    def verdict(*models: str) -> Access | Deny:
        headers = [("x-model", model) for model in models]
        request = canonical(request_id="r", method="POST", target="/chat", authority="a.example", headers=headers)
        assert isinstance(request, Request)
        return authorize(policy, ada, request)

    assert isinstance(verdict("small"), Access)
    for models in (("large",), order):
        assert isinstance(verdict(*models), Deny)
