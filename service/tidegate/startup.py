"""What a policy and the settings of a process must have for each other, found before anything is served."""

from __future__ import annotations

from tidegate.admission.open import MEMORY, check_url
from tidegate.audit.sink import place_of
from tidegate.certificates import Certificates
from tidegate.errors import PolicyError, Problem
from tidegate.hash_key import check_hash_key
from tidegate.policy import load_policy
from tidegate.policy.compiled import Policy
from tidegate.seal_keys import check_seal_keys
from tidegate.settings import Settings, naming


def check_audit(policy: Policy, settings: Settings) -> None:
    """Raises `PolicyError` where records are required and there is no place for them."""
    if policy.audit_required and not settings.audit:
        message = "nothing can be put on record without --audit, or TIDEGATE_AUDIT"
        raise PolicyError((Problem(str(settings.policy), 0, "platform.audit.required", message),))


def keys_are_stored(policy: Policy) -> bool:
    """Whether API keys are in the store, not in a file."""
    return policy.api_keys is not None and policy.api_keys.file is None


def remembers_proofs(settings: Settings) -> bool:
    """Whether a proof that was used at one replica is known to all."""
    return settings.store != MEMORY or max(settings.replicas, settings.workers) == 1


def check_proofs(policy: Policy, settings: Settings) -> None:
    """Raises `PolicyError` where the policy wants of proofs what this process cannot check."""
    where, problems = str(settings.policy), []
    if policy.dpop_required and not remembers_proofs(settings):
        message = "several replicas can tell a used proof only from a Redis that they share: --store"
        problems.append(Problem(where, 0, "platform.identity, dpop: required", message))
    if policy.dpop.nonce and not settings.pepper:
        message = "nonces need a secret to make them with: --key-pepper-file, or TIDEGATE_KEY_PEPPER"
        problems.append(Problem(where, 0, "platform.identity.dpop.nonce", message))
    if problems:
        raise PolicyError(tuple(problems))


def revocations_are_stored(policy: Policy) -> bool:
    """Whether the list of revoked tokens is in the store, not in a file."""
    return policy.revocation is not None and policy.revocation.file is None


def check_revocation(policy: Policy, settings: Settings) -> None:
    """Raises `PolicyError` where the list of revoked tokens is in a store that there is not.

    And where tokens are to end what runs that only the process which was shown them could ask about.
    """
    if revocations_are_stored(policy) and settings.store == MEMORY:
        message = "no file: the revoked tokens are in the store, so --store must be a Redis"
        raise PolicyError((Problem(str(settings.policy), 0, "platform.revocation", message),))
    wanted = policy.revocation
    ends_opaque = wanted is not None and wanted.ends_revoked and policy.introspects
    if ends_opaque and not settings.pepper and max(settings.replicas, settings.workers) > 1:
        message = "processes ask about each other's opaque tokens by a secret that they share: --key-pepper-file"
        raise PolicyError((Problem(str(settings.policy), 0, "platform.revocation.on_revocation", message),))


def check_keys(policy: Policy, settings: Settings) -> None:
    """Raises `PolicyError` where the policy's keys, hashes or proofs need what this process was not given."""
    if keys_are_stored(policy) and settings.store == MEMORY:
        message = "no file: the keys are in the store, so --store must be a Redis"
        raise PolicyError((Problem(str(settings.policy), 0, "platform.identity.api_keys", message),))
    if policy.api_keys and not settings.pepper:
        message = "its hashes need the pepper that they were made with: --key-pepper-file, or TIDEGATE_KEY_PEPPER"
        raise PolicyError((Problem(str(policy.api_keys.file or "the key store"), 0, "", message),))
    check_hash_key(policy, settings.pepper)
    check_proofs(policy, settings)
    check_seal_keys(policy, settings.pseudonym_keys, audited=bool(settings.audit))


def check_settings(settings: Settings) -> None:
    """Raises `PolicyError` or `SettingsError` for what no worker could start with: said once, not by each of them."""
    policy = load_policy(settings.policy)
    check_keys(policy, settings)
    check_audit(policy, settings)
    check_revocation(policy, settings)
    if settings.audit:
        with naming("--audit"):
            place_of(settings.audit)
    with naming("--store"):
        check_url(settings.store)
    if settings.tls:
        Certificates(settings.tls)
