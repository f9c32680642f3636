"""Who calls, and what that hangs on."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any, NamedTuple


class Identity(NamedTuple):
    """Who calls, as one authenticated method established it.

    `credential` is the public id of the credential (an API key's id, a token's `jti` or key id), never a secret.
    `client_id` names the application that calls (RFC 9068 `client_id`, OpenID Connect `azp`; an API key's id), "" where
    the credential does not say. `expires_at` is Unix seconds, or None when the credential does not expire. `audiences`
    is whom a token was made for, None for a credential that is not made for anybody; `endpoints` are the only ones that
    the credential opens, None for any. `inquiry` is how to ask about an opaque token again, sealed, and `asked` when it
    was asked about (Unix seconds).
    """

    subject: str
    tenant: str
    tier: str
    method: str
    roles: frozenset[str] = frozenset()
    scopes: frozenset[str] = frozenset()
    claims: Mapping[str, Any] = MappingProxyType({})
    credential: str = ""
    expires_at: float | None = None
    client_id: str = ""
    audiences: frozenset[str] | None = None
    endpoints: frozenset[str] | None = None
    inquiry: str = ""
    asked: float = 0.0

    def __repr__(self) -> str:
        shown = ", ".join(f"{name}={value!r}" for name, value in self._asdict().items() if name != "claims")
        return f"Identity({shown})"


class Proof(NamedTuple):
    """What an identity hangs on: enough to ask later, anywhere, whether it still stands.

    `key` is the id of an API key, `token` that of a token ("" where it has none), `issuer` the token's `iss`. `inquiry`
    and `asked` are as of Identity. `issued` and `expires` are Unix seconds, None where the credential does not say.
    """

    method: str = ""
    key: str = ""
    token: str = ""
    issuer: str = ""
    inquiry: str = ""
    issued: float | None = None
    expires: float | None = None
    asked: float | None = None


def proof_of(identity: Identity) -> Proof:
    """The proof of an identity."""
    if identity.method == "api_key":
        return Proof("api_key", key=identity.credential, expires=identity.expires_at)
    claims = identity.claims
    named = identity.method != "jwt" or claims.get("jti") == identity.credential  # a JWT without an id bears its key's
    issuer, issued = claims.get("iss", ""), claims.get("iat")
    return Proof(
        identity.method,
        token=identity.credential if named else "",
        issuer=issuer if isinstance(issuer, str) else "",
        inquiry=identity.inquiry,
        issued=float(issued) if isinstance(issued, int | float) and not isinstance(issued, bool) else None,
        expires=identity.expires_at,
        asked=identity.asked if identity.inquiry else None,
    )


ANONYMOUS = "anonymous"
"""The method, and the subject, of a caller who shows no credential where none is needed."""
