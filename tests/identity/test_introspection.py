"""Opaque tokens: an endpoint that follows RFC 7662, one that does not, and one that is not there."""

from __future__ import annotations

import asyncio
import base64
import json
from collections.abc import AsyncIterator
from dataclasses import replace
from typing import Any
from urllib.parse import parse_qs

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from tidegate.identity import Introspector
from tidegate.model import Deny, Identity, Reason
from tidegate.policy.compiled_identity import ClaimMap, Introspection

from tests.identity.forge import NOW, FakeClock
from tests.identity.key_server import KeyServer

TOKEN = "2YotnFZFEjr1zCsicMWpAA"
SECRET = "a client secret: of the tests/+&="
ACTIVE: dict[str, Any] = {
    "active": True,
    "sub": "ada",
    "iss": "https://id.example.com",
    "aud": ["models", "other"],
    "scope": "chat read",
    "client_id": "app",
    "token_type": "Bearer",
    "exp": NOW + 300,
    "org": "acme",
}


@pytest.fixture(autouse=True)
def honest(server: KeyServer) -> None:
    answer(server, **ACTIVE)


@pytest.fixture
async def introspector(clock: FakeClock) -> AsyncIterator[Introspector]:
    made = Introspector(clock=clock, timeout=5.0)
    yield made
    await made.aclose()


@pytest.fixture
def endpoint(server: KeyServer) -> Introspection:
    return Introspection(
        "opaque",
        server.url,
        "tidegate:1",
        SECRET,
        issuer="https://id.example.com",
        audiences=("models",),
        cache=10.0,
        claims=ClaimMap(tenant=("org",), default_tier="free"),
    )


def answer(server: KeyServer, **members: Any) -> None:
    server.body = json.dumps({name: value for name, value in members.items() if value is not ...}).encode()


async def ask(
    introspector: Introspector, endpoint: Introspection, token: str = TOKEN, version: str = "v"
) -> Identity | Deny:
    return await introspector.introspect(token, endpoint, policy_version=version)


async def detail(introspector: Introspector, endpoint: Introspection, status: int = 401) -> str:
    verdict = await ask(introspector, endpoint)
    assert isinstance(verdict, Deny), verdict
    assert verdict.status == status
    assert TOKEN not in repr(verdict)
    return verdict.detail


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
    await introspector.aclose()


@pytest.mark.parametrize(
    ("body", "headers", "status", "word"),
    [
        (b"", (), "200 OK", "json"),
        (b"<html>", (), "200 OK", "json"),
        (b"true", (), "200 OK", "json_not_object"),
        (b'{"active": true, "active": false}', (), "200 OK", "json_duplicate_key"),
        (b'{"active": ' + b"[" * 50 + b"]" * 50 + b"}", (), "200 OK", "json_depth"),
        (b'{"active": true, "x": "' + b"a" * 1024 * 1024 + b'"}', (), "200 OK", "too large"),
        (b'{"active": true}', ("content-encoding: gzip",), "200 OK", "compressed"),
        (b'{"active": true}', ("location: http://127.0.0.1:9/",), "302 Found", "status 302"),
        (b'{"active": true}', (), "201 Created", "status 201"),
        (b'{"error": "invalid_client"}', (), "401 Unauthorized", "status 401"),
        (b"", (), "500 Oops", "status 500"),
    ],
)
async def test_what_is_no_answer_is_503_and_not_remembered(
    body: bytes,
    headers: tuple[str, ...],
    status: str,
    word: str,
    introspector: Introspector,
    server: KeyServer,
    endpoint: Introspection,
) -> None:
    server.body, server.headers, server.status = body, headers, status
    assert word in await detail(introspector, endpoint, 503)
    server.headers, server.status = (), "200 OK"
    answer(server, **ACTIVE)
    assert isinstance(await ask(introspector, endpoint), Identity)


async def test_a_provider_that_is_not_there_is_left_alone_for_a_while(
    introspector: Introspector, server: KeyServer, endpoint: Introspection, clock: FakeClock
) -> None:
    await server.stop()
    assert "ConnectError" in await detail(introspector, endpoint, 503)
    again = KeyServer()
    await again.start()
    answer(again, **ACTIVE)
    moved = replace(endpoint, url=again.url)
    introspector._silent[moved.url] = introspector._silent[endpoint.url]
    for number in range(20):
        assert isinstance(await ask(introspector, moved, f"token{number}"), Deny)
    assert again.requests == 0
    clock.advance(1)
    assert isinstance(await ask(introspector, moved), Identity)
    await again.stop()


async def test_a_token_that_makes_the_provider_fail_does_not_shut_out_others(
    introspector: Introspector, server: KeyServer, endpoint: Introspection
) -> None:
    server.status = "500 Oops"
    assert "status 500" in await detail(introspector, endpoint, 503)
    server.status = "200 OK"
    assert isinstance(await ask(introspector, endpoint, "another"), Identity)


async def test_a_provider_that_hangs_holds_nobody_longer_than_its_time(
    clock: FakeClock, server: KeyServer, endpoint: Introspection
) -> None:
    introspector = Introspector(clock=clock, timeout=0.1)
    server.gate.clear()
    async with asyncio.timeout(10):
        verdicts = await asyncio.gather(*(ask(introspector, endpoint, f"t{number}") for number in range(200)))
    assert {verdict.status for verdict in verdicts if isinstance(verdict, Deny)} == {503}
    await introspector.aclose()


async def test_a_provider_is_asked_so_many_questions_at_once_and_no_more(
    clock: FakeClock, server: KeyServer, endpoint: Introspection
) -> None:
    introspector = Introspector(clock=clock, timeout=30.0, at_once=4)
    server.gate.clear()
    waiting = [asyncio.create_task(ask(introspector, endpoint, f"t{number}")) for number in range(20)]
    async with asyncio.timeout(20):
        while server.requests < 4:
            await server.arrived.wait()
            server.arrived.clear()
    assert server.requests == 4
    assert len(introspector._questions) == 20
    server.gate.set()
    assert all(isinstance(verdict, Identity) for verdict in await asyncio.gather(*waiting))
    assert server.requests == 20
    await introspector.aclose()


async def test_a_provider_that_hangs_takes_no_room_from_another(
    clock: FakeClock, server: KeyServer, endpoint: Introspection
) -> None:
    introspector = Introspector(clock=clock, timeout=30.0, at_once=120)  # more than a pool of httpx holds
    server.gate.clear()
    waiting = [asyncio.create_task(ask(introspector, endpoint, f"t{number}")) for number in range(200)]
    other = KeyServer()
    await other.start()
    answer(other, **ACTIVE)
    async with asyncio.timeout(20):
        while server.requests < 120:
            await server.arrived.wait()
            server.arrived.clear()
        assert isinstance(await ask(introspector, replace(endpoint, name="other", url=other.url)), Identity)
    server.gate.set()
    await asyncio.gather(*waiting)
    await introspector.aclose()
    await other.stop()


async def test_who_waits_too_long_for_a_turn_is_answered_503_and_shuts_nobody_out(
    clock: FakeClock, server: KeyServer, endpoint: Introspection
) -> None:
    introspector = Introspector(clock=clock, timeout=0.2, at_once=1)
    room = introspector._rooms[endpoint.url] = asyncio.Semaphore(1)
    await room.acquire()
    assert await detail(introspector, endpoint, 503) == "opaque: Unusable: too many questions at once"
    room.release()
    assert isinstance(await ask(introspector, endpoint), Identity)
    await introspector.aclose()


@pytest.mark.parametrize("token", ["a b", "a\nb", "a,b", "é", "=", "a=b", "a" * 4097, 'a"b', "\ud800"])
async def test_what_is_no_token_is_never_sent_anywhere(
    token: str, introspector: Introspector, server: KeyServer, endpoint: Introspection
) -> None:
    verdict = await ask(introspector, endpoint, token)
    assert isinstance(verdict, Deny)
    assert verdict.detail == "token_malformed"
    assert server.requests == 0


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=5),
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
        return members

    introspector._ask = given_answer  # type: ignore[method-assign]
    verdict = await ask(introspector, endpoint)
    assert isinstance(verdict, Identity | Deny)
    assert members["active"] is True or isinstance(verdict, Deny)
    assert not isinstance(verdict, Deny) or verdict.status in (401, 403)
