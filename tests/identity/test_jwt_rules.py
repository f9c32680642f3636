"""The ten rules of the design, a named test each; tests/cases/jwt_adversarial.yaml has the many variants."""

from __future__ import annotations

import asyncio
import json
import subprocess
import sys
import warnings
from pathlib import Path

import pytest
import tidegate
from tidegate.errors import IdentityProviderUnavailable
from tidegate.identity import BearerVerifier, Introspector, KeySets, bearer
from tidegate.identity.keyset import KeySet, PublicKey
from tidegate.identity.token import Token
from tidegate.model import Deny, Identity, Reason
from tidegate.policy.compiled_identity import ClaimMap, Introspection, Issuer

from tests.identity import forge
from tests.identity.forge import NOW, FakeClock
from tests.identity.key_server import KeyServer
from tests.identity.signatures import Signatures


async def verdict(verifier: BearerVerifier, token: str, version: str = "v1", **issuer: object) -> Identity | Deny:
    return await verifier.verify(token, (forge.issuer(**issuer),), policy_version=version)


async def detail(verifier: BearerVerifier, token: str, **issuer: object) -> str:
    answer = await verdict(verifier, token, **issuer)
    assert isinstance(answer, Deny)
    return answer.detail


async def test_rule_01_shape_length_base64_and_json_are_strict(verifier: BearerVerifier) -> None:
    good = forge.token()
    assert await detail(verifier, good + "A" * 16_384) == "too_long"
    assert await detail(verifier, good + ".AAAA") == "segments"
    assert await detail(verifier, good + "=") == "base64"
    assert await detail(verifier, forge.token('{"x":' + "[" * 99 + "]" * 99 + "}")) == "json_depth"
    assert await detail(verifier, forge.token('{"sub":"a","sub":"b"}')) == "json_duplicate_key"


async def test_rule_02_only_the_issuers_asymmetric_algorithms(verifier: BearerVerifier) -> None:
    assert await detail(verifier, forge.token(header={"alg": "none", "kid": "rsa"})) == "alg_not_allowed"
    confused = forge.token(header={"alg": "HS256", "kid": "rsa"}, alg="HS256", key="rsa:der")
    assert await detail(verifier, confused) == "alg_not_allowed"
    assert await detail(verifier, confused, algorithms=("RS256", "HS256", "none")) == "alg_not_allowed"
    assert await detail(verifier, forge.token(alg="RS384"), algorithms=("RS256",)) == "alg_not_allowed"


async def test_rule_03_exactly_one_configured_key_and_none_from_the_token(verifier: BearerVerifier) -> None:
    stranger = {"alg": "RS256", "kid": "rsa", "jwk": forge.jwk_of("other"), "jku": "https://evil.example/"}
    assert await detail(verifier, forge.token(header=stranger, key="other")) == "signature"
    assert await detail(verifier, forge.token(header={"alg": "RS256", "kid": "x"})) == "kid_unknown"
    twins = (forge.jwk_of("rsa", "rsa"), forge.jwk_of("other", "rsa"))
    assert await detail(verifier, forge.token(), jwks=twins) == "key_ambiguous"
    two = (forge.jwk_of("rsa", "rsa"), forge.jwk_of("other", "other"))
    assert await detail(verifier, forge.token(header={"alg": "RS256"}), jwks=two) == "key_ambiguous"
    assert isinstance(await verdict(verifier, forge.token(header={"alg": "RS256"}), jwks=two[:1]), Identity)


async def test_rule_03_another_issuers_key_does_not_count(verifier: BearerVerifier) -> None:
    ours = forge.issuer()
    theirs = forge.issuer(name="partner", issuer="https://partner.example/", jwks=(forge.jwk_of("other", "other"),))
    claims = forge.good_claims() | {"iss": theirs.issuer}
    assert isinstance(
        await verifier.verify(forge.token(claims, key="other"), (ours, theirs), policy_version="v"), Identity
    )
    crossed = await verifier.verify(forge.token(claims, key="rsa"), (ours, theirs), policy_version="v")
    assert isinstance(crossed, Deny)
    assert crossed.detail == "kid_unknown"


async def test_rule_04_any_crit_is_refused(verifier: BearerVerifier) -> None:
    assert await detail(verifier, forge.token(header={"alg": "RS256", "kid": "rsa", "crit": ["exp"]})) == "crit"


@pytest.mark.parametrize("name", ["exp", "iss", "aud", "sub"])
async def test_rule_05_four_claims_are_required(name: str, verifier: BearerVerifier) -> None:
    claims = forge.good_claims()
    del claims[name]
    assert await detail(verifier, forge.token(claims)) == name


async def test_rule_05_time_is_strict(verifier: BearerVerifier, clock: FakeClock) -> None:
    token = forge.token()  # expires at NOW + 300, leeway 30
    clock.wall = NOW + 329.9
    assert isinstance(await verdict(verifier, token), Identity)
    clock.wall = NOW + 330
    answer = await verdict(verifier, token)
    assert isinstance(answer, Deny)
    assert answer.reason is Reason.CREDENTIAL_EXPIRED
    clock.wall = NOW + 359.9
    assert isinstance(await verdict(verifier, forge.token(), "v2", leeway=1e9), Identity)  # 60 seconds at most
    clock.wall = NOW + 360
    assert await detail(verifier, forge.token(), leeway=1e9) == "expired"
    assert await detail(verifier, forge.token(forge.good_claims() | {"exp": NOW + 10**6})) == "lifetime"


async def test_rule_06_types_and_id_tokens(verifier: BearerVerifier) -> None:
    only = {"types": frozenset({"at+jwt"})}
    assert await detail(verifier, forge.token(), **only) == "typ"
    header = {"alg": "RS256", "kid": "rsa", "typ": "at+jwt"}
    assert isinstance(await verdict(verifier, forge.token(header=header), **only), Identity)
    assert await detail(verifier, forge.token(forge.good_claims() | {"nonce": "n"})) == "id_token"


async def test_rule_07_no_keys_means_503_and_never_a_pass(clock: FakeClock) -> None:
    """The fetching itself is tested in test_jwks."""

    class Down(KeySets):
        def fresh(self, issuer: Issuer) -> None:
            return None

        async def get(self, issuer: Issuer) -> KeySet:
            raise IdentityProviderUnavailable("down")

    answer = await verdict(BearerVerifier(clock=clock, key_sets=Down(clock=clock)), forge.token())
    assert isinstance(answer, Deny)
    assert (answer.status, answer.reason) == (503, Reason.IDENTITY_UNAVAILABLE)
    assert ("retry-after", "5") in answer.headers


async def test_rule_07_key_sets_are_fetched_with_care(
    verifier: BearerVerifier, server: KeyServer, clock: FakeClock
) -> None:
    """One fetch for all who wait, no redirects, a cap, a limit on unknown kids, rotation; more in test_jwks."""
    remote = forge.issuer(jwks=(), jwks_uri=server.url)
    tokens = [forge.token(forge.good_claims() | {"jti": str(n)}) for n in range(8)]
    together = await asyncio.gather(*(verifier.verify(t, (remote,), policy_version="v") for t in tokens))
    assert all(isinstance(one, Identity) for one in together)
    assert server.requests == 1
    strange = [forge.token(header={"alg": "RS256", "kid": f"no-{n}"}) for n in range(20)]
    for token in strange:
        assert await detail(verifier, token, jwks=(), jwks_uri=server.url) == "kid_unknown"
    assert server.requests <= 2
    clock.advance(10)
    server.keys = [forge.jwk_of("other", "other")]
    assert isinstance(await verifier.verify(forge.token(key="other"), (remote,), policy_version="v"), Identity)
    for uri in ("http://id.example.com/jwks", "ftp://127.0.0.1/jwks", "file:///etc/passwd"):
        answer = await verdict(verifier, forge.token(), jwks=(), jwks_uri=uri)
        assert isinstance(answer, Deny)
        assert answer.status == 503


@pytest.mark.parametrize(
    "fault", [("302 Found", ("location: /elsewhere",), b""), ("200 OK", (), b'{"keys":[' + b" " * 2**20 + b"]}")]
)
async def test_rule_07_a_provider_that_misbehaves_is_no_provider(
    fault: tuple[str, tuple[str, ...], bytes], verifier: BearerVerifier, server: KeyServer
) -> None:
    server.status, server.headers, server.body = fault
    answer = await verdict(verifier, forge.token(), jwks=(), jwks_uri=server.url)
    assert isinstance(answer, Deny)
    assert answer.status == 503
    assert server.requests == 1


async def test_rule_08_an_introspected_token_is_judged_again_and_cached_under_its_hash(
    server: KeyServer, clock: FakeClock
) -> None:
    """The variants are in test_introspection."""
    endpoint = Introspection(
        "opaque", server.url, "tidegate", "secret-of-the-tests", issuer="lab", audiences=("models",), cache=10.0,
        claims=ClaimMap(default_tenant="acme", default_tier="free"),
    )  # fmt: skip
    asker = Introspector(clock=clock, timeout=5.0)
    good = {"active": True, "sub": "ada", "iss": "lab", "aud": "models", "exp": NOW + 5}
    bad = (
        {"active": False}, {"active": 1}, {"active": "true"}, {"exp": NOW - 60}, {"exp": "never"}, {"nbf": NOW + 60},
        {"aud": "other"}, {"iss": "other"}, {"sub": 7},
    )  # fmt: skip
    try:
        for number, change in enumerate(bad):
            server.body = json.dumps(good | change).encode()
            refused = await asker.introspect(f"opaque-{number}", endpoint, policy_version="v")
            assert isinstance(refused, Deny), change
            assert refused.status == 401
        server.body = json.dumps(good).encode()
        before = server.requests
        first = await asker.introspect("never-in-a-cache", endpoint, policy_version="v")
        assert isinstance(first, Identity)
        assert await asker.introspect("never-in-a-cache", endpoint, policy_version="v") is first
        assert server.requests == before + 1
        assert "never-in-a-cache" not in repr(asker._answers.keys())
        clock.advance(6)  # within the cache's ten seconds, and past `exp`
        await asker.introspect("never-in-a-cache", endpoint, policy_version="v")
        assert server.requests == before + 2
    finally:
        await asker.close()


@pytest.mark.parametrize("opaque", ["2YotnFZFEjr1zCsicMWpAA", "ab29.c0AfH6SMBx", "opaque_16C7e42F292c6912"])
async def test_rule_08_opaque_tokens_are_refused_where_there_is_no_introspection(
    opaque: str, verifier: BearerVerifier
) -> None:
    """Introspection itself is tested in test_introspection."""
    assert await detail(verifier, opaque) == "segments"


async def test_rule_09_the_memory_dies_with_exp_key_and_policy(
    verifier: BearerVerifier, clock: FakeClock, signatures: Signatures
) -> None:
    issuer, token = forge.issuer(), forge.token()
    first = await verifier.verify(token, (issuer,), policy_version="v1")
    assert await verifier.verify(token, (issuer,), policy_version="v1") is first
    assert signatures.checked == 1
    await verifier.verify(token, (issuer,), policy_version="v2")
    assert signatures.checked == 2  # another policy
    await verifier.verify(forge.token(forge.good_claims() | {"jti": "x"}), (issuer,), policy_version="v1")
    assert signatures.checked == 3  # another token
    clock.wall = NOW + 300
    assert isinstance(await verifier.verify(token, (issuer,), policy_version="v1"), Identity)
    assert signatures.checked == 4  # at exp it is forgotten; the leeway is granted by a full verification only
    clock.wall = NOW + 330
    assert isinstance(await verifier.verify(token, (issuer,), policy_version="v1"), Deny)


async def test_rule_09_the_memory_is_bounded_and_forgets_the_least_used(clock: FakeClock) -> None:
    verifier = BearerVerifier(clock=clock, key_sets=KeySets(clock=clock), cache_size=2)
    issuers = (forge.issuer(),)
    tokens = [forge.token(forge.good_claims() | {"jti": str(n)}) for n in range(3)]
    first = await verifier.verify(tokens[0], issuers, policy_version="v")
    second = await verifier.verify(tokens[1], issuers, policy_version="v")
    assert await verifier.verify(tokens[0], issuers, policy_version="v") is first
    await verifier.verify(tokens[2], issuers, policy_version="v")
    assert len(verifier._verified) == 2
    assert await verifier.verify(tokens[0], issuers, policy_version="v") is first
    assert await verifier.verify(tokens[1], issuers, policy_version="v") is not second


async def test_rule_09_refusals_are_not_remembered(verifier: BearerVerifier, clock: FakeClock) -> None:
    early = forge.token(forge.good_claims() | {"nbf": NOW + 60})
    assert await detail(verifier, early) == "nbf_future"
    clock.advance(60)
    assert isinstance(await verdict(verifier, early), Identity)


async def test_rule_10_every_exception_is_a_refusal(verifier: BearerVerifier, monkeypatch: pytest.MonkeyPatch) -> None:
    for failure in (TypeError, OverflowError, RecursionError, MemoryError, KeyError, AssertionError):

        def broken(token: Token, key: PublicKey, failure: type[Exception] = failure) -> None:
            raise failure("from below")

        monkeypatch.setattr(bearer, "check_signature", broken)
        answer = await verdict(verifier, forge.token())
        assert isinstance(answer, Deny)
        assert answer.status == 401
        assert "from below" not in repr(answer)


async def test_rule_10_the_deadline_is_read_after_the_work(clock: FakeClock) -> None:
    class Slow(KeySets):
        def fresh(self, issuer: Issuer) -> KeySet | None:
            clock.advance(400)
            return super().fresh(issuer)

    answer = await verdict(BearerVerifier(clock=clock, key_sets=Slow(clock=clock)), forge.token())
    assert isinstance(answer, Deny)
    assert answer.reason is Reason.CREDENTIAL_EXPIRED


def test_only_signature_imports_jose() -> None:
    root = Path(tidegate.__file__).parent
    importers = {path.name for path in root.rglob("*.py") if "jose" in "".join(_imports(path))}
    assert importers == {"signature.py"}


def test_each_of_the_ten_rules_has_a_test_of_its_name() -> None:
    named = {name[:12] for name in globals() if name.startswith("test_rule_")}
    assert named == {f"test_rule_{number:02}" for number in range(1, 11)}


def _imports(path: Path) -> list[str]:
    lines = path.read_text(encoding="utf-8").splitlines()
    return [line for line in lines if line.startswith(("import ", "from "))]


def test_importing_and_verifying_warns_of_nothing() -> None:
    code = "import warnings; warnings.simplefilter('error'); import tidegate.identity"
    subprocess.run([sys.executable, "-c", code], check=True)


def test_identity_is_frozen_through_and_through(clock: FakeClock) -> None:
    async def run() -> Identity | Deny:
        return await verdict(BearerVerifier(clock=clock, key_sets=KeySets(clock=clock)), forge.token())

    with warnings.catch_warnings():
        warnings.simplefilter("error")
        identity = asyncio.run(run())
    assert isinstance(identity, Identity)
    with pytest.raises(TypeError):
        identity.claims["sub"] = "admin"  # type: ignore[index]
    with pytest.raises(TypeError):
        identity.claims["org"]["id"] = "other"
    assert identity.claims["roles"] == ("analyst", "admin")
    assert json.dumps(identity.credential) == '"rsa"'
