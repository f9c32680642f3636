"""The keys of pseudonyms that lead back: secrets of their own, so that they can be changed while the pepper stays.

A file has one secret a line. The first seals, all of them open: to change keys, put a new line first; to make what an
old key sealed unreadable for ever, take its line away.
"""

from __future__ import annotations

import hashlib
import hmac
from functools import lru_cache
from pathlib import Path
from typing import Final

from tidegate.errors import PolicyError, Problem
from tidegate.filtering.sealed import KEY_BYTES, Seal
from tidegate.policy.compiled import Policy
from tidegate.settings import SettingsError

MIN_SECRET: Final = 32
MAX_SECRETS: Final = 8


class SealKeys:
    """Gives each tenant a seal of its own. Without secrets there is none."""

    def __init__(self, secrets: tuple[bytes, ...] = ()) -> None:
        self._secrets = secrets
        self._seal = lru_cache(maxsize=1024)(self._derive)

    def __bool__(self) -> bool:
        return bool(self._secrets)

    def of(self, tenant: str) -> Seal | None:
        """The seal of a tenant; None where there are no secrets, or no tenant."""
        return self._seal(tenant) if self._secrets and tenant else None

    def _derive(self, tenant: str) -> Seal:
        message = b"sealed pseudonyms\0" + tenant.encode("utf-8", "surrogatepass")
        return Seal(tuple(hmac.digest(secret, message, hashlib.sha512)[:KEY_BYTES] for secret in self._secrets))


NO_SEALS: Final = SealKeys()


def read_seal_keys(path: Path | None) -> tuple[bytes, ...]:
    """The secrets of a file, () where none is given. Raises `SettingsError`."""
    if path is None:
        return ()
    try:
        lines = [line.strip() for line in path.read_bytes().splitlines()]
    except OSError as error:
        raise SettingsError(f"pseudonym keys file: {path}: cannot be read: {error.strerror}") from error
    secrets = tuple(line for line in lines if line and not line.startswith(b"#"))
    if not 1 <= len(secrets) <= MAX_SECRETS:
        raise SettingsError(f"pseudonym keys file: {path}: must have 1 to {MAX_SECRETS} secrets, one a line")
    if min(map(len, secrets)) < MIN_SECRET:
        raise SettingsError(f"pseudonym keys file: {path}: every secret must have at least {MIN_SECRET} bytes")
    if len(set(secrets)) < len(secrets):
        raise SettingsError(f"pseudonym keys file: {path}: a secret stands there twice")
    return secrets


def check_seal_keys(policy: Policy, secrets: tuple[bytes, ...], *, audited: bool) -> None:
    """Raises `PolicyError` where pseudonyms lead back and nothing can seal them, or nobody can see who followed one."""
    problems = []
    for name, rules in policy.rulesets.items():
        if not secrets and any(rule.pseudonym.reversible for rule in rules.rules):
            message = "reversible: true needs secrets of its own: --pseudonym-keys-file"
            problems.append(Problem("policy", 0, f"rulesets.{name}", message))
    for name, tenant in policy.tenants.items():
        if tenant.reveal is not None and not audited:
            message = "nothing is revealed that cannot be put on record: --audit, or TIDEGATE_AUDIT"
            problems.append(Problem("policy", 0, f"tenants.{name}.reveal", message))
    if problems:
        raise PolicyError(tuple(problems))
