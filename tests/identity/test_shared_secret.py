"""Tokens signed with a shared secret: as Flask-JWT-Extended makes them, and as an attacker would have them read."""

from __future__ import annotations

import base64
import hmac
import json
from collections.abc import Iterator
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest
from flask import Flask
from flask_jwt_extended import JWTManager, create_access_token, create_refresh_token
from tidegate.identity import BearerVerifier
from tidegate.model import Deny, Identity
from tidegate.policy.compiled_identity import ClaimMap, Issuer, SharedSecret

from tests.identity import forge
from tests.identity.forge import NOW, FakeClock

SECRET = b"a-shared-secret-of-the-tests-that-is-64-bytes-long-0123456789-abc"
APP = SharedSecret("app", SECRET, claims=ClaimMap(default_tenant="acme", default_tier="free", roles=("roles",)))
NAMED = replace(APP, issuer="lab", audiences=("models",))


@pytest.fixture
def flask(clock: FakeClock) -> Iterator[Flask]:
    """An application of somebody who followed the library's quickstart."""
    import time

    app = Flask("tests")
    app.config["JWT_SECRET_KEY"] = SECRET.decode()
    app.config["JWT_ACCESS_TOKEN_EXPIRES"] = timedelta(minutes=15)
    JWTManager(app)
    clock.wall = time.time()
    with app.app_context():
        yield app


async def verify(
    verifier: BearerVerifier, token: str, *issuers: SharedSecret | Issuer, version: str = "v"
) -> Identity | Deny:
    return await verifier.verify(token, issuers or (APP,), policy_version=version)


async def detail(verifier: BearerVerifier, token: str, *issuers: SharedSecret | Issuer) -> str:
    verdict = await verify(verifier, token, *issuers)
    assert isinstance(verdict, Deny), verdict
    assert verdict.status == 401
    return verdict.detail


def signed(claims: dict[str, Any], *, alg: str = "HS256", secret: bytes = SECRET, **header: Any) -> str:
    head = json.dumps({"alg": alg, "typ": "JWT"} | header).encode()
    text = f"{forge.b64(head)}.{forge.b64(json.dumps(claims).encode())}"
    return f"{text}.{forge.b64(hmac.digest(secret, text.encode(), f'sha{alg[2:]}'))}"


def good(**changes: Any) -> dict[str, Any]:
    claims = {"sub": "ada", "iat": NOW, "exp": NOW + 300, "type": "access", "jti": "j1"} | changes
    return {name: value for name, value in claims.items() if value is not None}


async def test_flask_jwt_extended_as_it_comes(flask: Flask, verifier: BearerVerifier) -> None:
    identity = await verify(verifier, create_access_token("ada", additional_claims={"roles": ["analyst"]}))
    assert isinstance(identity, Identity)
    assert (identity.subject, identity.tenant, identity.tier, identity.method) == ("ada", "acme", "free", "jwt")
    assert identity.roles == {"analyst"}
    assert identity.audiences == frozenset()
    assert identity.credential == identity.claims["jti"]


@pytest.mark.parametrize("algorithm", ["HS256", "HS384", "HS512"])
async def test_every_algorithm_that_it_is_configured_for_and_no_other(
    algorithm: str, flask: Flask, verifier: BearerVerifier
) -> None:
    flask.config["JWT_ALGORITHM"] = algorithm
    token = create_access_token("ada")
    for accepted in ("HS256", "HS384", "HS512"):
        verdict = await verify(verifier, token, replace(APP, algorithm=accepted), version=accepted)
        assert isinstance(verdict, Identity) is (accepted == algorithm)


async def test_with_an_issuer_and_an_audience(flask: Flask, verifier: BearerVerifier) -> None:
    flask.config["JWT_ENCODE_ISSUER"], flask.config["JWT_ENCODE_AUDIENCE"] = "lab", ["models", "other"]
    identity = await verify(verifier, create_access_token("ada"), APP, NAMED)
    assert isinstance(identity, Identity)
    assert identity.audiences == {"models", "other"}


async def test_its_refresh_token_opens_nothing(flask: Flask, verifier: BearerVerifier) -> None:
    assert await detail(verifier, create_refresh_token("ada")) == "token_use"


async def test_a_token_that_never_expires_is_refused(flask: Flask, verifier: BearerVerifier) -> None:
    assert await detail(verifier, create_access_token("ada", expires_delta=False)) == "exp"


async def test_an_expired_token_says_so(flask: Flask, verifier: BearerVerifier, clock: FakeClock) -> None:
    token = create_access_token("ada")
    assert isinstance(await verify(verifier, token), Identity)
    clock.advance(15 * 60 + 31)
    assert await detail(verifier, token) == "expired"


@pytest.mark.parametrize(
    ("claims", "issuers", "word"),
    [
        (good(iss="lab"), (APP,), "issuer_unknown"),
        (good(iss="lab", aud="models"), (APP, NAMED), ""),
        (good(iss="lab"), (APP, NAMED), "aud"),
        (good(iss="lab", aud="other"), (APP, NAMED), "aud"),
        (good(), (NAMED,), "iss"),
        (good(aud="models"), (APP,), "aud"),
        (good(aud=[]), (APP,), "aud"),
        (good(iss=""), (APP,), "iss"),
        (good(iss=7), (APP,), "iss"),
        (good(iss=["lab"]), (APP, NAMED), "iss"),
        (good(sub=None), (APP,), "sub"),
        (good(sub=7), (APP,), "sub"),
        (good(type="refresh"), (APP,), "token_use"),
        (good(type=["access"]), (APP,), "token_use"),
        (good(token_type="refresh"), (APP,), "token_use"),
        (good(type=None), (APP,), ""),
        (good(nbf=NOW + 60), (APP,), "nbf_future"),
        (good(exp=NOW + 86_500), (APP,), "lifetime"),
        (good(exp=True), (APP,), "exp"),
    ],
)
async def test_claims(claims: dict[str, Any], issuers: tuple[SharedSecret, ...], word: str, verifier: Any) -> None:
    if word:
        assert await detail(verifier, signed(claims), *issuers) == word
    else:
        assert isinstance(await verify(verifier, signed(claims), *issuers), Identity)


async def test_an_empty_iss_or_null_is_not_no_iss(verifier: BearerVerifier) -> None:
    token = signed({**good(), "iss": None})
    assert await detail(verifier, token) == "iss"


async def test_another_secret_and_a_changed_letter(verifier: BearerVerifier) -> None:
    assert await detail(verifier, signed(good(), secret=SECRET[::-1])) == "signature"
    assert await detail(verifier, signed(good(), secret=b"")) == "signature"
    head, body, mac = signed(good()).split(".")
    assert await detail(verifier, f"{head}.{body}.{mac[:20]}") == "signature"
    raw = bytearray(base64.urlsafe_b64decode(mac + "=="))
    raw[0] ^= 1
    assert await detail(verifier, f"{head}.{body}.{forge.b64(bytes(raw))}") == "signature"


async def test_a_token_is_never_checked_by_the_other_kind_of_key(verifier: BearerVerifier) -> None:
    """Algorithm confusion both ways: neither a public key as a secret, nor a secret's issuer with a signature."""
    both = (forge.issuer(), NAMED)
    public = forge.issuer().issuer
    for form in ("rsa:der", "rsa:pem"):
        confused = forge.token(header={"alg": "HS256", "kid": "rsa"}, alg="HS256", key=form)
        assert await detail(verifier, confused, *both) == "alg_not_allowed"
    assert await detail(verifier, signed(good(iss=public, aud="models"), kid="rsa"), *both) == "alg_not_allowed"
    claims = forge.good_claims() | {"iss": "lab"}
    assert await detail(verifier, forge.token(claims), *both) == "alg_not_allowed"
    assert await detail(verifier, forge.token(claims, {"alg": "none"}), *both) == "alg_not_allowed"


async def test_a_remembered_token_dies_with_its_secret_whatever_the_version_says(verifier: BearerVerifier) -> None:
    token = signed(good())
    assert isinstance(await verify(verifier, token), Identity)
    assert isinstance(await verify(verifier, token), Identity)
    assert await detail(verifier, token, replace(APP, secret=SECRET[::-1])) == "signature"


async def test_no_answer_holds_the_secret(verifier: BearerVerifier) -> None:
    assert SECRET.decode() not in repr(APP)
    assert SECRET.decode() not in repr(await verify(verifier, signed(good(), secret=SECRET[::-1])))
    assert SECRET.decode() not in repr(await verify(verifier, signed(good())))


async def test_whoever_has_the_secret_speaks_for_its_own_tenants_alone(verifier: BearerVerifier) -> None:
    where = ClaimMap(tenant=("org",), default_tier="free", tenants=frozenset({"acme"}))
    app = replace(APP, claims=where)
    assert isinstance(await verify(verifier, signed(good(org="acme")), app), Identity)
    answer = await verify(verifier, signed(good(org="globex")), app)
    assert isinstance(answer, Deny)
    assert (answer.status, answer.detail) == (403, "tenant_not_its")
