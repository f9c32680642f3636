"""Keys found through an issuer's metadata. The socket is real; the provider behind it lies to order."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import httpx
import pytest
from tidegate.identity import BearerVerifier, KeySets, discovery
from tidegate.identity.provider import Provider, Unusable
from tidegate.model import Deny, Identity, Reason
from tidegate.policy.compiled_identity import Issuer

from tests.identity import forge
from tests.identity.forge import FakeClock
from tests.identity.key_server import KeyServer

OPENID, OAUTH = "/tenant/.well-known/openid-configuration", "/.well-known/oauth-authorization-server/tenant"


@pytest.fixture
def remote(server: KeyServer) -> Issuer:
    made = forge.issuer(issuer=server.url.removesuffix("/jwks") + "/tenant", jwks=(), discover=True)
    server.pages[OPENID] = metadata(server, made)
    return made


def metadata(server: KeyServer, remote: Issuer, **changes: Any) -> dict[str, Any]:
    return {"issuer": remote.issuer, "jwks_uri": server.url, "token_endpoint": "https://x.example/"} | changes


async def verify(verifier: BearerVerifier, issuer: Issuer, **claims: Any) -> Identity | Deny:
    token = forge.token(forge.good_claims() | {"iss": issuer.issuer} | claims)
    return await verifier.verify(token, (issuer,), policy_version="v1")


def paths(server: KeyServer) -> list[str]:
    return [request.split(b" ", 2)[1].decode() for request in server.seen]


def reason(verdict: Identity | Deny) -> str:
    assert isinstance(verdict, Deny)
    assert (verdict.status, verdict.reason) == (503, Reason.IDENTITY_UNAVAILABLE)
    return verdict.detail


async def test_the_keys_are_where_the_metadata_say(verifier: BearerVerifier, remote: Issuer, server: KeyServer) -> None:
    for number in range(3):
        assert isinstance(await verify(verifier, remote, jti=str(number)), Identity)
    assert paths(server) == [OPENID, "/jwks"]


async def test_the_metadata_of_rfc_8414_stand_in_where_there_are_none_of_openid(
    verifier: BearerVerifier, remote: Issuer, server: KeyServer
) -> None:
    server.pages[OAUTH] = server.pages.pop(OPENID)
    assert isinstance(await verify(verifier, remote), Identity)
    assert paths(server) == [OPENID, OAUTH, "/jwks"]


@pytest.mark.parametrize(
    ("issuer", "openid", "oauth"),
    [
        ("https://a.example", "/.well-known/openid-configuration", "/.well-known/oauth-authorization-server"),
        ("https://a.example/", "/.well-known/openid-configuration", "/.well-known/oauth-authorization-server"),
        (
            "https://a.example/realms/x/",
            "/realms/x/.well-known/openid-configuration",
            "/.well-known/oauth-authorization-server/realms/x",
        ),
    ],
)
def test_the_well_known_addresses(issuer: str, openid: str, oauth: str) -> None:
    assert discovery.addresses(issuer) == (f"https://a.example{openid}", f"https://a.example{oauth}")


async def test_a_moved_key_set_is_found_again(
    verifier: BearerVerifier, remote: Issuer, server: KeyServer, clock: FakeClock
) -> None:
    assert isinstance(await verify(verifier, remote), Identity)
    server.pages["/moved"] = {"keys": [forge.jwk_of("rsa", "rsa")]}
    server.pages[OPENID] = metadata(server, remote, jwks_uri=server.url.replace("/jwks", "/moved"))
    clock.advance(600)
    assert isinstance(await verify(verifier, remote, exp=forge.NOW + 900), Identity)
    assert paths(server) == [OPENID, "/jwks", OPENID, "/moved"]


@pytest.mark.parametrize("said", ["other", "slash", "case", None, 7, ["list"]])
async def test_metadata_of_another_issuer_are_refused(
    said: Any, verifier: BearerVerifier, remote: Issuer, server: KeyServer
) -> None:
    lies = {"other": "https://evil.example/", "slash": remote.issuer + "/", "case": remote.issuer.upper()}
    server.pages[OPENID] = metadata(server, remote, issuer=lies.get(said, said) if isinstance(said, str) else said)
    server.pages[OAUTH] = metadata(server, remote)
    assert "another issuer" in reason(await verify(verifier, remote))
    assert paths(server) == [OPENID]  # a provider that lies is not asked a second time


@pytest.mark.parametrize(
    ("uri", "word"),
    [
        (None, "no jwks_uri"),
        (["x"], "no jwks_uri"),
        ("", "address"),
        ("not a url", "address"),
        ("http://10.0.0.1/jwks", "not https"),
        ("file:///etc/passwd", "address"),
        ("https://user:pw@id.example.com/jwks", "address"),
        ("https://x.example/" + "a" * 2048, "no jwks_uri"),
        ("https://b\u00fccher.example/jwks", "no jwks_uri"),
    ],
)
async def test_a_jwks_uri_that_is_never_asked(
    uri: Any, word: str, verifier: BearerVerifier, remote: Issuer, server: KeyServer
) -> None:
    server.pages[OPENID] = metadata(server, remote, jwks_uri=uri)
    assert word in reason(await verify(verifier, remote))
    assert paths(server) == [OPENID]


@pytest.mark.parametrize("uri", ["http://127.0.0.1:1/jwks", "http://localhost/jwks", "http://[::1]/"])
async def test_a_provider_elsewhere_cannot_send_us_to_this_machine(uri: str) -> None:
    issuer = "https://id.example.com/"

    async def document() -> AsyncIterator[bytes]:
        yield f'{{"issuer": "{issuer}", "jwks_uri": "{uri}"}}'.encode()

    def answer(request: httpx.Request) -> httpx.Response:
        return httpx.Response(200, content=document())

    async with httpx.AsyncClient(transport=httpx.MockTransport(answer)) as client:
        with pytest.raises(Unusable, match="this machine"):
            await discovery.jwks_uri(Provider(client=client), issuer)


async def test_redirects_of_metadata_are_refused(verifier: BearerVerifier, remote: Issuer, server: KeyServer) -> None:
    server.status, server.headers = "302 Found", (f"location: {server.url}",)
    assert "status 302" in reason(await verify(verifier, remote))
    assert paths(server) == [OPENID]


async def test_endless_metadata_are_cut_off(verifier: BearerVerifier, remote: Issuer, server: KeyServer) -> None:
    server.body = b'{"issuer": "' + b"a" * 1024 * 1024 + b'"}'
    assert "too large" in reason(await verify(verifier, remote))


async def test_discovery_flies_alone_and_failures_are_left_alone_for_a_while(
    verifier: BearerVerifier, remote: Issuer, server: KeyServer, clock: FakeClock
) -> None:
    server.gate.clear()
    waiting = [asyncio.create_task(verify(verifier, remote, jti=str(number))) for number in range(50)]
    await server.arrived.wait()
    server.gate.set()
    assert all(isinstance(verdict, Identity) for verdict in await asyncio.gather(*waiting))
    assert server.requests == 2
    server.status = "500 Oops"
    clock.advance(600)
    late = {"exp": forge.NOW + 4000}
    assert isinstance(await verify(verifier, remote, **late), Identity)  # on the keys that are known
    for _ in range(5):
        assert isinstance(await verify(verifier, remote, **late), Identity)
    assert server.requests == 3


async def test_one_issuers_metadata_are_not_anothers_key_set(
    verifier: BearerVerifier, remote: Issuer, server: KeyServer, key_sets: KeySets
) -> None:
    """An address of keys and an issuer may be spelt alike, and are still two places."""
    twin = forge.issuer(issuer="https://twin.example/", jwks=(), jwks_uri=remote.issuer)
    assert isinstance(await verify(verifier, remote), Identity)
    assert isinstance(await verify(verifier, twin), Deny)
