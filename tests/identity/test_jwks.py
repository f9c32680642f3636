"""Key sets over the wire: rotation, single flight, rate limits, caps, outages. The clock is fake, the socket is not."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import httpx
import pytest
from tidegate.errors import IdentityProviderUnavailable
from tidegate.identity import BearerVerifier, KeySets
from tidegate.model import Deny, Identity, Reason
from tidegate.policy.compiled_identity import Issuer

from tests.identity import forge
from tests.identity.forge import FakeClock
from tests.identity.key_server import KeyServer


@pytest.fixture
def remote(server: KeyServer) -> Issuer:
    return forge.issuer(jwks=(), jwks_uri=server.url)


async def verify(verifier: BearerVerifier, issuer: Issuer, key: str = "rsa", **claims: object) -> Identity | Deny:
    token = forge.token(forge.good_claims() | claims, alg="ES256" if key.startswith("ec") else "RS256", key=key)
    return await verifier.verify(token, (issuer,), policy_version="v1")


def reason(verdict: Identity | Deny) -> str:
    assert isinstance(verdict, Deny)
    return verdict.detail


async def test_keys_are_fetched_once_and_kept_for_their_time(
    verifier: BearerVerifier, remote: Issuer, server: KeyServer, clock: FakeClock
) -> None:
    for number in range(5):
        assert isinstance(await verify(verifier, remote, jti=f"t{number}"), Identity)
    assert server.requests == 1
    clock.steady += 599
    assert isinstance(await verify(verifier, remote, jti="before"), Identity)
    assert server.requests == 1
    clock.steady += 1
    assert isinstance(await verify(verifier, remote, jti="after"), Identity)
    assert server.requests == 2


async def test_the_request_asks_for_no_compression_and_carries_no_credentials(
    verifier: BearerVerifier, remote: Issuer, server: KeyServer
) -> None:
    await verify(verifier, remote)
    text = server.seen[0].lower()
    assert b"accept-encoding: identity\r\n" in text
    assert b"authorization" not in text
    assert b"cookie" not in text


async def test_rotation_needs_no_restart(
    verifier: BearerVerifier, remote: Issuer, server: KeyServer, clock: FakeClock
) -> None:
    assert isinstance(await verify(verifier, remote), Identity)
    server.keys = [forge.jwk_of("other", "other"), forge.jwk_of("ec", "ec")]
    clock.advance(10)
    assert isinstance(await verify(verifier, remote, "other"), Identity)
    assert isinstance(await verify(verifier, remote, "ec"), Identity)
    assert server.requests == 2
    assert reason(await verify(verifier, remote)) == "kid_unknown"  # the old key is gone, and its remembered token


async def test_single_flight(verifier: BearerVerifier, remote: Issuer, server: KeyServer) -> None:
    server.gate.clear()
    waiting = [asyncio.create_task(verify(verifier, remote, jti=f"t{number}")) for number in range(50)]
    await server.arrived.wait()
    server.gate.set()
    assert all(isinstance(verdict, Identity) for verdict in await asyncio.gather(*waiting))
    assert server.requests == 1


async def test_a_caller_that_gives_up_does_not_stop_the_fetch_of_others(
    verifier: BearerVerifier, remote: Issuer, server: KeyServer
) -> None:
    server.gate.clear()
    first = asyncio.create_task(verify(verifier, remote, jti="first"))
    await server.arrived.wait()
    second = asyncio.create_task(verify(verifier, remote, jti="second"))
    first.cancel()
    with pytest.raises(asyncio.CancelledError):
        await first
    server.gate.set()
    assert isinstance(await second, Identity)
    assert server.requests == 1


async def test_unknown_kids_cannot_make_us_hammer_the_provider(
    verifier: BearerVerifier, remote: Issuer, server: KeyServer, clock: FakeClock
) -> None:
    assert isinstance(await verify(verifier, remote), Identity)
    for _ in range(20):
        assert reason(await verify(verifier, remote, "other")) == "kid_unknown"
    assert server.requests == 1
    clock.advance(9.9)
    await verify(verifier, remote, "other")
    assert server.requests == 1
    clock.advance(0.1)
    storm = [verify(verifier, remote, "other") for _ in range(20)]
    assert {reason(verdict) for verdict in await asyncio.gather(*storm)} == {"kid_unknown"}
    assert server.requests == 2


async def test_redirects_are_refused(verifier: BearerVerifier, remote: Issuer, server: KeyServer) -> None:
    server.status, server.headers = "302 Found", (f"location: {server.url}",)
    verdict = await verify(verifier, remote)
    assert isinstance(verdict, Deny)
    assert (verdict.status, verdict.reason) == (503, Reason.IDENTITY_UNAVAILABLE)
    assert server.requests == 1


async def test_oversized_sets_are_refused(verifier: BearerVerifier, remote: Issuer, server: KeyServer) -> None:
    server.body = b'{"keys": [], "x": "' + b"a" * 1024 * 1024 + b'"}'
    assert "too large" in reason(await verify(verifier, remote))


@pytest.mark.parametrize(
    ("body", "headers", "status", "word"),
    [
        (b"", (), "200 OK", "json"),
        (b"<html>", (), "200 OK", "json"),
        (b"[]", (), "200 OK", "json_not_object"),
        (b'{"keys": {}}', (), "200 OK", "not a JWK set"),
        (b'{"other": []}', (), "200 OK", "not a JWK set"),
        (b'{"keys": [' + b"{}," * 100 + b"{}]}", (), "200 OK", "not a JWK set"),
        (b'{"keys": [], "keys": []}', (), "200 OK", "json_duplicate_key"),
        (b'{"keys": ' + b"[" * 50 + b"]" * 50 + b"}", (), "200 OK", "json_depth"),
        (b'{"keys": []}', ("content-encoding: gzip",), "200 OK", "compressed"),
        (b'{"keys": []}', (), "500 Oops", "status 500"),
        (b'{"keys": []}', (), "204 No Content", "status 204"),
        (b'{"keys": []}', ("content-length: 9999",), "200 OK", "Error"),
    ],
)
async def test_answers_that_are_no_key_set(
    body: bytes,
    headers: tuple[str, ...],
    status: str,
    word: str,
    verifier: BearerVerifier,
    remote: Issuer,
    server: KeyServer,
) -> None:
    server.body, server.headers, server.status = body, headers, status
    verdict = await verify(verifier, remote)
    assert isinstance(verdict, Deny)
    assert verdict.status == 503
    assert word in verdict.detail
    assert ("retry-after", "5") in verdict.headers


async def test_a_slow_provider_is_503_and_is_left_alone_for_a_while(
    remote: Issuer, server: KeyServer, clock: FakeClock
) -> None:
    key_sets = KeySets(clock=clock, timeout=0.4)
    verifier = BearerVerifier(clock=clock, key_sets=key_sets)
    server.gate.clear()
    assert "TimeoutError" in reason(await verify(verifier, remote))
    server.gate.set()
    assert "TimeoutError" in reason(await verify(verifier, remote))  # at once, without asking again
    assert server.requests == 1
    clock.advance(5)
    assert isinstance(await verify(verifier, remote), Identity)
    await key_sets.close()


async def test_an_outage_is_bridged_for_an_hour_and_no_longer(
    verifier: BearerVerifier, remote: Issuer, server: KeyServer, clock: FakeClock
) -> None:
    assert isinstance(await verify(verifier, remote), Identity)
    server.status = "500 Oops"
    clock.steady += 3600
    assert isinstance(await verify(verifier, remote, jti="another"), Identity)
    assert isinstance(await verify(verifier, remote), Identity)  # remembered
    clock.steady += 1
    assert "status 500" in reason(await verify(verifier, remote, jti="third"))
    assert "status 500" in reason(await verify(verifier, remote))
    server.status = "200 OK"
    clock.steady += 5
    assert isinstance(await verify(verifier, remote), Identity)


async def test_in_an_outage_nobody_waits_for_the_next_attempt(
    remote: Issuer, server: KeyServer, clock: FakeClock
) -> None:
    key_sets = KeySets(clock=clock, timeout=120.0)
    verifier = BearerVerifier(clock=clock, key_sets=key_sets)
    assert isinstance(await verify(verifier, remote), Identity)
    server.status = "500 Oops"
    clock.steady += 600
    assert isinstance(await verify(verifier, remote, jti="one"), Identity)
    clock.steady += 5
    server.gate.clear()
    server.arrived.clear()
    async with asyncio.timeout(10):  # the gate is closed: whoever waited would wait for the fetch's 120 seconds
        assert isinstance(await verify(verifier, remote, jti="two"), Identity)
        await server.arrived.wait()
        assert isinstance(await verify(verifier, remote, jti="three"), Identity)
    assert server.requests == 3
    await key_sets.close()


async def test_an_unknown_kid_during_an_outage_is_503_for_it_may_be_good(
    verifier: BearerVerifier, remote: Issuer, server: KeyServer, clock: FakeClock
) -> None:
    await verify(verifier, remote)
    server.status = "500 Oops"
    clock.advance(10)
    assert "status 500" in reason(await verify(verifier, remote, "other"))
    assert isinstance(await verify(verifier, remote), Identity)


async def test_unusable_keys_of_a_set_are_left_out(verifier: BearerVerifier, remote: Issuer, server: KeyServer) -> None:
    server.keys = [
        {"kty": "oct", "kid": "rsa", "k": "AAAA"},
        forge.jwk_of("other", "rsa", d="AQAB"),
        forge.jwk_of("small", "rsa"),
        None,
        7,
        forge.jwk_of("rsa", "rsa"),
    ]
    assert isinstance(await verify(verifier, remote), Identity)


@pytest.mark.parametrize(
    "uri",
    [
        "http://id.example.com/jwks",
        "ftp://127.0.0.1/jwks",
        "file:///etc/passwd",
        "https://user:pass@id.example.com/jwks",
        "http://127.0.0.1.example.com/jwks",
        "http://localhost.example.com/jwks",
        "http://10.0.0.1/jwks",
        "not a url",
        "https://",
    ],
)
async def test_addresses_that_are_never_asked(uri: str, clock: FakeClock) -> None:
    def refuse(request: httpx.Request) -> httpx.Response:
        raise AssertionError(request.url)

    async with httpx.AsyncClient(transport=httpx.MockTransport(refuse)) as client:
        key_sets = KeySets(clock=clock, client=client)
        with pytest.raises(IdentityProviderUnavailable):
            await key_sets.get(forge.issuer(jwks=(), jwks_uri=uri))
        await key_sets.close()
        assert not client.is_closed


async def test_https_and_loopback_http_are_asked(clock: FakeClock) -> None:
    asked: list[str] = []

    async def empty_set() -> AsyncIterator[bytes]:
        yield b'{"keys": []}'

    def answer(request: httpx.Request) -> httpx.Response:
        asked.append(str(request.url))
        return httpx.Response(200, content=empty_set())

    uris = ["https://id.example.com/jwks", "http://localhost:1/jwks", "http://[::1]:1/jwks", "http://127.9.9.9/jwks"]
    async with httpx.AsyncClient(transport=httpx.MockTransport(answer), follow_redirects=True) as client:
        key_sets = KeySets(clock=clock, client=client)
        for uri in uris:
            await key_sets.get(forge.issuer(jwks=(), jwks_uri=uri))
    assert asked == uris


async def test_closing_stops_a_running_fetch(remote: Issuer, server: KeyServer, clock: FakeClock) -> None:
    key_sets = KeySets(clock=clock)
    verifier = BearerVerifier(clock=clock, key_sets=key_sets)
    server.gate.clear()
    waiting = asyncio.create_task(verify(verifier, remote))
    await server.arrived.wait()
    await key_sets.close()
    with pytest.raises(asyncio.CancelledError):
        await waiting


async def test_an_equal_set_keeps_remembered_tokens(
    verifier: BearerVerifier, remote: Issuer, server: KeyServer, key_sets: KeySets, clock: FakeClock
) -> None:
    before = await key_sets.get(remote)
    clock.steady += 600
    assert await key_sets.get(remote) is before
    assert server.requests == 2


async def test_a_token_that_is_pushed_out_of_memory_while_keys_are_fetched_is_still_good(
    remote: Issuer, server: KeyServer, key_sets: KeySets, clock: FakeClock
) -> None:
    verifier = BearerVerifier(clock=clock, key_sets=key_sets, cache_size=1)
    assert isinstance(await verify(verifier, remote, jti="first"), Identity)
    clock.steady += 600
    server.gate.clear()
    server.arrived.clear()
    waiting = asyncio.create_task(verify(verifier, remote, jti="first"))
    await server.arrived.wait()
    local = forge.issuer(issuer="https://local.example/")
    assert isinstance(await verify(verifier, local, iss="https://local.example/"), Identity)
    server.gate.set()
    assert isinstance(await waiting, Identity)
