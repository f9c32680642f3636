"""Proofs of possession (RFC 9449): every case of tests/cases/dpop_adversarial.yaml, and what needs memory."""

from __future__ import annotations

import asyncio
import json
from dataclasses import replace
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest
from tidegate.edge import canonical
from tidegate.errors import PolicyError, StoreUnavailable
from tidegate.identity import BearerVerifier, Identifier, Introspector, KeyStore
from tidegate.identity.confirmation import Confirmation
from tidegate.identity.keyset import public_key
from tidegate.identity.nonces import LIFETIME, nonces_under
from tidegate.identity.replays import HOLDER, MemoryReplays, Replays
from tidegate.model import Deny, Identity, Reason, Request
from tidegate.policy.compiled import Policy
from tidegate.policy.compiled_identity import ClaimMap, Dpop, Introspection
from tidegate.policy.load import load_policy
from tidegate.settings import Settings
from tidegate.startup import check_proofs, remembers_proofs

from tests.e2e.certificates import make_certificates
from tests.identity import forge, proofs
from tests.identity.forge import NOW, FakeClock
from tests.identity.key_server import KeyServer
from tests.identity.proofs import CASES, Made, made, thumbprint
from tests.identity.test_identifier import BOTH, TOKENS_ONLY

PEPPER = b"pepper-of-the-tests-that-is-long-enough"
GOOD: dict[str, Any] = {}


@pytest.fixture
def replays(clock: FakeClock) -> MemoryReplays:
    return MemoryReplays(clock)


@pytest.fixture
def identifier(verifier: BearerVerifier, clock: FakeClock, replays: MemoryReplays) -> Identifier:
    return over(replays, verifier, clock)


def over(replays: Replays | None, verifier: BearerVerifier, clock: FakeClock, pepper: bytes = PEPPER) -> Identifier:
    return Identifier(
        keys=KeyStore({}, pepper=PEPPER),
        verifier=verifier,
        introspector=Introspector(clock=clock),
        confirmation=Confirmation(clock=clock, replays=replays, nonces=nonces_under(pepper)),
        clock=clock,
    )


def request(asked: Made, *, scheme: str = "http", certificate: str = "") -> Request | Deny:
    fields = [(name, value.strip(" ")) for name, _, value in (line.partition(":") for line in asked.lines)]
    return canonical(
        request_id="1",
        method=asked.method,
        target=asked.target,
        authority=asked.host,
        headers=fields,
        scheme=scheme,
        peer_certificate=certificate,
    )


async def ask(identifier: Identifier, asked: Made, policy: Policy = TOKENS_ONLY, **options: str) -> Identity | Deny:
    read = request(asked, **options)
    return read if isinstance(read, Deny) else await identifier.identify(policy, read)


async def detail(identifier: Identifier, asked: Made, policy: Policy = TOKENS_ONLY, **options: str) -> str:
    verdict = await ask(identifier, asked, policy, **options)
    assert isinstance(verdict, Deny), verdict
    return verdict.detail


def test_cases_differ_and_are_many() -> None:
    assert len({case["name"] for case in CASES}) == len(CASES)
    assert len({json.dumps({k: v for k, v in c.items() if k != "name"}, sort_keys=True) for c in CASES}) == len(CASES)
    assert sum(case["expect"] != "ok" for case in CASES) >= 140


@pytest.mark.parametrize("case", CASES, ids=[case["name"] for case in CASES])
async def test_case(case: dict[str, Any], identifier: Identifier, replays: MemoryReplays) -> None:
    asked = made(case, pepper=PEPPER)
    policy = replace(TOKENS_ONLY, dpop=Dpop(nonce=case.get("nonce", False)))
    verdict = await ask(identifier, asked, policy)
    if case["expect"] == "ok":
        assert isinstance(verdict, Identity), verdict
        return
    assert isinstance(verdict, Deny), verdict
    assert (verdict.detail, verdict.status) == (case["expect"], case.get("status", 401))
    assert len(replays) == 0  # no memory was spent on it
    challenge = dict(verdict.headers).get("www-authenticate", "")
    error = case.get("error", "invalid_dpop_proof")
    if verdict.status == 401 and error:
        assert f'error="{error}"' in challenge
    assert ("dpop-nonce" in dict(verdict.headers)) is (error == "use_dpop_nonce")
    for line in asked.lines:  # nothing of what came is echoed
        for part in line.split("."):
            assert len(part) < 20 or part not in repr(verdict)


async def test_a_proof_is_good_once(identifier: Identifier) -> None:
    asked = made(GOOD, pepper=PEPPER)
    assert isinstance(await ask(identifier, asked), Identity)
    verdict = await ask(identifier, asked)
    assert isinstance(verdict, Deny)
    assert (verdict.status, verdict.detail) == (401, "dpop_replayed")
    assert 'error="invalid_dpop_proof"' in dict(verdict.headers)["www-authenticate"]
    assert isinstance(await ask(identifier, made(GOOD, pepper=PEPPER)), Identity)


async def test_the_id_of_a_proof_counts_not_its_bytes_and_is_its_keys_own(identifier: Identifier) -> None:
    assert isinstance(await ask(identifier, made(GOOD, pepper=PEPPER, jti="one")), Identity)
    elsewhere = made({"target": "/predict/y"}, pepper=PEPPER, jti="one")
    assert await detail(identifier, elsewhere) == "dpop_replayed"
    another = made({"key": "ecother"}, pepper=PEPPER, jti="one")
    assert isinstance(await ask(identifier, another), Identity)


async def test_of_many_at_once_one_is_the_first(identifier: Identifier) -> None:
    asked = made(GOOD, pepper=PEPPER)
    verdicts = await asyncio.gather(*(ask(identifier, asked) for _ in range(20)))
    assert sum(isinstance(verdict, Identity) for verdict in verdicts) == 1


async def test_a_used_proof_is_remembered_until_it_is_too_old_anyway(
    identifier: Identifier, clock: FakeClock, replays: MemoryReplays
) -> None:
    for age in (-59.0, 0.0, 59.0):
        asked = made({"claims": {"iat": f"now{age:+}"}}, clock.wall, pepper=PEPPER)
        assert isinstance(await ask(identifier, asked), Identity)
        for step in range(1, 121):
            clock.advance(1)
            reason = await detail(identifier, asked)
            assert reason == ("dpop_replayed" if step < 60 + age else "dpop_iat")
    clock.advance(30)
    assert isinstance(await ask(identifier, made(GOOD, clock.wall, pepper=PEPPER)), Identity)
    assert len(replays) == 1  # the others are gone


async def test_a_memory_that_is_full_forgets_nothing_and_denies(clock: FakeClock) -> None:
    memory = MemoryReplays(clock, size=2)
    assert await memory.first(b"a", 10) and await memory.first(b"b", 20)
    assert not await memory.first(b"a", 10)
    with pytest.raises(StoreUnavailable):
        await memory.first(b"c", 10)
    clock.advance(10)
    assert await memory.first(b"c", 10)
    assert not await memory.first(b"b", 10)
    assert len(memory) == 2


async def test_one_caller_alone_does_not_fill_the_memory_for_all(clock: FakeClock) -> None:
    memory = MemoryReplays(clock, size=16)
    mine, yours = b"m" * HOLDER, b"y" * HOLDER
    for number in range(8):  # a caller who is alone has half of it
        assert await memory.first(mine + bytes([number]), 10)
    with pytest.raises(StoreUnavailable):
        await memory.first(mine + b"x", 10)
    assert not await memory.first(mine + bytes([0]), 10)  # and nothing of it is forgotten
    assert await memory.first(yours + b"1", 10) and await memory.first(yours + b"2", 10)
    with pytest.raises(StoreUnavailable):
        await memory.first(yours + b"3", 10)
    clock.advance(10)
    assert await memory.first(mine + bytes([0]), 10)
    assert len(memory) == 1


async def test_proofs_of_one_key_are_known_as_such(identifier: Identifier, replays: MemoryReplays) -> None:
    for case in (GOOD, GOOD, {"key": "ecother"}):
        assert isinstance(await ask(identifier, made(case, pepper=PEPPER)), Identity)
    assert sorted(replays._of.values()) == [1, 2]


class Out:
    async def first(self, digest: bytes, seconds: float) -> bool:
        raise StoreUnavailable("out")

    async def close(self) -> None: ...


@pytest.mark.parametrize("memory", [Out(), None])
async def test_without_a_memory_nobody_is_let_in(
    memory: Replays | None, verifier: BearerVerifier, clock: FakeClock
) -> None:
    verdict = await ask(over(memory, verifier, clock), made(GOOD, pepper=PEPPER))
    assert isinstance(verdict, Deny)
    assert (verdict.status, verdict.reason) == (503, Reason.IDENTITY_UNAVAILABLE)
    assert "retry-after" in dict(verdict.headers)
    unbound = made({"cnf": None, "lines": ["authorization: Bearer {token}"]}, pepper=PEPPER)
    assert isinstance(await ask(over(memory, verifier, clock), unbound), Identity)


async def test_a_slow_memory_lets_no_old_proof_in(verifier: BearerVerifier, clock: FakeClock) -> None:
    class Slow(MemoryReplays):
        async def first(self, digest: bytes, seconds: float) -> bool:
            clock.advance(61)
            return await super().first(digest, seconds)

    assert await detail(over(Slow(clock), verifier, clock), made(GOOD, pepper=PEPPER)) == "dpop_iat"


NONCE = replace(TOKENS_ONLY, dpop=Dpop(nonce=True))


async def test_a_nonce_is_asked_for_and_then_good_at_every_replica(
    identifier: Identifier, verifier: BearerVerifier, clock: FakeClock
) -> None:
    verdict = await ask(identifier, made(GOOD, pepper=PEPPER), NONCE)
    assert isinstance(verdict, Deny)
    headers = dict(verdict.headers)
    assert (verdict.status, verdict.reason) == (401, Reason.NONCE_REQUIRED)
    assert headers["www-authenticate"].startswith('DPoP realm="tidegate", error="use_dpop_nonce"')
    given = {"claims": {"nonce": headers["dpop-nonce"]}}
    replica = over(MemoryReplays(clock), verifier, clock)
    assert isinstance(await ask(replica, made(given, pepper=PEPPER), NONCE), Identity)
    clock.advance(LIFETIME - NOW % LIFETIME)  # the next one is given out now
    assert isinstance(await ask(replica, made(given, clock.wall, pepper=PEPPER), NONCE), Identity)
    clock.advance(LIFETIME)
    late = made({**given, "token": {"exp": "now+300"}}, clock.wall, pepper=PEPPER)
    assert await detail(replica, late, NONCE) == "dpop_nonce_old"


async def test_without_a_pepper_there_are_no_nonces_and_nobody_passes(
    verifier: BearerVerifier, clock: FakeClock
) -> None:
    blank = over(MemoryReplays(clock), verifier, clock, pepper=b"")
    verdict = await ask(blank, made(GOOD, pepper=PEPPER), NONCE)
    assert isinstance(verdict, Deny)
    assert verdict.status == 503


async def test_a_proof_without_its_nonce_does_not_use_up_its_id(identifier: Identifier) -> None:
    assert await detail(identifier, made(GOOD, pepper=PEPPER, jti="one"), NONCE) == "dpop_nonce_missing"
    again = made({"claims": {"nonce": "{good}"}}, pepper=PEPPER, jti="one")
    assert isinstance(await ask(identifier, again, NONCE), Identity)


async def test_where_a_binding_is_required_a_bearer_token_opens_nothing(identifier: Identifier) -> None:
    strict = replace(TOKENS_ONLY, issuers=(forge.issuer(dpop="required"),))
    unbound = made({"cnf": None, "lines": ["authorization: Bearer {token}"]}, pepper=PEPPER)
    assert await detail(identifier, unbound, strict) == "unbound"
    bare = made({"lines": []}, pepper=PEPPER)
    missing = await ask(identifier, bare, strict)
    assert isinstance(missing, Deny)
    challenge = dict(missing.headers)["www-authenticate"]
    assert challenge.startswith('Bearer realm="tidegate", DPoP algs="')
    assert isinstance(await ask(identifier, made(GOOD, pepper=PEPPER), strict), Identity)


async def test_an_opaque_token_is_bound_by_what_its_provider_says(
    verifier: BearerVerifier, clock: FakeClock, server: KeyServer
) -> None:
    answer = {"active": True, "sub": "ada", "exp": NOW + 60, "cnf": {"jkt": thumbprint("ecclient")}}
    server.body = json.dumps(answer).encode()
    introspection = Introspection(
        "opaque", server.url, "tidegate", "secret-of-the-tests", claims=ClaimMap(default_tenant="a", default_tier="b")
    )
    policy = replace(TOKENS_ONLY, issuers=(), introspection=introspection)
    asker = Introspector(clock=clock, timeout=5.0)
    confirmation = Confirmation(clock=clock, replays=MemoryReplays(clock))
    identifier = Identifier(
        keys=KeyStore({}, pepper=b""), verifier=verifier, introspector=asker, confirmation=confirmation, clock=clock
    )
    proof = made({"claims": {"ath": proofs.ath("opaque")}}, pepper=PEPPER).lines[1]
    asked = Made("GET", "/predict/x", "x", ["authorization: DPoP opaque", proof])
    assert isinstance(await ask(identifier, asked, policy), Identity)
    assert await detail(identifier, asked, policy) == "dpop_replayed"
    assert await detail(identifier, asked._replace(lines=asked.lines[:1]), policy) == "dpop_missing"
    bearer = asked._replace(lines=["authorization: Bearer opaque"])
    assert await detail(identifier, bearer, policy) == "dpop_downgraded"
    await asker.close()


async def test_an_api_key_has_no_scheme_but_its_own(identifier: Identifier) -> None:
    key = Made("GET", "/predict/x", "x", ["authorization: DPoP tg_abcdefghijkl_" + "A" * 43])
    assert await detail(identifier, key, BOTH) == "segments"


async def test_a_token_bound_to_both_needs_both(identifier: Identifier, tmp_path: Path) -> None:
    from cryptography import x509
    from cryptography.hazmat.primitives import hashes

    pem = make_certificates(tmp_path, "spiffe://prod.example.com/a").cert.read_bytes()
    digest = forge.b64(x509.load_pem_x509_certificate(pem).fingerprint(hashes.SHA256()))
    both = {"cnf": {"jkt": thumbprint("ecclient"), "x5t#S256": digest}}
    certificate = quote(pem, safe="")
    assert isinstance(await ask(identifier, made(both, pepper=PEPPER), certificate=certificate), Identity)
    assert await detail(identifier, made(both, pepper=PEPPER)) == "cnf_no_certificate"
    no_proof = made({**both, "lines": ["authorization: DPoP {token}"]}, pepper=PEPPER)
    assert await detail(identifier, no_proof, certificate=certificate) == "dpop_missing"


async def test_the_scheme_is_the_policys_word_where_tls_ends_elsewhere(identifier: Identifier) -> None:
    https = {"claims": {"htu": "https://x/predict/x"}}
    assert await detail(identifier, made(https, pepper=PEPPER)) == "dpop_htu"
    assert isinstance(await ask(identifier, made(https, pepper=PEPPER), scheme="https"), Identity)
    behind = replace(TOKENS_ONLY, dpop=Dpop(scheme="https"))
    assert isinstance(await ask(identifier, made(https, pepper=PEPPER), behind), Identity)
    assert await detail(identifier, made(GOOD, pepper=PEPPER), behind) == "dpop_htu"


@pytest.mark.parametrize("scheme", ["", "ws", "gopher"])
async def test_an_edge_that_does_not_say_what_was_called_proves_nothing(scheme: str, identifier: Identifier) -> None:
    assert await detail(identifier, made(GOOD, pepper=PEPPER), scheme=scheme) == "dpop_htu"


async def test_only_the_algorithms_of_the_policy_count(identifier: Identifier) -> None:
    narrow = replace(TOKENS_ONLY, dpop=Dpop(algorithms=("ES384",)))
    verdict = await ask(identifier, made(GOOD, pepper=PEPPER), narrow)
    assert isinstance(verdict, Deny)
    assert verdict.detail == "dpop_alg_not_allowed"
    assert 'algs="ES384"' in dict(verdict.headers)["www-authenticate"]


def test_thumbprints_are_those_of_the_standards() -> None:
    """The examples of RFC 7638 section 3.1 and RFC 9449 sections 4.1 and 6.1."""
    modulus = (
        "0vx7agoebGcQSuuPiLJXZptN9nndrQmbXEps2aiAFbWhM78LhWx4cbbfAAtVT86zwu1RK7aPFFxuhDR1L6tSoc_BJECPebWKRXjBZCiFV4n3oknjhMstn6"
        "4tZ_2W-5JsGY4Hc5n9yBXArwl93lqt7_RN5w6Cf0h4QyQ5v-65YGjQR0_FDW2QvzqY368QQMicAtaSqzs8KJZgnYb9c7d0zgdAZHzu6qMQvRL5hajrn1n9"
        "1CbOpbISD08qNLyrdkt-bFTWhAI4vMQFh6WeZu0fM4lFd2NcRwr3XPksINHaQ-G_xBniIqbw0Ls1jF44-csFCur-kEgU8awapJzKnqDKgw"
    )
    rsa = public_key({"kty": "RSA", "n": modulus, "e": "AQAB", "alg": "RS256", "kid": "2011-04-29"})
    point = {"x": "l8tFrhx-34tV3hRICRDY9zCkDlpBhF42UQUfWVAWBFs", "y": "9VE4jf_Ok_o64zbTTlcuNJajHmt6v9TDVrU0CdvGRDA"}
    ec = public_key({"kty": "EC", "crv": "P-256", **point})
    assert rsa is not None and rsa.thumbprint() == "NzbLsXh8uDCcd-6MNwXF4W_7noWXFZAfHkxZsRGC9Xs"
    assert ec is not None and ec.thumbprint() == "0ZcOCORZNYy-DWpqq30jZyJGHTN0d2HglBV3uiguA4I"
    assert proofs.ath("Kz~8mXK1EalYznwH-LC-1fBAo.4Ljp~zsPE_NeO.gxU") == "fUHyO2r2Z3DZ53EsNrWBb0xWXoaNy59IiKCAqksmQEo"


def test_what_a_process_must_have_for_proofs(tmp_path: Path) -> None:
    text = """
version: 1
platform:
  identity:
    issuers: [{name: a, issuer: "https://a.example/", audiences: [x], dpop: DPOP, claims: {tenant: t, tier: t}}]
    dpop: {nonce: NONCE}
"""
    path = tmp_path / "policy.yaml"

    def checked(dpop: str, nonce: str, **settings: Any) -> None:
        path.write_text(text.replace("DPOP", dpop).replace("NONCE", nonce))
        check_proofs(load_policy(path), Settings(path, **settings))

    checked("required", "false")
    checked("required", "true", pepper=PEPPER, workers=4, store="redis://127.0.0.1")
    checked("optional", "false", workers=4)
    with pytest.raises(PolicyError, match=r"dpop: required.*--store"):
        checked("required", "false", workers=2)
    with pytest.raises(PolicyError, match=r"dpop: required.*--store"):
        checked("required", "false", replicas=2)
    with pytest.raises(PolicyError, match=r"nonce.*--key-pepper-file"):
        checked("optional", "true")
    assert remembers_proofs(Settings(path)) and not remembers_proofs(Settings(path, workers=2))
