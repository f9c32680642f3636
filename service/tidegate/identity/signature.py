"""Signatures of tokens and proofs. The only module that imports python-jose, which checks signatures and no more.

jose 3.5.0 is permissive about everything around the signature, so it is handed a constructed key, the exact bytes that
were signed, and the signature.
"""

from __future__ import annotations

from functools import lru_cache
from typing import Any, Final

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import padding
from jose import jwk
from jose.backends.base import Key

from tidegate.identity.keyset import PublicKey
from tidegate.identity.token import Token, TokenRejected

_HASHES: Final = {"256": hashes.SHA256(), "384": hashes.SHA384(), "512": hashes.SHA512()}


def check_signature(token: Token, key: PublicKey) -> None:
    """Raises TokenRejected unless the token's signature is one by `key`, which must fit the token's algorithm."""
    if not _constructed(key, token.alg).verify(token.signed, token.signature):
        raise TokenRejected("signature")


class Signer:
    """One private key, which signs. `pem` is unencrypted, and fits `alg`."""

    def __init__(self, pem: str, alg: str) -> None:
        self._key = jwk.construct(pem, alg)

    def sign(self, message: bytes) -> bytes:
        """The signature in the form of RFC 7518: of an EC key R and S, not DER."""
        signature: bytes = self._key.sign(message)
        return signature


class _RsaKey(Key):  # type: ignore[misc]  # jose ships no types
    """An RSA key that jose made, for RSASSA-PSS (RFC 7518 section 3.5), which jose lacks, and PKCS1-v1_5.

    For the latter jose makes scheme, hash and key anew for each signature: a fifth of what checking it costs.
    """

    def __init__(self, key: Any, algorithm: str) -> None:
        self._public = jwk.construct(key, algorithm.replace("PS", "RS")).prepared_key
        self._hash = _HASHES[algorithm[2:]]
        self._scheme: padding.AsymmetricPadding = padding.PKCS1v15()
        if algorithm.startswith("PS"):  # the salt must be as long as the hash
            self._scheme = padding.PSS(mgf=padding.MGF1(self._hash), salt_length=self._hash.digest_size)

    def verify(self, msg: bytes, sig: bytes) -> bool:
        """Whether `sig` is a signature of `msg`."""
        try:
            self._public.verify(sig, msg, self._scheme, self._hash)
        except InvalidSignature:
            return False
        return True


@lru_cache(maxsize=512)
def _constructed(key: PublicKey, alg: str) -> Any:
    """A jose key for one public key and one algorithm, made once. Raises TokenRejected for an impossible key."""
    try:
        return (_RsaKey if key.kty == "RSA" else jwk.construct)(dict(key.members), alg)
    except (ValueError, KeyError, TypeError):
        raise TokenRejected("key_unusable") from None
