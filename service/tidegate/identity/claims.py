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
_USES: Final = _ID_TOKEN_CLAIMS | {"typ", "token_use", "events", "type", "token_type"}
_TOKEN_USES: Final = ("type", "token_type")  # Flask-JWT-Extended, djangorestframework-simplejwt
_KEYCLOAK_USES: Final = frozenset({"id", "refresh", "offline", "logout"})  # `typ` among the claims
_SUB: Final = ("sub",)
_SCOPE: Final = ("scope",)
_NONE: Final[frozenset[str]] = frozenset()

SignedBy = Issuer | SharedSecret
TokenIssuer = Issuer | SharedSecret | Introspection
_Place = tuple[str, str, frozenset[str], frozenset[str], str]  # tenant, tier, roles, scopes, client


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


def check(token: Token, issuer: SignedBy, now: float) -> tuple[float, frozenset[str]]:
    """Judge the registered claims of a signed token at `now` (Unix seconds): its `exp` (Unix seconds) and its `aud`.

    The token is good while now < exp + leeway. Raises TokenRejected.
    """
    claims = token.claims
    if token.typ not in issuer.types:
        raise TokenRejected("typ")
    if not _USES.isdisjoint(claims):
        _check_use(token, issuer)
    audiences = _check_parties(claims, issuer)
    if not isinstance(claims.get("jti", ""), str):
        raise TokenRejected("jti")
    expires = moment(claims, "exp")
    issued = _check_times(claims, issuer, expires, now)
    lifetime = expires - (now if issued is None else issued)
    if lifetime > issuer.max_lifetime or (issued is not None and lifetime <= 0):
        raise TokenRejected("lifetime")
    return expires, audiences


def check_answer(claims: Mapping[str, Any], issuer: Introspection, *, now: float) -> tuple[float, frozenset[str]]:
    """Judge an introspection endpoint's answer (RFC 7662 section 2.2): its `exp` and its `aud`, as of `check`.

    `exp` is infinity where it has none. Nothing is taken on trust because the answer says active. Raises TokenRejected.
    """
    if claims.get("active") is not True:
        raise TokenRejected("inactive")
    for use in ("token_type", "typ"):  # the endpoint may well know refresh tokens, too
        value = claims.get(use, "bearer")
        if not isinstance(value, str) or value.lower() not in _ACCESS_TOKENS:
            raise TokenRejected("token_use")
    audiences = _check_parties(claims, issuer)
    expires = moment(claims, "exp") if "exp" in claims else math.inf
    _check_times(claims, issuer, expires, now)
    return expires, audiences


def map_identity(
    claims: dict[str, Any],
    where: ClaimMap,
    method: str,
    credential: str,
    expires: float,
    audiences: frozenset[str],
) -> Identity:
    """The identity that the claims describe by a claim map. Raises ClaimsUnmapped.

    A claim that is absent gives way to the map's default; one that is there with a wrong type never does. An issuer
    speaks for its own tenants alone. `credential` stands in for a `jti`; `expires` may be infinite. The claims were
    judged before: a `sub` is a name.
    """
    jti = claims.get("jti")
    scopes = _at(claims, where.scopes, _NONE)
    if scopes is _NONE and where.scopes == _SCOPE:
        scopes = claims.get("scp", _NONE)  # RFC 8693 names the claim `scope`; some providers send this one
    given = (
        _at(claims, where.tenant, where.default_tenant),
        _at(claims, where.tier, where.default_tier),
        _at(claims, where.roles, where.default_roles),
        scopes,
        claims.get("client_id"),
        claims.get("azp"),
    )
    try:
        tenant, tier, roles, scopes, client = _known_place(*given)
    except TypeError:  # something in it that no cache can hold
        tenant, tier, roles, scopes, client = _place(*given)
    if where.tenants is not None and tenant not in where.tenants:
        raise ClaimsUnmapped("tenant_not_its")
    return Identity(
        claims["sub"] if where.subject == _SUB and "sub" in claims else _subject(claims, where),
        tenant,
        tier,
        method,
        roles,
        scopes,
        MappingProxyType(claims),
        jti if is_name(jti) else credential,
        None if expires == math.inf else expires,
        client,
        audiences,
    )


def _subject(claims: Mapping[str, Any], where: ClaimMap) -> str:
    return _name(_at(claims, where.client if _is_clients(claims, where) else where.subject, ""), "subject")


def is_name(value: object) -> TypeGuard[str]:
    """Whether `value` may stand in logs, headers and limit keys: a short string of visible characters and spaces.

    Of white space, only the plain space is printable, and it may stand at neither end.
    """
    return (
        isinstance(value, str)
        and 0 < len(value) <= _MAX_NAME
        and value.isprintable()
        and value[0] != " "
        and value[-1] != " "
    )


def _check_use(token: Token, issuer: SignedBy) -> None:
    """Whether a token says by a claim that it is not for access: as Amazon Cognito and Keycloak do, and RFC 8417."""
    claims = token.claims
    if token.typ != "at+jwt" and not _ID_TOKEN_CLAIMS.isdisjoint(claims):
        raise TokenRejected("id_token")
    typ = claims.get("typ")
    if (
        claims.get("token_use", "access") != "access"
        or "events" in claims
        or (isinstance(typ, str) and typ.lower() in _KEYCLOAK_USES)
    ):
        raise TokenRejected("token_use")
    if isinstance(issuer, SharedSecret) and any(claims.get(use, "access") != "access" for use in _TOKEN_USES):
        raise TokenRejected("token_use")  # one secret signs refresh tokens as well


def _check_parties(claims: Mapping[str, Any], issuer: TokenIssuer) -> frozenset[str]:
    """Whom the token is for."""
    if claims.get("iss", "") != issuer.issuer:
        raise TokenRejected("iss")
    audiences = _NONE
    if "aud" in claims or issuer.audiences:
        try:
            audiences = _audiences(claims.get("aud"))
        except TypeError:
            raise TokenRejected("aud") from None
        if audiences.isdisjoint(issuer.audiences):
            raise TokenRejected("aud")
    if not is_name(claims.get("sub")) and not _is_clients(claims, issuer.claims):
        raise TokenRejected("sub")
    if issuer.dpop == "required":  # whether the caller has the key that it is bound to, `confirmation` asks
        bound = claims.get("cnf")
        if not isinstance(bound, Mapping) or "jkt" not in bound:
            raise TokenRejected("unbound")
    return audiences


def _check_times(claims: Mapping[str, Any], issuer: TokenIssuer, expires: float, now: float) -> float | None:
    """Whether a token has begun, and is not over; when it was issued."""
    leeway = issuer.leeway if 0.0 <= issuer.leeway <= _MAX_LEEWAY else min(max(issuer.leeway, 0.0), _MAX_LEEWAY)
    issued = moment(claims, "iat") if "iat" in claims else None
    if issued is not None and issued > now + leeway:
        raise TokenRejected("iat_future")
    if "nbf" in claims and moment(claims, "nbf") > now + leeway:
        raise TokenRejected("nbf_future")
    if expires <= now - leeway:
        raise TokenRejected("expired", expired=True)
    return issued


@lru_cache(maxsize=1024)
def _audiences(audience: Any) -> frozenset[str]:
    """Remembered, because tokens of few applications are many. Raises TypeError for what no cache can hold."""
    values = (audience,) if isinstance(audience, str) else audience
    if not isinstance(values, tuple) or not 0 < len(values) <= _MAX_LIST:
        raise TokenRejected("aud")
    if not all(isinstance(value, str) and value for value in values):
        raise TokenRejected("aud")
    return frozenset(values)


def _is_clients(claims: Mapping[str, Any], where: ClaimMap) -> bool:
    """Whether a client got the token for itself (RFC 6749 section 4.4), at a provider that then names no `sub`."""
    return "sub" not in claims and is_name(_at(claims, where.client, None))


def moment(claims: Mapping[str, Any], name: str) -> float:
    """A NumericDate (RFC 7519 section 2): a JSON number of seconds; true is not 1 here. Raises TokenRejected."""
    value: Any = claims.get(name)
    kind = type(value)
    if (kind is not int and kind is not float) or not 0 <= value <= _LATEST:
        raise TokenRejected(name)
    return float(value)


def _at(claims: Mapping[str, Any], path: tuple[str, ...], default: Any) -> Any:
    if len(path) == 1:
        return claims.get(path[0], default)
    if not path:
        return default
    value: Any = claims
    for step in path:
        if not isinstance(value, Mapping):
            return None  # there, and not what the map expects: no default
        if step not in value:
            return default
        value = value[step]
    return value


def _name(value: Any, what: str) -> str:
    if not is_name(value):
        raise ClaimsUnmapped(f"{what}_unmapped")
    return value


def _place(tenant: Any, tier: Any, roles: Any, scopes: Any, client_id: Any, azp: Any) -> _Place:
    """Where a caller stands. The application is RFC 9068's `client_id`, or `azp` of OpenID Connect Core section 2."""
    client = client_id if is_name(client_id) else azp if is_name(azp) else ""
    return _name(tenant, "tenant"), _name(tier, "tier"), _names(roles, "roles"), _names(scopes, "scopes"), client


_known_place = lru_cache(maxsize=1024)(_place)


def _names(value: Any, what: str) -> frozenset[str]:
    """A list of names, or names separated by spaces, or what the policy says."""
    if isinstance(value, frozenset):
        return value
    names = tuple(name for name in value.split(" ") if name) if isinstance(value, str) else value
    if not isinstance(names, tuple) or len(names) > _MAX_LIST or not all(map(is_name, names)):
        raise ClaimsUnmapped(f"{what}_unmapped")
    return frozenset(names)
