"""Bound tokens (DPoP) through the client's own engine: what Envoy knows of a call, the caller says."""

from __future__ import annotations

import json
import time
from pathlib import Path

from tidegate_client import LocalPolicy
from tidegate_client.web import from_asgi

from tests.identity import forge
from tests.identity.proofs import made

PEPPER = b"pepper-of-the-tests-that-is-long-enough"
POLICY = """
version: 1
platform:
  identity:
    issuers:
      - name: corp
        issuer: https://id.example.com/
        audiences: [models]
        jwks_file: keys.json
        dpop: required
        claims: {tenant: org.id, tier: plan, roles: roles}
    dpop: {nonce: true}
tiers: {free: {}}
tenants: {acme: {grants: [{role: analyst, endpoints: "*"}]}}
endpoints:
  predict: {owner: acme, match: {hosts: ["*"], path: "/predict/**", methods: [GET]}}
"""


async def test_a_bound_token_opens_an_application_once_for_what_it_was_proved_for(tmp_path: Path) -> None:
    (tmp_path / "keys.json").write_text(json.dumps({"keys": [forge.jwk_of("rsa", "rsa")]}))
    (tmp_path / "policy.yaml").write_text(POLICY)
    asked = made({"claims": {"nonce": "{good}"}}, time.time(), pepper=PEPPER)
    pairs = [line.split(": ", 1) for line in asked.lines]
    scope = {
        "method": "GET",
        "path": "/predict/x",
        "scheme": "http",
        "headers": [(b"host", b"x"), *((name.encode(), value.encode()) for name, value in pairs)],
    }
    async with LocalPolicy(tmp_path / "policy.yaml", key_pepper=PEPPER) as engine:
        wrong = await engine.decide(**{**from_asgi(scope), "scheme": "https"})
        unknown = await engine.decide(**{**from_asgi(scope), "scheme": ""})
        assert (wrong.allowed, unknown.allowed) == (False, False)
        assert (await engine.decide(**from_asgi(scope))).allowed
        assert not (await engine.decide(**from_asgi(scope))).allowed
