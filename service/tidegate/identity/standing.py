"""Whether the credential that an exchange began with still stands, as the policy in force wants to know it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal

from tidegate.clock import Clock
from tidegate.identity.identifier import Identifier
from tidegate.identity.renewed import Renewed
from tidegate.model import Proof
from tidegate.policy.compiled import Policy

Why = Literal["", "revoked", "expired"]


class Standing:
    """Asks what the process knows now: keys and lists that were replaced meanwhile count at once.

    With `renewed`, opaque tokens are asked about at their providers, too.
    """

    def __init__(
        self,
        *,
        policy: Callable[[], Policy],
        identifier: Identifier,
        clock: Clock,
        renewed: Renewed | None = None,
    ) -> None:
        self._policy = policy
        self._identifier = identifier
        self._clock = clock
        self._renewed = renewed

    def over(self, proof: Proof, subject: str, tenant: str) -> Why:
        """Why what runs has to end, "" where it may go on. What cannot be known ends nothing."""
        wanted = self._policy().revocation
        if wanted is None:
            return ""
        expires = proof.expires
        if proof.method == "api_key":
            keys = self._identifier.keys
            record = keys.find(proof.key)
            if wanted.ends_revoked and not keys.unavailable and (record is None or record.revoked):
                return "revoked"
            expires = expires if record is None else record.expires_at
        elif wanted.ends_revoked and self._identifier.revoked.covers(proof, subject, tenant):
            return "revoked"
        expired = expires is not None and self._clock.now() >= expires
        if wanted.ends_revoked and not expired and self._over_at_provider(proof):
            return "revoked"
        return "expired" if expired and wanted.ends_expired else ""

    def _over_at_provider(self, proof: Proof) -> bool:
        """One that has expired by our clock is asked about no more: at its provider, too, it is not active."""
        return bool(self._renewed and proof.inquiry and self._renewed.over(proof.inquiry, proof.asked or 0.0))
