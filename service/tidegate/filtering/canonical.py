"""A detected value as it is compared, in whatever way it was written; and the form that tells nothing but its kind."""

from __future__ import annotations

import ipaddress
from collections.abc import Callable

from tidegate.filtering.view import plain

HASH_DIGITS = 12
"""Hexadecimal digits that are shown of what stands for a value: 48 bits, enough to tell those of one scope apart."""


def constant(entity: str) -> str:
    """The form that tells nothing but the kind."""
    return f"[{entity}]"


def canonical(entity: str, value: str) -> str:
    """A value as it is compared: in whatever way it was written, and with disguises undone."""
    return _CANONICAL.get(entity, str)(plain(value))


def _digits(value: str) -> str:
    return "".join(char for char in value if char.isdigit())


def _phone(value: str) -> str:
    digits = _digits(value.replace("(0)", "")) if value.startswith("+") else _digits(value)
    return "+" + (digits if value.startswith("+") or len(digits) > 10 else "1" + digits)


def _address(value: str) -> str:
    return str(ipaddress.ip_address(value))


def _iban(value: str) -> str:
    return value.replace(" ", "").replace("-", "").upper()


def _name(value: str) -> str:
    return " ".join(value.split()).casefold()


_CANONICAL: dict[str, Callable[[str], str]] = {
    "CREDIT_CARD": _digits,
    "US_SSN": _digits,
    "PHONE": _phone,
    "IP_ADDRESS": _address,
    "IBAN": _iban,
    "EMAIL": str.lower,
    "PERSON": _name,
    "LOCATION": _name,
    "ORGANIZATION": _name,
}


WAYS: frozenset[str] = frozenset(_CANONICAL)
"""The entities whose values are written in several ways."""
