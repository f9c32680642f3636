"""Opaque tokens: an endpoint that follows RFC 7662, one that does not, and one that is not there."""

from __future__ import annotations

import asyncio
import base64
import json
from dataclasses import replace
from typing import Any
from urllib.parse import parse_qs

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from tidegate.identity import Introspector
from tidegate.model import Deny, Identity, Reason
from tidegate.policy.compiled_identity import ClaimMap, Introspection
from tidegate.strict_json import parse_object

from tests.identity.forge import NOW, FakeClock
from tests.identity.key_server import KeyServer
from tests.identity.opaque_tokens import ACTIVE, SECRET, TOKEN, answer, ask, detail


async def test_an_active_token_is_who_the_answer_says(introspector: Introspector, endpoint: Introspection) -> None:
    identity = await ask(introspector, endpoint)
    assert isinstance(identity, Identity)
    assert (identity.subject, identity.tenant, identity.tier) == ("ada", "acme", "free")
    assert (identity.method, identity.expires_at) == ("introspection", NOW + 300)
    assert (identity.scopes, identity.audiences) == ({"chat", "read"}, {"models", "other"})
    assert len(identity.credential) == 16
    assert TOKEN not in repr(identity)


async def test_the_question_is_as_the_rfc_has_it(
    introspector: Introspector, endpoint: Introspection, server: KeyServer
) -> None:
    await ask(introspector, endpoint)
    head, _, body = server.seen[0].partition(b"\r\n\r\n")
    assert head.startswith(b"POST ")
    assert b"content-type: application/x-www-form-urlencoded" in head.lower()
    assert parse_qs(body.decode()) == {"token": [TOKEN], "token_type_hint": ["access_token"]}
    (basic,) = [line for line in head.split(b"\r\n") if line.lower().startswith(b"authorization: basic ")]
    pair = base64.b64decode(basic.split(b" ")[2]).decode()
    assert pair == "tidegate%3A1:a+client+secret%3A+of+the+tests%2F%2B%26%3D"


async def test_a_client_may_prove_itself_in_the_form(
    introspector: Introspector, endpoint: Introspection, server: KeyServer
) -> None:
    await ask(introspector, replace(endpoint, client_auth="post"))
    head, _, body = server.seen[0].partition(b"\r\n\r\n")
    assert b"authorization" not in head.lower()
    assert parse_qs(body.decode())["client_secret"] == [SECRET]
    assert parse_qs(body.decode())["client_id"] == ["tidegate:1"]


@pytest.mark.parametrize(
    ("members", "word"),
    [
        ({"active": False}, "inactive"),
        ({"active": "true"}, "inactive"),
        ({"active": 1}, "inactive"),
        ({"active": None}, "inactive"),
        ({"active": ...}, "inactive"),
        ({"iss": "https://evil.example"}, "iss"),
        ({"iss": ...}, "iss"),
        ({"iss": None}, "iss"),
        ({"aud": "other"}, "aud"),
        ({"aud": ...}, "aud"),
        ({"aud": []}, "aud"),
        ({"aud": ["models", 7]}, "aud"),
        ({"sub": ...}, "sub"),
        ({"sub": 7}, "sub"),
        ({"exp": NOW - 31}, "expired"),
        ({"exp": "soon"}, "exp"),
        ({"exp": True}, "exp"),
        ({"exp": None}, "exp"),
        ({"nbf": NOW + 31}, "nbf_future"),
        ({"iat": NOW + 31}, "iat_future"),
        ({"token_type": "refresh_token"}, "token_use"),
        ({"token_type": 7}, "token_use"),
        ({"typ": "Refresh"}, "token_use"),
        ({"typ": "ID"}, "token_use"),
    ],
)
async def test_active_is_not_enough(
    members: dict[str, Any], word: str, introspector: Introspector, endpoint: Introspection, server: KeyServer
) -> None:
    answer(server, **ACTIVE | members)
    assert await detail(introspector, endpoint) == word


@pytest.mark.parametrize("members", [{"exp": ...}, {"token_type": ...}, {"token_type": "DPoP"}, {"typ": "Bearer"}])
async def test_what_an_answer_need_not_say(
    members: dict[str, Any], introspector: Introspector, endpoint: Introspection, server: KeyServer
) -> None:
    answer(server, **ACTIVE | members)
    assert isinstance(await ask(introspector, endpoint), Identity)


async def test_what_the_policy_does_not_name_must_not_be_there(
    introspector: Introspector, endpoint: Introspection, server: KeyServer
) -> None:
    bare = replace(endpoint, issuer="", audiences=())
    answer(server, **ACTIVE | {"iss": ..., "aud": ...})
    assert isinstance(await ask(introspector, bare, version="1"), Identity)
    answer(server, **ACTIVE | {"iss": ...})
    verdict = await ask(introspector, bare, version="2")
    assert isinstance(verdict, Deny)
    assert verdict.detail == "aud"


async def test_a_client_is_the_caller_of_its_own_token(
    introspector: Introspector, endpoint: Introspection, server: KeyServer
) -> None:
    answer(server, **ACTIVE | {"sub": ...})
    mapped = replace(endpoint, claims=replace(endpoint.claims, client=("client_id",)))
    identity = await ask(introspector, mapped)
    assert isinstance(identity, Identity)
    assert identity.subject == "app"


async def test_an_answer_that_is_bound_to_no_key_is_none_where_one_is_required(
    introspector: Introspector, server: KeyServer, endpoint: Introspection
) -> None:
    """RFC 9449 section 6.2: the binding is in the answer, as it is in a signed token."""
    strict = replace(endpoint, dpop="required")
    assert await detail(introspector, strict) == "unbound"
    for number, cnf in enumerate(({}, {"x5t#S256": "x"}, "jkt", None)):
        answer(server, **ACTIVE, cnf=cnf)
        verdict = await ask(introspector, strict, f"opaque-{number}")
        assert isinstance(verdict, Deny)
        assert verdict.detail == "unbound"
    answer(server, **ACTIVE, cnf={"jkt": "0ZcOCORZNYy-DWpqq30jZyJGHTN0d2HglBV3uiguA4I"})
    assert isinstance(await ask(introspector, strict, "bound"), Identity)


async def test_an_answer_without_a_tenant_is_403(
    introspector: Introspector, endpoint: Introspection, server: KeyServer
) -> None:
    answer(server, **ACTIVE | {"org": ...})
    assert await detail(introspector, endpoint, 403) == "tenant_unmapped"


async def test_answers_are_used_for_their_time_good_and_bad(
    introspector: Introspector, endpoint: Introspection, server: KeyServer, clock: FakeClock
) -> None:
    for good in (True, False):
        answer(server, **ACTIVE | {"active": good, "exp": ...})
        before = server.requests
        for _ in range(5):
            assert isinstance(await ask(introspector, endpoint), Identity) is good
        assert server.requests == before + 1
        clock.advance(9.9)
        await ask(introspector, endpoint)
        assert server.requests == before + 1
        clock.advance(0.1)


async def test_a_revoked_token_is_refused_when_the_cache_time_is_over(
    introspector: Introspector, server: KeyServer, endpoint: Introspection, clock: FakeClock
) -> None:
    brief = replace(endpoint, cache=2.0)
    assert isinstance(await ask(introspector, brief), Identity)
    answer(server, active=False)
    assert isinstance(await ask(introspector, brief), Identity)
    clock.advance(2)
    assert await detail(introspector, brief) == "inactive"


async def test_without_a_cache_time_every_request_asks(
    introspector: Introspector, server: KeyServer, endpoint: Introspection
) -> None:
    for _ in range(3):
        assert isinstance(await ask(introspector, replace(endpoint, cache=0.0)), Identity)
    assert server.requests == 3


async def test_no_answer_outlives_the_tokens_end(
    introspector: Introspector, server: KeyServer, endpoint: Introspection, clock: FakeClock
) -> None:
    answer(server, **ACTIVE | {"exp": NOW + 5})
    assert isinstance(await ask(introspector, endpoint), Identity)
    answer(server, active=False)
    clock.advance(5)
    assert await detail(introspector, endpoint) == "inactive"


async def test_the_end_is_read_after_the_answer_came(
    introspector: Introspector, server: KeyServer, endpoint: Introspection, clock: FakeClock
) -> None:
    server.gate.clear()
    waiting = asyncio.create_task(ask(introspector, endpoint))
    await server.arrived.wait()
    clock.advance(331)
    server.gate.set()
    verdict = await waiting
    assert isinstance(verdict, Deny)
    assert verdict.reason is Reason.CREDENTIAL_EXPIRED


async def test_another_policy_asks_anew(introspector: Introspector, server: KeyServer, endpoint: Introspection) -> None:
    await ask(introspector, endpoint, version="1")
    await ask(introspector, endpoint, version="2")
    assert server.requests == 2


async def test_one_question_at_a_time_for_a_token_also_when_the_first_asker_leaves(
    introspector: Introspector, server: KeyServer, endpoint: Introspection
) -> None:
    server.gate.clear()
    waiting = [asyncio.create_task(ask(introspector, endpoint)) for _ in range(50)]
    await server.arrived.wait()
    waiting[0].cancel()
    server.gate.set()
    answers = await asyncio.gather(*waiting[1:])
    assert all(isinstance(verdict, Identity) for verdict in answers)
    assert server.requests == 1
    assert not introspector._questions


async def test_memory_is_bounded_and_forgets_the_least_used(
    clock: FakeClock, server: KeyServer, endpoint: Introspection
) -> None:
    introspector = Introspector(clock=clock, cache_size=2)
    for token in ("a", "b", "a", "c", "a"):
        await ask(introspector, endpoint, token)
    assert server.requests == 3
    assert len(introspector._answers) == 2
    await ask(introspector, endpoint, "b")
    assert server.requests == 4
    await introspector.close()


@pytest.mark.parametrize("token", ["a b", "a\nb", "a,b", "é", "=", "a=b", "a" * 4097, 'a"b', "\ud800"])
async def test_what_is_no_token_is_never_sent_anywhere(
    token: str, introspector: Introspector, server: KeyServer, endpoint: Introspection
) -> None:
    verdict = await ask(introspector, endpoint, token)
    assert isinstance(verdict, Deny)
    assert verdict.detail == "token_malformed"
    assert server.requests == 0


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=5,
)


@settings(max_examples=100, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(changes=st.dictionaries(st.sampled_from([*ACTIVE, "nbf", "iat", "typ", "jti"]), JSON, max_size=4))
async def test_no_answer_raises_or_passes_without_active_true(changes: dict[str, Any], clock: FakeClock) -> None:
    introspector = Introspector(clock=clock)
    endpoint = Introspection("o", "https://o.example/", "c", "s", claims=ClaimMap(tenant=("org",), default_tier="free"))
    members = {name: value for name, value in (ACTIVE | changes).items() if name not in {"iss", "aud"}}

    async def given_answer(*_: Any) -> dict[str, Any]:
        return parse_object(json.dumps(members).encode(), max_depth=16)

    introspector._ask = given_answer  # type: ignore[method-assign]
    verdict = await ask(introspector, endpoint)
    assert isinstance(verdict, Identity | Deny)
    assert members["active"] is True or isinstance(verdict, Deny)
    assert not isinstance(verdict, Deny) or verdict.status in (401, 403)


async def test_an_endpoint_speaks_for_its_own_tenants_alone(
    introspector: Introspector, endpoint: Introspection, server: KeyServer
) -> None:
    own = replace(endpoint, claims=replace(endpoint.claims, tenants=frozenset({"acme"})))
    assert isinstance(await ask(introspector, own), Identity)
    others = replace(endpoint, name="other", claims=replace(endpoint.claims, tenants=frozenset({"globex"})))
    verdict = await ask(introspector, others)
    assert isinstance(verdict, Deny)
    assert (verdict.status, verdict.detail) == (403, "tenant_not_its")
