"""Every token of tests/cases/jwt_adversarial.yaml, and every token near a good one, is refused and never raises."""

from __future__ import annotations

import json
import string
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from tidegate.edge import canonical
from tidegate.identity import BearerVerifier, Identifier, Introspector, KeySets, KeyStore
from tidegate.model import Deny, Identity, Reason
from tidegate.policy.compiled_identity import Issuer

from tests.identity import forge
from tests.identity.mutations import forged
from tests.identity.test_identifier import policy

CASES = yaml.safe_load((Path(__file__).parents[1] / "cases" / "jwt_adversarial.yaml").read_text(encoding="utf-8"))
BASE64URL = string.ascii_letters + string.digits + "-_"


def trusted(changes: dict[str, Any], iss: str = forge.ISSUER) -> Issuer:
    changes = dict(changes)
    if "keys" in changes:
        members = changes.pop("members", {})
        changes["jwks"] = tuple(forge.jwk_of(name, **{"kid": name, **members}) for name in changes.pop("keys"))
    for name in ("algorithms", "types"):
        if name in changes:
            changes[name] = tuple(changes[name]) if name == "algorithms" else frozenset(changes[name])
    return forge.issuer(issuer=iss, **changes)


def test_names_of_cases_are_unique() -> None:
    names = [case["name"] for case in CASES]
    assert len(names) == len(set(names))


def test_there_are_enough_tokens_that_must_be_refused_and_no_two_are_one() -> None:
    """Written out, a case is its token; what differs in name alone is no case."""
    made = {json.dumps({k: v for k, v in case.items() if k != "name"}, sort_keys=True) for case in CASES}
    assert len(made) == len(CASES)
    assert sum(case["expect"] != "ok" for case in CASES) >= 400
    assert sum(case["expect"] == "ok" for case in CASES) >= 30


async def judged(case: dict[str, Any], verifier: BearerVerifier) -> Identity | Deny:
    """By the verifier, or, where the case is about the lines of a request, by the whole phase behind the door."""
    token, issuer = forged(case), trusted(case.get("issuer", {}))
    if "fields" not in case:
        return await verifier.verify(token, (issuer,), policy_version="v1")
    lines = [line.format(token=token).partition(":") for line in case["fields"]]
    target = "/predict/x" + case.get("target", "").format(token=token)
    fields = [(name, value.strip(" ")) for name, _, value in lines]
    request = canonical(request_id="1", method="GET", target=target, authority="x", headers=fields)
    if isinstance(request, Deny):
        return request
    keys, introspector = KeyStore({}, pepper=b""), Introspector(clock=forge.FakeClock())
    identifier = Identifier(keys=keys, verifier=verifier, introspector=introspector, clock=forge.FakeClock())
    return await identifier.identify(policy("", (issuer,)), request)


@pytest.mark.parametrize("case", CASES, ids=[case["name"] for case in CASES])
async def test_case(case: dict[str, Any], verifier: BearerVerifier) -> None:
    verdict = await judged(case, verifier)
    if case["expect"] == "ok":
        assert isinstance(verdict, Identity), verdict
        return
    assert isinstance(verdict, Deny), verdict
    expected = case["expect"] if isinstance(case["expect"], list) else [case["expect"]]
    assert verdict.detail in expected
    assert verdict.status == case.get("status", 401)
    assert (verdict.reason is Reason.CREDENTIAL_EXPIRED) == (verdict.detail == "expired")
    for part in forged(case).split("."):  # nothing of the token is echoed
        assert len(part) < 20 or part not in repr(verdict)


@pytest.fixture(scope="module")
def flat() -> tuple[BearerVerifier, tuple[Issuer, ...]]:
    """A verifier without memory and without fixtures of one test, for properties."""
    clock = forge.FakeClock()
    return BearerVerifier(clock=clock, key_sets=KeySets(clock=clock), cache_size=0), (forge.issuer(),)


async def test_any_one_changed_character_is_denied(flat: tuple[BearerVerifier, tuple[Issuer, ...]]) -> None:
    verifier, issuers = flat
    for alg, key in (("RS256", "rsa"), ("ES256", "ec"), ("PS256", "rsa")):
        good = forge.token(alg=alg, key=key)
        assert isinstance(await verifier.verify(good, issuers, policy_version="v"), Identity)
        for place, char in enumerate(good):
            other = BASE64URL[(BASE64URL.find(char) + 1 + place % 62) % 64]
            bad = good[:place] + other + good[place + 1 :]
            verdict = await verifier.verify(bad, issuers, policy_version="v")
            assert isinstance(verdict, Deny), place
            assert not verdict.detail.startswith("unexpected")


GOOD = {alg: forge.token(alg=alg, key=key) for alg, key in (("RS256", "rsa"), ("ES256", "ec"))}


@settings(max_examples=300, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
async def test_any_mutation_is_denied_and_none_raises(
    data: st.DataObject, flat: tuple[BearerVerifier, tuple[Issuer, ...]]
) -> None:
    verifier, issuers = flat
    good = GOOD[data.draw(st.sampled_from(sorted(GOOD)))]
    start = data.draw(st.integers(0, len(good)))
    end = data.draw(st.integers(start, min(len(good), start + 8)))
    bad = good[:start] + data.draw(st.text(max_size=8)) + good[end:]
    verdict = await verifier.verify(bad, issuers, policy_version="v")
    assert isinstance(verdict, Identity if bad == good else Deny)
    assert isinstance(verdict, Identity) or not verdict.detail.startswith("unexpected")


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=6,
)
REGISTERED = st.sampled_from(["iss", "aud", "sub", "exp", "iat", "nbf", "jti", "org", "plan", "roles", "scope"])


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(member=JSON, claims=st.dictionaries(REGISTERED, JSON, min_size=1, max_size=3))
async def test_signed_nonsense_never_raises(
    member: Any, claims: dict[str, Any], flat: tuple[BearerVerifier, tuple[Issuer, ...]]
) -> None:
    """Even the issuer itself may sign anything: every value of every type in every claim ends in a verdict."""
    verifier, issuers = flat
    signed = forge.token(forge.good_claims() | claims, alg="ES256", key="ec")
    odd = forge.token(None, {"alg": "ES256", "kid": "ec", "typ": member, "x": member}, alg="ES256", key="ec")
    for token in (signed, odd):
        verdict = await verifier.verify(token, issuers, policy_version="v")
        assert isinstance(verdict, Identity) or not verdict.detail.startswith("unexpected")


@settings(max_examples=200, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(text=st.text(alphabet=st.characters(), max_size=200) | st.from_regex(r"[\w-]*\.[\w-]*\.[\w-]*", fullmatch=True))
async def test_any_text_is_denied(text: str, flat: tuple[BearerVerifier, tuple[Issuer, ...]]) -> None:
    verifier, issuers = flat
    verdict = await verifier.verify(text, issuers, policy_version="v")
    assert isinstance(verdict, Deny)
    assert not verdict.detail.startswith("unexpected")
