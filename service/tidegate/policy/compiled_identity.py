"""The part of the compiled policy that says how callers prove who they are, and when that is over."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal


@dataclass(frozen=True, slots=True)
class ApiKeys:
    """Where API keys come in (`header`, lower-case; "authorization" means the Bearer scheme) and the file with them.

    Without a file they are in the store.
    """

    header: str
    file: Path | None = None


@dataclass(frozen=True, slots=True)
class ClaimMap:
    """Which claim gives which part of the identity; a path has one element for each nesting level. () = not mapped.

    `client` names who calls where a token has no `sub`: a client that got it with its own credentials. `tenants` are
    those that a token may be of, None for any.
    """

    subject: tuple[str, ...] = ("sub",)
    client: tuple[str, ...] = ()
    tenant: tuple[str, ...] = ()
    tier: tuple[str, ...] = ()
    roles: tuple[str, ...] = ()
    scopes: tuple[str, ...] = ("scope",)
    default_tenant: str = ""
    default_tier: str = ""
    default_roles: frozenset[str] = frozenset()
    tenants: frozenset[str] | None = None


Binding = Literal["optional", "required"]
"""Whether a token may be, or must be, bound to a DPoP key."""


@dataclass(frozen=True, slots=True)
class Issuer:
    """A trusted token issuer. Its keys are at `jwks_uri`, or in `jwks` (a static JWK set), or `discover`ed.

    `leeway` and `max_lifetime` are seconds; `types` are the accepted `typ` header values, lower-case, without the
    "application/" prefix, "" meaning that `typ` may be absent.
    """

    name: str
    issuer: str
    audiences: tuple[str, ...]
    algorithms: tuple[str, ...]
    jwks_uri: str = ""
    jwks: tuple[Mapping[str, Any], ...] = ()
    discover: bool = False
    leeway: float = 30.0
    max_lifetime: float = 86_400.0
    types: frozenset[str] = frozenset({"", "jwt", "at+jwt"})
    claims: ClaimMap = ClaimMap()
    dpop: Binding = "optional"


@dataclass(frozen=True, slots=True)
class SharedSecret:
    """A trusted issuer that signs with a secret which it shares with us: whoever holds it can make tokens.

    `issuer` "" means that its tokens have no `iss`, and no `audiences` that they have no `aud`.
    """

    name: str
    secret: bytes = field(repr=False)
    issuer: str = ""
    audiences: tuple[str, ...] = ()
    algorithm: str = "HS256"
    leeway: float = 30.0
    max_lifetime: float = 86_400.0
    types: frozenset[str] = frozenset({"", "jwt", "at+jwt"})
    claims: ClaimMap = ClaimMap()
    dpop: Binding = "optional"


@dataclass(frozen=True, slots=True)
class Introspection:
    """An endpoint that says what an opaque token is worth (RFC 7662), and how we prove to it who asks.

    `cache` is how long an answer is used, seconds. `issuer` and `audiences` are as of SharedSecret. `prefixes` and
    `endpoints` say which tokens it is asked about; one that takes whatever is left has neither.
    """

    name: str
    url: str
    client_id: str
    client_secret: str = field(repr=False)
    client_auth: Literal["basic", "post"] = "basic"
    issuer: str = ""
    audiences: tuple[str, ...] = ()
    cache: float = 2.0
    leeway: float = 30.0
    claims: ClaimMap = ClaimMap()
    dpop: Binding = "optional"
    prefixes: tuple[str, ...] = ()
    endpoints: frozenset[str] = frozenset()


@dataclass(frozen=True, slots=True)
class Dpop:
    """What proofs of possession must be like (RFC 9449).

    `window` is how far their `iat` may lie from now, seconds. With `nonce` they must have one of ours. `scheme` is what
    clients call by where that is not what the edge sees, else "".
    """

    algorithms: tuple[str, ...] = (
        *("RS256", "RS384", "RS512", "PS256", "PS384", "PS512"),
        *("ES256", "ES384", "ES512", "EdDSA", "Ed25519"),
    )
    window: float = 60.0
    nonce: bool = False
    scheme: Literal["", "http", "https"] = ""


@dataclass(frozen=True, slots=True)
class Revocation:
    """Where the revoked tokens are listed, None for the store, and whether responses that run end with a credential."""

    file: Path | None = None
    ends_revoked: bool = False
    ends_expired: bool = False
