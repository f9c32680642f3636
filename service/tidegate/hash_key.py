"""The keys of the acts that need one. Without a secret, a hashed phone number is found by trying them all."""

from __future__ import annotations

import hashlib
import hmac
import secrets

from tidegate.errors import PolicyError, Problem
from tidegate.filtering.pseudonyms import ScopeKeys
from tidegate.filtering.ruleset import Action, FilterPlan
from tidegate.filtering.sealed import Seal
from tidegate.policy.compiled import Policy
from tidegate.seal_keys import NO_SEALS, SealKeys

_KEYED = (Action.HASH, Action.PSEUDONYMIZE)


def hash_key(pepper: bytes) -> bytes:
    """The key of hashes, derived from the pepper so that neither tells the other; b"" where there is no pepper."""
    return hmac.digest(pepper, b"hash action", hashlib.sha256) if pepper else b""


def scope_keys(
    key: bytes, *, tenant: str = "", subject: str = "", conversation: str = "", seal: Seal | None = None
) -> ScopeKeys:
    """The keys of an exchange's pseudonyms, from the key of hashes.

    That of the response is drawn. One that is not in a conversation, or in which no tenant calls, has no other.
    """
    response = secrets.token_bytes(32)
    spoken = _derived(key, "conversation", tenant, subject, conversation) if conversation else response
    return ScopeKeys(response, spoken, _derived(key, "tenant", tenant) if tenant else response, seal)


def keyed(
    plan: FilterPlan,
    key: bytes,
    *,
    tenant: str = "",
    subject: str = "",
    conversation: str = "",
    seals: SealKeys = NO_SEALS,
) -> FilterPlan:
    """The plan for one exchange: itself, where it gives nothing a pseudonym."""
    if not plan.pseudonymous or not key:
        return plan
    seal = seals.of(tenant) if plan.reversible else None
    return plan.under(scope_keys(key, tenant=tenant, subject=subject, conversation=conversation, seal=seal))


def _derived(key: bytes, *words: str) -> bytes:
    raw = [word.encode("utf-8", "surrogatepass") for word in words]
    message = b"".join(len(word).to_bytes(4, "big") + word for word in raw)
    return hmac.digest(key, b"pseudonyms" + message, hashlib.sha256)


def check_hash_key(policy: Policy, pepper: bytes) -> None:
    """Raises `PolicyError` for a policy that hashes what it finds or gives it pseudonyms, under no pepper."""
    needing = {
        name: rule.action.label
        for name, rules in policy.rulesets.items()
        for rule in rules.rules
        if rule.action in _KEYED
    }
    if needing and not pepper:
        message = "act: {} needs a secret to key it with: --key-pepper-file, or TIDEGATE_KEY_PEPPER"
        raise PolicyError(
            tuple(Problem("policy", 0, f"rulesets.{name}", message.format(act)) for name, act in needing.items())
        )
