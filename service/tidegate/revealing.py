"""From a pseudonym back to its value: for who may, not too often, and never without a record of who asked and why.

The record is kept before the value is told. What cannot be opened has one answer, whatever is wrong with it: whether a
pseudonym was made up, changed, another tenant's, or sealed by a key that is gone is not for the caller to learn.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Final, NamedTuple

from tidegate.admission.charges import charges_for
from tidegate.demands import refusal_of
from tidegate.errors import StoreUnavailable
from tidegate.filtering.sealed import Opened, parts_of
from tidegate.model import ANONYMOUS, Deny, Identity, Reason, Request
from tidegate.pipeline import Identifies, Reserves
from tidegate.policy.compiled import Policy, Reveal
from tidegate.seal_keys import SealKeys

_UNAUDITED: Final = Deny(
    503, Reason.AUDIT_UNAVAILABLE, "The call cannot be put on record now.", (("retry-after", "1"),)
)
_UNLIMITED: Final = Deny(503, Reason.STORE_UNAVAILABLE, "Limits cannot be checked now.", (("retry-after", "1"),))
_UNKNOWN: Final = Deny(404, Reason.PSEUDONYM_UNKNOWN, "The pseudonym is none that can be turned back here.")


class Asked(NamedTuple):
    """One call, as it is put on record. `entity` is what the pseudonym says of itself, `verdict` None for a value."""

    request_id: str
    identity: Identity | None
    pseudonym: str
    entity: str
    reason: str
    verdict: Deny | None
    policy: str


class Revealer:
    """Turns pseudonyms back. `keep` puts a call on record and says whether it is kept; without it nothing is told."""

    def __init__(
        self,
        *,
        policy: Callable[[], Policy],
        identifier: Identifies,
        ledger: Reserves,
        seals: SealKeys,
        keep: Callable[[Asked], Awaitable[bool]] | None,
        told: Callable[[str], None] = lambda _outcome: None,
        on_error: Callable[[Exception], None],
    ) -> None:
        self._policy = policy
        self._identifier = identifier
        self._ledger = ledger
        self._seals = seals
        self._keep = keep
        self._told = told
        self._on_error = on_error

    async def reveal(self, request: Request | Deny, pseudonym: str, reason: str, request_id: str) -> Opened | Deny:
        """The value, or why there is none. Never raises. A request that could not be read is a call, too."""
        try:
            answer = await self._reveal(request, pseudonym, reason, request_id)
        except Exception as failure:  # noqa: BLE001 - whatever broke, nothing is told
            self._on_error(failure)
            answer = Deny(500, Reason.INTERNAL, "The call could not be decided.", detail=type(failure).__name__)
        self._told(str(answer.reason) if isinstance(answer, Deny) else "revealed")
        return answer

    async def _reveal(self, request: Request | Deny, pseudonym: str, reason: str, request_id: str) -> Opened | Deny:
        if self._keep is None:
            return _UNAUDITED
        policy = self._policy()
        who: Identity | None = None
        answer: Opened | Deny
        if isinstance(request, Deny):
            answer = request
        elif isinstance(identity := await self._identifier.identify(policy, request), Deny):
            answer = identity
        else:
            who, answer = identity, await self._open(policy, identity, request, pseudonym)
        parts = parts_of(pseudonym)
        verdict = answer if isinstance(answer, Deny) else None
        asked = Asked(request_id, who, pseudonym, parts[0] if parts else "", reason, verdict, policy.version)
        return answer if await self._keep(asked) or verdict is not None else _UNAUDITED

    async def _open(self, policy: Policy, identity: Identity, request: Request, pseudonym: str) -> Opened | Deny:
        """Entitled, and within the limit, before anything is tried: a guess costs what a question costs."""
        tenant = policy.tenants.get(identity.tenant)
        reveal = tenant.reveal if tenant else None
        refused = may_reveal(reveal, identity)
        if reveal is None or refused is not None:
            return refused or _forbidden("nobody may")
        attributes = {"tenant": identity.tenant, "subject": identity.subject, "client_ip": request.client_ip}
        try:
            admission = await self._ledger.reserve(charges_for((reveal.limit,), attributes))
        except StoreUnavailable:
            return _UNLIMITED
        if admission.enforcement == "none":
            return _UNLIMITED
        if (refusal := refusal_of(admission)) is not None:
            return refusal
        parts = parts_of(pseudonym)
        if parts and reveal.entities is not None and parts[0] not in reveal.entities:  # true or not: nobody learns that
            return _forbidden(f"not for {parts[0]}")
        seal = self._seals.of(identity.tenant)
        return (seal and seal.open(pseudonym)) or _UNKNOWN


def may_reveal(reveal: Reveal | None, identity: Identity) -> Deny | None:
    """Why a caller may turn no pseudonyms back; None for one that may."""
    if reveal is None:
        return _forbidden("the tenant lets nobody")
    if identity.method == ANONYMOUS or identity.endpoints is not None:
        return _forbidden("no credential, or one for some endpoints only")
    if not reveal.roles & identity.roles:
        return _forbidden("none of the roles")
    if not reveal.scopes <= identity.scopes:
        needed = " ".join(sorted(reveal.scopes))
        challenge = f'Bearer error="insufficient_scope", scope="{needed}"'
        return Deny(
            403, Reason.SCOPE_INSUFFICIENT, "The credential lacks a scope.", (("www-authenticate", challenge),), needed
        )
    return None


def _forbidden(detail: str) -> Deny:
    return Deny(403, Reason.ACCESS_DENIED, "You may not turn pseudonyms back.", detail=detail)
