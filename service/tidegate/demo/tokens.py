"""JSON Web Tokens for the demo's client, good ones and bad ones, signed with `cryptography` alone.

tidegate itself never makes a token; this plays the identity provider, and the attacker.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
import time
from dataclasses import dataclass
from typing import Any

from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import padding, rsa

ISSUER = "https://id.demo.example/"
AUDIENCE = "models"


def _b64(raw: bytes) -> str:
    return base64.urlsafe_b64encode(raw).rstrip(b"=").decode("ascii")


def _number(value: int) -> str:
    return _b64(value.to_bytes((value.bit_length() + 7) // 8, "big"))


def _signing_input(header: dict[str, Any], claims: dict[str, Any]) -> str:
    return ".".join(_b64(json.dumps(part, separators=(",", ":")).encode()) for part in (header, claims))


@dataclass(frozen=True, slots=True)
class Signer:
    """An RSA key that signs tokens under the key id `kid`."""

    key: rsa.RSAPrivateKey
    kid: str

    @classmethod
    def generate(cls, kid: str) -> Signer:
        """A new key of 2048 bits."""
        return cls(rsa.generate_private_key(public_exponent=65537, key_size=2048), kid)

    def jwks(self) -> dict[str, Any]:
        """The public half as a JWK set."""
        public = self.key.public_key().public_numbers()
        key = {"kty": "RSA", "use": "sig", "alg": "RS256", "kid": self.kid}
        return {"keys": [{**key, "n": _number(public.n), "e": _number(public.e)}]}

    def sign(self, claims: dict[str, Any]) -> str:
        """`claims` as an RS256 token."""
        text = _signing_input({"alg": "RS256", "typ": "JWT", "kid": self.kid}, claims)
        return f"{text}.{_b64(self.key.sign(text.encode(), padding.PKCS1v15(), hashes.SHA256()))}"

    def sign_with_public_key(self, claims: dict[str, Any]) -> str:
        """The algorithm confusion attack: an HS256 token whose secret is our public key, which everybody has."""
        public = self.key.public_key().public_bytes(
            serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo
        )
        text = _signing_input({"alg": "HS256", "typ": "JWT", "kid": self.kid}, claims)
        return f"{text}.{_b64(hmac.new(public, text.encode(), hashlib.sha256).digest())}"


def unsigned(claims: dict[str, Any], kid: str) -> str:
    """`claims` under `alg: none`, with an empty signature."""
    return _signing_input({"alg": "none", "typ": "JWT", "kid": kid}, claims) + "."


def claims_for(
    subject: str, *, tenant: str, tier: str, roles: tuple[str, ...] = ("analyst",), lifetime: float = 3600
) -> dict[str, Any]:
    """The claims of one caller, valid for `lifetime` seconds from now; a negative one makes an expired token."""
    now = int(time.time())
    issued = now + int(min(0, lifetime)) * 2
    times = {"iat": issued, "exp": now + int(lifetime)}
    return {
        "iss": ISSUER,
        "aud": AUDIENCE,
        "sub": subject,
        "org_id": tenant,
        "plan": tier,
        "roles": list(roles),
        **times,
    }
