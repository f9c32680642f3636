"""Opaque tokens are asked about again while responses hang on them: seldom, once at a time, and by any process."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tidegate.errors import PolicyError
from tidegate.identity import Identifier, Introspector, KeyStore
from tidegate.identity.bearer import BearerVerifier
from tidegate.identity.inquiries import Inquiries, Inquiry
from tidegate.identity.renewed import Renewed
from tidegate.identity.standing import Standing
from tidegate.model import Identity, Proof, proof_of
from tidegate.policy import compiled_identity
from tidegate.policy.compiled import Policy
from tidegate.policy.compiled_identity import ClaimMap, Introspection
from tidegate.settings import Settings
from tidegate.startup import check_revocation

from tests.identity.forge import NOW, FakeClock
from tests.identity.key_server import KeyServer
from tests.identity.test_identifier import BOTH

PEPPER = b"a pepper of the tests"
TOKEN = "2YotnFZFEjr1zCsicMWpAA"


def says(server: KeyServer, **members: Any) -> None:
    server.body = json.dumps({"active": True, "sub": "ada", "org": "acme"} | members).encode()


@pytest.fixture
def endpoint(server: KeyServer) -> Introspection:
    says(server)
    return Introspection(
        "opaque", server.url, "tidegate", "made-up", claims=ClaimMap(tenant=("org",), default_tier="free"), cache=2.0
    )


@pytest.fixture
def policy(endpoint: Introspection) -> list[Policy]:
    ends = compiled_identity.Revocation(ends_revoked=True)
    return [replace(BOTH, introspection=endpoint, revocation=ends)]


@pytest.fixture
async def introspector(clock: FakeClock) -> AsyncIterator[Introspector]:
    made = Introspector(clock=clock, timeout=5.0, inquiries=Inquiries(PEPPER))
    yield made
    await made.close()


@pytest.fixture
async def renewed(introspector: Introspector, policy: list[Policy], clock: FakeClock) -> AsyncIterator[Renewed]:
    made = Renewed(
        introspector=introspector, inquiries=Inquiries(PEPPER), policy=lambda: policy[0], clock=clock, size=100
    )
    yield made
    await made.close()


async def proof(introspector: Introspector, policy: list[Policy]) -> Proof:
    """What a response hangs on whose caller was just identified."""
    endpoint = policy[0].introspection
    assert endpoint is not None
    identity = await introspector.introspect(TOKEN, endpoint, policy_version=policy[0].version)
    assert isinstance(identity, Identity)
    return proof_of(identity)


async def looked(renewed: Renewed, proof: Proof) -> bool:
    """A look, after what it set off is over."""
    assert proof.asked is not None
    renewed.over(proof.inquiry, proof.asked)
    await asyncio.gather(*(known.question for known in renewed._followed.values() if known.question is not None))
    return renewed.over(proof.inquiry, proof.asked)


async def test_what_was_revoked_at_the_provider_is_over_once_its_answer_is_old(
    renewed: Renewed, introspector: Introspector, policy: list[Policy], server: KeyServer, clock: FakeClock
) -> None:
    hung = await proof(introspector, policy)
    assert server.requests == 1
    says(server, active=False)
    clock.advance(1.9)
    assert not await looked(renewed, hung)
    assert server.requests == 1  # an answer is good for its time
    clock.advance(0.1)
    assert await looked(renewed, hung)
    assert server.requests == 2
    clock.advance(60)
    assert await looked(renewed, hung)
    assert server.requests == 2  # who is over stays so


async def test_however_often_it_is_looked_at_a_token_is_asked_about_once_in_the_time_of_an_answer(
    renewed: Renewed, introspector: Introspector, policy: list[Policy], server: KeyServer, clock: FakeClock
) -> None:
    hung = await proof(introspector, policy)
    for _ in range(40):  # ten seconds, a look each quarter
        clock.advance(0.25)
        assert not await looked(renewed, hung)
    assert server.requests == 1 + 5


async def test_where_no_answer_is_kept_it_is_asked_about_once_a_second(
    renewed: Renewed, introspector: Introspector, policy: list[Policy], server: KeyServer, clock: FakeClock
) -> None:
    assert policy[0].introspection is not None
    policy[0] = replace(policy[0], introspection=replace(policy[0].introspection, cache=0.0))
    hung = await proof(introspector, policy)
    for _ in range(16):
        clock.advance(0.25)
        assert not await looked(renewed, hung)
    assert server.requests == 1 + 4


async def test_many_responses_to_one_token_are_one_question(
    renewed: Renewed, introspector: Introspector, policy: list[Policy], server: KeyServer, clock: FakeClock
) -> None:
    hung = await proof(introspector, policy)
    clock.advance(2.0)
    assert hung.asked is not None
    for _ in range(50):
        assert not renewed.over(hung.inquiry, hung.asked)
    assert not await looked(renewed, hung)
    assert server.requests == 2
    assert len(renewed._followed) == 1


async def test_another_process_asks_about_a_token_that_it_never_saw(
    introspector: Introspector, policy: list[Policy], server: KeyServer, clock: FakeClock
) -> None:
    hung = await proof(introspector, policy)
    says(server, active=False)
    verdicts = []
    for pepper in (PEPPER, b"another pepper entirely", b""):
        elsewhere = Introspector(clock=clock, timeout=5.0, inquiries=Inquiries(pepper))
        there = Renewed(introspector=elsewhere, inquiries=Inquiries(pepper), policy=lambda: policy[0], clock=clock)
        assert not await looked(there, hung)
        clock.advance(2.0)
        verdicts.append(await looked(there, hung))
        await there.close()
        await elsewhere.close()
    assert verdicts == [True, False, False]


@pytest.mark.parametrize("trouble", ["gone", "garbage", "wrong", "endpoint"])
async def test_who_gives_no_answer_ends_nothing(
    trouble: str,
    renewed: Renewed,
    introspector: Introspector,
    policy: list[Policy],
    server: KeyServer,
    clock: FakeClock,
) -> None:
    hung = await proof(introspector, policy)
    match trouble:
        case "gone":
            server.status = "500 Internal Server Error"
        case "garbage":
            server.body = b"<html>"
        case "wrong":
            says(server, sub=7)
        case "endpoint":
            policy[0] = replace(policy[0], introspection=None)
    for _ in range(5):
        clock.advance(2.0)
        assert not await looked(renewed, hung)
    server.status = "200 OK"
    says(server, active=False)
    clock.advance(2.0)
    assert await looked(renewed, hung) is (trouble != "endpoint")


async def test_what_has_expired_is_not_taken_for_revoked_and_asked_about_no_more(
    renewed: Renewed,
    introspector: Introspector,
    policy: list[Policy],
    server: KeyServer,
    clock: FakeClock,
    verifier: BearerVerifier,
) -> None:
    says(server, exp=NOW + 100)
    hung = await proof(introspector, policy)
    identifier = Identifier(keys=KeyStore({}, pepper=PEPPER), verifier=verifier, introspector=introspector, clock=clock)
    standing = Standing(policy=lambda: policy[0], identifier=identifier, clock=clock, renewed=renewed)
    clock.advance(100)
    says(server, active=False)
    for _ in range(3):
        clock.advance(2.0)
        assert standing.over(hung, "ada", "acme") == ""
    assert (server.requests, renewed._followed) == (1, {})
    policy[0] = replace(policy[0], revocation=compiled_identity.Revocation(ends_revoked=True, ends_expired=True))
    assert standing.over(hung, "ada", "acme") == "expired"


async def test_what_runs_ends_by_the_providers_word_only_where_the_policy_says_so(
    renewed: Renewed,
    introspector: Introspector,
    policy: list[Policy],
    server: KeyServer,
    clock: FakeClock,
    verifier: BearerVerifier,
) -> None:
    hung = await proof(introspector, policy)
    identifier = Identifier(keys=KeyStore({}, pepper=PEPPER), verifier=verifier, introspector=introspector, clock=clock)
    standing = Standing(policy=lambda: policy[0], identifier=identifier, clock=clock, renewed=renewed)
    says(server, active=False)
    clock.advance(2.0)
    ends = policy[0]
    policy[0] = replace(ends, revocation=compiled_identity.Revocation(ends_expired=True))
    assert standing.over(hung, "ada", "acme") == ""
    assert renewed._followed == {}
    policy[0] = ends
    assert standing.over(hung, "ada", "acme") == ""
    assert await looked(renewed, hung)
    assert standing.over(hung, "ada", "acme") == "revoked"


async def test_many_tokens_leave_room_at_the_provider_and_each_has_its_turn(
    renewed: Renewed, server: KeyServer, clock: FakeClock, policy: list[Policy], introspector: Introspector
) -> None:
    inquiries, endpoint = Inquiries(PEPPER), policy[0].introspection
    assert endpoint is not None
    sealed = [inquiries.seal(Inquiry("opaque", f"token-{number}")) for number in range(40)]
    server.gate.clear()
    for one in sealed:
        renewed.over(one, clock.now() - 60)
    asked = [known.question for known in renewed._followed.values() if known.question is not None]
    assert len(asked) == 16
    server.gate.set()
    fresh = await introspector.introspect("a-new-caller", endpoint, policy_version=policy[0].version)
    assert isinstance(fresh, Identity)
    says(server, active=False)
    clock.advance(2.0)
    for _ in range(5):
        for one in sealed:
            renewed.over(one, clock.now() - 60)
        await asyncio.gather(*(known.question for known in renewed._followed.values() if known.question is not None))
    assert all(renewed.over(one, clock.now()) for one in sealed)


async def test_what_is_followed_is_bounded(renewed: Renewed, policy: list[Policy], clock: FakeClock) -> None:
    inquiries = Inquiries(PEPPER)
    for number in range(300):
        assert not renewed.over(inquiries.seal(Inquiry("opaque", f"token-{number}")), clock.now())
    assert len(renewed._followed) == 100


@given(st.text(st.characters(min_codepoint=33, max_codepoint=126), min_size=1, max_size=64), st.binary(max_size=64))
def test_what_is_sealed_tells_nothing_and_opens_whole_or_not_at_all(token: str, noise: bytes) -> None:
    inquiries = Inquiries(PEPPER)
    sealed = inquiries.seal(Inquiry("opaque", token))
    assert inquiries.open(sealed) == Inquiry("opaque", token)
    assert Inquiries(PEPPER).seal(Inquiry("opaque", token)) == sealed  # so that all processes follow one token
    assert inquiries.seal(Inquiry("other", token)) != sealed
    if len(token) > 8:
        assert token not in sealed
        assert token not in repr(inquiries.open(sealed))
    for broken in (sealed[1:], sealed[:-4], sealed.swapcase(), noise.decode("latin-1"), "", "é"):
        assert inquiries.open(broken) is None or broken == sealed


@pytest.mark.parametrize(
    ("given", "good"),
    [
        ({"replicas": 2}, False),
        ({"workers": 2}, False),
        ({"replicas": 2, "pepper": PEPPER}, True),
        ({}, True),
    ],
)
def test_several_processes_need_a_secret_to_ask_for_each_other(
    given: dict[str, Any], good: bool, policy: list[Policy], tmp_path: Path
) -> None:
    settings = Settings(policy=tmp_path / "policy.yaml", store="redis://127.0.0.1", **given)
    assert (settings.pepper == b"") is ("pepper" not in given)
    if good:
        check_revocation(policy[0], settings)
        return
    with pytest.raises(PolicyError, match="key-pepper-file"):
        check_revocation(policy[0], settings)
    finish = compiled_identity.Revocation(ends_expired=True)
    check_revocation(replace(policy[0], revocation=finish), settings)
