"""Proofs of possession (DPoP, RFC 9449): a JWT that says "I who hold this key make this request now". Pure.

What is checked is the list of section 4.3, but for what needs memory: that a proof was not used before.
"""

from __future__ import annotations

import base64
import hmac
import re
from hashlib import sha256
from typing import Any, Final, NamedTuple, TypeGuard

from tidegate.edge import address_of, canonical_path
from tidegate.identity.claims import moment
from tidegate.identity.keyset import public_key
from tidegate.identity.replays import HOLDER
from tidegate.identity.signature import check_signature
from tidegate.identity.token import Token, TokenRejected, parse
from tidegate.model import Request
from tidegate.policy.compiled_identity import Dpop

TYPE: Final = "dpop+jwt"
_MAX_ID: Final = 256
_PORTS: Final = {"http": 80, "https": 443}
_TARGET: Final = re.compile(r"(https?)://([^/?#\s]+)([^?#]*)(?:[?#].*)?", re.IGNORECASE)
_THUMBPRINT: Final = re.compile(r"[A-Za-z0-9_-]{43}")
_DOTS: Final = re.compile(r"/\.\.?(?:/|$)")


class Proof(NamedTuple):
    """A proof that is good unless it was used before: `digest` names it, and it ends at `until` (Unix seconds)."""

    digest: bytes
    until: float
    nonce: str


class Address(NamedTuple):
    """What a request is sent to, without its query: what `htu` names."""

    scheme: str
    host: str
    port: int
    path: str


def check_proof(text: str, request: Request, token: str, thumbprint: str, terms: Dpop, *, now: float) -> Proof:
    """Judge the proof that came with `token`, which is bound to the key of `thumbprint`. Raises TokenRejected.

    The key is compared before the signature is checked: no key but the token's own buys any work.
    """
    proof = parse(text)
    if proof.typ != TYPE:
        raise TokenRejected("typ")
    if proof.alg not in terms.algorithms:
        raise TokenRejected("alg_not_allowed")
    _check_key(proof, thumbprint)
    claims = proof.claims
    identifier = claims.get("jti")
    if not isinstance(identifier, str) or not 0 < len(identifier) <= _MAX_ID:
        raise TokenRejected("jti")
    if claims.get("htm") != request.method:
        raise TokenRejected("htm")
    named = _named(claims.get("htu"))
    if named is None or named != _asked(request, terms):
        raise TokenRejected("htu")
    issued = moment(claims, "iat")
    if not -terms.window <= now - issued < terms.window:
        raise TokenRejected("iat")
    if not _same(claims.get("ath"), _hash(token)):
        raise TokenRejected("ath")
    nonce = claims.get("nonce", "")
    if not isinstance(nonce, str):
        raise TokenRejected("nonce")
    # A proof's id is its key's: nobody can use up the ids of somebody else.
    holder = sha256(thumbprint.encode()).digest()[:HOLDER]
    digest = sha256(identifier.encode("utf-8", "surrogatepass")).digest()[: 32 - HOLDER]
    return Proof(holder + digest, issued + terms.window, nonce)


def _check_key(proof: Token, thumbprint: str) -> None:
    key = public_key(proof.jwk)
    if key is None or not key.fits(proof.alg):
        raise TokenRejected("jwk")
    if not _same(key.thumbprint(), thumbprint):
        raise TokenRejected("other_key")
    check_signature(proof, key)


def _named(target: object) -> Address | None:
    """What `htu` names, normalised as RFC 3986 section 6.2 says, without query and fragment; None for no address."""
    match = _TARGET.fullmatch(target) if isinstance(target, str) else None
    if match is None:
        return None
    scheme = match[1].lower()
    address, path = address_of(match[2]), canonical_path(_without_dots(match[3]) or "/")
    if address is None or path is None:
        return None
    host, port = address
    return Address(scheme, host, port or _PORTS[scheme], path)


def _asked(request: Request, terms: Dpop) -> Address | None:
    """The same of the request, by what the edge says; None where it does not say enough to be compared."""
    scheme = terms.scheme or request.scheme
    if scheme not in _PORTS:
        return None
    return Address(scheme, request.host, request.port or _PORTS[scheme], request.path)


def _without_dots(path: str) -> str:
    """RFC 3986 section 5.2.4. What is encoded stays so, and is refused by `canonical_path`."""
    if _DOTS.search(path) is None:
        return path
    kept: list[str] = []
    steps = path.split("/")[1:]
    for step in steps:
        if step == "..":
            del kept[-1:]
        elif step != ".":
            kept.append(step)
    if steps[-1] in (".", ".."):
        kept.append("")
    return "/" + "/".join(kept)


def _hash(token: str) -> str:
    return base64.urlsafe_b64encode(sha256(token.encode()).digest()).rstrip(b"=").decode()


def _same(claimed: Any, wanted: str) -> bool:
    return isinstance(claimed, str) and hmac.compare_digest(
        claimed.encode("utf-8", "surrogatepass"), wanted.encode("utf-8", "surrogatepass")
    )


def is_thumbprint(value: object) -> TypeGuard[str]:
    """Whether `value` can be the `jkt` of a token's `cnf` (RFC 9449 section 6.1): SHA-256 in base64url."""
    return isinstance(value, str) and _THUMBPRINT.fullmatch(value) is not None
