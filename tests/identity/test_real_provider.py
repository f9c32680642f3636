"""Against a real identity provider: its tokens, its keys, and every way in which it lets us down."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from tidegate.identity import BearerVerifier, Introspector, KeySets
from tidegate.model import Deny, Identity, Reason
from tidegate.policy.compiled_identity import ClaimMap, Introspection, Issuer

from tests.idp.__main__ import CLIENT, SECRET
from tests.idp.provider import IdentityProvider, running_provider


class SteppedClock:
    """The provider's tokens are of today, so wall time is real; the age of its keys is ours to choose."""

    def __init__(self) -> None:
        self.steady = 1000.0

    def now(self) -> float:
        return time.time()

    def monotonic(self) -> float:
        return self.steady


@pytest.fixture(scope="module")
def provider(tmp_path_factory: pytest.TempPathFactory) -> Iterator[IdentityProvider]:
    with running_provider(tmp_path_factory.mktemp("idp")) as running:
        yield running


@pytest.fixture(autouse=True)
def honest(provider: IdentityProvider) -> None:
    provider.lie("")


@pytest.fixture
def stepped() -> SteppedClock:
    return SteppedClock()


@pytest.fixture
async def real_keys(stepped: SteppedClock) -> AsyncIterator[KeySets]:
    made = KeySets(clock=stepped, timeout=5.0)
    yield made
    await made.close()


@pytest.fixture
def real(stepped: SteppedClock, real_keys: KeySets) -> BearerVerifier:
    return BearerVerifier(clock=stepped, key_sets=real_keys)


def issuer_of(provider: IdentityProvider) -> Issuer:
    return Issuer(
        name="canaille",
        issuer=provider.issuer,
        audiences=("models",),
        algorithms=("RS256", "RS512"),
        discover=True,
        max_lifetime=31 * 86_400.0,
        claims=ClaimMap(default_tenant="acme", default_tier="free", default_roles=frozenset({"analyst"})),
    )


async def verify(verifier: BearerVerifier, provider: IdentityProvider, token: str) -> Identity | Deny:
    return await verifier.verify(token, (issuer_of(provider),), policy_version="v")


def unavailable(verdict: Identity | Deny) -> str:
    assert isinstance(verdict, Deny)
    assert (verdict.status, verdict.reason) == (503, Reason.IDENTITY_UNAVAILABLE)
    return verdict.detail


async def test_discovery_and_an_authorization_code(real: BearerVerifier, provider: IdentityProvider) -> None:
    identity = await verify(real, provider, await asyncio.to_thread(provider.user_token))
    assert isinstance(identity, Identity)
    assert (identity.subject, identity.tenant, identity.roles) == ("ada", "acme", {"analyst"})
    assert identity.audiences == {"models"}
    assert identity.claims["name"] == "Ada L"


async def test_its_id_token_is_no_access_token(real: BearerVerifier, provider: IdentityProvider) -> None:
    verdict = await verify(real, provider, (await asyncio.to_thread(provider.user_tokens))["id_token"])
    assert isinstance(verdict, Deny)
    assert (verdict.status, verdict.detail) == (401, "id_token")


async def test_a_token_with_one_letter_changed_is_refused(real: BearerVerifier, provider: IdentityProvider) -> None:
    token = await asyncio.to_thread(provider.user_token)
    head, body, signature = token.split(".")
    for changed in (f"{head}.{body}.{'A' if signature[0] != 'A' else 'B'}{signature[1:]}", f"{head}.{body}."):
        assert isinstance(await verify(real, provider, changed), Deny)


async def test_keys_rotate_under_traffic_and_nobody_is_refused(
    real_keys: KeySets, provider: IdentityProvider, stepped: SteppedClock
) -> None:
    """Callers go on with tokens of the old key, which is still published, and come with new ones at once."""
    verifier = BearerVerifier(clock=stepped, key_sets=real_keys, cache_size=0)  # no memory: every key counts
    tokens = [await asyncio.to_thread(provider.user_token)]
    verdicts: list[tuple[str, Identity | Deny]] = []

    async def traffic() -> None:
        while len(tokens) == 1 or sum(token == tokens[1] for token, _ in verdicts) < 50:
            for token in tokens:
                verdicts.append((token, await verify(verifier, provider, token)))  # noqa: PERF401 - others run between
            await asyncio.sleep(0)

    async with asyncio.timeout(60), asyncio.TaskGroup() as callers:
        for _ in range(4):
            callers.create_task(traffic())
        await asyncio.to_thread(provider.rotate, keep=True)
        stepped.steady += 10  # an unknown key id asks for a newer set at most so often
        tokens.append(await asyncio.to_thread(provider.user_token))
    refused = [verdict for _, verdict in verdicts if isinstance(verdict, Deny)]
    assert not refused, refused[:3]
    assert {token for token, _ in verdicts} == set(tokens)


async def test_a_key_that_was_taken_back_ends_its_tokens(
    real: BearerVerifier, provider: IdentityProvider, stepped: SteppedClock
) -> None:
    old = await asyncio.to_thread(provider.user_token)
    assert isinstance(await verify(real, provider, old), Identity)
    await asyncio.to_thread(provider.rotate, keep=False)
    stepped.steady += 10
    new = await asyncio.to_thread(provider.user_token)
    assert isinstance(await verify(real, provider, new), Identity)
    verdict = await verify(real, provider, old)  # remembered as verified, and forgotten with its key
    assert isinstance(verdict, Deny)
    assert verdict.status == 401


async def test_a_provider_that_is_down_is_bridged_and_found_again(tmp_path: Path, stepped: SteppedClock) -> None:
    key_sets = KeySets(clock=stepped, timeout=5.0)
    verifier = BearerVerifier(clock=stepped, key_sets=key_sets, cache_size=0)
    with running_provider(tmp_path) as first:
        port = int(first.issuer.rpartition(":")[2])
        token = await asyncio.to_thread(first.user_token)
        assert isinstance(await verify(verifier, first, token), Identity)
        await asyncio.to_thread(first.process.kill)
        stepped.steady += 3600
        assert isinstance(await verify(verifier, first, token), Identity)
        stepped.steady += 1
        assert "ConnectError" in unavailable(await verify(verifier, first, token))
    with running_provider(tmp_path, port) as second:
        stepped.steady += 10
        assert isinstance(await verify(verifier, second, await asyncio.to_thread(second.user_token)), Identity)
    await key_sets.close()


async def test_a_slow_provider_holds_nobody_longer_than_its_time(
    provider: IdentityProvider, stepped: SteppedClock
) -> None:
    token = await asyncio.to_thread(provider.user_token)
    await asyncio.to_thread(provider.lie, "slow")
    key_sets = KeySets(clock=stepped, timeout=0.2)
    verifier = BearerVerifier(clock=stepped, key_sets=key_sets)
    async with asyncio.timeout(10):  # the provider itself takes 30 seconds
        assert "TimeoutError" in unavailable(await verify(verifier, provider, token))
        for _ in range(100):
            unavailable(await verify(verifier, provider, token))
    await key_sets.close()


@pytest.mark.parametrize(
    ("lie", "word"),
    [("issuer", "another issuer"), ("redirect", "status 302"), ("huge", "too large"), ("broken", "status 500")],
)
async def test_a_lying_provider_is_not_believed(
    lie: str, word: str, real: BearerVerifier, provider: IdentityProvider, stepped: SteppedClock
) -> None:
    token = await asyncio.to_thread(provider.user_token)
    await asyncio.to_thread(provider.lie, lie)
    assert word in unavailable(await verify(real, provider, token))
    await asyncio.to_thread(provider.lie, "")
    stepped.steady += 10
    assert isinstance(await verify(real, provider, token), Identity)


def endpoint_of(provider: IdentityProvider) -> Introspection:
    return Introspection(
        "canaille",
        f"{provider.issuer}/oauth/introspect",
        CLIENT,
        SECRET,
        issuer=provider.issuer,
        audiences=("models",),
        claims=ClaimMap(client=("client_id",), default_tenant="acme", default_tier="free"),
    )


async def test_a_client_with_its_own_credentials_is_the_caller(
    provider: IdentityProvider, stepped: SteppedClock
) -> None:
    introspector = Introspector(clock=stepped)
    token = await asyncio.to_thread(provider.client_token)
    identity = await introspector.introspect(token, endpoint_of(provider), policy_version="v")
    assert isinstance(identity, Identity)
    assert (identity.subject, identity.method, identity.audiences) == ("models", "introspection", {"models"})
    assert "profile" in identity.scopes
    await introspector.close()


async def test_a_token_that_is_revoked_there_is_refused_here_two_seconds_later(
    provider: IdentityProvider, stepped: SteppedClock
) -> None:
    introspector = Introspector(clock=stepped)
    token = await asyncio.to_thread(provider.client_token)
    assert isinstance(await introspector.introspect(token, endpoint_of(provider), policy_version="v"), Identity)
    await asyncio.to_thread(provider.revoke, token)
    stepped.steady += 2
    verdict = await introspector.introspect(token, endpoint_of(provider), policy_version="v")
    assert isinstance(verdict, Deny)
    assert (verdict.status, verdict.detail) == (401, "inactive")
    await introspector.close()


async def test_an_unknown_token_a_wrong_secret_and_a_broken_endpoint(
    provider: IdentityProvider, stepped: SteppedClock
) -> None:
    introspector = Introspector(clock=stepped)
    endpoint = endpoint_of(provider)
    verdict = await introspector.introspect("never-issued", endpoint, policy_version="v")
    assert isinstance(verdict, Deny)
    assert (verdict.status, verdict.detail) == (401, "inactive")
    wrong = replace(endpoint, client_secret="another-secret")
    assert "status 401" in unavailable(await introspector.introspect("t1", wrong, policy_version="v"))
    await asyncio.to_thread(provider.lie, "broken")
    assert "status 500" in unavailable(await introspector.introspect("t2", endpoint, policy_version="v"))
    await introspector.close()
