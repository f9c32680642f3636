"""Context tokens: what they say, who can read them, for how long, and that one stands for many requests."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from jose import jwt
from tidegate.context_token import TYPE, ContextTokens, jwks
from tidegate.model import Admission, Allow, Identity
from tidegate.policy import parse_policy
from tidegate.policy.compiled import Policy
from tidegate.policy.signing_keys import ContextToken, signing_key

from tests.identity.forge import NOW, FakeClock
from tests.policy.test_signing_keys import pem

KEYS = {kind: signing_key(pem(kind), where="it", private=True) for kind in ("P-256", "P-384", "RSA")}
OTHER = signing_key(pem("P-256"), where="it", private=True)
PLAIN = parse_policy(
    """
version: 1
tiers: {free: {}}
tenants: {acme: {}}
endpoints:
  chat: {owner: acme, match: {hosts: ["*"], path: /chat, methods: [GET]}}
  files: {owner: acme, match: {hosts: ["*"], path: /files, methods: [GET]}}
"""
)
ADA = Identity(
    subject="ada",
    tenant="acme",
    tier="free",
    method="jwt",
    roles=frozenset({"b", "a"}),
    scopes=frozenset({"write", "read"}),
    claims={"secret_of_the_provider": "must not leave"},
    credential="a-jti",
    expires_at=NOW + 3600,
    client_id="app",
)


def policy(kind: str = "P-256", **given: Any) -> Policy:
    return replace(PLAIN, context_token=ContextToken("gate", (KEYS[kind],), **given))


def allow(identity: Identity = ADA, endpoint: str = "chat") -> Allow:
    return Allow(identity, endpoint, "", (), Admission(()))


def read(token: str, kind: str = "P-256", audience: str = "chat") -> dict[str, Any]:
    key = dict(KEYS[kind].jwk)
    options = {"verify_exp": False, "verify_iat": False}
    claims: dict[str, Any] = jwt.decode(token, key, [key["alg"]], options, audience, "gate")
    return claims


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock()


@pytest.mark.parametrize("kind", KEYS)
def test_a_token_says_who_calls_what_and_nothing_of_the_credential(kind: str, clock: FakeClock) -> None:
    token = ContextTokens(clock=clock).token_for(policy(kind), allow(), "r1")
    claims = read(token, kind)
    assert jwt.get_unverified_header(token) == {"alg": KEYS[kind].alg, "typ": TYPE, "kid": KEYS[kind].kid}
    assert len(claims.pop("jti")) == 32
    assert claims == {
        "iss": "gate", "aud": "chat", "iat": NOW, "exp": NOW + 60, "endpoint": "chat", "sub": "ada", "tenant": "acme",
        "tier": "free", "method": "jwt", "roles": ["a", "b"], "scope": "read write", "client_id": "app",
    }  # fmt: skip


def test_where_the_policy_wants_none_there_is_none(clock: FakeClock) -> None:
    assert ContextTokens(clock=clock).token_for(PLAIN, allow(), "r1") == ""
    assert jwks(PLAIN) is None


def test_a_token_is_for_its_endpoint_or_for_whom_the_policy_says(clock: FakeClock) -> None:
    tokens, base = ContextTokens(clock=clock), policy()
    named = tuple(replace(one, context_audience="pods" if one.name == "chat" else "") for one in base.endpoints)
    other = replace(base, endpoints=named)
    assert read(tokens.token_for(other, allow(), "r"), audience="pods")["endpoint"] == "chat"
    assert read(tokens.token_for(other, allow(endpoint="files"), "r"), audience="files")["endpoint"] == "files"


def test_one_signature_stands_for_half_the_lifetime_of_its_token(clock: FakeClock) -> None:
    tokens = ContextTokens(clock=clock)
    first = tokens.token_for(policy(), allow(), "r1")
    clock.advance(29.9)
    assert tokens.token_for(policy(), allow(), "r2") == first
    clock.advance(0.1)
    second = tokens.token_for(policy(), allow(), "r3")
    assert read(second)["exp"] == NOW + 90
    assert read(second)["jti"] != read(first)["jti"]


@pytest.mark.parametrize(
    "change",
    [
        {"subject": "bob"}, {"tenant": "beta"}, {"tier": "gold"}, {"roles": frozenset()}, {"scopes": frozenset()},
        {"client_id": ""}, {"method": "api_key"}, {"expires_at": None},
    ],
)  # fmt: skip
def test_nobody_gets_the_token_of_another(change: dict[str, Any], clock: FakeClock) -> None:
    tokens = ContextTokens(clock=clock)
    first = tokens.token_for(policy(), allow(), "r")
    assert tokens.token_for(policy(), allow(ADA._replace(**change)), "r") != first
    assert tokens.token_for(policy(), allow(endpoint="files"), "r") != first
    assert tokens.token_for(policy(), allow(), "r") == first


def test_another_key_or_policy_signs_anew(clock: FakeClock) -> None:
    tokens, old = ContextTokens(clock=clock), policy()
    first = tokens.token_for(old, allow(), "r")
    assert old.context_token is not None
    rotated = replace(old, context_token=replace(old.context_token, keys=(OTHER, *old.context_token.keys)))
    assert jwt.get_unverified_header(tokens.token_for(rotated, allow(), "r"))["kid"] == OTHER.kid
    assert tokens.token_for(replace(old, version="next"), allow(), "r") != first


def test_a_request_may_have_a_token_of_its_own_that_names_it(clock: FakeClock) -> None:
    tokens = ContextTokens(clock=clock)
    first, second = (read(tokens.token_for(policy(reuse=0.0), allow(), name)) for name in ("r1", "r2"))
    assert (first["request_id"], second["request_id"]) == ("r1", "r2")
    assert first["jti"] != second["jti"]


@given(left=st.floats(-60, 7200), lifetime=st.floats(5, 3600), later=st.floats(0, 3600))
def test_no_token_outlives_its_credential_by_more_than_the_least_or_is_shown_when_over(
    left: float, lifetime: float, later: float
) -> None:
    clock = FakeClock()
    tokens, ours = ContextTokens(clock=clock), policy(lifetime=lifetime, reuse=lifetime / 2)
    caller = allow(ADA._replace(expires_at=NOW + left))
    for step in (0.0, later):
        clock.advance(step)
        end = read(tokens.token_for(ours, caller, "r"))["exp"]
        assert clock.now() < end <= max(NOW + left, clock.now() + 5)
        assert end <= clock.now() + lifetime


def test_what_is_remembered_is_bounded(clock: FakeClock) -> None:
    tokens = ContextTokens(clock=clock, cache_size=2)
    first = tokens.token_for(policy(), allow(), "r")
    for name in ("bob", "eve"):
        tokens.token_for(policy(), allow(ADA._replace(subject=name)), "r")
    assert len(tokens._signed) == 2
    assert tokens.token_for(policy(), allow(), "r") != first


def test_all_keys_are_published_and_no_private_half(clock: FakeClock) -> None:
    ours = policy()
    assert ours.context_token is not None
    text = jwks(replace(ours, context_token=replace(ours.context_token, keys=tuple(KEYS.values()))))
    assert text is not None
    assert text.count(b'"kid"') == 3
    assert b'"d"' not in text
