"""The key of the `hash` action. Without a secret one, a hashed phone number is found by trying them all."""

from __future__ import annotations

import hashlib
import hmac

from tidegate.errors import PolicyError, Problem
from tidegate.filtering.ruleset import Action
from tidegate.policy.compiled import Policy


def hash_key(pepper: bytes) -> bytes:
    """The key, derived from the pepper so that neither tells the other; b"" where there is no pepper."""
    return hmac.digest(pepper, b"hash action", hashlib.sha256) if pepper else b""


def check_hash_key(policy: Policy, pepper: bytes) -> None:
    """Raises `PolicyError` for a policy that hashes what it finds, under no pepper."""
    hashing = [
        name for name, rules in policy.rulesets.items() if any(rule.action is Action.HASH for rule in rules.rules)
    ]
    if hashing and not pepper:
        message = "act: hash needs a secret to key it with: --key-pepper-file, or TIDEGATE_KEY_PEPPER"
        raise PolicyError(tuple(Problem("policy", 0, f"rulesets.{name}", message) for name in hashing))
