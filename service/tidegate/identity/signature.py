"""Signatures of tokens and proofs. The only module that imports python-jose, which checks signatures and no more.

jose 3.5.0 is permissive about everything around the signature, so it is handed a constructed key, the exact bytes that
were signed, and the signature.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache, partial
from typing import Any, Final

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import padding
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from jose import jwk
from jose.backends.base import Key

from tidegate.identity.keyset import PublicKey
from tidegate.identity.token import Token, TokenRejected, decode

_HASHES: Final = {"256": hashes.SHA256(), "384": hashes.SHA384(), "512": hashes.SHA512()}


def check_signature(token: Token, key: PublicKey) -> None:
    """Raises TokenRejected unless the token's signature is one by `key`, which must fit the token's algorithm."""
    prepared = key.prepared.get(token.alg)
    if prepared is None:
        prepared = key.prepared[token.alg] = _prepared(key, token.alg)
    verify, terms = prepared
    try:
        verify(token.signature, token.signed, *terms)
    except InvalidSignature:
        raise TokenRejected("signature") from None


class Signer:
    """One private key, which signs. `pem` is unencrypted, and fits `alg`."""

    def __init__(self, pem: str, alg: str) -> None:
        self._key = jwk.construct(pem, alg)

    def sign(self, message: bytes) -> bytes:
        """The signature in the form of RFC 7518: of an EC key R and S, not DER."""
        signature: bytes = self._key.sign(message)
        return signature


_Prepared = tuple[Callable[..., None], tuple[Any, ...]]
"""What raises InvalidSignature unless a signature is one of a message, and what it wants to know beside the two."""


@lru_cache(maxsize=512)
def _prepared(key: PublicKey, alg: str) -> _Prepared:
    """What checks the signatures of one public key and one algorithm, made once.

    Raises TokenRejected for an impossible key.
    """
    try:
        if key.kty == "RSA":
            return _rsa(key, alg)
        if key.kty == "OKP":  # RFC 8037, which jose lacks
            return Ed25519PublicKey.from_public_bytes(decode(dict(key.members)["x"])).verify, ()
        return partial(_verify, jwk.construct(dict(key.members), alg)), ()
    except (ValueError, KeyError, TypeError):
        raise TokenRejected("key_unusable") from None


def _rsa(key: PublicKey, alg: str) -> _Prepared:
    """An RSA key that jose made, for RSASSA-PSS (RFC 7518 section 3.5), which jose lacks, and PKCS1-v1_5.

    For the latter jose makes scheme, hash and key anew for each signature: a fifth of what checking it costs.
    """
    public, digest = jwk.construct(dict(key.members), alg.replace("PS", "RS")).prepared_key, _HASHES[alg[2:]]
    if alg.startswith("PS"):  # the salt must be as long as the hash
        return public.verify, (padding.PSS(mgf=padding.MGF1(digest), salt_length=digest.digest_size), digest)
    return public.verify, (padding.PKCS1v15(), digest)


def _verify(key: Key, signature: bytes, message: bytes) -> None:
    if not key.verify(message, signature):
        raise InvalidSignature
