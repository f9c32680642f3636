"""Several endpoints for opaque tokens side by side: each token is shown to its own, and to no other."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import replace
from typing import Any

import pytest
from tidegate.identity import BearerVerifier, Identifier, Introspector, KeySets, KeyStore
from tidegate.identity.opaque import introspection_for
from tidegate.model import Deny, Identity, Request
from tidegate.policy import parse_policy
from tidegate.policy.compiled import Policy
from tidegate.policy.compiled_identity import Introspection

from tests.identity.test_real_provider import SteppedClock, endpoint_of
from tests.idp.provider import IdentityProvider, running_provider

PLAIN = parse_policy(
    """
version: 1
tiers: {free: {}}
tenants: {acme: {}}
endpoints:
  chat: {owner: acme, match: {hosts: ["*"], path: /chat, methods: [GET]}, audiences: []}
  files: {owner: acme, match: {hosts: ["*"], path: "/files/**", methods: [GET]}}
"""
)


def endpoint(name: str, **given: Any) -> Introspection:
    return Introspection(name, f"https://{name}.example/", "tidegate", "made-up", **given)


REST = endpoint("rest")
GIT = endpoint("git", prefixes=("gh_", "git_"))
FINE = endpoint("fine", prefixes=("gh_fine_",), endpoints=frozenset({"files"}))
FILES = endpoint("files", endpoints=frozenset({"files"}))


def asked(token: str, path: str, *routed: Introspection, rest: Introspection | None = REST) -> str:
    policy = replace(PLAIN, introspection=rest, introspections=routed)
    found = introspection_for(policy, Request("r", "GET", "h", path), token)
    return "" if found is None else found.name


@pytest.mark.parametrize(
    ("token", "path", "expected"),
    [
        ("gh_abc", "/chat", "git"),
        ("git_abc", "/files/x", "git"),
        ("gh_fine_abc", "/chat", "fine"),
        ("gh_fin", "/files/x", "git"),
        ("abc", "/files/x", "fine"),
        ("abc", "/chat", "rest"),
        ("abc", "/nowhere", "rest"),
        ("GH_abc", "/chat", "rest"),
    ],
)
def test_the_longest_prefix_decides_then_the_endpoint_then_the_rest(token: str, path: str, expected: str) -> None:
    assert asked(token, path, GIT, FINE) == expected
    assert asked(token, path, FINE, GIT) == expected


def test_a_token_of_nobody_is_shown_to_nobody() -> None:
    assert asked("abc", "/chat", GIT, FILES, rest=None) == ""
    assert asked("abc", "/files/x", GIT, FILES, rest=None) == "files"


@pytest.fixture(scope="module")
def providers(tmp_path_factory: pytest.TempPathFactory) -> Iterator[list[IdentityProvider]]:
    with ExitStack() as stack:
        yield [stack.enter_context(running_provider(tmp_path_factory.mktemp("idp"))) for _ in range(2)]


async def test_two_real_providers_know_their_own_tokens_only(
    providers: list[IdentityProvider], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Neither is shown a token of the other, which it could use elsewhere."""
    first, second = providers
    here = replace(endpoint_of(first), name="first")
    there = replace(endpoint_of(second), name="second", endpoints=frozenset({"files"}))
    policy = replace(PLAIN, introspection=here, introspections=(there,))
    clock = SteppedClock()
    introspector, key_sets = Introspector(clock=clock, timeout=10.0), KeySets(clock=clock)
    identifier = Identifier(
        keys=KeyStore({}, pepper=b"a pepper of the tests"),
        verifier=BearerVerifier(clock=clock, key_sets=key_sets),
        introspector=introspector,
        clock=clock,
    )
    shown: list[tuple[str, str]] = []
    genuine = introspector._ask

    async def ask(token: str, endpoint: Introspection, asker: str) -> dict[str, object]:
        shown.append((endpoint.name, token))
        return await genuine(token, endpoint, asker)

    monkeypatch.setattr(introspector, "_ask", ask)
    mine, theirs = [await asyncio.to_thread(provider.client_token) for provider in providers]

    async def says(token: str, path: str, under: Policy = policy) -> Identity | Deny:
        return await identifier.identify(
            under, Request("r", "GET", "h", path, headers={"authorization": f"Bearer {token}"})
        )

    for token, path in ((mine, "/chat"), (theirs, "/files/x")):
        assert isinstance(await says(token, path), Identity)
    assert shown == [("first", mine), ("second", theirs)]
    for token, path in ((mine, "/files/x"), (theirs, "/chat")):  # remembered for the one is not good for the other
        refused = await says(token, path)
        assert isinstance(refused, Deny)
        assert (refused.status, refused.detail) == (401, "inactive")
    nobody = await says(mine, "/chat", replace(policy, introspection=None))
    assert isinstance(nobody, Deny)
    assert (nobody.status, nobody.detail) == (401, "token_of_nobody")
    assert len(shown) == 4
    await introspector.close()
    await key_sets.close()
