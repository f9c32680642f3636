"""Which requests have to be read before they are admitted."""

from __future__ import annotations

import dataclasses
from typing import Any

import pytest
import yaml
from tidegate.admission.queue.terms import Capacity
from tidegate.envoy.config import Address, EnvoyConfig
from tidegate.model import UNITS, Limit, Unit
from tidegate.policy import parse_policy
from tidegate.policy.compiled import Policy
from tidegate.usage.costs import Costs, is_priced, needs_body, needs_settling

POLICY = parse_policy("""
version: 1
tiers: {free: {}, premium: {}}
tenants: {acme: {}, beta: {}, gamma: {}}
endpoints:
  own: {owner: acme, match: {hosts: ["*"], path: /own, methods: [POST]}}
  lent: {owner: beta, shared_with: [acme], match: {hosts: ["*"], path: /lent, methods: [POST]}}
""")


def limit(unit: Unit) -> Limit:
    return Limit("somewhere", "l", "sliding_window", 10, 60.0, cost=unit)


def needing(policy: Policy) -> set[str]:
    return {endpoint.name for endpoint in policy.endpoints if needs_body(policy, endpoint)}


def with_limit(kind: str, name: str, unit: Unit) -> Policy:
    if kind == "floor":
        return dataclasses.replace(POLICY, floor_limits=(limit(unit),))
    if kind == "endpoint":
        changed = (dataclasses.replace(e, limits=(limit(unit),)) if e.name == name else e for e in POLICY.endpoints)
        return dataclasses.replace(POLICY, endpoints=tuple(changed))
    if kind == "subjects":
        owner = dataclasses.replace(POLICY.tenants[name], subjects={"ada": (limit(unit),)})
        return dataclasses.replace(POLICY, tenants={**POLICY.tenants, name: owner})
    held: Any = getattr(POLICY, kind)
    return dataclasses.replace(POLICY, **{kind: held | {name: dataclasses.replace(held[name], limits=(limit(unit),))}})


@pytest.mark.parametrize(
    ("kind", "name", "endpoints"),
    [
        ("floor", "", {"own", "lent"}),
        ("tiers", "premium", {"own", "lent"}),
        ("tenants", "acme", {"own", "lent"}),
        ("tenants", "beta", {"lent"}),
        ("tenants", "gamma", set()),
        ("subjects", "beta", {"lent"}),
        ("endpoint", "own", {"own"}),
    ],
)
def test_an_endpoint_needs_the_body_where_a_priced_limit_can_reach_it(
    kind: str, name: str, endpoints: set[str]
) -> None:
    for unit in UNITS:
        assert needing(with_limit(kind, name, unit)) == (endpoints if unit != "requests" else set())
        assert is_priced([limit(unit)]) is (unit != "requests")


def with_capacity(**given: Any) -> Policy:
    capacity = {"own": Capacity(8, **given)}
    changed = (dataclasses.replace(e, capacity=capacity.get(e.name)) for e in POLICY.endpoints)
    return dataclasses.replace(POLICY, endpoints=tuple(changed))


def test_process_sees_the_requests_where_a_place_is_held() -> None:
    for cost in ("tokens", "requests"):
        policy = with_capacity(cost=cost)
        assert {e.name for e in policy.endpoints if needs_settling(policy, e)} == {"own"}


def test_an_endpoint_needs_the_body_where_shares_are_in_tokens() -> None:
    assert needing(with_capacity()) == {"own"}
    assert needing(with_capacity(cost="requests")) == set()


def test_a_wait_as_long_as_a_check_may_last_is_refused() -> None:
    base: dict[str, Any] = {"listen": Address("127.0.0.1", 1), "workers": (), "default_upstream": Address("x", 3)}
    EnvoyConfig.for_policy(with_capacity(max_wait=0.4), **base, check_timeout=0.5)
    with pytest.raises(ValueError, match="endpoint own: max_wait"):
        EnvoyConfig.for_policy(with_capacity(max_wait=0.5), **base, check_timeout=0.5)


def test_envoy_sends_the_bodies_of_those_endpoints_and_no_others() -> None:
    base = {"listen": Address("127.0.0.1", 1), "workers": (Address("127.0.0.1", 2),)}
    upstream = {"default_upstream": Address("127.0.0.1", 3)}
    plain = EnvoyConfig.for_policy(POLICY, **base, **upstream).render()
    assert "with_request_body" not in plain
    priced = EnvoyConfig.for_policy(with_limit("endpoint", "own", "tokens"), **base, **upstream).render()
    assert "with_request_body" in priced
    (listener,) = yaml.safe_load(priced)["static_resources"]["listeners"]
    manager = listener["filter_chains"][0]["filters"][0]["typed_config"]
    routes = {r["name"]: r for host in manager["route_config"]["virtual_hosts"] for r in host["routes"]}
    assert "disable_request_body_buffering" not in str(routes["own"])
    assert "disable_request_body_buffering" in str(routes["lent"])


def settled_and_asking(policy: Policy) -> tuple[set[str], set[str]]:
    config = EnvoyConfig.for_policy(policy, listen=Address("127.0.0.1", 1), workers=(Address("127.0.0.1", 2),))
    return set(config.settled), set(config.asking)


def test_process_sees_the_requests_whose_reservation_it_has_to_settle_and_the_bodies_that_may_ask_for_usage() -> None:
    assert settled_and_asking(POLICY) == (set(), set())
    for unit in UNITS:
        settled = {"own"} if unit != "requests" else set()
        assert settled_and_asking(with_limit("endpoint", "own", unit)) == (settled, set())
        asking = settled if unit != "request_bytes" else set()
        (own,) = (endpoint for endpoint in POLICY.endpoints if endpoint.name == "own")
        for path, methods, asks in (
            ("/v1/chat/completions", {"POST"}, True),
            ("/v1/{kind}", {"GET", "POST"}, True),
            ("/v1/completions", {"GET"}, False),
            ("/v1/messages", {"POST"}, False),
        ):
            chat = dataclasses.replace(own, path=path, methods=frozenset(methods), limits=(limit(unit),))
            policy = dataclasses.replace(POLICY, endpoints=(chat,))
            assert settled_and_asking(policy) == (settled, asking if asks else set())


def test_every_unit_has_a_cost() -> None:
    assert set(Costs().as_mapping()) == set(UNITS)
