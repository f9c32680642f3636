"""Ed25519 (RFC 8037): the vectors of the RFC, and keys whose signatures anybody could make."""

from __future__ import annotations

import base64
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from tidegate.identity import BearerVerifier, keyset
from tidegate.identity.keyset import public_key
from tidegate.identity.signature import check_signature
from tidegate.identity.token import Token, TokenRejected, decode
from tidegate.model import Deny, Identity

from tests.identity import forge

# RFC 8037 appendix A.2 to A.4.
RFC_KEY = {"kty": "OKP", "crv": "Ed25519", "x": "11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo"}
RFC_SIGNED = b"eyJhbGciOiJFZERTQSJ9.RXhhbXBsZSBvZiBFZDI1NTE5IHNpZ25pbmc"
RFC_SIGNATURE = "hgyY0il_MGCjP0JzlnLWG1PPOt7-09PGcvMg3AIbQR6dWbhijcNR4ki4iylGjg5BhVsPt9g7sVvpAr_MuM0KAg"

P = 2**255 - 19
D = -121665 * pow(121666, -1, P) % P


def signed(message: bytes, signature: bytes, alg: str = "EdDSA") -> Token:
    return Token(alg, "", "", None, {}, message, signature)


def test_the_example_of_the_rfc() -> None:
    key = public_key(RFC_KEY)
    assert key is not None
    assert key.thumbprint() == "kPrK_qmxVWaYVA9wwBF6Iuo3vVzz7TxHCTwXBygrS4k"
    check_signature(signed(RFC_SIGNED, decode(RFC_SIGNATURE)), key)
    with pytest.raises(TokenRejected, match="signature"):
        check_signature(signed(RFC_SIGNED + b"A", decode(RFC_SIGNATURE)), key)


@pytest.mark.parametrize(
    "members",
    [
        {"crv": "X25519"},
        {"crv": "Ed448"},
        {"crv": "ed25519"},
        {"crv": None},
        {"crv": ["Ed25519"]},
        {"x": None},
        {"x": 7},
        {"x": ""},
        {"x": RFC_KEY["x"] + "="},
        {"x": RFC_KEY["x"][:-1]},
        {"x": RFC_KEY["x"][:-1] + "p"},
        {"x": RFC_KEY["x"] + "AAAA"},
        {"d": "AAAA"},
        {"kty": "EC"},
        {"kty": "RSA"},
        {"use": "enc"},
    ],
)
def test_keys_that_are_left_out(members: dict[str, Any]) -> None:
    assert public_key(RFC_KEY) is not None
    assert public_key(RFC_KEY | members) is None


def points(y: int) -> list[tuple[int, int]]:
    """The points of the curve with this y."""
    square = (y * y - 1) * pow(D * y * y + 1, -1, P) % P
    root = pow(square, (P + 3) // 8, P)
    if root * root % P != square:
        root = root * pow(2, (P - 1) // 4, P) % P
    return [(x, y) for x in {root, -root % P}] if root * root % P == square else []


def doubled(point: tuple[int, int]) -> tuple[int, int]:
    x, y = point
    k = D * x * x * y * y % P
    return 2 * x * y * pow(1 + k, -1, P) % P, (y * y + x * x) * pow(1 - k, -1, P) % P


def order(point: tuple[int, int]) -> int:
    for power in range(4):
        if point == (0, 1):
            return 2**power
        point = doubled(point)
    return 0


def written(y: int, sign: int) -> str:
    return forge.b64((y | sign << 255).to_bytes(32, "little"))


def test_the_points_of_small_order_are_all_eight_of_them() -> None:
    found = [order(point) for y in keyset._SMALL_ORDER for point in points(y)]
    assert sorted(found) == [1, 2, 4, 4, 8, 8, 8, 8]
    assert [order(point) for y in range(2, 30) for point in points(y)].count(0) > 10


@pytest.mark.parametrize("sign", [0, 1])
def test_no_writing_of_a_point_of_small_order_is_a_key(sign: int) -> None:
    beyond = {y + P for y in keyset._SMALL_ORDER if y + P < 2**255}
    assert len(beyond) == 2
    for y in keyset._SMALL_ORDER | beyond:
        assert public_key(RFC_KEY | {"x": written(y, sign)}) is None


def test_under_the_neutral_point_one_signature_is_good_for_everything() -> None:
    """Why they are left out: the library below takes them."""
    anybodys = bytes([1]) + bytes(63)
    for message in (b"one", b"another"):
        Ed25519PublicKey.from_public_bytes(bytes([1]) + bytes(31)).verify(anybodys, message)


def test_an_x_that_is_no_point_verifies_nothing() -> None:
    y = next(y for y in range(2, 30) if not points(y))
    key = public_key(RFC_KEY | {"x": written(y, 0)})
    assert key is not None
    with pytest.raises(TokenRejected, match=r"signature|key_unusable"):
        check_signature(signed(b"message", bytes([1]) + bytes(63)), key)


async def test_either_name_is_accepted_where_the_policy_says_it(verifier: BearerVerifier) -> None:
    keys = (forge.jwk_of("ed", "ed"),)
    for alg in ("EdDSA", "Ed25519"):
        issuer = forge.issuer(jwks=keys, algorithms=(alg,))
        verdict = await verifier.verify(forge.token(alg=alg, key="ed"), (issuer,), policy_version=alg)
        assert isinstance(verdict, Identity)
        other = {"EdDSA": "Ed25519", "Ed25519": "EdDSA"}[alg]
        assert isinstance(await verifier.verify(forge.token(alg=other, key="ed"), (issuer,), policy_version=alg), Deny)


def test_the_order_of_the_group_in_the_mutations_is_the_curves() -> None:
    from tests.identity.mutations import MUTATIONS

    token = forge.token(alg="EdDSA", key="ed")
    moved = MUTATIONS["edwards_s_plus_l"](token)
    before, after = (base64.urlsafe_b64decode(text.rpartition(".")[2] + "==") for text in (token, moved))
    assert before[:32] == after[:32]
    assert int.from_bytes(after[32:], "little") - int.from_bytes(before[32:], "little") > 2**252
