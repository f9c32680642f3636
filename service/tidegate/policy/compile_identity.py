"""The sections of a policy about who calls, compiled."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from tidegate.policy import compiled_identity, context_token, credentials, revocation
from tidegate.policy.keysets import KeySet
from tidegate.policy.signing_keys import ContextToken, SigningKey
from tidegate.policy.workloads import Workload


def issuer_of(issuer: credentials.Issuer, keysets: Mapping[str, KeySet]) -> compiled_identity.Issuer:
    """An issuer of signed tokens."""
    return compiled_identity.Issuer(
        name=issuer.name,
        issuer=issuer.issuer,
        audiences=tuple(issuer.audiences),
        algorithms=tuple(issuer.algorithms),
        jwks_uri=issuer.jwks_uri or "",
        jwks=keysets[issuer.jwks_file].keys if issuer.jwks_file is not None else (),
        discover=issuer.discover,
        leeway=issuer.leeway,
        max_lifetime=issuer.max_lifetime,
        types=frozenset(issuer.types),
        claims=_claims(issuer.claims, issuer.tenants),
        dpop=issuer.dpop,
    )


def shared_secret_of(issuer: credentials.SharedSecret, secrets: Mapping[str, bytes]) -> compiled_identity.SharedSecret:
    """An issuer whose tokens are signed with a secret."""
    return compiled_identity.SharedSecret(
        name=issuer.name,
        secret=secrets[issuer.name],
        issuer=issuer.issuer or "",
        audiences=tuple(issuer.audiences),
        algorithm=issuer.algorithm,
        leeway=issuer.leeway,
        max_lifetime=issuer.max_lifetime,
        claims=_claims(issuer.claims, issuer.tenants),
        dpop=issuer.dpop,
    )


def introspection_of(
    endpoint: credentials.Introspection, secrets: Mapping[str, bytes]
) -> compiled_identity.Introspection:
    """The endpoint that judges opaque tokens."""
    return compiled_identity.Introspection(
        name=endpoint.name,
        url=endpoint.url,
        client_id=endpoint.client_id,
        client_secret=secrets[endpoint.name].decode("ascii"),
        client_auth=endpoint.client_auth,
        issuer=endpoint.issuer or "",
        audiences=tuple(endpoint.audiences),
        cache=endpoint.cache,
        leeway=endpoint.leeway,
        claims=_claims(endpoint.claims, endpoint.tenants),
        dpop=endpoint.dpop,
    )


def routed_introspection_of(
    endpoint: credentials.RoutedIntrospection, secrets: Mapping[str, bytes]
) -> compiled_identity.Introspection:
    """One of several, which is asked of some tokens only."""
    made = introspection_of(endpoint, secrets)
    return replace(made, prefixes=tuple(endpoint.prefixes), endpoints=frozenset(endpoint.endpoints))


def dpop_of(terms: credentials.Dpop) -> compiled_identity.Dpop:
    """What is asked of proofs of possession."""
    return compiled_identity.Dpop(tuple(terms.algorithms), terms.window, terms.nonce, terms.scheme or "")


def revocation_of(given: revocation.Revocation, base: Path) -> compiled_identity.Revocation:
    """What is known to be over before its time, and what then happens."""
    file = None if given.file is None else base / given.file
    return compiled_identity.Revocation(file, given.on_revocation == "end_streams", given.on_expiry == "end_streams")


def context_token_of(token: context_token.ContextToken | None, keys: tuple[SigningKey, ...]) -> ContextToken | None:
    """What models are told of callers, None where they are told nothing."""
    if token is None:
        return None
    reuse = token.lifetime / 2 if token.reuse is None else token.reuse
    return ContextToken(token.issuer, keys, token.lifetime, reuse)


def workload_of(workload: credentials.Workload) -> Workload:
    """A workload that is known by its certificate."""
    return Workload(
        id=workload.id,
        tenant=workload.tenant,
        tier=workload.tier,
        subject=workload.subject or "",
        roles=frozenset(workload.roles),
        scopes=frozenset(workload.scopes),
        endpoints=None if workload.endpoints is None else frozenset(workload.endpoints),
    )


def _claims(claims: credentials.Claims, tenants: Sequence[str] | None) -> compiled_identity.ClaimMap:
    return compiled_identity.ClaimMap(
        subject=claims.subject,
        client=claims.client or (),
        tenant=claims.tenant or (),
        tier=claims.tier or (),
        roles=claims.roles or (),
        scopes=claims.scopes,
        default_tenant=claims.defaults.tenant or "",
        default_tier=claims.defaults.tier or "",
        default_roles=frozenset(claims.defaults.roles),
        tenants=None if tenants is None else frozenset(tenants),
    )
