"""The keys that sign context tokens: PEM as a policy names it, and as the public JWK (RFC 7517) that is published."""

from __future__ import annotations

import base64
import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from types import MappingProxyType
from typing import Final

from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa

from tidegate.policy.secrets import named, read_text

_MIN_RSA_BITS: Final = 2048
_MAX_RSA_BITS: Final = 8192
_CURVES: Final = {"secp256r1": ("P-256", "ES256", 32), "secp384r1": ("P-384", "ES384", 48)}
_KINDS: Final = "an EC key on P-256 or P-384, or an RSA key"


@dataclass(frozen=True, slots=True)
class SigningKey:
    """One key: `pem` is the private half, "" where only the public one is known; `jwk` is what is published."""

    kid: str
    alg: str
    jwk: Mapping[str, str] = field(hash=False)
    pem: str = field(default="", repr=False)


@dataclass(frozen=True, slots=True)
class ContextToken:
    """What signs the tokens that tell models who calls. The first of `keys` signs, and all are published.

    `lifetime` is seconds that a token is good, `reuse` seconds that it stands for all requests of a caller; 0: for one.
    """

    issuer: str
    keys: tuple[SigningKey, ...]
    lifetime: float = 60.0
    reuse: float = 30.0


def read_signing_key(file: Path | None, env: str | None, *, private: bool) -> SigningKey:
    """The key in `file`, or in the environment variable `env`; it must have its private half where it is to sign.

    ValueError says in one sentence what is wrong, and nothing of the key.
    """
    return signing_key(read_text(file, env), where=f"the key in {named(file, env)}", private=private)


def signing_key(pem: str, *, where: str, private: bool) -> SigningKey:
    """The key that `pem` holds. Raises ValueError, whose text begins with `where`."""
    try:
        if "PUBLIC KEY-----" in pem:
            public, found = serialization.load_pem_public_key(pem.encode()), ""
        else:
            secret = serialization.load_pem_private_key(pem.encode(), None)
            public, found = secret.public_key(), pem
    except TypeError:
        raise ValueError(f"{where} is encrypted; it must be readable without a password") from None
    except (ValueError, UnsupportedAlgorithm):
        raise ValueError(f"{where} is not a key in PEM") from None
    if private and not found:
        raise ValueError(f"{where} is a public key; the first key must sign")
    if isinstance(public, ec.EllipticCurvePublicKey) and public.curve.name in _CURVES:
        curve, alg, size = _CURVES[public.curve.name]
        numbers = public.public_numbers()
        members = {"crv": curve, "kty": "EC", "x": _b64(numbers.x, size), "y": _b64(numbers.y, size)}
    elif isinstance(public, rsa.RSAPublicKey):
        if not _MIN_RSA_BITS <= public.key_size <= _MAX_RSA_BITS:
            raise ValueError(f"{where} has {public.key_size} bits; it needs {_MIN_RSA_BITS} to {_MAX_RSA_BITS}")
        modulus = public.public_numbers()
        members = {"e": _b64(modulus.e), "kty": "RSA", "n": _b64(modulus.n)}
        alg = "RS256"
    else:
        raise ValueError(f"{where} is of a kind that tokens are not signed with here: it must be {_KINDS}")
    kid = thumbprint(members)
    return SigningKey(kid, alg, MappingProxyType({**members, "kid": kid, "alg": alg, "use": "sig"}), found)


def thumbprint(members: Mapping[str, str]) -> str:
    """The SHA-256 thumbprint (RFC 7638) of a public JWK's required members, in base64url."""
    text = json.dumps(members, sort_keys=True, separators=(",", ":"))
    return base64.urlsafe_b64encode(hashlib.sha256(text.encode()).digest()).rstrip(b"=").decode()


def _b64(number: int, size: int = 0) -> str:
    raw = number.to_bytes(size or (number.bit_length() + 7) // 8, "big")
    return base64.urlsafe_b64encode(raw).rstrip(b"=").decode()
