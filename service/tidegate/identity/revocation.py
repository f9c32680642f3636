"""Tokens that are refused before their time. A list that only grows, until what is on it would be over anyway.

A token is revoked by its id (`jti`; of an opaque token without one, the id that our records show), or with all tokens
of a subject, tenant or issuer that were issued before a moment. API keys have their own revocation.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from types import MappingProxyType
from typing import Any, Final

from pydantic import BaseModel, ConfigDict, model_validator

from tidegate.identity.key_file import Moment, Name
from tidegate.model import Proof

MAX_ENTRIES: Final = 100_000
_BY_TOKEN: Final = ("jwt", "introspection")


class Revocation(BaseModel):
    """One entry. `issuer` is the exact `iss`; `until` is when the entry may go, because its tokens are over by then."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)

    token: Name | None = None
    subject: Name | None = None
    tenant: Name | None = None
    issuer: Name | None = None
    before: Moment | None = None
    until: Moment | None = None

    @model_validator(mode="after")
    def _means_something(self) -> Revocation:
        if self.token is not None:
            if self.before is not None or self.subject is not None or self.tenant is not None:
                raise ValueError("a token is named by itself, or with its issuer")
        elif self.before is None:
            raise ValueError("give token, or before: the tokens that were issued earlier than that")
        elif self.subject is None and self.tenant is None and self.issuer is None:
            raise ValueError("whose tokens? give subject, tenant or issuer")
        return self

    def record(self) -> dict[str, Any]:
        """The entry in plain values; what is not given is left out."""
        return self.model_dump(mode="json", exclude_defaults=True)

    def over(self, now: float) -> bool:
        """Whether nothing hangs on it any more at `now` (Unix seconds)."""
        return self.until is not None and now >= self.until.timestamp()


class RevokedTokens:
    """The list at one time. Immutable. With `unavailable` it cannot be had: nobody knows whether a token stands."""

    def __init__(self, entries: Iterable[Revocation] = (), *, unavailable: str = "") -> None:
        self.unavailable = unavailable
        self.entries = frozenset(entries)
        tokens: dict[str, set[str | None]] = {}
        owners: dict[tuple[str, str | None], list[Revocation]] = {}
        for entry in self.entries:
            if entry.token is not None:
                tokens.setdefault(entry.token, set()).add(entry.issuer)
            else:
                owners.setdefault(_owner(entry), []).append(entry)
        self._tokens: Mapping[str, set[str | None]] = MappingProxyType(tokens)
        self._owners: Mapping[tuple[str, str | None], list[Revocation]] = MappingProxyType(owners)

    def __len__(self) -> int:
        return len(self.entries)

    def covers(self, proof: Proof, subject: str, tenant: str) -> bool:
        """Whether a token that proved `subject` of `tenant` is revoked. One without a time of issue counts as old."""
        if not self.entries or proof.method not in _BY_TOKEN:
            return False
        issuers = self._tokens.get(proof.token)
        if issuers is not None and (None in issuers or proof.issuer in issuers):
            return True
        return any(
            entry.tenant in (None, tenant)
            and entry.issuer in (None, proof.issuer)
            and entry.before is not None
            and (proof.issued is None or proof.issued < entry.before.timestamp())
            for owner in (("subject", subject), ("tenant", tenant), ("issuer", proof.issuer))
            for entry in self._owners.get(owner, ())
        )


def _owner(entry: Revocation) -> tuple[str, str | None]:
    """By what an entry is found, so that a list of many tenants is not walked for each request."""
    if entry.subject is not None:
        return "subject", entry.subject
    return ("tenant", entry.tenant) if entry.tenant is not None else ("issuer", entry.issuer)
