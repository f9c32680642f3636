"""Tokens that are bound to a key of their owner's (`cnf`, RFC 7800): whoever stole one cannot use it.

A token bound to a client certificate (RFC 8705 section 3) is good over a connection with that very certificate, one
bound to a DPoP key (RFC 9449) with a proof made for this very request. Every other binding is one whose proof cannot be
checked here, so such a token is refused: to ignore the binding would be to make it a bearer token.
"""

from __future__ import annotations

import hmac
from collections.abc import Mapping
from types import MappingProxyType
from typing import Any, Final

from tidegate.clock import Clock
from tidegate.errors import StoreUnavailable
from tidegate.identity import certificate, refusals
from tidegate.identity.dpop import check_proof, is_thumbprint
from tidegate.identity.nonces import Nonces
from tidegate.identity.replays import Replays
from tidegate.identity.token import TokenRejected
from tidegate.model import Deny, Identity, Request
from tidegate.policy.compiled_identity import Dpop

HEADER: Final = "dpop"
_CERTIFICATE: Final = "x5t#S256"
_KEY: Final = "jkt"
_KNOWN: Final = {_CERTIFICATE, _KEY}
_UNBOUND: Final[Mapping[str, Any]] = MappingProxyType({})
_CLOCKS_DIFFER: Final = 30.0
"""How much longer a used proof is remembered, seconds: at another replica it may not be over yet."""
_DOWNGRADED: Final = "dpop_downgraded"


class Confirmation:
    """Asks callers for what their tokens are bound to.

    Without `replays` no DPoP proof can be told from a repeated one, so tokens that need one are refused. Without
    `nonces` none can be asked for.
    """

    def __init__(self, *, clock: Clock, replays: Replays | None, nonces: Nonces | None = None) -> None:
        self._clock = clock
        self._replays = replays
        self._nonces = nonces

    async def confirm(
        self, identity: Identity, token: str, request: Request, terms: Dpop, *, by_proof: bool
    ) -> Identity | Deny:
        """The identity of `token`, if the request proves every binding that it has.

        `by_proof`: the token came under the scheme DPoP. One that is bound to a DPoP key must, and no other may.
        """
        bound = identity.claims.get("cnf", _UNBOUND)
        fault = _fault(bound, request, by_proof=by_proof)
        if fault:
            deny = refusals.invalid(fault)
            return refusals.under_dpop(deny, terms.algorithms) if by_proof or fault == _DOWNGRADED else deny
        if not by_proof:
            return identity
        refused = await self._proved(bound[_KEY], token, request, terms)
        return identity if refused is None else refused

    async def _proved(self, thumbprint: str, token: str, request: Request, terms: Dpop) -> Deny | None:
        if self._replays is None:
            return refusals.unavailable("dpop: no memory that all replicas share")
        given = request.headers.get(HEADER, "")
        if not given:
            return refusals.unproved("dpop_missing", terms.algorithms)
        try:
            proof = check_proof(given, request, token, thumbprint, terms, now=self._clock.now())
        except TokenRejected as rejected:
            return refusals.unproved(f"dpop_{rejected.reason}", terms.algorithms)
        now = self._clock.now()
        if terms.nonce and (self._nonces is None or not self._nonces.good(proof.nonce, now)):
            return self._ask_for_nonce(proof.nonce, now, terms)
        try:
            first = await self._replays.first(proof.digest, proof.until - now + _CLOCKS_DIFFER)
        except StoreUnavailable as failure:
            return refusals.unavailable(str(failure))
        if not first:
            return refusals.unproved("dpop_replayed", terms.algorithms)
        if self._clock.now() >= proof.until:  # the question may have taken its time
            return refusals.unproved("dpop_iat", terms.algorithms)
        return None

    def _ask_for_nonce(self, given: str, now: float, terms: Dpop) -> Deny:
        if self._nonces is None:
            return refusals.unavailable("dpop: no key for nonces")
        return refusals.nonce_required(
            self._nonces.at(now), "dpop_nonce_old" if given else "dpop_nonce_missing", terms.algorithms
        )


def _fault(bound: Any, request: Request, *, by_proof: bool) -> str:
    """Why a token with this binding is no good in this request, whatever the proof says; "" when it may be."""
    if bound is not _UNBOUND and (not isinstance(bound, Mapping) or not bound or not bound.keys() <= _KNOWN):
        return "cnf_unsupported"
    if _CERTIFICATE in bound and (fault := _uncertified(bound[_CERTIFICATE], request)):
        return fault
    if _KEY not in bound:
        return "dpop_unbound" if by_proof else ""
    if not is_thumbprint(bound[_KEY]):
        return "cnf_unsupported"
    return "" if by_proof else _DOWNGRADED


def _uncertified(wanted: object, request: Request) -> str:
    presented = certificate.read(request.peer_certificate)
    if presented is None:
        return "cnf_no_certificate"
    if not isinstance(wanted, str) or not hmac.compare_digest(wanted.encode(), presented.thumbprint.encode()):
        return "cnf_other_certificate"
    return ""
