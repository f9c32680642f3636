"""What stands in a text where a detected value stood."""

from __future__ import annotations

import hmac
import ipaddress
from collections.abc import Callable

from tidegate.filtering.ruleset import Action
from tidegate.filtering.view import plain

HASH_DIGITS = 12
"""Hexadecimal digits of a hash that are shown: 48 bits, enough to tell values of one response apart."""


def constant(entity: str) -> str:
    """The form that tells nothing but the kind."""
    return f"[{entity}]"


def replacement(action: Action, entity: str, value: str, key: bytes = b"") -> str:
    """What takes the place of `value`, the original text with any invisible characters inside it.

    It depends on the value and nothing around it. Without a key, a hash of a value from a small space (a phone number)
    can be found by trying them all. Raises ValueError for BLOCK, which replaces nothing.
    """
    if action is Action.REDACT:  # nearly every one is, and a match statement asks a class for a name
        return f"[{entity}]"
    match action:
        case Action.MASK:
            return _MASKS.get(entity, _stars)(plain(value))
        case Action.HASH:
            message = f"{entity}\0{_CANONICAL.get(entity, str)(plain(value))}".encode("utf-8", "surrogatepass")
            return f"[{entity}:{hmac.digest(key, message, 'sha256').hex()[:HASH_DIGITS]}]"
        case Action.ANNOTATE:
            return value
        case Action.DROP:
            return ""
        case Action.BLOCK:
            raise ValueError("a blocked text has no replacement")


def _stars(value: str) -> str:
    return "".join("*" if char.isalnum() else char for char in value)


def _card_mask(value: str) -> str:
    cut = len(value)
    for _ in range(4):
        cut = max(value.rfind(digit, 0, cut) for digit in "0123456789")
    return _stars(value[:cut]) + value[cut:]


def _email_mask(value: str) -> str:
    local, _, domain = value.rpartition("@")
    host, dot, top = domain.rpartition(".")
    shown = local[:1] if len(local) > 2 else "*"
    return f"{shown}{'*' * (len(local) - 1)}@{_stars(host)}{dot}{top}"


def _digits(value: str) -> str:
    return "".join(char for char in value if char.isdigit())


def _phone(value: str) -> str:
    digits = _digits(value.replace("(0)", "")) if value.startswith("+") else _digits(value)
    return "+" + (digits if value.startswith("+") or len(digits) > 10 else "1" + digits)


def _address(value: str) -> str:
    return str(ipaddress.ip_address(value))


def _iban(value: str) -> str:
    return value.replace(" ", "").replace("-", "").upper()


_MASKS: dict[str, Callable[[str], str]] = {"CREDIT_CARD": _card_mask, "EMAIL": _email_mask}
_CANONICAL: dict[str, Callable[[str], str]] = {
    "CREDIT_CARD": _digits,
    "US_SSN": _digits,
    "PHONE": _phone,
    "IP_ADDRESS": _address,
    "IBAN": _iban,
    "EMAIL": str.lower,
}
