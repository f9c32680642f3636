"""What a token claims: the registered claims checked strictly (RFC 7519, RFC 8725, RFC 9068), the rest mapped. Pure.

`check` and `check_answer` judge, `map_identity` translates. They read claims only after the signature over them was
verified, or as the issuer itself gives them.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from functools import lru_cache
from types import MappingProxyType
from typing import Any, Final, TypeGuard

from tidegate.identity.token import Token, TokenRejected
from tidegate.model import Identity
from tidegate.policy.compiled_identity import ClaimMap, Introspection, Issuer, SharedSecret

_MAX_LEEWAY: Final = 60.0
_MAX_NAME: Final = 255  # characters: RFC 9068 and OpenID Connect Core section 2 bound `sub` so
_MAX_LIST: Final = 256
_LATEST: Final = 253_402_300_799.0  # the last second of the year 9999
_ID_TOKEN_CLAIMS: Final = frozenset({"nonce", "at_hash", "c_hash"})
_ACCESS_TOKENS: Final = frozenset({"bearer", "dpop", "access_token"})
_TOKEN_USES: Final = ("type", "token_type")  # Flask-JWT-Extended, djangorestframework-simplejwt
_KEYCLOAK_USES: Final = frozenset({"id", "refresh", "offline", "logout"})  # `typ` among the claims
_ABSENT: Final = object()

SignedBy = Issuer | SharedSecret
TokenIssuer = Issuer | SharedSecret | Introspection


class ClaimsUnmapped(Exception):
    """A genuine token does not say who its bearer is in our terms; `reason` is one word for our own records."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


def issuer_of(token: Token, issuers: tuple[SignedBy, ...]) -> SignedBy:
    """The configured issuer that the token names, exactly. Unverified: it only chooses whose keys are tried.

    A token that names none belongs to the shared secret whose tokens do not, where there is one.
    """
    named = token.claims.get("iss", "")
    if not isinstance(named, str) or (not named and "iss" in token.claims):
        raise TokenRejected("iss")
    for issuer in issuers:
        if issuer.issuer == named:
            return issuer
    raise TokenRejected("issuer_unknown" if named else "iss")


def check(token: Token, issuer: SignedBy, *, now: float) -> float:
    """Judge the registered claims of a signed token at `now` (Unix seconds) and return `exp` (Unix seconds).

    The token is good while now < exp + leeway. Raises TokenRejected.
    """
    claims = token.claims
    if token.typ not in issuer.types:
        raise TokenRejected("typ")
    if token.typ != "at+jwt" and not _ID_TOKEN_CLAIMS.isdisjoint(claims):
        raise TokenRejected("id_token")
    if _is_for_another_use(claims):
        raise TokenRejected("token_use")
    if isinstance(issuer, SharedSecret) and any(claims.get(use, "access") != "access" for use in _TOKEN_USES):
        raise TokenRejected("token_use")  # one secret signs refresh tokens as well
    _check_parties(claims, issuer)
    _check_binding(claims, issuer)
    if not isinstance(claims.get("jti", ""), str):
        raise TokenRejected("jti")
    expires, leeway = moment(claims, "exp"), _leeway(issuer)
    issued = _check_begun(claims, now + leeway)
    lifetime = expires - (now if issued is None else issued)
    if lifetime > issuer.max_lifetime or (issued is not None and lifetime <= 0):
        raise TokenRejected("lifetime")
    _check_ended(expires, now - leeway)
    return expires


def check_answer(claims: Mapping[str, Any], issuer: Introspection, *, now: float) -> float:
    """Judge an introspection endpoint's answer (RFC 7662 section 2.2); its `exp`, or infinity where it has none.

    Nothing is taken on trust because the answer says active. Raises TokenRejected.
    """
    if claims.get("active") is not True:
        raise TokenRejected("inactive")
    for use in ("token_type", "typ"):  # the endpoint may well know refresh tokens, too
        value = claims.get(use, "bearer")
        if not isinstance(value, str) or value.lower() not in _ACCESS_TOKENS:
            raise TokenRejected("token_use")
    _check_parties(claims, issuer)
    _check_binding(claims, issuer)
    leeway = _leeway(issuer)
    _check_begun(claims, now + leeway)
    expires = moment(claims, "exp") if "exp" in claims else math.inf
    _check_ended(expires, now - leeway)
    return expires


def map_identity(
    claims: Mapping[str, Any], where: ClaimMap, *, method: str, credential: str, expires: float
) -> Identity:
    """The identity that the claims describe by a claim map. Raises ClaimsUnmapped.

    A claim that is absent gives way to the map's default; one that is there with a wrong type never does. `credential`
    stands in for a `jti`; `expires` may be infinite.
    """
    jti = claims.get("jti")
    return Identity(
        subject=_name(claims, where.client if _is_clients(claims, where) else where.subject, "", "subject"),
        tenant=_name(claims, where.tenant, where.default_tenant, "tenant"),
        tier=_name(claims, where.tier, where.default_tier, "tier"),
        method=method,
        roles=_names(_at(claims, where.roles), where.default_roles, "roles"),
        scopes=_names(_scopes(claims, where), frozenset(), "scopes"),
        claims=_frozen(claims),
        credential=jti if is_name(jti) else credential,
        expires_at=None if math.isinf(expires) else expires,
        client_id=_client(claims),
        audiences=_audiences(claims) if "aud" in claims else frozenset(),
    )


def is_name(value: object) -> TypeGuard[str]:
    """Whether `value` may stand in logs, headers and limit keys: a short string of visible characters and spaces."""
    return isinstance(value, str) and 0 < len(value) <= _MAX_NAME and _is_visible(value)


def _is_for_another_use(claims: Mapping[str, Any]) -> bool:
    """Whether a token says by a claim that it is not for access: as Amazon Cognito and Keycloak do, and RFC 8417."""
    typ = claims.get("typ")
    return (
        claims.get("token_use", "access") != "access"
        or "events" in claims
        or (isinstance(typ, str) and typ.lower() in _KEYCLOAK_USES)
    )


@lru_cache(maxsize=4096)
def _is_visible(value: str) -> bool:
    """Remembered: tenants, tiers and applications are few. Of white space, only the plain space is printable."""
    return value.isprintable() and value[0] != " " and value[-1] != " "


def _check_parties(claims: Mapping[str, Any], issuer: TokenIssuer) -> None:
    if claims.get("iss", "") != issuer.issuer:
        raise TokenRejected("iss")
    if ("aud" in claims or issuer.audiences) and _audiences(claims).isdisjoint(issuer.audiences):
        raise TokenRejected("aud")
    if not is_name(claims.get("sub")) and not _is_clients(claims, issuer.claims):
        raise TokenRejected("sub")


def _check_binding(claims: Mapping[str, Any], issuer: TokenIssuer) -> None:
    """Whether a token is bound to a key, where the policy wants that; whether the caller has the key, `proofs` asks."""
    if issuer.dpop == "required":
        bound = claims.get("cnf")
        if not isinstance(bound, Mapping) or "jkt" not in bound:
            raise TokenRejected("unbound")


def _check_begun(claims: Mapping[str, Any], latest: float) -> float | None:
    issued = moment(claims, "iat") if "iat" in claims else None
    if issued is not None and issued > latest:
        raise TokenRejected("iat_future")
    if "nbf" in claims and moment(claims, "nbf") > latest:
        raise TokenRejected("nbf_future")
    return issued


def _check_ended(expires: float, earliest: float) -> None:
    if expires <= earliest:
        raise TokenRejected("expired", expired=True)


def _leeway(issuer: TokenIssuer) -> float:
    leeway = issuer.leeway
    return leeway if 0.0 <= leeway <= _MAX_LEEWAY else min(max(leeway, 0.0), _MAX_LEEWAY)


def _audiences(claims: Mapping[str, Any]) -> frozenset[str]:
    audience = claims.get("aud")
    if isinstance(audience, str) and audience:
        return frozenset((audience,))
    values = [audience] if isinstance(audience, str) else audience
    if not isinstance(values, list) or not 0 < len(values) <= _MAX_LIST:
        raise TokenRejected("aud")
    if not all(isinstance(value, str) and value for value in values):
        raise TokenRejected("aud")
    return frozenset(values)


def _is_clients(claims: Mapping[str, Any], where: ClaimMap) -> bool:
    """Whether a client got the token for itself (RFC 6749 section 4.4), at a provider that then names no `sub`."""
    return "sub" not in claims and is_name(_at(claims, where.client))


def moment(claims: Mapping[str, Any], name: str) -> float:
    """A NumericDate (RFC 7519 section 2): a JSON number of seconds; true is not 1 here. Raises TokenRejected."""
    value = claims.get(name)
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not 0 <= value <= _LATEST:
        raise TokenRejected(name)
    return float(value)


def _at(claims: Mapping[str, Any], path: tuple[str, ...]) -> Any:
    if len(path) == 1:
        return claims.get(path[0], _ABSENT)
    if not path:
        return _ABSENT
    value: Any = claims
    for step in path:
        if not isinstance(value, dict):
            return None  # there, and not what the map expects: no default
        if step not in value:
            return _ABSENT
        value = value[step]
    return value


def _name(claims: Mapping[str, Any], path: tuple[str, ...], default: str, what: str) -> str:
    value = _at(claims, path)
    if value is _ABSENT:
        value = default
    if not is_name(value):
        raise ClaimsUnmapped(f"{what}_unmapped")
    return value


def _client(claims: Mapping[str, Any]) -> str:
    """The application that the token was given to: RFC 9068 section 2.2, or OpenID Connect Core section 2 (`azp`)."""
    for name in ("client_id", "azp"):
        value = claims.get(name)
        if is_name(value):
            return value
    return ""


def _scopes(claims: Mapping[str, Any], where: ClaimMap) -> Any:
    """RFC 8693 names the claim `scope`; some providers send `scp`, which stands in where `scope` is mapped."""
    value = _at(claims, where.scopes)
    return _at(claims, ("scp",)) if value is _ABSENT and where.scopes == ("scope",) else value


def _names(value: Any, default: frozenset[str], what: str) -> frozenset[str]:
    """A list of names, or names separated by spaces."""
    if value is _ABSENT:
        return default
    try:
        found = _set_of(tuple(value) if isinstance(value, list) else value)
    except TypeError:  # something in it that cannot be in a set
        found = None
    if found is None:
        raise ClaimsUnmapped(f"{what}_unmapped")
    return found


@lru_cache(maxsize=1024)
def _set_of(value: Any) -> frozenset[str] | None:
    """Remembered, because many tokens have the same roles and scopes."""
    names = tuple(name for name in value.split(" ") if name) if isinstance(value, str) else value
    if not isinstance(names, tuple) or len(names) > _MAX_LIST or not all(map(is_name, names)):
        return None
    return frozenset(names)


def _frozen(claims: Mapping[str, Any]) -> Mapping[str, Any]:
    """What JSON makes, unchangeable. By exact types, which is ten times quicker than asking what is a Mapping."""
    made = dict(claims)
    for name, value in claims.items():
        if type(value) is dict:
            made[name] = _frozen(value)
        elif type(value) is list:
            made[name] = _frozen_list(value)
    return MappingProxyType(made)


def _frozen_list(values: list[Any]) -> tuple[Any, ...]:
    return tuple([_frozen(v) if type(v) is dict else _frozen_list(v) if type(v) is list else v for v in values])
