"""What stands in a text where a detected value stood."""

from __future__ import annotations

import hmac
from collections.abc import Callable

from tidegate.filtering.canonical import HASH_DIGITS, canonical
from tidegate.filtering.ruleset import Action
from tidegate.filtering.view import plain


def replacement(
    action: Action, entity: str, value: str, key: bytes = b"", regions: frozenset[str] = frozenset()
) -> str:
    """What takes the place of `value`, the original text with any invisible characters inside it.

    It depends on the value and nothing around it; `regions` are those whose telephone numbers are known. Without a key,
    a hash of a value from a small space (a phone number) can be found by trying them all. Raises ValueError for BLOCK,
    which replaces nothing, and for PSEUDONYMIZE, whose stand-ins depend on a scope (`tidegate.filtering.pseudonyms`).
    """
    if action is Action.REDACT:  # nearly every one is, and a match statement asks a class for a name
        return f"[{entity}]"
    match action:
        case Action.MASK:
            return _MASKS.get(entity, _stars)(plain(value))
        case Action.HASH:
            message = f"{entity}\0{canonical(entity, value, regions)}".encode("utf-8", "surrogatepass")
            return f"[{entity}:{hmac.digest(key, message, 'sha256').hex()[:HASH_DIGITS]}]"
        case Action.ANNOTATE:
            return value
        case Action.DROP:
            return ""
        case Action.PSEUDONYMIZE | Action.BLOCK:
            raise ValueError(f"{action.label} replaces nothing by itself")


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


_MASKS: dict[str, Callable[[str], str]] = {"CREDIT_CARD": _card_mask, "EMAIL": _email_mask}
