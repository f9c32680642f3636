from __future__ import annotations

import base64
from typing import Any

import pytest
from tidegate.identity.keyset import ALGORITHMS, key_set, public_key
from tidegate.identity.token import TokenRejected

from tests.identity.forge import jwk_of


@pytest.mark.parametrize(("name", "algorithms"), [("rsa", 6), ("ec", 1), ("ec384", 1), ("ec521", 1), ("ed", 2)])
def test_good_keys_fit_their_algorithms_only(name: str, algorithms: int) -> None:
    key = public_key(jwk_of(name, "k"))
    assert key is not None
    assert sum(key.fits(alg) for alg in ALGORITHMS) == algorithms
    assert not key.fits("HS256")
    assert not key.fits("none")


def test_only_public_members_get_on() -> None:
    key = public_key(jwk_of("rsa", "k", x5c=["AAAA"], x5u="https://evil.example/", extra=1))
    assert key is not None
    assert {name for name, _ in key.members} == {"kty", "n", "e"}


@pytest.mark.parametrize(
    "members",
    [
        {"d": "AQAB"},
        {"p": "AQAB"},
        {"oth": []},
        {"k": "AAAA"},
        {"kty": "oct"},
        {"kty": "OKP"},
        {"kty": None},
        {"kty": ["RSA"]},
        {"use": "enc"},
        {"use": 1},
        {"key_ops": ["sign"]},
        {"key_ops": []},
        {"key_ops": "verify"},
        {"kid": 7},
        {"alg": 7},
        {"n": None},
        {"n": 5},
        {"n": ""},
        {"n": "AQAB"},
        {"n": "AQAB="},
        {"n": "_" * 1366 + "8"},
        {"e": None},
        {"e": "AQ"},
        {"e": "Ag"},
        {"e": "AQAAAAE"},
        {"e": "AAAA"},
        {"e": "AQAC"},
    ],
)
def test_rsa_keys_that_are_left_out(members: dict[str, Any]) -> None:
    assert public_key(jwk_of("rsa", "k") | members) is None


@pytest.mark.parametrize(
    "members",
    [
        {"crv": "P-521"},
        {"crv": "secp256k1"},
        {"crv": None},
        {"crv": 256},
        {"x": None},
        {"x": "AAAA"},
        {"y": "AAAA"},
        {"y": 1},
        {"d": "AAAA"},
        {"kty": "RSA"},
    ],
)
def test_ec_keys_that_are_left_out(members: dict[str, Any]) -> None:
    assert public_key(jwk_of("ec", "k") | members) is None


def test_even_modulus_is_left_out() -> None:
    raw = bytearray(base64.urlsafe_b64decode(jwk_of("rsa")["n"] + "=="))
    raw[-1] &= 0xFE
    assert public_key(jwk_of("rsa", n=base64.urlsafe_b64encode(bytes(raw)).rstrip(b"=").decode())) is None


def test_sets_are_equal_when_their_keys_are() -> None:
    assert key_set([jwk_of("rsa", "a"), None]) == key_set([7, jwk_of("rsa", "a", extra=1)])
    assert key_set([jwk_of("rsa", "a")]) != key_set([jwk_of("rsa", "b")])


def test_one_key_that_is_listed_twice_is_one_key() -> None:
    """So providers do for a moment while they rotate."""
    keys = key_set([jwk_of("rsa", "k"), jwk_of("rsa", "k", extra=1)])
    assert keys.select("k", "RS256") is keys.keys[0]
    with pytest.raises(TokenRejected, match="key_ambiguous"):
        key_set([jwk_of("rsa", "k"), jwk_of("other", "k")]).select("k", "RS256")


def test_one_kid_may_name_an_rsa_and_an_ec_key() -> None:
    keys = key_set([jwk_of("rsa", "k"), jwk_of("ec", "k")])
    assert keys.select("k", "RS256") is keys.keys[0]
    assert keys.select("k", "ES256") is keys.keys[1]
    with pytest.raises(TokenRejected, match="key_unfit"):
        keys.select("k", "ES384")


def test_keys_without_a_kid_are_not_found_by_one() -> None:
    keys = key_set([jwk_of("rsa")])
    assert keys.select("k", "RS256") is None
    assert keys.select("", "RS256") is keys.keys[0]
    with pytest.raises(TokenRejected, match="key_unfit"):
        key_set([]).select("", "RS256")
