"""The identify phase outside the service: a policy's own files and issuers, for as long as a command runs."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from tidegate.clock import SystemClock
from tidegate.errors import PolicyError
from tidegate.identity import BearerVerifier, Identifier, Introspector, KeySets, KeyStore, revocation_file
from tidegate.identity.revocation import RevokedTokens
from tidegate.policy.compiled import Policy


@asynccontextmanager
async def identifying(policy: Policy, pepper: bytes) -> AsyncIterator[Identifier]:
    """An identifier over the policy's key file and its issuers.

    Without a readable key file or the pepper, and where the keys are in a store, an API key is answered 503, and the
    detail says why; nothing else needs them. So is a token where nobody can say which are revoked.
    """
    clock = SystemClock()
    key_sets, introspector = KeySets(clock=clock), Introspector(clock=clock)
    verifier = BearerVerifier(clock=clock, key_sets=key_sets)
    try:
        identifier = Identifier(keys=_keys(policy, pepper), verifier=verifier, introspector=introspector, clock=clock)
        identifier.revoked = _revoked(policy)
        yield identifier
    finally:
        await key_sets.close()
        await introspector.close()


def _revoked(policy: Policy) -> RevokedTokens:
    if policy.revocation is None:
        return RevokedTokens()
    if policy.revocation.file is None:
        return RevokedTokens(unavailable="the revoked tokens are in the store")
    try:
        return revocation_file.listed(policy.revocation.file)
    except PolicyError as error:
        return RevokedTokens(unavailable=str(error))


def _keys(policy: Policy, pepper: bytes) -> KeyStore:
    if policy.api_keys is None:
        return KeyStore({}, pepper=pepper)
    if policy.api_keys.file is None:
        return KeyStore({}, pepper=pepper, unavailable="the keys are in the store")
    try:
        return KeyStore.load(policy.api_keys.file, pepper=pepper)
    except PolicyError as error:
        return KeyStore({}, pepper=pepper, unavailable=str(error))
