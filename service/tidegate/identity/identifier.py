"""Who calls? The first configured method that recognises a credential decides, for good or ill."""

from __future__ import annotations

from tidegate.admission.charges import render
from tidegate.clock import Clock, SystemClock
from tidegate.identity import refusals
from tidegate.identity.anonymous import anonymous_at
from tidegate.identity.api_key import PREFIX, KeyStore
from tidegate.identity.bearer import BearerVerifier
from tidegate.identity.confirmation import HEADER, Confirmation
from tidegate.identity.introspection import Introspector
from tidegate.identity.key_uses import KeyUses
from tidegate.identity.opaque import introspection_for
from tidegate.identity.replays import MemoryReplays
from tidegate.identity.revocation import RevokedTokens
from tidegate.identity.workload import XFCC, workload_of
from tidegate.model import Deny, Identity, Request, proof_of
from tidegate.policy.compiled import Policy

_AUTHORIZATION = "authorization"
_BEARER = "bearer"
_DPOP = "dpop"


class Identifier:
    """The identify phase. `keys` may be replaced at any time: one attribute, read once a request.

    So may `revoked`. `uses` counts the API keys that were proved. Without a `confirmation`, proofs are remembered in
    this process.
    """

    def __init__(
        self,
        *,
        keys: KeyStore,
        verifier: BearerVerifier,
        introspector: Introspector,
        confirmation: Confirmation | None = None,
        uses: KeyUses | None = None,
        clock: Clock | None = None,
    ) -> None:
        self.keys = keys
        self.revoked = RevokedTokens()
        self._uses = uses
        self._verifier = verifier
        self._introspector = introspector
        self._clock = clock or SystemClock()
        self._confirmation = confirmation or Confirmation(clock=self._clock, replays=MemoryReplays(self._clock))

    async def identify(self, policy: Policy, request: Request) -> Identity | Deny:
        """The caller's identity, or why there is none.

        A credential that is recognised and bad denies: there is no falling through to a weaker method. Two
        credentials, or one header that was sent twice and joined, are a 400: nobody may have to guess which counts.
        """
        key_header = "" if policy.api_keys is None else policy.api_keys.header
        key = token = scheme = ""
        if key_header and key_header != _AUTHORIZATION:
            key = request.headers.get(key_header, "").strip(" \t")
        if policy.accepts_tokens or key_header == _AUTHORIZATION:
            authorization = request.headers.get(_AUTHORIZATION, "")
            if "," in authorization:
                return refusals.malformed("authorization_repeated")
            scheme, token = _credential(authorization, tokens=policy.accepts_tokens)
        if key:
            if token:
                return refusals.malformed("several_credentials")
            if "," in key:
                return refusals.malformed("key_repeated")
            return self._prove(key)
        if not token:
            workload = workload_of(policy, request) if policy.workloads else None
            return workload or anonymous_at(policy, request) or _missing(policy)
        by_proof = scheme == _DPOP
        if key_header == _AUTHORIZATION and not by_proof and (token.startswith(PREFIX) or not policy.accepts_tokens):
            return self._prove(token)
        if policy.introspects and not (policy.token_issuers and _is_signed(token)):
            verdict = await self._introspect(policy, request, token)
        else:
            verdict = await self._verifier.verify(token, policy.token_issuers, policy_version=policy.version)
        if isinstance(verdict, Identity):
            refused = self._refused(policy, verdict)
            if refused is not None:
                return refused
            return await self._confirmation.confirm(verdict, token, request, policy.dpop, by_proof=by_proof)
        return refusals.under_dpop(verdict, policy.dpop.algorithms) if by_proof else verdict

    async def _introspect(self, policy: Policy, request: Request, token: str) -> Identity | Deny:
        endpoint = introspection_for(policy, request, token)
        if endpoint is None:
            return refusals.invalid("token_of_nobody")
        asker = render("client_ip", request.client_ip)
        return await self._introspector.introspect(token, endpoint, policy_version=policy.version, asker=asker)

    def _refused(self, policy: Policy, identity: Identity) -> Deny | None:
        """Every time, for a token that is remembered too."""
        revoked = self.revoked
        if policy.revocation is None:
            return None
        if revoked.unavailable:
            return refusals.unavailable(revoked.unavailable)
        covered = revoked.covers(proof_of(identity), identity.subject, identity.tenant)
        return refusals.invalid("token_revoked") if covered else None

    def _prove(self, key: str) -> Identity | Deny:
        verdict = self.keys.prove(key, now=self._clock.now())
        if self._uses is not None and isinstance(verdict, Identity):
            self._uses.note(verdict.credential)
        return verdict

    def credential_headers(self, policy: Policy) -> tuple[str, ...]:
        """The headers (lower-case) that may carry a credential under `policy`: the model must not see them."""
        own = () if policy.api_keys is None else (policy.api_keys.header,)
        bearer = (_AUTHORIZATION, HEADER) if policy.accepts_tokens else ()
        forwarded = (XFCC,) if policy.workloads else ()
        return tuple(dict.fromkeys((*bearer, *own, *forwarded)))


def _missing(policy: Policy) -> Deny:
    return refusals.missing(policy.dpop.algorithms) if policy.dpop_required else refusals.MISSING


def _credential(authorization: str, *, tokens: bool) -> tuple[str, str]:
    """(scheme, credential) of Bearer (RFC 6750 section 2.1) or, for `tokens`, of DPoP (RFC 9449 section 7.1).

    Both are "" where there is no credential or another scheme.
    """
    scheme, _, credential = authorization.partition(" ")
    known = (_BEARER, _DPOP) if tokens else (_BEARER,)
    credential = credential.strip(" ")
    return (scheme.lower(), credential) if credential and scheme.lower() in known else ("", "")


def _is_signed(token: str) -> bool:
    """Whether a token is a JWS: three parts, the first a JSON object in base64url (RFC 7515 section 3.1)."""
    return token.startswith("eyJ") and token.count(".") == 2
