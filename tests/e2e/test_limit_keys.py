"""Who shares a count and who does not, through the real Envoy: one endpoint for each attribute, three calls an hour."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from typing import Any

import pytest

from tests.e2e.stack import Gate, running_gate
from tests.e2e.upstream import Upstream, chat, json_answer
from tests.identity import forge

LIMIT = 3


def _endpoint(name: str, per: str, more: str = "") -> str:
    return f"""
  {name}:
    owner: acme
    match: {{hosts: ["*"], path: "/{name}", methods: [GET]}}
    limits: [{{name: three, algorithm: sliding_window, limit: {LIMIT}, window: 1h, per: [{per}]}}]{more}"""


POLICY = f"""
version: 1
platform:
  identity:
    api_keys: {{header: x-api-key, file: keys.yaml}}
    issuers:
      - {{name: corp, issuer: "{forge.ISSUER}", audiences: [models], jwks_file: jwks.json,
         claims: {{tenant: org, tier: plan, roles: roles}}}}
  trusted_hops: 1
tiers:
  free: {{}}
  premium: {{}}
  scoped: {{limits: [{{name: each, algorithm: sliding_window, limit: {LIMIT}, window: 1h, per: [subject, scope]}}]}}
tenants:
  acme:
    grants: [{{role: analyst, endpoints: "*"}}]
  beta:
    grants: [{{role: analyst, endpoints: "*"}}]
endpoints:""" + "".join(
    (
        _endpoint("address", "client_ip"),
        _endpoint("client", "client_id", '\n    shared_with: "*"'),
        _endpoint("key", "api_key"),
        _endpoint("pair", "subject, client_id"),
        _endpoint("read", "subject, endpoint", "\n    scopes: [read]"),
        _endpoint("list", "subject, endpoint", "\n    scopes: [read]"),
        _endpoint("write", "subject, endpoint", "\n    scopes: [write, read]"),
    )
)


@pytest.fixture(scope="module")
def keyed(asking: dict[str, bool], tmp_path_factory: pytest.TempPathFactory, upstream: Upstream) -> Iterator[Gate]:
    directory = tmp_path_factory.mktemp("keys")
    (directory / "jwks.json").write_text(json.dumps({"keys": [forge.jwk_of("rsa", "rsa")]}))
    with running_gate(directory, upstream, policy=POLICY, **asking) as gate:
        yield gate


def token(**claims: Any) -> dict[str, str]:
    now = int(time.time())
    body = {**forge.good_claims(), "iat": now, "exp": now + 300, "org": "acme", **claims}
    return {"authorization": f"Bearer {forge.token(body)}"}


def admitted(gate: Gate, path: str, headers: dict[str, str], calls: int = LIMIT + 1) -> int:
    """How many of so many calls got through."""
    answer = gate.script(json_answer(chat("hello")))
    statuses = [gate.send("GET", path, answer, key=None, headers=headers).status_code for _ in range(calls)]
    assert set(statuses) <= {200, 429}
    return statuses.count(200)


def test_an_address_counts_as_what_one_subscriber_holds_behind_the_trusted_hop(keyed: Gate) -> None:
    def from_(address: str) -> dict[str, str]:
        return {**token(), "x-forwarded-for": address}

    assert admitted(keyed, "/address", from_("192.0.2.7")) == LIMIT
    assert admitted(keyed, "/address", from_("192.0.2.8")) == LIMIT
    assert admitted(keyed, "/address", from_("2001:db8:1:2::1")) == LIMIT
    assert admitted(keyed, "/address", from_("2001:db8:1:2:ffff::9")) == 0
    assert admitted(keyed, "/address", from_("2001:db8:1:3::1")) == LIMIT
    # What is further left was written by the client itself.
    assert admitted(keyed, "/address", from_("203.0.113.1, 192.0.2.7")) == 0


def test_an_application_counts_within_its_tenant_whoever_uses_it(keyed: Gate) -> None:
    assert admitted(keyed, "/client", token(client_id="app-1"), 2) == 2
    assert admitted(keyed, "/client", token(azp="app-1", sub="user-2"), 2) == 1
    assert admitted(keyed, "/client", token(azp="app-2")) == LIMIT
    assert admitted(keyed, "/client", token(client_id="app-1", org="beta")) == LIMIT
    assert admitted(keyed, "/client", {"x-api-key": keyed.keys["free"]}) == LIMIT


def test_each_api_key_counts_for_itself(keyed: Gate) -> None:
    assert admitted(keyed, "/key", {"x-api-key": keyed.keys["free"]}) == LIMIT
    assert admitted(keyed, "/key", {"x-api-key": keyed.keys["premium"]}) == LIMIT


def test_attributes_combine(keyed: Gate) -> None:
    assert admitted(keyed, "/pair", token(client_id="app-1")) == LIMIT
    assert admitted(keyed, "/pair", token(client_id="app-2")) == LIMIT
    assert admitted(keyed, "/pair", token(client_id="app-1", sub="user-2")) == LIMIT
    assert admitted(keyed, "/pair", token(client_id="app-2", sub="user-1")) == 0


def test_endpoints_that_ask_for_the_same_scopes_share_a_count_whatever_else_the_token_holds(keyed: Gate) -> None:
    narrow = token(plan="scoped", scope="read")
    assert admitted(keyed, "/read", narrow, 2) == 2
    assert admitted(keyed, "/list", token(plan="scoped", scope="read other"), 2) == 1
    assert admitted(keyed, "/write", token(plan="scoped", scope="other read write")) == LIMIT
    assert admitted(keyed, "/read", token(plan="scoped", scope="read", sub="user-2"), 2) == 2
