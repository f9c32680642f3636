"""Context tokens: a signed JWT (RFC 7519) that tells a model who calls, so that it need not take headers on trust.

A pod verifies it with public keys alone. It is no access token: its `typ` is its own (RFC 8725 section 3.11), it is for
one endpoint, and it opens nothing here.
"""

from __future__ import annotations

import uuid
from base64 import urlsafe_b64encode
from collections import OrderedDict
from functools import lru_cache
from typing import Any, Final, NamedTuple

import orjson

from tidegate.clock import Clock
from tidegate.identity.signature import Signer
from tidegate.model import Allow, Identity
from tidegate.policy.compiled import Policy
from tidegate.policy.signing_keys import ContextToken, SigningKey

TYPE: Final = "tidegate-context+jwt"
_LEAST: Final = 5.0
"""Seconds that a token is good at least: a credential may be over, and yet within the leeway of its issuer."""


class _Signed(NamedTuple):
    token: str
    end: float  # Unix seconds


class ContextTokens:
    """Makes the tokens of one process. `cache_size` bounds those that are used again; the oldest go first."""

    def __init__(self, *, clock: Clock, cache_size: int = 10_000) -> None:
        self._clock = clock
        self._cache_size = cache_size
        self._signed: OrderedDict[tuple[object, ...], _Signed] = OrderedDict()

    def token_for(self, policy: Policy, allow: Allow, request_id: str) -> str:
        """The token that goes with an allowed request, "" where the policy wants none."""
        wanted = policy.context_token
        if wanted is None:
            return ""
        now = self._clock.now()
        identity = allow.identity
        if not wanted.reuse:
            return _sign(policy, wanted, allow, now, {"request_id": request_id}).token
        caller = (identity.subject, identity.tenant, identity.tier, identity.roles, identity.scopes, identity.client_id)
        key = (policy.version, wanted.keys[0].kid, *caller, identity.method, identity.expires_at, allow.endpoint)
        known = self._signed.get(key)
        if known is None or now >= known.end:
            signed = _sign(policy, wanted, allow, now, {})
            known = _Signed(signed.token, min(signed.end, now + wanted.reuse))
            self._signed.pop(key, None)
            self._signed[key] = known
            while len(self._signed) > self._cache_size:
                self._signed.popitem(last=False)
        return known.token


def jwks(policy: Policy) -> bytes | None:
    """The JWK Set (RFC 7517 section 5) that verifies the policy's tokens; None where it wants none."""
    wanted = policy.context_token
    return None if wanted is None else orjson.dumps({"keys": [dict(key.jwk) for key in wanted.keys]})


def _sign(policy: Policy, wanted: ContextToken, allow: Allow, now: float, more: dict[str, Any]) -> _Signed:
    end = int(_end(wanted, allow.identity, now))
    audience = next((e.context_audience for e in policy.endpoints if e.name == allow.endpoint), "")
    claims = {
        "iss": wanted.issuer,
        "aud": audience or allow.endpoint,
        "iat": int(now),
        "exp": end,
        "jti": uuid.uuid4().hex,
        "endpoint": allow.endpoint,
        **_caller(allow.identity),
        **more,
    }
    signed = f"{_head(wanted.keys[0])}.{_b64(orjson.dumps(claims))}"
    return _Signed(f"{signed}.{_b64(_signer(wanted.keys[0]).sign(signed.encode()))}", end)


def _end(wanted: ContextToken, identity: Identity, now: float) -> float:
    end = now + wanted.lifetime
    return end if identity.expires_at is None else max(min(end, identity.expires_at), now + _LEAST)


def _caller(identity: Identity) -> dict[str, Any]:
    """What is in no other header, too: names of RFC 9068 and RFC 8693 where there are some."""
    claims: dict[str, Any] = {
        "sub": identity.subject,
        "tenant": identity.tenant,
        "tier": identity.tier,
        "method": identity.method,
        "roles": sorted(identity.roles),
        "scope": " ".join(sorted(identity.scopes)),
    }
    return claims | ({"client_id": identity.client_id} if identity.client_id else {})


@lru_cache(maxsize=16)
def _head(key: SigningKey) -> str:
    return _b64(orjson.dumps({"alg": key.alg, "typ": TYPE, "kid": key.kid}))


@lru_cache(maxsize=16)
def _signer(key: SigningKey) -> Signer:
    return Signer(key.pem, key.alg)


def _b64(raw: bytes) -> str:
    return urlsafe_b64encode(raw).rstrip(b"=").decode()
