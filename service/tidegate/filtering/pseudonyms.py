"""Pseudonyms: the same stand-in for the same value, within a scope, for who has no key to tell whose it is.

A pseudonym is an HMAC-SHA256 of the value's canonical form, under a key of the scope. Nothing leads back from it, with
the key neither, but by trying values: the stand-ins of a small set of values are not secret to who has the key. One
that is `reversible` holds the value itself (`tidegate.filtering.sealed`).

Those that look like the value cannot be real ones: they come from ranges that nobody is given, or fail their own check.
"""

from __future__ import annotations

import hmac
import ipaddress
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Final, Literal, NamedTuple

from tidegate.filtering.canonical import HASH_DIGITS, canonical, constant
from tidegate.filtering.sealed import CONTEXT_BYTES, Seal
from tidegate.filtering.validators import luhn
from tidegate.filtering.view import plain

Scope = Literal["response", "conversation", "tenant"]
SCOPES: Final[tuple[Scope, ...]] = ("response", "conversation", "tenant")


class Pseudonym(NamedTuple):
    """Within which scope a kind of value keeps its pseudonym, whether that looks like the value, and whether it leads
    back to it."""

    scope: Scope
    alike: bool = False
    reversible: bool = False

    def strictest(self, other: Pseudonym) -> Pseudonym:
        """The narrower scope, the form that tells less, and no way back where one of them has none."""
        scope = min(self.scope, other.scope, key=SCOPES.index)
        return Pseudonym(scope, self.alike and other.alike, self.reversible and other.reversible)


BRIEF: Final = Pseudonym("response")


@dataclass(frozen=True, slots=True)
class ScopeKeys:
    """The keys of one exchange's scopes; `seal` is the tenant's, None where nothing leads back."""

    response: bytes
    conversation: bytes
    tenant: bytes
    seal: Seal | None = None

    def of(self, scope: Scope) -> bytes:
        """The key of one."""
        keys: Mapping[Scope, bytes] = {
            "response": self.response,
            "conversation": self.conversation,
            "tenant": self.tenant,
        }
        return keys[scope]


def stand_in(
    pseudonym: Pseudonym,
    entity: str,
    value: str,
    keys: ScopeKeys | None,
    regions: frozenset[str] = frozenset(),
) -> str:
    """What takes the place of `value`; the constant form where there are no keys.

    `regions` are those whose telephone numbers are known without a country code.
    """
    if keys is None:
        return constant(entity)
    known = canonical(entity, value, regions)
    key = keys.of(pseudonym.scope)
    if pseudonym.reversible and keys.seal is not None:
        context = hmac.digest(key, b"context", "sha256")[:CONTEXT_BYTES]
        if (sealed := keys.seal.close(entity, known, context)) is not None:
            return sealed
    digest = hmac.digest(key, f"{entity}\0{known}".encode("utf-8", "surrogatepass"), "sha256")
    if pseudonym.alike:
        return ALIKE[entity](plain(value), digest)
    return f"[{entity}_{digest.hex()[:HASH_DIGITS]}]"


def _email(_: str, digest: bytes) -> str:
    """At a domain that nobody can have (RFC 2606)."""
    return f"user-{digest.hex()[:HASH_DIGITS]}@example.com"


def _decimals(digest: bytes) -> Iterator[str]:
    while True:
        number = int.from_bytes(digest, "big")
        yield from f"{number:077d}"[-60:]
        digest = hmac.digest(digest, b"more", "sha256")


def _digits(value: str, digest: bytes, head: str = "") -> str:
    """`value` with other digits, those of `head` first."""
    others = _decimals(digest)
    first = iter(head)
    return "".join((next(first, "") or next(others)) if char.isdigit() else char for char in value)


def _card(value: str, digest: bytes) -> str:
    """Of no issuer (ISO/IEC 7812-1 gives 0 to nobody who issues cards), and with a wrong check digit."""
    made = _digits(value, digest, "0")
    if luhn("".join(filter(str.isdigit, made)).encode()):
        last = max(at for at, char in enumerate(made) if char.isdigit())
        made = f"{made[:last]}{(int(made[last]) + 1) % 10}{made[last + 1 :]}"
    return made


def _phone(value: str, digest: bytes) -> str:
    """Under a country code that nobody has (ITU-T E.164: 999), or with three zeros, where no number begins."""
    return _digits(value, digest, "999" if value.startswith("+") else "000")


def _ssn(value: str, digest: bytes) -> str:
    """Of an area that is never given (000)."""
    return _digits(value, digest, "000")


def _address(value: str, digest: bytes) -> str:
    """From 198.18.0.0/15 (RFC 2544) or 2001:db8::/32 (RFC 3849), which no host has."""
    if ipaddress.ip_address(value).version == 4:
        return str(ipaddress.IPv4Address((198 << 24 | 18 << 16) | int.from_bytes(digest[:3], "big") >> 7))
    return str(ipaddress.IPv6Address(0x20010DB8 << 96 | int.from_bytes(digest[:12], "big")))


ALIKE: Final[Mapping[str, Callable[[str, bytes], str]]] = {
    "CREDIT_CARD": _card,
    "EMAIL": _email,
    "IP_ADDRESS": _address,
    "PHONE": _phone,
    "US_SSN": _ssn,
}
"""The kinds of value that have pseudonyms which look like them."""
