"""Who calls? The first configured method that recognises a credential decides, for good or ill."""

from __future__ import annotations

from tidegate.clock import Clock, SystemClock
from tidegate.identity import refusals
from tidegate.identity.anonymous import anonymous_at
from tidegate.identity.api_key import PREFIX, KeyStore
from tidegate.identity.bearer import BearerVerifier
from tidegate.identity.confirmation import confirmed
from tidegate.identity.introspection import Introspector
from tidegate.identity.key_feed import KeyUses
from tidegate.identity.workload import XFCC, workload_of
from tidegate.model import Deny, Identity, Request
from tidegate.policy.compiled import Policy

_AUTHORIZATION = "authorization"


class Identifier:
    """The identify phase. `keys` may be replaced at any time: one attribute, read once a request.

    `uses` counts the API keys that were proved.
    """

    def __init__(
        self,
        *,
        keys: KeyStore,
        verifier: BearerVerifier,
        introspector: Introspector,
        uses: KeyUses | None = None,
        clock: Clock | None = None,
    ) -> None:
        self.keys = keys
        self._uses = uses
        self._verifier = verifier
        self._introspector = introspector
        self._clock = clock or SystemClock()

    async def identify(self, policy: Policy, request: Request) -> Identity | Deny:
        """The caller's identity, or why there is none.

        A credential that is recognised and bad denies: there is no falling through to a weaker method. Two
        credentials, or one header that was sent twice and joined, are a 400: nobody may have to guess which counts.
        """
        key_header = "" if policy.api_keys is None else policy.api_keys.header
        key = token = ""
        if key_header and key_header != _AUTHORIZATION:
            key = request.headers.get(key_header, "").strip(" \t")
        if policy.accepts_tokens or key_header == _AUTHORIZATION:
            authorization = request.headers.get(_AUTHORIZATION, "")
            if "," in authorization:
                return refusals.malformed("authorization_repeated")
            token = _bearer(authorization)
        if key:
            if token:
                return refusals.malformed("several_credentials")
            if "," in key:
                return refusals.malformed("key_repeated")
            return self._prove(key)
        if not token:
            workload = workload_of(policy, request) if policy.workloads else None
            return workload or anonymous_at(policy, request) or refusals.MISSING
        if key_header == _AUTHORIZATION and (token.startswith(PREFIX) or not policy.accepts_tokens):
            return self._prove(token)
        if policy.introspection is not None and not (policy.token_issuers and _is_signed(token)):
            verdict = await self._introspector.introspect(token, policy.introspection, policy_version=policy.version)
        else:
            verdict = await self._verifier.verify(token, policy.token_issuers, policy_version=policy.version)
        return confirmed(verdict, request) if isinstance(verdict, Identity) else verdict

    def _prove(self, key: str) -> Identity | Deny:
        verdict = self.keys.prove(key, now=self._clock.now())
        if self._uses is not None and isinstance(verdict, Identity):
            self._uses.note(verdict.credential)
        return verdict

    def credential_headers(self, policy: Policy) -> tuple[str, ...]:
        """The headers (lower-case) that may carry a credential under `policy`: the model must not see them."""
        own = () if policy.api_keys is None else (policy.api_keys.header,)
        bearer = (_AUTHORIZATION,) if policy.accepts_tokens else ()
        forwarded = (XFCC,) if policy.workloads else ()
        return tuple(dict.fromkeys((*bearer, *own, *forwarded)))


def _bearer(authorization: str) -> str:
    """The credential of the Bearer scheme (RFC 6750 section 2.1), "" for no credential or another scheme."""
    if authorization[:7].lower() != "bearer ":
        return ""
    return authorization[7:].strip(" ")


def _is_signed(token: str) -> bool:
    """Whether a token is a JWS: three parts, the first a JSON object in base64url (RFC 7515 section 3.1)."""
    return token.startswith("eyJ") and token.count(".") == 2
