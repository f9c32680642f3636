"""Signed access tokens (RFC 6750, RFC 9068): read by `token`, their key chosen by `keyset`, their signature checked by
`signature`, their claims judged by `claims`.
"""

from __future__ import annotations

import hmac
from collections import OrderedDict
from hashlib import sha256
from typing import Final

from tidegate.clock import Clock
from tidegate.errors import IdentityProviderUnavailable
from tidegate.identity import claims, refusals
from tidegate.identity.claims import SignedBy
from tidegate.identity.jwks import KeySets
from tidegate.identity.keyset import ALGORITHMS, KeySet, PublicKey
from tidegate.identity.signature import check_signature
from tidegate.identity.token import MAX_LENGTH, Token, TokenRejected, parse
from tidegate.model import Deny, Identity
from tidegate.policy.compiled_identity import Issuer, SharedSecret

_MACS: Final = {"HS256": "sha256", "HS384": "sha384", "HS512": "sha512"}


_Verified = tuple[Identity, SignedBy, KeySet | None, float]
"""A token that passed, and what it hangs on: its issuer, the keys that it had, and its end (Unix seconds).

It is forgotten when they are no longer the issuer's keys. There are none for a shared secret: it changes with the
policy only, and so does the issuer.
"""


class BearerVerifier:
    """Verifies bearer tokens against the issuers of a policy. Never raises for anything that a token can hold.

    `cache_size` bounds the verified tokens that are remembered (least recently used go first). A remembered token
    dies with its `exp`, with a change of its issuer's keys, and with the policy version.
    """

    def __init__(self, *, clock: Clock, key_sets: KeySets, cache_size: int = 10_000) -> None:
        self._clock = clock
        self._key_sets = key_sets
        self._cache_size = cache_size
        self._verified: OrderedDict[tuple[bytes, str], _Verified] = OrderedDict()

    async def verify(self, token: str, issuers: tuple[SignedBy, ...], *, policy_version: str) -> Identity | Deny:
        """The identity that `token` proves to one of `issuers`, or the refusal.

        401 for a bad or expired token, 403 for a good one whose claims give no tenant or tier, 503 when its issuer's
        keys cannot be had. `policy_version` must change whenever `issuers` does, but for shared secrets.
        """
        try:
            if len(token) > MAX_LENGTH:  # before hashing it
                return refusals.invalid("too_long")
            digest = (sha256(token.encode("utf-8", "surrogatepass")).digest(), policy_version)
            remembered = self._verified.get(digest)
            if remembered is not None:
                if await self._stands(remembered, issuers):
                    if digest in self._verified:  # another task may have pushed it out while this one waited
                        self._verified.move_to_end(digest)
                    return remembered[0]
                self._verified.pop(digest, None)
            parsed = parse(token)
            issuer = claims.issuer_of(parsed, issuers)
            keys: KeySet | None = None
            if isinstance(issuer, SharedSecret):
                _check_mac(parsed, issuer)
                key_id = issuer.name
            else:
                if parsed.alg not in issuer.algorithms or parsed.alg not in ALGORITHMS:
                    raise TokenRejected("alg_not_allowed")
                keys = self._key_sets.fresh(issuer)
                key = None if keys is None else keys.select(parsed.kid, parsed.alg)
                if key is None:
                    keys, key = await self._fetched(parsed, issuer)
                check_signature(parsed, key)
                key_id = key.kid
            # The clock is read after the fetch and the signature, so a token that expired meanwhile is refused.
            expires, audiences = claims.check(parsed, issuer, self._clock.now())
            identity = claims.map_identity(parsed.claims, issuer.claims, "jwt", key_id, expires, audiences)
            self._verified[digest] = identity, issuer, keys, expires
            if len(self._verified) > self._cache_size:
                self._verified.popitem(last=False)
            return identity
        except TokenRejected as rejected:
            return refusals.expired(rejected.reason) if rejected.expired else refusals.invalid(rejected.reason)
        except claims.ClaimsUnmapped as unmapped:
            return refusals.unmapped(unmapped.reason)
        except IdentityProviderUnavailable as failure:
            return refusals.unavailable(str(failure))
        except Exception as failure:  # noqa: BLE001
            # Rule 10: the bytes are a stranger's and the library below is permissive; whatever breaks, it is a refusal.
            return refusals.invalid(f"unexpected_{type(failure).__name__}")

    async def _stands(self, verified: _Verified, issuers: tuple[SignedBy, ...]) -> bool:
        """Whether a remembered token is as good as on the day it was verified."""
        _, issuer, keys, expires = verified
        if isinstance(issuer, SharedSecret):
            current = any(issuer is known for known in issuers)
        else:
            current = keys is (self._key_sets.fresh(issuer) or await self._key_sets.get(issuer))
        return current and self._clock.now() < expires

    async def _fetched(self, token: Token, issuer: Issuer) -> tuple[KeySet, PublicKey]:
        keys = await self._key_sets.get(issuer)
        key = keys.select(token.kid, token.alg)
        if key is None:
            newer = await self._key_sets.newer(issuer)
            if newer is not None:
                keys, key = newer, newer.select(token.kid, token.alg)
        if key is None:
            raise TokenRejected("kid_unknown")
        return keys, key


def _check_mac(token: Token, issuer: SharedSecret) -> None:
    if token.alg != issuer.algorithm or token.alg not in _MACS:
        raise TokenRejected("alg_not_allowed")
    if not hmac.compare_digest(hmac.digest(issuer.secret, token.signed, _MACS[token.alg]), token.signature):
        raise TokenRejected("signature")
