"""The demo's own token maker, read back by the library that tidegate verifies with."""

import time

import pytest
from jose import jwt
from jose.exceptions import JWTError
from tidegate.demo.tokens import AUDIENCE, ISSUER, Signer, claims_for, unsigned


@pytest.fixture(scope="module")
def signer() -> Signer:
    return Signer.generate("k1")


def decode(signer: Signer, token: str):
    return jwt.decode(token, signer.jwks(), algorithms=["RS256"], audience=AUDIENCE, issuer=ISSUER)


def test_a_good_token_verifies(signer):
    claims = claims_for("ada", tenant="acme", tier="premium")
    token = signer.sign(claims)
    assert decode(signer, token) == claims
    assert jwt.get_unverified_header(token) == {"alg": "RS256", "typ": "JWT", "kid": "k1"}


def test_bad_tokens_are_bad(signer):
    claims = claims_for("ada", tenant="acme", tier="premium")
    expired = claims_for("ada", tenant="acme", tier="premium", lifetime=-3600)
    assert expired["iat"] < expired["exp"] < time.time() - 3000
    bad = [
        Signer.generate("k1").sign(claims),
        signer.sign(expired),
        signer.sign_with_public_key(claims),
        unsigned(claims, "k1"),
    ]
    for token in bad:
        with pytest.raises(JWTError):
            decode(signer, token)


def test_a_key_set_holds_no_private_part(signer):
    (key,) = signer.jwks()["keys"]
    assert set(key) == {"kty", "use", "alg", "kid", "n", "e"}
